"""``energy``: counts and sums by hand, inputs that are refused, counters that are read, and how it fails."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.host.studies import energy
from equipoise.host.studies.energy_model import analog, count, fpga, gpu, monte_carlo, read_inputs, tornado
from equipoise.host.studies.rapl import Rapl
from equipoise.host.studies.study import Verdict
from equipoise.sim.build import BOARD_ID
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.errors import DeviceError, RunError
from equipoise.substrate.network import Coupling, Module, Network

from .altered import broken, run_study, verdicts

NETWORK = Network(
    (Module("in", 2, clamped=True), Module("hidden", 3), Module("out", 4)),
    (Coupling("in", "hidden", 5), Coupling("hidden", "out", 6)),
    "out",
    levels=2,
)


def test_counts_by_hand():
    counts = count(NETWORK, 10, 60, 20)
    assert (counts.neurons, counts.channels) == (7, 11)
    assert counts.cells == 5 * (2 + 3) + 6 * (3 + 4)
    assert counts.time == 10 * 100 / 8
    assert counts.dac == 10 * (2 + 4)
    assert counts.adc == 10 * (2 * (7 + 22) + 4)
    assert counts.rewrites == 67 + 2 * (11 + 7)
    assert counts.fpga_bytes == 2 * (60 + 103 + 40) + 4 * 103
    assert counts.relax_flops == 10 * 100 * (4 * (67 - 10) + 10 * 7)


def test_joules_by_hand():
    counts = count(NETWORK, 10, 60, 20)
    values = dict.fromkeys(read_inputs(), 1.0) | {"chip.time_constant": 2.0, "gpu.power": 3.0, "fpga.clock": 4.0}
    parts = analog("chip", counts, values)
    assert parts["neurons"] == 2 * counts.time * 7
    assert parts["weights"] == 2 * counts.time * 67
    assert parts["ADC"] == counts.adc
    assert sum(gpu(counts, values).values()) == 3 * (counts.relax_flops + counts.host_flops)
    assert fpga(100, counts, values, 7, None)["cycles"] == 25
    assert fpga(100, counts, values, 7, 50.0) == {"cycles": 2.0, "link": 7, "host": counts.host_flops}


def test_the_tornado_is_sorted_and_leaves_out_what_does_nothing():
    counts, inputs = count(NETWORK, 10, 60, 20), read_inputs()
    rows = tornado(inputs, lambda values: sum(analog("chip", counts, values).values()))
    assert {name.split(".")[0] for name, *_ in rows} == {"chip", "host"}
    spans = [abs(np.log(high / low)) for _, low, high in rows]
    assert spans == sorted(spans, reverse=True)


def test_draws_stay_in_their_ranges():
    inputs = read_inputs()
    drawn = monte_carlo(inputs, 500, np.random.default_rng(0))
    for name, each in inputs.items():
        assert each.low <= drawn[name].min() <= drawn[name].max() <= each.high


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("value = 9.0", "Input 'a.b' must have 0 < low <= value <= high, not 1, 9, 3"),
        ('source = " "', "Input 'a.b' must have a source, and be one of datasheet, literature, assumed, not 'assumed'"),
        ('kind = "known"', "Input 'a.b' must have a source, and be one of datasheet, literature, assumed, not 'known'"),
        ('colour = "red"', "Inputs of the study of energy cannot be read"),
        ("value = ", "Inputs of the study of energy cannot be read"),
    ],
)
def test_inputs_that_are_refused(changed, message):
    lines = {"value": "value = 2.0", "low": "low = 1.0", "high": "high = 3.0", "unit": 'unit = "J"',
             "kind": 'kind = "assumed"', "source": 'source = "x"'}  # fmt: skip
    lines[changed.split(" =")[0]] = changed
    with pytest.raises(RunError, match=message.replace("(", r"\(")):
        read_inputs("[a.b]\n" + "\n".join(lines.values()))


def test_every_machine_is_in_the_table_and_nothing_is_invented(tmp_path):
    findings = run_study(energy.STUDY, FloatModel(), tmp_path)
    assert set(findings.numbers["joules"]) >= {"analog chip", "analog board", "FPGA", "GPU"}
    assert findings.numbers["joules"]["FPGA"]["known"].startswith(
        "cycles estimated from the layout, link bytes counted"
    )
    assert verdicts(findings)["analog chip against GPU"] is Verdict.HELD


@pytest.mark.parametrize(("uid", "clock"), [("some board", 2e7), (BOARD_ID.hex(), None)])
def test_a_boards_own_clock_is_used_but_not_a_simulated_ones(tmp_path, uid, clock):
    class Clocked(FloatModel):
        @property
        def identity(self):
            return replace(super().identity, uid=uid, details={"clock": 2e7})

        def run(self, minibatch, schedule):
            return replace(super().run(minibatch, schedule), cycles=10**7)

    findings = run_study(energy.STUDY, Clocked(), tmp_path)
    power, own = findings.numbers["inputs"]["fpga.power"]["value"], findings.numbers["inputs"]["fpga.clock"]["value"]
    fpga_row = findings.numbers["joules"]["FPGA"]
    assert fpga_row["known"].startswith("cycles measured on the device")
    assert fpga_row["parts"]["cycles"] == pytest.approx(power * 1e7 / (clock or own))


def test_a_chip_that_needs_more_than_a_gpu_is_caught(tmp_path, monkeypatch):
    def costly(text=None):
        inputs = read_inputs(text)
        return inputs | {
            name: replace(each, value=1e4 * each.value, low=1e4 * each.low, high=1e4 * each.high)
            for name, each in inputs.items()
            if name.startswith(("chip", "host"))
        }

    monkeypatch.setattr(energy, "read_inputs", costly)
    assert "analog chip against GPU" in broken(run_study(energy.STUDY, FloatModel(), tmp_path))


@pytest.fixture
def powercap(tmp_path):
    for name, energy_uj in (("intel-rapl:0", 900), ("intel-rapl:1", 5), ("intel-rapl:0:0", 1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(f"{energy_uj}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999\n")
    return tmp_path


def test_rapl_adds_up_packages_and_counts_on_past_the_end(powercap):
    def work():
        (powercap / "intel-rapl:0/energy_uj").write_text("100\n")  # 900 to 999, then 0 to 100
        (powercap / "intel-rapl:1/energy_uj").write_text("25\n")

    joules, seconds, done = Rapl(powercap).measure(work, 0.0)
    assert joules == pytest.approx(220e-6)
    assert done == 1
    assert seconds > 0


def test_rapl_says_why_it_cannot_be_read(powercap, tmp_path_factory, monkeypatch):
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(DeviceError, match=f"this machine has no energy counters under {empty}"):
        Rapl(empty)
    (powercap / "intel-rapl:1/energy_uj").write_text("lots")
    with pytest.raises(DeviceError, match="cannot be read"):
        Rapl(powercap)

    def denied(self):
        raise PermissionError

    monkeypatch.setattr(Rapl, "_read", denied)
    with pytest.raises(DeviceError, match="may be read by root only"):
        Rapl(powercap)


def test_a_readable_counter_makes_a_row(tmp_path, powercap, monkeypatch):
    class Counting(Rapl):
        def __init__(self):
            super().__init__(powercap)

        def measure(self, work, seconds):
            work()
            return 3.0, 1.0, 2

    monkeypatch.setattr(energy, "Rapl", Counting)
    findings = run_study(energy.STUDY, FloatModel(), tmp_path)
    assert findings.numbers["joules"]["this CPU"]["total"] == 1.5
    assert verdicts(findings)["this CPU"] is Verdict.HELD
