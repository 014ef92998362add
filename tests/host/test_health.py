"""Health of a device: the command, and the counters in a run's metrics."""

import json

import pytest

from equipoise.host.trainer import train
from equipoise.sim.golden import Golden

from .runs import Silent, small_run


def test_a_bad_link_shows(call):
    code, out, err = call("health", "--device", "fault+golden:?flip=0.05&seed=3&log=faults.jsonl", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["device"]["address"] == "fault+golden:" and found["device"]["kind"] == "gateware"
    counters = found["counters"]
    assert found["link"]["frames"] == 100 and found["link"]["round_trip_ms"] > 0
    assert counters["host_retries"] >= 1
    with open("faults.jsonl") as log:
        assert {json.loads(line)["fault"] for line in log} == {"flip"}
    damaged = ["device_crc_errors", "device_framing_errors", "host_crc_errors", "host_framing_errors"]
    assert sum(counters[name] for name in damaged) >= 1
    assert found["unknown"] == ["uptime", "temperature"]


def test_for_people(call):
    code, out, err = call("health", "--device", "fault+golden:")
    assert (code, err) == (0, "")
    for told in ("link: 100 frames echoed", "counted by the device", "counted by this host", "saturations of last run"):
        assert told in out.replace("_", " ")
    assert "not known of this device: uptime, temperature" in out


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "fault+float:",
            "equipoise: Device address 'fault+float:' must have one of sim:, golden:, serial:, tcp: after",
        ),
        ("fault+golden:?cut=7", "equipoise: Rate of the fault 'cut' must be from 0 to 1, not 7"),
    ],
)
def test_addresses_that_cannot_be(call, address, message):
    code, out, err = call("health", "--device", address)
    assert (code, out) == (1, "") and err.startswith(message)


def test_a_model_without_a_link(call):
    _, out, _ = call("health", "--device", "golden:", "--json")
    assert json.loads(out)["link"] is None
    assert json.loads(out)["counters"] == {"runs": 0, "samples": 0}


def test_counters_are_in_the_metrics(tmp_path):
    run = small_run(tmp_path)
    train(run, Golden(), Silent())
    health = [record for record in run.metrics() if record["kind"] == "health"]
    assert [record["step"] for record in health] == [0, 3, 6]
    assert health[-1]["runs"] > health[1]["runs"] > 3
