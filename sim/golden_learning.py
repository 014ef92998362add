"""Updates of the golden model: what the gateware does to parameters at the end of a run that learns, bit for bit.

Follows ``docs/arithmetic.md`` (Update), in the order of the device's memories: each parameter takes a random word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..substrate.formats import Formats
from ..substrate.learning import (
    GUARD_BITS,
    MOMENTUM_LIMIT,
    ROUNDED_BITS,
    STREAM,
    VALUE_BITS,
    VALUE_TOP,
    RuleCodes,
    UpdateClips,
)
from .noise import NoiseStream

__all__ = ["Held", "update"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Held:
    """Memories of a device, as far as they are in use.

    Attributes
    ----------
    weights, gains, biases
        Parameters with guard bits, or contrast sums: (rows, lanes), (levels, groups, lanes), (levels, neurons).
    """

    weights: Integers
    gains: Integers
    biases: Integers

    @property
    def parts(self) -> tuple[Integers, Integers, Integers]:
        """All of them."""
        return self.weights, self.gains, self.biases

    def plus(self, other: Held) -> Held:
        """The sums."""
        return Held(*(own + its for own, its in zip(self.parts, other.parts, strict=True)))


def update(
    fine: Held, sums: Held, rule: RuleCodes, ends: list[int], seed: int, formats: Formats
) -> tuple[Held, Held, UpdateClips]:
    """Parameters after an update, contrast sums left to the next, and what was clipped.

    Parameters
    ----------
    fine, sums
        Parameters, and contrast sums of the run on top of what the update before left.
    rule
        The rule.
    ends
        For each module, the row after its last in weight memory.
    seed
        Of the run.
    """
    module = np.searchsorted(ends, np.arange(len(fine.weights)), side="right")
    rates = np.array([*rule.weight_rates, 0])[np.minimum(module, len(ends))]
    kinds = (
        (fine.weights, sums.weights, rule.weight_shift, rates[:, None], rule.decay),
        (fine.gains, sums.gains, rule.gain_shift, rule.gain_rate, 0),
        (fine.biases, sums.biases, rule.bias_shift, rule.bias_rate, 0),
    )
    count = sum(part.size for part, *_ in kinds)
    words = NoiseStream(seed, np.zeros(1, np.int64), STREAM).words(count)[0]
    random = (words >> np.uint64(64 - ROUNDED_BITS)).astype(np.int64)
    top = formats.weight.top << GUARD_BITS
    clips = {"parameter": 0, "step": 0, "momentum": 0}

    def bounded(values: Integers, limit: int, kind: str) -> Integers:
        over = int(np.count_nonzero(np.abs(values) > limit))
        if over:
            clips[kind] += over
            values = np.clip(values, -limit, limit)
        return values

    moved, left, start = [], [], 0
    for held, total, shift, rate, decay in kinds:
        value = bounded((((total << VALUE_BITS) >> shift) + 1) >> 1, VALUE_TOP, "step")
        step = value * rate + random[start : start + held.size].reshape(held.shape)
        if decay:
            step -= (held >> GUARD_BITS) * decay
        start += held.size
        moved.append(bounded(held + (step >> ROUNDED_BITS), top, "parameter"))
        rest = total - (total >> rule.momentum) if rule.momentum else np.zeros_like(total)
        left.append(bounded(rest, MOMENTUM_LIMIT, "momentum"))
    return Held(*moved), Held(*left), UpdateClips(**clips)
