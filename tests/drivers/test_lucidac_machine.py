"""A machine that is found, refused, or sends what it should not, on a wire within this process."""

import copy
import json

import numpy as np
import pytest
from lucipy.simulator import Emulation

from equipoise.drivers.lucidac.circuit import Circuit
from equipoise.drivers.lucidac.link import JsonLines
from equipoise.drivers.lucidac.machine import Acquisition, Machine
from equipoise.substrate.errors import DeviceError, LinkError, MismatchError

from .lucidac_emulator import Script

CIRCUIT = Circuit((), (0.0,) * 8, 2)
ACQUISITION = Acquisition.of(1e-3, 2)
MAC = "70-79-74-68-6f-6e"


class Scripted:
    """A LUCIDAC that says of every run what ``run`` lists; messages without an id get the run's."""

    def __init__(self, run=None, entities=None, firmware=None) -> None:
        self.run, self.firmware = run or [], firmware
        self.entities = Emulation().get_entities() if entities is None else entities
        self.wire = Script(self.answer)

    def answer(self, sent: dict) -> bytes:
        messages = {
            "get_entities": self.entities,
            "help": {"available_types": ["ping", *(["sys_ident"] if self.firmware else [])]},
            "sys_ident": {"serial": "123", "fw_build": {"FIRMWARE_VERSION": self.firmware}},
        }
        envelopes = [{**sent, "msg": messages.get(sent["type"], {}), "code": 0}]
        if sent["type"] == "start_run":
            for kind, message in copy.deepcopy(self.run):
                message.setdefault("id", sent["msg"]["id"])
                envelopes.append({"type": kind, "msg": message})
        return b"".join(json.dumps(envelope).encode() + b"\n" for envelope in envelopes)


def machine(**settings) -> Machine:
    return Machine(JsonLines(Scripted(**settings).wire))


def block(count: int, **fields) -> tuple[str, dict]:
    return "run_data", {"entity": [MAC, "0"], "data": [[0.25, -0.5]] * count, **fields}


def state(new: str, **fields) -> tuple[str, dict]:
    return "run_state_change", {"t": 0, "old": "NEW", "new": new, **fields}


def test_what_is_found():
    found = machine(firmware="1.2.3")
    assert (found.mac, found.firmware) == (MAC, "1.2.3")
    assert machine().firmware == ""
    slashed = {"entities": {f"/{MAC}": Emulation().get_entities()["entities"][MAC]}}
    assert machine(entities=slashed).mac == MAC


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda entities: entities.update({"00-00-00-00-00-00": {}}),
            "lucidac:script must be one carrier of clusters, not 2: give a LUCIDAC",
        ),
        (
            lambda entities: entities.clear(),
            "lucidac:script must be one carrier of clusters, not 0: give a LUCIDAC",
        ),
        (
            lambda entities: entities[MAC]["/0"].pop("/M1"),
            "lucidac:script lacks the blocks /M1 of a LUCIDAC",
        ),
        (
            lambda entities: entities[MAC].pop("/0"),
            "lucidac:script lacks the blocks /M0, /M1, /U, /C, /I of a LUCIDAC",
        ),
        (
            lambda entities: entities[MAC]["/0"]["/M0"].update(type=2),
            "lucidac:script has its multipliers in slot M0 (hardware REV0): only REV1, with integrators there, "
            "is supported",
        ),
    ],
)
def test_another_machine(change, message):
    answer = Emulation().get_entities()
    change(answer["entities"])
    scripted = Scripted(entities=answer)
    with pytest.raises(MismatchError) as caught:
        Machine(JsonLines(scripted.wire))
    assert str(caught.value) == message
    assert scripted.wire.closed == 1


def test_what_a_run_is_asked_and_gives():
    scripted = Scripted(
        run=[
            state("QUEUED"),
            block(9, id="an earlier run"),
            block(60),
            block(0),
            ("run_data", {"state": "OP_END", "data": [[0.9] * 8]}),
            state("DONE", id="an earlier run"),
            state("DONE"),
            block(40),  # the last block may come after that
        ]
    )
    found = Machine(JsonLines(scripted.wire))
    np.testing.assert_array_equal(found.compute(CIRCUIT, ACQUISITION), [[0.25, -0.5]] * 100)
    configured, started = scripted.wire.sent[-2:]
    assert configured["msg"] == {"entity": [MAC], "config": CIRCUIT.config()}
    assert started["msg"]["config"] == {
        "halt_on_external_trigger": False, "halt_on_overload": True, "ic_time": 100_000, "op_time": 1_000_000,
    }  # fmt: skip
    assert started["msg"]["daq_config"] == {
        "num_channels": 2, "sample_op": True, "sample_op_end": True, "sample_rate": 100_000,
    }  # fmt: skip
    assert found.link.counters["stale_messages"] == 2


def test_a_run_that_was_cut_short():
    assert len(machine(run=[block(50), state("DONE")]).compute(CIRCUIT, ACQUISITION)) == 50
    assert machine(run=[state("DONE")]).compute(CIRCUIT, ACQUISITION).shape == (0, 2)


@pytest.mark.parametrize(
    ("run", "kind", "message"),
    [
        (
            [state("ERROR")],
            DeviceError,
            "lucidac:script could not run: it refused 1000000 ns with 2 channels at 100000 samples a second, "
            "or lost samples",
        ),
        (
            [block(120)],
            LinkError,
            "lucidac:script did not answer a run within 5.0011 s: check that nobody else runs it, then open it again",
        ),
        *(
            (
                [("run_data", {"data": data}), state("DONE")],
                DeviceError,
                "lucidac:script sent samples that are not rows of 2 numbers: check that nobody else runs it",
            )
            for data in ([[0.1]], [[0.1, 0.2], [0.3]], [[0.1, "x"]], [[0.1, float("nan")]], None, 3)
        ),
    ],
)
def test_runs_that_go_wrong(run, kind, message):
    found = machine(run=run)
    with pytest.raises(kind) as caught:
        found.compute(CIRCUIT, ACQUISITION)
    assert str(caught.value) == message
