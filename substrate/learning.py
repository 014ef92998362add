"""Learning on the device: the rule by which it changes its own parameters, as floats and as it holds them.

The arithmetic is in ``docs/arithmetic.md`` (Update), why it is so in ``docs/learning.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, log2
from typing import Self

import numpy as np
from numpy.typing import NDArray

from .codes import ScheduleCodes, Sums
from .errors import CapabilityError
from .formats import BATCH_LIMIT, FORMATS, Fixed, Formats
from .network import Network
from .parameters import Parameters
from .phases import Saturations
from .protocol import Mode

__all__ = [
    "GUARD_BITS",
    "LEARN_BATCH_LIMIT",
    "MOMENTUM_LIMIT",
    "ROUNDED_BITS",
    "STREAM",
    "UPDATE_STAGES",
    "UPDATE_TICKS",
    "VALUE_BITS",
    "VALUE_TOP",
    "Learnt",
    "Memory",
    "Rule",
    "RuleCodes",
    "UpdateClips",
    "encode_rule",
    "flattened",
    "shaped",
]

GUARD_BITS = 2
"""Bits of a parameter below those that multipliers see: with them, a word fills the 18 bits of an ECP5's block RAM."""

VALUE_BITS = 9
"""Bits below a contrast sum's last, one of them to round, before it is shifted."""

VALUE_TOP = 2**15 - 1
"""Largest shifted contrast sum: there a parameter takes a full step."""

ROUNDED_BITS = 18
"""Bits of a step below a parameter's last guard bit: those that are rounded off, at random."""

MOMENTUM_LIMIT = 2**30 - 1
"""Largest contrast sum left to the next update."""

LEARN_BATCH_LIMIT = BATCH_LIMIT // 2
"""Largest minibatch of a run that learns: one adds at most 2**30 to a contrast sum, so that none can overflow."""

UPDATE_TICKS = 4
"""Clock cycles that an update takes for a parameter: those of two reads and two writes at the device's port."""

UPDATE_STAGES = 8
"""Clock cycles from a contrast sum's arrival to what is left of it; the new parameter is there a cycle later."""

STREAM = 3
"""Phase whose noise stream, of sample 0, rounds."""

_RATE_TOP = 2**15 - 1
_DECAY_FRACTION = 20


@dataclass(frozen=True, slots=True)
class Rule:
    """How an update changes the parameters.

    With m the moving average of the contrast (of decay 1 - 2**-momentum; the contrast itself if ``momentum`` is 0), a
    parameter moves by ``rate * clip(m / soft, -1, 1)``, and a weight w by ``-decay * w`` besides.

    Attributes
    ----------
    weight_rates
        Longest step of the weights at each module's ends, in the order of the network's modules.
    gain_rate, bias_rate
        Longest step of gains and of biases.
    soft
        Contrast from which on a step is the longest one. A device takes the power of two nearest to it, in its own
        units.
    momentum
        From 0 to 7.
    decay
        Share of each weight that a step takes away.
    """

    weight_rates: tuple[float, ...]
    gain_rate: float
    bias_rate: float
    soft: float
    momentum: int = 3
    decay: float = 0.0


@dataclass(frozen=True, slots=True)
class RuleCodes:
    """A rule as a device holds it: registers of the ``rule`` space, and the rate of each module."""

    momentum: int
    weight_shift: int
    gain_shift: int
    bias_shift: int
    gain_rate: int
    bias_rate: int
    decay: int
    weight_rates: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UpdateClips:
    """What an update had to clip.

    Attributes
    ----------
    parameter
        Parameters that met the end of their range.
    step
        Parameters that took a full step, of whatever length their contrast was.
    momentum
        Contrast sums that were bounded before they were left to the next update.
    """

    parameter: int = 0
    step: int = 0
    momentum: int = 0


