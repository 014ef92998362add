"""What the studies of the gradient share: random problems, contrasts of a device, and steps enough to settle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from ...sim.float_model import FloatModel
from ...substrate.energy import equilibrium, hessian, oracle
from ...substrate.errors import CapabilityError
from ...substrate.formats import FORMATS
from ...substrate.interface import Substrate
from ...substrate.network import Coupling, Module, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Schedule
from ..bench import bench_network
from .study import Setting

__all__ = [
    "Problem",
    "contrast",
    "local_slopes",
    "random_minibatch",
    "random_problem",
    "relative_error",
    "settling_steps",
    "softest",
    "targets",
]

Array = NDArray[np.float64]

_MOST_STEPS = 65535
"""Most steps of a phase that a schedule takes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A network with parameters, and a minibatch for it."""

    network: Network
    parameters: Parameters
    minibatch: Minibatch

    def load(self, device: Substrate) -> Problem:
        """Put it on ``device``: the problem as the device holds it, its parameters rounded."""
        device.configure(self.network)
        device.write(self.parameters)
        return replace(self, parameters=device.read())


@dataclass(frozen=True, slots=True)
class Reference:
    """What is true of a problem.

    Attributes
    ----------
    states
        Its equilibria, (B, N).
    oracle
        The gradient there.
    softest
        Smallest eigenvalue of the Hessian there.
    """

    states: Array
    oracle: Parameters
    softest: float

    @classmethod
    def of(cls, problem: Problem) -> Reference:
        """Work it out."""
        network, parameters, minibatch = problem.network, problem.parameters, problem.minibatch
        states = equilibrium(network, parameters, minibatch)
        gradient = oracle(network, parameters, minibatch, states)
        return cls(states, gradient, softest(network, parameters, minibatch, states))


def small_network() -> Network:
    """16-12-16 neurons, rank 4, all joined, module 0 clamped: quick on a slow device."""
    modules = (Module("m0", 16, clamped=True), Module("m1", 12), Module("m2", 16))
    return Network(modules, tuple(Coupling(f"m{a}", f"m{b}", 4) for a, b in ((0, 1), (1, 2), (0, 2))), "m2")


def board_network(neurons: int, channels: int) -> Network:
    """As :func:`small_network`, on so many neurons and rank channels of an analog board."""
    ends = (3 * neurons) // 8
    modules = (Module("m0", ends, clamped=True), Module("m1", neurons - 2 * ends), Module("m2", ends))
    return Network(modules, tuple(Coupling(f"m{a}", f"m{b}", channels // 3) for a, b in ((0, 1), (1, 2), (0, 2))), "m2")


def random_problem(setting: Setting, *names: str | int, batch: int) -> Problem:
    """A network with random parameters that relax quickly, and samples; ``names`` say which one of many.

    It is that of ``equipoise bench``, or a small one; on an analog board that is too small for this, one as large as
    the board.

    Raises
    ------
    CapabilityError
        If the board is too small for any.
    """
    network, rng, weight = small_network() if setting.reduced else bench_network(), setting.rng(*names), np.inf
    if (limits := setting.device.identity.details.get("limits")) is not None:
        have, weight = (limits["neurons"], limits["channels"]), limits["weight"]
        channels = sum(coupling.rank for coupling in network.couplings)
        if have[0] < network.neurons or have[1] < channels:
            if have[0] < 4 or have[1] < 3:
                raise CapabilityError(
                    f"it needs 4 neurons and 3 rank channels, this board has {have[0]} and {have[1]}: take a larger one"
                )
            network = board_network(min(have[0], 44), min(have[1], 12))
    parameters = Parameters.random(network, rng)
    while max(float(np.abs(each).max()) for each in (*parameters.U, *parameters.V)) > weight:
        parameters = Parameters.random(network, rng)  # in the smallest networks a weight may be beyond the board's
    return Problem(network, parameters, random_minibatch(network, rng, batch))


def targets(setting: Setting) -> dict[str, Substrate]:
    """What to measure on, by address: the float model, which shows the method itself, and the device of the study.

    Where the device is a float model already, it alone.
    """
    device = {setting.address: setting.device}
    return device if setting.device.identity.kind == "float" else {"float:": FloatModel(), **device}


def relative_error(estimate: Parameters, truth: Parameters) -> float:
    """Norm of the difference over the norm of ``truth``, over all elements."""
    goal = truth.vector()
    return float(np.linalg.norm(estimate.vector() - goal) / np.linalg.norm(goal))


def random_minibatch(network: Network, rng: np.random.Generator, batch: int, deviation: float = 0.5) -> Minibatch:
    """Normal samples and targets, at noise level 0.

    Their values are multiples of a device's state step, so that no device rounds them: all get the same problem.
    """
    drawn = rng.normal(0, deviation, (batch, network.inputs + network.outputs))
    exact = FORMATS.state.decode(FORMATS.state.encode(np.clip(drawn, -FORMATS.state.limit, FORMATS.state.limit)))
    return Minibatch(exact[:, : network.inputs], np.zeros(batch, np.int64), exact[:, network.inputs :])


def contrast(device: Substrate, minibatch: Minibatch, schedule: Schedule) -> Parameters:
    """Contrast of a minibatch, which may be larger than the device takes at once.

    Raises
    ------
    CapabilityError
        If the schedule has no contrast.
    """
    if schedule.estimator is Estimator.FREE or minibatch.target is None:
        raise CapabilityError("A free phase alone has no contrast: choose the symmetric or one-sided estimator")
    limit, size = device.identity.batch_limit, len(minibatch)
    parts = []
    for begin in range(0, size, limit):
        rows = slice(begin, begin + limit)
        part = Minibatch(minibatch.clamped[rows], minibatch.levels[rows], minibatch.target[rows])
        found = device.run(part, replace(schedule, seed=schedule.seed + begin)).contrast
        assert found is not None
        parts.append((len(part) / size, found))
    whole = sum(share * found.vector() for share, found in parts)
    return parts[0][1].replace(np.asarray(whole))


def softest(network: Network, parameters: Parameters, minibatch: Minibatch, states: Array) -> float:
    """Smallest eigenvalue of the Hessian of the free neurons at ``states`` of a minibatch."""
    free = ~network.clamped
    return float(np.linalg.eigvalsh(hessian(network, parameters, states, minibatch.levels)[:, free][:, :, free]).min())


def settling_steps(network: Network, eigenvalue: float, goal: float) -> int:
    """Steps after which the slowest mode, that of the Hessian's smallest eigenvalue, is down to ``goal`` of itself.

    Raises
    ------
    CapabilityError
        If a schedule cannot have so many.
    """
    decay = 1 - network.dt * eigenvalue
    steps = ceil(log(goal) / log(decay)) if 0 < decay < 1 else 1 if decay <= 0 else _MOST_STEPS + 1
    if steps > _MOST_STEPS:
        raise CapabilityError(f"A network with a Hessian eigenvalue of {eigenvalue:.3g} takes more than 65535 steps")
    return steps


def local_slopes(problem: Problem, left: Array, right: Array | None = None) -> Parameters:
    """Mean over samples of -dE/dparameters at the states ``left``: s_a (gain R) for U, and so on.

    With ``right``, the bilinear form behind it: of each coupling, module a is taken from ``left`` and b from ``right``;
    the part of the bias, which is linear in the states, is that of ``left``. All samples are at noise level 0.
    """
    other = left if right is None else right
    network, count = problem.network, len(left)
    U, V, gain = [], [], []
    for coupling, u, v, g in zip(
        network.couplings, problem.parameters.U, problem.parameters.V, problem.parameters.gain, strict=True
    ):
        a, b = left[:, network.slices[coupling.a]], other[:, network.slices[coupling.b]]
        U.append(a.T @ (g[0] * (b @ v)) / count)
        V.append(b.T @ (g[0] * (a @ u)) / count)
        gain.append(((a @ u) * (b @ v)).mean(0, keepdims=True))
    bias = np.where(network.clamped, 0.0, left.mean(0, keepdims=True))
    return Parameters(tuple(U), tuple(V), tuple(gain), bias)
