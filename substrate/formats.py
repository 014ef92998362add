"""Number formats on the device: two's complement fixed point, declared here and nowhere else.

Gateware, golden model and drivers all take their widths from :class:`Formats`. The rules of rounding and
saturation are in ``docs/arithmetic.md``: round half up, saturate symmetrically, count every saturation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["BATCH_LIMIT", "COMPACT", "FORMATS", "Fixed", "Formats"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A signed fixed-point format: ``width`` bits, of which ``fraction`` below the point.

    The range is symmetric, +-(2**(width-1) - 1) steps: the most negative code is not used, so that
    negation never overflows.

    Raises
    ------
    ValueError
        If width is not in 2..64, or fraction not in 0..width-1 (a sign bit must remain).
    """

    width: int
    fraction: int

    def __post_init__(self) -> None:
        if not 2 <= self.width <= 64:
            raise ValueError(f"Width of a fixed-point format must be 2 to 64 bits, not {self.width}")
        if not 0 <= self.fraction < self.width:
            raise ValueError(
                f"Fraction of a {self.width}-bit format must be 0 to {self.width - 1} bits, not {self.fraction}"
            )

    @property
    def top(self) -> int:
        """Largest code; the smallest is its negative."""
        return (1 << (self.width - 1)) - 1

    @property
    def lsb(self) -> float:
        """Value of one step."""
        return 2.0**-self.fraction

    @property
    def limit(self) -> float:
        """Largest value that can be written."""
        return self.top * self.lsb

    def fits(self, value: ArrayLike) -> bool:
        """Whether every element is finite and rounds to a code of this format."""
        value = np.asarray(value, dtype=float)
        return bool(np.all(np.isfinite(value)) and np.all(np.abs(self._round(value)) <= self.top))

    def encode(self, value: ArrayLike) -> NDArray[np.int64]:
        """Codes nearest to ``value`` (half up).

        Raises
        ------
        OverflowError
            If an element is not finite or outside the range: nothing is clipped silently.
        """
        value = np.asarray(value, dtype=float)
        if not self.fits(value):
            bad = value[~(np.isfinite(value) & (np.abs(self._round(value)) <= self.top))].flat[0]
            raise OverflowError(f"{bad:g} is outside +-{self.limit:g} ({self})")
        return self._round(value).astype(np.int64)

    def decode(self, code: ArrayLike) -> NDArray[np.float64]:
        """Values of codes."""
        return np.asarray(code, dtype=np.float64) * self.lsb

    def _round(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.floor(value * 2.0**self.fraction + 0.5))

    def __str__(self) -> str:
        return f"Q{self.width - 1 - self.fraction}.{self.fraction}"


@dataclass(frozen=True, slots=True)
class Formats:
    """All number formats of a device.

    Attributes
    ----------
    state
        A neuron's state as multipliers see it, and samples, targets and outputs on the link.
    stored
        The state as it is kept: guard bits below ``state``, so that small forces still move it.
    weight
        U and V.
    gain
        Gain of a rank channel at a noise level.
    site
        Bias, stiffness and quartic of a neuron.
    bus
        A rank channel's bus, before (raw) and after (drive) its gain; also the square of a state.
    slope
        stiffness + quartic s^2.
    beta
        Strength of the nudge.
    amplitude
        Langevin noise: stored-state steps for one step of the noise generator's integer.
    factor
        Factors of the reverse process (``docs/arithmetic.md``, Reverse process).
    contrast, gain_contrast, bias_contrast
        Sums over a minibatch for U and V, for gain, for bias. Wide enough never to overflow at ``batch_limit``.
    """

    state: Fixed = Fixed(16, 13)
    stored: Fixed = Fixed(24, 21)
    weight: Fixed = Fixed(16, 14)
    gain: Fixed = Fixed(16, 12)
    site: Fixed = Fixed(16, 13)
    bus: Fixed = Fixed(18, 13)
    slope: Fixed = Fixed(18, 12)
    beta: Fixed = Fixed(16, 14)
    amplitude: Fixed = Fixed(17, 3)
    factor: Fixed = Fixed(18, 15)
    contrast: Fixed = Fixed(32, 16)
    gain_contrast: Fixed = Fixed(32, 13)
    bias_contrast: Fixed = Fixed(32, 13)

    @property
    def guard(self) -> int:
        """Bits of the stored state below the state."""
        return self.stored.fraction - self.state.fraction

    @property
    def rail(self) -> int:
        """Largest stored state: one that rounds to the largest state, never beyond it."""
        return self.state.top << self.guard

    def pairs(self) -> list[tuple[str, Fixed]]:
        """Names and formats, in the order in which HELLO carries them."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]


FORMATS = Formats()
"""The formats of this version of Equipoise."""

COMPACT = Formats(bus=Fixed(16, 11), slope=Fixed(16, 10))
"""Those of a compact device: no factor has more than 16 bits, which is what a multiplier of an iCE40 takes. They differ
only inside the device, in ranges that are the same; what a host writes and reads is the same in both."""

BATCH_LIMIT = 256
"""Largest minibatch of one run: up to here no contrast sum can overflow."""
