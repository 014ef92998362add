"""What the studies of the gradient share: random problems, contrasts of a device, and steps enough to settle."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, log

import numpy as np
from numpy.typing import NDArray

from ...substrate.energy import equilibrium, hessian
from ...substrate.errors import CapabilityError
from ...substrate.formats import FORMATS
from ...substrate.interface import Substrate
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Schedule

__all__ = ["contrast", "random_minibatch", "settling_steps", "softest"]

Array = NDArray[np.float64]

_MOST_STEPS = 65535
"""Most steps of a phase that a schedule takes."""


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


def softest(network: Network, parameters: Parameters, minibatch: Minibatch, states: Array | None = None) -> float:
    """Smallest eigenvalue of the Hessian at the equilibria of a minibatch (``states``, if known)."""
    free = ~network.clamped
    at = equilibrium(network, parameters, minibatch) if states is None else states
    return float(np.linalg.eigvalsh(hessian(network, parameters, at, minibatch.levels)[:, free][:, :, free]).min())


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
