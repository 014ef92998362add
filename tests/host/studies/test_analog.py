"""Studies on an analog board: one that runs there as it is, and those that cannot."""

from contextlib import contextmanager

import pytest

from equipoise.drivers.analog.device import AnalogDevice
from equipoise.host.studies import load
from equipoise.host.studies.runner import run_studies
from equipoise.host.studies.study import Verdict
from equipoise.sim.virtual_board import VirtualBoard
from equipoise.substrate.errors import CapabilityError


class Bar:
    def expect(self, count):
        pass

    def advance(self):
        pass


@contextmanager
def bar(study):
    yield Bar()


def test_the_gradient_is_studied_on_a_network_as_large_as_the_board(tmp_path):
    with AnalogDevice(VirtualBoard(neurons=6, channels=3, seed=4), address="test:", averages=64) as device:
        (outcome,), page = run_studies([load("unbiased")], device, tmp_path / "out", reduced=True, progress=bar)
    claims = {claim.name: claim for claim in outcome.findings.claims}
    assert claims["float model goes to the oracle"].verdict is Verdict.HELD
    assert claims["direction on the device"].numbers["value"] > 0.99
    assert page.exists()


@pytest.mark.parametrize(
    ("name", "neurons", "reason"),
    [
        ("relaxation", 8, "an analog board counts no steps, and always settles: phases cannot be cut short there"),
        ("thermal", 8, "this device has no Langevin noise to measure"),
        ("unbiased", 3, "it needs 4 neurons and 3 rank channels, this board has 3 and 4: take a larger one"),
        ("rank", 8, "The board has 8 neurons, the network needs 96: take a smaller network"),
    ],
)
def test_what_cannot_be_studied_there_is_one_line(tmp_path, name, neurons, reason):
    with (
        AnalogDevice(VirtualBoard(neurons=neurons), address="test:") as device,
        pytest.raises(CapabilityError) as raised,
    ):
        run_studies([load(name)], device, tmp_path, reduced=True, progress=bar)
    assert str(raised.value) == f"Study '{name}' cannot run on test:: {reason}"