@dataclass(frozen=True, slots=True)
class Learnt:
    """What came of a run that learned, besides its update.

    Attributes
    ----------
    outputs
        As of :class:`.phases.Result`; None if they were not asked for.
    residual, saturations, cycles, relax_cycles, relax_steps, seconds
        As of :class:`.phases.Result`.
    clips
        Of the update.
    """

    outputs: NDArray[np.float64] | None
    residual: float
    saturations: Saturations
    clips: UpdateClips
    cycles: int = 0
    relax_cycles: int = 0
    relax_steps: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Memory:
    """All that a device which learns has learned, to the last bit.

    Integers in the order of :meth:`.Parameters.vector`.

    Attributes
    ----------
    fine
        Parameters with their guard bits.
    momentum
        Contrast sums that the last update left to the next.
    """

    fine: NDArray[np.int64]
    momentum: NDArray[np.int64]

    @classmethod
    def of(cls, network: Network, parameters: Parameters, formats: Formats = FORMATS) -> Self:
        """Begin with ``parameters``, rounded to guard bits, and no momentum.

        Raises
        ------
        ParameterError
            If a parameter has the wrong shape or does not fit, naming it.
        """
        parameters.check(network, formats)
        top = formats.weight.top << GUARD_BITS
        fine = np.floor(parameters.vector() / _steps(network, formats) + 0.5).astype(np.int64)
        return cls(np.clip(fine, -top, top), np.zeros(len(fine), np.int64))

    def parameters(self, network: Network, formats: Formats = FORMATS) -> Parameters:
        """The parameters, guard bits included: exactly."""
        return Parameters.zeros(network).replace(self.fine * _steps(network, formats))


def shaped(network: Network, vector: NDArray[np.int64]) -> Sums:
    """Integers in the shapes of parameters."""
    found = Parameters.zeros(network).replace(vector.astype(np.float64))
    u, v, gain = (tuple(leaf.astype(np.int64) for leaf in leaves) for leaves in (found.U, found.V, found.gain))
    return Sums(u, v, gain, found.bias.astype(np.int64))


def flattened(sums: Sums) -> NDArray[np.int64]:
    """The inverse of :func:`shaped`."""
    return np.concatenate([leaf.ravel() for leaf in (*sums.U, *sums.V, *sums.gain, sums.bias)])


def _steps(network: Network, formats: Formats) -> NDArray[np.float64]:
    """What one step of each parameter's last guard bit is worth."""
    zeros = Parameters.zeros(network)
    kinds = (
        (zeros.U, formats.weight),
        (zeros.V, formats.weight),
        (zeros.gain, formats.gain),
        ((zeros.bias,), formats.site),
    )
    return np.concatenate(
        [np.full(leaf.size, fixed.lsb * 2.0**-GUARD_BITS) for leaves, fixed in kinds for leaf in leaves]
    )


def encode_rule(
    network: Network, rule: Rule, schedule: ScheduleCodes, batch: int, formats: Formats = FORMATS
) -> RuleCodes:
    """Round a rule to what a device holds, for minibatches of ``batch`` samples.

    Raises
    ------
    CapabilityError
        If a rate or the decay does not fit, naming it; or the minibatch is larger than contrast sums have room for.
    """
    if not 1 <= batch <= LEARN_BATCH_LIMIT:
        raise CapabilityError(
            f"A minibatch that a device learns from must have 1 to {LEARN_BATCH_LIMIT} samples, not {batch}"
        )
    if len(rule.weight_rates) != len(network.modules):
        raise CapabilityError(
            f"A rule must have a weight rate for each of {len(network.modules)} modules, not {len(rule.weight_rates)}"
        )
    if rule.momentum not in range(8):
        raise CapabilityError(f"momentum of a rule must be an integer from 0 to 7, not {rule.momentum!r}")
    if not isfinite(rule.soft) or rule.soft <= 0:
        raise CapabilityError(f"soft of a rule must be finite and above 0, not {rule.soft!r}")
    span = schedule.effective_beta * (2 if schedule.mode is Mode.SYMMETRIC else 1) * batch * 2.0**rule.momentum

    def shift(fixed: Fixed) -> int:
        full = rule.soft * span * 2.0 ** (fixed.fraction + VALUE_BITS - 1)  # 256 times the sum of such a contrast
        return min(31, max(0, round(log2(full / VALUE_TOP))))

    def rate(name: str, value: float, fixed: Fixed) -> int:
        code = value * 2.0 ** (fixed.fraction + GUARD_BITS + ROUNDED_BITS) / VALUE_TOP
        return _fitting(name, value, code)

    return RuleCodes(
        rule.momentum,
        shift(formats.contrast),
        shift(formats.gain_contrast),
        shift(formats.bias_contrast),
        rate("gain_rate", rule.gain_rate, formats.gain),
        rate("bias_rate", rule.bias_rate, formats.site),
        _fitting("decay", rule.decay, rule.decay * 2.0**_DECAY_FRACTION),
        tuple(rate("weight_rate", value, formats.weight) for value in rule.weight_rates),
    )


def _fitting(name: str, value: float, code: float) -> int:
    if not isfinite(value) or not 0 <= code <= _RATE_TOP:
        largest = value / code * _RATE_TOP if code else 0.0
        raise CapabilityError(f"{name} of a rule must be from 0 to {largest:g} on this device, not {value:g}")
    return int(code + 0.5)
