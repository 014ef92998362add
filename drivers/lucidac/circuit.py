"""Circuits: what one run of a LUCIDAC is configured with, within the limits of its firmware.

A LUCIDAC (REV1) has a cluster of two M-blocks: M0 with 8 integrators, M1 with 4 multipliers. Each of 32 lanes takes one
of their outputs, or the constant 1 (U-block), multiplies it by a coefficient (C-block), and adds it to one of their
inputs (I-block), there times ten where that is switched on. All values are in machine units, -1 to 1. An integrator
negates: with rate k0 its output follows dx/dt = -k0 (sum of its lanes), and begins at minus its initial condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...substrate.errors import CapabilityError

__all__ = [
    "CHANNELS", "CONSTANT", "FAST", "INTEGRATORS", "LANES", "LARGEST", "MULTIPLIERS", "RATES", "THROUGHPUT",
    "Circuit", "Lane", "multiplier", "multiplier_inputs",
]  # fmt: skip

INTEGRATORS = 8
MULTIPLIERS = 4
LANES = 32

LARGEST = 10.0
"""Largest coefficient of a lane: 1, times ten in the I-block."""

FAST, SLOW = 10_000, 100
"""Rates k0 of an integrator (1/s)."""

CHANNELS = (0, 1, 2, 4, 8)
"""Numbers of ADC channels that can be sampled."""

RATES = (
    1, 2, 4, 5, 8, 10, 16, 20, 25, 32, 40, 50, 64, 80, 100, 125, 160, 200, 250, 320, 400, 500, 625, 800, 1000, 1250,
    1600, 2000, 2500, 3125, 4000, 5000, 6250, 8000, 10_000, 12_500, 15_625, 20_000, 25_000, 31_250, 40_000, 50_000,
    62_500, 100_000, 125_000, 200_000, 250_000, 500_000, 1_000_000,
)  # fmt: skip
"""Samples a second that the firmware takes; it serves none below 32."""

THROUGHPUT = 1_000_000
"""Samples a second of all channels together."""

CONSTANT = -1
"""Source of a lane: the constant 1."""

_OUTPUTS = 16
_CONSTANT_INPUTS = (15, 14)
"""Input of the U-block that carries the constant, for lanes 0 to 15 and for lanes 16 to 31."""


def multiplier(index: int) -> int:
    """Number of a multiplier's output among those of the M-blocks."""
    return INTEGRATORS + index


def multiplier_inputs(index: int) -> tuple[int, int]:
    """Numbers of its two inputs."""
    return INTEGRATORS + 2 * index, INTEGRATORS + 2 * index + 1


@dataclass(frozen=True, slots=True)
class Lane:
    """``coefficient`` times ``source`` is added to ``target``.

    Attributes
    ----------
    source
        An output: 0 to 7 of the integrators, 8 to 11 of the multipliers; or :data:`CONSTANT`.
    coefficient
        -10 to 10.
    target
        An input: 0 to 7 of the integrators, 8 to 15 of the multipliers.
    """

    source: int
    coefficient: float
    target: int


@dataclass(frozen=True, slots=True)
class Circuit:
    """A whole configuration: whatever it does not use is switched off.

    Attributes
    ----------
    lanes
        At most 32.
    initial
        Initial condition of each integrator, -1 to 1: minus where its output begins.
    k0
        Rate of each integrator, :data:`FAST` or :data:`SLOW`.
    channels
        How many integrators, from the first on, the ADC samples: one of :data:`CHANNELS`.

    Raises
    ------
    CapabilityError
        If a value is out of these limits, naming it.
    """

    lanes: tuple[Lane, ...]
    initial: tuple[float, ...]
    channels: int
    k0: tuple[int, ...] = (FAST,) * INTEGRATORS

    def __post_init__(self) -> None:
        if len(self.lanes) > LANES:
            raise CapabilityError(f"A LUCIDAC has {LANES} lanes, not {len(self.lanes)}: use a smaller network")
        for number, lane in enumerate(self.lanes):
            sources = (CONSTANT, *range(INTEGRATORS + MULTIPLIERS))
            if lane.source not in sources or not 0 <= lane.target < INTEGRATORS + 2 * MULTIPLIERS:
                raise CapabilityError(f"Lane {number} of a LUCIDAC cannot lead from {lane.source} to {lane.target}")
            if not abs(lane.coefficient) <= LARGEST:
                raise CapabilityError(
                    f"Coefficient of lane {number} of a LUCIDAC must be within +-{LARGEST:g}, not {lane.coefficient:g}"
                )
        for name, values in (("initial conditions", self.initial), ("rates k0", self.k0)):
            if len(values) != INTEGRATORS:
                raise CapabilityError(f"A LUCIDAC takes {INTEGRATORS} {name}, not {len(values)}")
        for number, value in enumerate(self.initial):
            if not abs(value) <= 1:
                raise CapabilityError(
                    f"Initial condition of integrator {number} of a LUCIDAC must be within +-1, not {value:g}"
                )
        for number, rate in enumerate(self.k0):
            if rate not in (FAST, SLOW):
                raise CapabilityError(f"k0 of integrator {number} of a LUCIDAC must be {SLOW} or {FAST}, not {rate}")
        if self.channels not in CHANNELS:
            raise CapabilityError(f"ADC channels of a LUCIDAC must be one of {CHANNELS}, not {self.channels}")

    def config(self) -> dict[str, Any]:
        """The configuration of the carrier, all of it, as ``set_circuit`` takes it."""
        sources: list[int | None] = [None] * LANES
        coefficients, tenfold = [0.0] * LANES, [False] * LANES
        inputs: list[list[int]] = [[] for _ in range(_OUTPUTS)]
        for number, lane in enumerate(self.lanes):
            fixed = _CONSTANT_INPUTS[number // (LANES // 2)]
            sources[number] = fixed if lane.source == CONSTANT else lane.source
            tenfold[number] = abs(lane.coefficient) > 1
            coefficients[number] = lane.coefficient / 10 if tenfold[number] else lane.coefficient
            inputs[lane.target].append(number)
        # M1 takes no configuration. What the U-block connects, it connects before the constant is switched on.
        cluster = {
            "/M0": {"elements": [{"ic": ic, "k": k0} for ic, k0 in zip(self.initial, self.k0, strict=True)]},
            "/U": {"outputs": sources, "constant": True},
            "/C": {"elements": coefficients},
            "/I": {"outputs": inputs, "upscaling": tenfold},
        }
        unused = [None] * (CHANNELS[-1] - self.channels)
        return {"/0": cluster, "adc_channels": [*range(self.channels), *unused]}
