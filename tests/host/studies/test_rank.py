"""``rank``: it holds where cost is linear, and catches a cost that is not and channels that are lost."""

from dataclasses import replace

import numpy as np

from equipoise.host.studies.rank import STUDY
from equipoise.host.studies.study import Verdict
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.interface import Identity

from .altered import broken, run_study, verdicts


class Clocked(FloatModel):
    """The float model, with a clock that counts ``cost(channels)`` cycles a step."""

    def __init__(self, cost):
        super().__init__()
        self._cost, self._channels = cost, 0

    @property
    def identity(self) -> Identity:
        lanes = {"geometry": {"lanes": 4}}
        return replace(super().identity, details=lanes)

    def configure(self, network):
        super().configure(network)
        self._channels = sum(coupling.rank for coupling in network.couplings)

    def run(self, minibatch, schedule):
        steps = schedule.free_steps
        return replace(
            super().run(minibatch, schedule), relax_steps=steps, relax_cycles=steps * self._cost(self._channels)
        )


def groups(channels):
    return -(-channels // 4)


def test_a_linear_cost_holds(tmp_path):
    findings = run_study(STUDY, Clocked(lambda channels: 50 + 20 * groups(channels)), tmp_path)
    assert set(verdicts(findings).values()) == {Verdict.HELD}
    cost = next(claim for claim in findings.claims if claim.name == "cost is linear")
    assert cost.measured == "90 + 20.0 cycles for each group of 4 channels, at most 0.00% off"


def test_a_cost_that_is_not_linear_is_caught(tmp_path):
    device = Clocked(lambda channels: 50 + 20 * groups(channels) + groups(channels) ** 2)
    assert broken(run_study(STUDY, device, tmp_path)) == {"cost is linear"}


def test_a_device_without_a_clock_leaves_the_cost_open(tmp_path):
    findings = run_study(STUDY, FloatModel(), tmp_path)
    assert verdicts(findings)["cost is linear"] is Verdict.UNDECIDED
    assert findings.claims[0].measured == "not measured: float: has no clock"


def test_channels_that_are_lost_are_caught(tmp_path):
    class Lossy(FloatModel):
        """Only the first six channels of a coupling do anything."""

        def write(self, parameters):
            kept = tuple(np.where(np.arange(u.shape[1]) < 6, u, 0.0) for u in parameters.U)
            super().write(replace(parameters, U=kept))

    assert "nothing is lost at full rank" in broken(run_study(STUDY, Lossy(), tmp_path))
