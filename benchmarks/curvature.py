"""Two devices for `ablation.py` that no hardware is: one trains its neurons' curvature, one anneals its relaxation.

Both are the float model, so that the host trains them as it trains any device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from equipoise.host.config import TrainConfig
from equipoise.host.optimisers import learning_rate
from equipoise.sim.float_model import FREE, NEGATIVE, POSITIVE, FloatModel
from equipoise.substrate.contrast import contrast
from equipoise.substrate.network import Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Result, Schedule

__all__ = ["Annealed", "Curved", "curvature_contrast"]

Array = NDArray[np.float64]

_POWERS = {"stiffness": 2, "quartic": 4}
"""Energy of a neuron: stiffness s^2 / 2 + quartic s^4 / 4."""


def curvature_contrast(term: str, plus: Array, minus: Array, beta: float) -> Array:
    """Descent direction of the mean cost in ``term`` of each neuron, (n,), from states (B, n) at +beta and -beta."""
    power = _POWERS[term]
    return np.asarray((minus**power - plus**power).mean(axis=0) / power / (2 * beta))


class Curved(FloatModel):
    """The float model with stiffness or quartic of each hidden neuron trained by their own local contrast, by Adam.

    Every symmetric run is a step of training, so nothing else may ask for one. Free runs have the moving average of
    the curvature, as the host evaluates that of the parameters.

    Parameters
    ----------
    config
        Of the training: rate, average, and where the curvature begins.
    bounds
        By term (``stiffness``, ``quartic``), the least and the largest value that a neuron may come to.
    factor
        Rate of the curvature over that of the weights.
    """

    def __init__(self, config: TrainConfig, bounds: Mapping[str, tuple[float, float]], factor: float = 1.0) -> None:
        super().__init__()
        self._config, self._bounds, self._factor = config, bounds, factor
        self._hidden = config.network.slices["hidden"]
        self._step = 0
        self._given: Parameters | None = None
        self.now = {term: getattr(config.network, term)[self._hidden].copy() for term in bounds}
        self.average = dict(self.now)
        self._moments = {term: (np.zeros(len(start)), np.zeros(len(start))) for term, start in self.now.items()}

    def write(self, parameters: Parameters) -> None:
        """Load parameters, whatever the curvature is when they run."""
        super().write(parameters)
        self._given = parameters

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """A free run; or a symmetric one, that is a step of training."""
        if schedule.estimator is Estimator.FREE:
            self._bend(self.average)
            return super().run(minibatch, schedule)
        assert schedule.estimator is Estimator.SYMMETRIC
        self._bend(self.now)
        dynamics = self._ready()
        free, residual = dynamics.run(minibatch, schedule, FREE)
        both, _ = dynamics.run(minibatch, schedule, POSITIVE, NEGATIVE, start=free)
        plus, minus = np.split(both, 2)
        self._learn(plus[:, self._hidden], minus[:, self._hidden], schedule.beta)
        outputs = free[:, dynamics.network.slices[dynamics.network.output]]
        direction = contrast(dynamics.network, dynamics.parameters, minibatch, plus, minus, 2 * schedule.beta)
        return Result(outputs, direction, residual, seconds={"device": 0.0, "link": 0.0})

    def _bend(self, curvature: Mapping[str, Array]) -> None:
        """Have the hidden neurons this curvature, with the parameters that were written last."""
        assert self._given is not None
        terms = {term: tuple(values.tolist()) for term, values in curvature.items()}
        network = self._config.network
        modules = [replace(m, **terms) if m.name == "hidden" else m for m in network]  # type: ignore[arg-type]
        super().configure(replace(network, modules=tuple(modules)))
        super().write(self._given)

    def _learn(self, plus: Array, minus: Array, beta: float) -> None:
        """One step of Adam, and of the average, as the host takes them."""
        rate = self._factor * learning_rate(self._config, self._step)
        self._step += 1
        kept = min(self._config.average, self._step / (self._step + 9))
        for term, (low, high) in self._bounds.items():
            direction = curvature_contrast(term, plus, minus, beta)
            first, second = self._moments[term]
            first, second = 0.9 * first + 0.1 * direction, 0.999 * second + 0.001 * direction**2
            self._moments[term] = first, second
            move = first / (1 - 0.9**self._step) / (np.sqrt(second / (1 - 0.999**self._step)) + 1e-8)
            self.now[term] = np.clip(self.now[term] + rate * move, low, high)
            self.average[term] = kept * self.average[term] + (1 - kept) * self.now[term]


class Annealed(FloatModel):
    """The float model, each free phase of which begins with stages of other step sizes or with noise.

    Parameters
    ----------
    stages
        Step size dt, temperature and number of steps of each; the schedule's own free phase comes after them.
    """

    def __init__(self, stages: Sequence[tuple[float, float, int]]) -> None:
        super().__init__()
        self._stages = stages
        self._asked: Network | None = None
        self._given: Parameters | None = None

    def configure(self, network: Network) -> None:
        """Take the network, whose own step size is that of the last stage."""
        super().configure(network)
        self._asked = network

    def write(self, parameters: Parameters) -> None:
        """Load parameters, for all stages."""
        super().write(parameters)
        self._given = parameters

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """All stages, then what the schedule says."""
        assert self._asked is not None and self._given is not None
        states = minibatch.initial
        for number, (dt, temperature, steps) in enumerate(self._stages, 1):
            super().configure(replace(self._asked, dt=dt))
            super().write(self._given)
            stage = Schedule(
                steps, estimator=Estimator.FREE, temperature=temperature, seed=(schedule.seed + number) % 2**64
            )
            super().run(replace(minibatch, target=None, initial=states), stage)
            states = self.states()["free"]
        super().configure(self._asked)
        super().write(self._given)
        return super().run(replace(minibatch, initial=states), schedule)
