"""Optimisers on the host's float copy of the parameters: from a descent direction to new parameters."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ..substrate.formats import FORMATS
from ..substrate.network import Network
from ..substrate.parameters import Parameters
from .config import TrainConfig

__all__ = ["Clipping", "Moments", "Optimiser", "clip_gradient", "clip_parameters", "learning_rate"]

Array = NDArray[np.float64]

_DECAY = {"sgd": (0.0, 0.0), "momentum": (0.9, 0.0), "adam": (0.9, 0.999)}
_SMALL = 1e-8


@dataclass(frozen=True)
class Clipping:
    """What had to be clipped in a step: whether the gradient's norm, and how many parameters."""

    gradient: bool
    parameters: int


@dataclass(frozen=True, eq=False)
class Moments:
    """What an optimiser remembers.

    Attributes
    ----------
    step
        Steps taken.
    first, second
        Moving averages of the gradient and of its square, in the order of :meth:`Parameters.vector`.
    since
        Steps before the first that they know of: those that a device took by itself.
    """

    step: int
    first: Array
    second: Array
    since: int = 0

    @classmethod
    def zeros(cls, size: int, step: int = 0) -> Self:
        """Before the first step, or after ``step`` steps that nothing is known of, for ``size`` parameters."""
        return cls(step, np.zeros(size), np.zeros(size), step)


class Optimiser:
    """SGD, momentum, or Adam (Kingma and Ba 2015, Algorithm 1), with a rate for each kind of parameter.

    Parameters
    ----------
    config
        Kind and rates.
    network
        The network whose parameters it steps.

    Attributes
    ----------
    size
        Number of parameters: the length of its moments.
    """

    def __init__(self, config: TrainConfig, network: Network) -> None:
        self._config = config
        self._momentum, self._spread = _DECAY[config.optimiser]
        zeros = Parameters.zeros(network)

        def rate(end: str) -> float:
            return network.outputs / network[end].size if config.rate_by_size else 1.0

        rates = Parameters(
            tuple(np.full_like(u, rate(c.a)) for u, c in zip(zeros.U, network.couplings, strict=True)),
            tuple(np.full_like(v, rate(c.b)) for v, c in zip(zeros.V, network.couplings, strict=True)),
            tuple(np.full_like(gain, config.gain_rate) for gain in zeros.gain),
            np.full_like(zeros.bias, config.bias_rate),
        )
        self._rates = rates.vector()
        self._decays = config.weight_decay * (np.arange(len(self._rates)) < sum(w.size for w in (*zeros.U, *zeros.V)))
        self.size = len(self._rates)

    def update(self, parameters: Parameters, direction: Parameters, moments: Moments) -> tuple[Parameters, Moments]:
        """Parameters and moments after one step along the descent direction."""
        gradient = direction.vector()
        first = self._momentum * moments.first + (1 - self._momentum) * gradient
        second, move, count = moments.second, first, moments.step + 1 - moments.since
        if self._spread:
            second = self._spread * second + (1 - self._spread) * gradient**2
            move = move / (1 - self._momentum**count)
            move = move / (np.sqrt(second / (1 - self._spread**count)) + _SMALL)
        rate = learning_rate(self._config, moments.step)
        before = parameters.vector()
        moved = parameters.replace(before + rate * (self._rates * move - self._decays * before))
        return moved, Moments(moments.step + 1, first, second, moments.since)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Rate of a step: a linear warm-up, then a cosine down to a hundredth (Loshchilov and Hutter 2017, eq. 5)."""
    if step < config.warm_up:
        return config.learning_rate * (step + 1) / config.warm_up
    share = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return config.learning_rate * (0.01 + 0.99 * (1 + cos(pi * min(1.0, share))) / 2)


def clip_gradient(direction: Parameters, limit: float) -> tuple[Parameters, float, bool]:
    """The direction with its norm at most ``limit`` (0: any), the norm before, and whether it was clipped."""
    norm = float(np.linalg.norm(direction.vector()))
    if limit == 0 or norm <= limit:
        return direction, norm, False
    return direction.map(lambda leaf: leaf * (limit / norm)), norm, True


def clip_parameters(parameters: Parameters) -> tuple[Parameters, int]:
    """Parameters within the device's formats, and how many had to be clipped."""
    clipped = 0

    def bounded(leaf: Array, limit: float) -> Array:
        nonlocal clipped
        clipped += int(np.count_nonzero(np.abs(leaf) > limit))
        return np.clip(leaf, -limit, limit)

    return (
        Parameters(
            tuple(bounded(u, FORMATS.weight.limit) for u in parameters.U),
            tuple(bounded(v, FORMATS.weight.limit) for v in parameters.V),
            tuple(bounded(gain, FORMATS.gain.limit) for gain in parameters.gain),
            bounded(parameters.bias, FORMATS.site.limit),
        ),
        clipped,
    )
