"""What a device is asked to do with a minibatch, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from .errors import CapabilityError, DataError
from .network import Network
from .parameters import Parameters

__all__ = ["Estimator", "Minibatch", "Result", "Saturations", "Schedule"]


class Estimator(StrEnum):
    """Which phases run, and which two states are contrasted."""

    FREE = "free"
    """Free phase only: inference; no contrast."""

    ONE_SIDED = "one-sided"
    """Positive phase against free phase, divided by beta: the control in every study."""

    SYMMETRIC = "symmetric"
    """Positive phase against negative phase, divided by 2 beta: the rule that trains."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Phases of one training step.

    Parameters
    ----------
    free_steps, nudged_steps
        Relaxation steps of the free phase, and of each nudged phase; 1 to 65535.
    beta
        Strength of the nudge; above 0.
    estimator
        Which phases run.
    temperature
        Temperature T of the Langevin noise, in units of energy; 0 turns it off.
    seed
        Seed of the noise, 0 to 2**64 - 1. Sample j of a minibatch draws from stream (seed, j, phase).
    """

    free_steps: int = 60
    nudged_steps: int = 24
    beta: float = 1 / 16
    estimator: Estimator = Estimator.SYMMETRIC
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("free_steps", "nudged_steps"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= 65535:
                raise CapabilityError(f"{name} must be an integer from 1 to 65535, not {value!r}")
        if not isfinite(self.beta) or self.beta <= 0:
            raise CapabilityError(f"beta must be finite and above 0, not {self.beta!r}")
        if not isfinite(self.temperature) or self.temperature < 0:
            raise CapabilityError(f"temperature must be finite and at least 0, not {self.temperature!r}")
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**64:
            raise CapabilityError(f"seed must be an integer from 0 to 2**64 - 1, not {self.seed!r}")
        object.__setattr__(self, "estimator", Estimator(self.estimator))

    def check(self, network: Network) -> None:
        """Raise :class:`CapabilityError` if -beta would make an output neuron unstable (DESIGN section 2)."""
        if self.estimator is Estimator.SYMMETRIC:
            stiffness = float(network.stiffness[network.slices[network.output]].min())
            if self.beta >= stiffness:
                raise CapabilityError(
                    f"beta {self.beta:g} must be below the output module's stiffness {stiffness:g}, "
                    "or -beta makes its neurons unstable: lower beta"
                )


@dataclass(frozen=True, slots=True)
class Minibatch:
    """Samples of one run.

    Parameters
    ----------
    clamped
        States of the clamped modules, in network order; (B, network.inputs).
    levels
        Noise level of each sample, 0 to network.levels - 1; (B,) integers.
    target
        Target of the output module, (B, network.outputs); may be None for a free run.
    initial
        States that the free phase begins from, (B, N), those of clamped neurons aside; None, from zero. Only for a
        device whose identity says ``warm_start``.
    """

    clamped: NDArray[np.float64]
    levels: NDArray[np.int64]
    target: NDArray[np.float64] | None = None
    initial: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.levels)

    def check(self, network: Network, schedule: Schedule) -> None:
        """Raise :class:`DataError` if shapes or values do not fit ``network`` and ``schedule``."""
        batch = len(self.levels)
        if batch < 1:
            raise DataError("A minibatch must have at least 1 sample, not 0")
        shapes = [("clamped", self.clamped, (batch, network.inputs))]
        if self.target is not None:
            shapes.append(("target", self.target, (batch, network.outputs)))
        elif schedule.estimator is not Estimator.FREE:
            raise DataError(f"A minibatch for the {schedule.estimator.value} estimator needs a target, not None")
        if self.initial is not None:
            shapes.append(("initial", self.initial, (batch, network.neurons)))
        for name, array, shape in shapes:
            if array.shape != shape:
                raise DataError(f"Array '{name}' of a minibatch must have shape {shape}, not {array.shape}")
            if not np.all(np.isfinite(array)):
                where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
                raise DataError(f"Array '{name}' of a minibatch must be finite, not {array[where]} at {where}")
        if not np.issubdtype(self.levels.dtype, np.integer):
            raise DataError(f"Levels of a minibatch must be integers, not {self.levels.dtype}")
        if self.levels.min() < 0 or self.levels.max() >= network.levels:
            bad = self.levels[(self.levels < 0) | (self.levels >= network.levels)][0]
            raise DataError(f"Levels of a minibatch must be from 0 to {network.levels - 1}, not {bad}")


@dataclass(frozen=True, slots=True)
class Saturations:
    """How often a value met the end of its number format during a run.

    Attributes
    ----------
    state
        A neuron met its rail.
    bus
        A rank channel's bus or drive met the end of its range.
    force
        A neuron's slope (stiffness + quartic s^2) or nudge (target - s) met the end of its range.
    """

    state: int = 0
    bus: int = 0
    force: int = 0

    def __bool__(self) -> bool:
        return bool(self.state or self.bus or self.force)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run measured.

    Attributes
    ----------
    outputs
        States of the output module at the end of the free phase, (B, network.outputs).
    contrast
        Local contrast averaged over the minibatch: the descent direction of the loss, in the shapes of
        :class:`Parameters`. None after a free run.
    residual
        Mean of |ds/dt| over free neurons and samples in the last step of the free phase: how far from equilibrium
        it was left (without the noise).
    saturations
        Counted on the device.
    cycles, relax_cycles, relax_steps
        Clock cycles of the whole run; those within relaxation steps, and the number of such steps
        (a step of all contexts at once counts as one). 0 where a device has no clock.
    seconds
        Wall time split in ``device`` and ``link``.
    """

    outputs: NDArray[np.float64]
    contrast: Parameters | None
    residual: float
    saturations: Saturations = Saturations()
    cycles: int = 0
    relax_cycles: int = 0
    relax_steps: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
