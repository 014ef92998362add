"""Between floats and the integers on a device: what golden model and gateware driver share."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import CapabilityError, DataError, NetworkError
from .formats import FORMATS, Fixed, Formats
from .network import Network
from .parameters import Parameters
from .phases import Estimator, Minibatch, Schedule
from .protocol import Mode

__all__ = [
    "NOISE_VARIANCE",
    "Codes",
    "ScheduleCodes",
    "Sums",
    "decode_contrast",
    "decode_parameters",
    "decode_residual",
    "encode_clamped",
    "encode_initial",
    "encode_minibatch",
    "encode_parameters",
    "encode_schedule",
]

Integers = NDArray[np.int64]

NOISE_VARIANCE = 8 * (256**2 - 1) / 12
"""Variance of the noise generator's integer (``docs/arithmetic.md``, Noise)."""

_MODES = {Estimator.FREE: Mode.FREE, Estimator.ONE_SIDED: Mode.ONE_SIDED, Estimator.SYMMETRIC: Mode.SYMMETRIC}


@dataclass(frozen=True)
class Codes:
    """Parameters and neuron constants as a device holds them.

    Attributes
    ----------
    U, V, gain
        For each coupling, in the shapes of :class:`Parameters`.
    bias
        (levels, N).
    stiffness, quartic
        (N,).
    """

    U: tuple[Integers, ...]
    V: tuple[Integers, ...]
    gain: tuple[Integers, ...]
    bias: Integers
    stiffness: Integers
    quartic: Integers


@dataclass(frozen=True, slots=True)
class ScheduleCodes:
    """A schedule as a device's registers hold it.

    Attributes
    ----------
    mode
        Phases to run.
    beta
        Strength of the nudge, in format ``beta``.
    dt_shift
        The step is 2**-dt_shift.
    amplitude
        Noise amplitude, in format ``amplitude``.
    """

    mode: Mode
    beta: int
    dt_shift: int
    amplitude: int
    formats: Formats = FORMATS

    @property
    def effective_beta(self) -> float:
        """The beta that its code stands for: the one that contrasts are divided by."""
        return float(self.formats.beta.decode(self.beta))

    @property
    def effective_temperature(self) -> float:
        """The temperature that the amplitude's code stands for."""
        step = float(self.formats.amplitude.decode(self.amplitude)) * self.formats.stored.lsb
        return step**2 * NOISE_VARIANCE / 2 * 2.0**self.dt_shift


@dataclass(frozen=True)
class Sums:
    """Contrast sums of a minibatch as a device accumulates them; the shapes of :class:`Parameters`."""

    U: tuple[Integers, ...]
    V: tuple[Integers, ...]
    gain: tuple[Integers, ...]
    bias: Integers


def encode_parameters(network: Network, parameters: Parameters, formats: Formats = FORMATS) -> Codes:
    """Round parameters and neuron constants to a device's formats.

    Raises
    ------
    ParameterError
        If a parameter has the wrong shape or does not fit, naming it.
    NetworkError
        If a stiffness or quartic does not fit, naming the module.
    """
    parameters.check(network, formats)
    constants = []
    for name in ("stiffness", "quartic"):
        for module in network:
            values = np.atleast_1d(getattr(module, name))
            if not formats.site.fits(values):
                raise NetworkError(
                    f"{name.capitalize()} of module '{module.name}' must be at most {formats.site.limit:g} on this "
                    f"device, not {values.max():g}"
                )
        constants.append(formats.site.encode(getattr(network, name)))
    return Codes(
        tuple(formats.weight.encode(u) for u in parameters.U),
        tuple(formats.weight.encode(v) for v in parameters.V),
        tuple(formats.gain.encode(gain) for gain in parameters.gain),
        formats.site.encode(parameters.bias),
        *constants,
    )


def decode_parameters(codes: Codes, formats: Formats = FORMATS) -> Parameters:
    """The parameters that codes stand for."""
    return Parameters(
        tuple(formats.weight.decode(u) for u in codes.U),
        tuple(formats.weight.decode(v) for v in codes.V),
        tuple(formats.gain.decode(gain) for gain in codes.gain),
        formats.site.decode(codes.bias),
    )


def encode_schedule(network: Network, schedule: Schedule, formats: Formats = FORMATS) -> ScheduleCodes:
    """Round a schedule to a device's formats.

    Raises
    ------
    CapabilityError
        If beta would make the network unstable, or beta or temperature does not fit its format or rounds to 0.
    """
    schedule.check(network)
    beta = _positive("beta", schedule.beta, schedule.beta, formats.beta)
    amplitude = sqrt(2 * schedule.temperature * network.dt / NOISE_VARIANCE) / formats.stored.lsb
    code = _positive("temperature", schedule.temperature, amplitude, formats.amplitude) if amplitude else 0
    dt_shift = -int(np.log2(network.dt))
    return ScheduleCodes(_MODES[schedule.estimator], beta, dt_shift, code, formats)


def encode_minibatch(
    network: Network, minibatch: Minibatch, schedule: Schedule, formats: Formats = FORMATS
) -> tuple[Integers, Integers | None]:
    """Round clamped states and targets to the state format: (B, inputs) and, unless the run is free, (B, outputs).

    Raises
    ------
    DataError
        If shapes do not fit or a value is outside the range, naming the sample.
    """
    minibatch.check(network, schedule)
    clamped = encode_clamped(minibatch.clamped, formats)
    if schedule.estimator is Estimator.FREE or minibatch.target is None:
        return clamped, None
    return clamped, _encode_samples("target", minibatch.target, formats.state)


def encode_clamped(clamped: NDArray[np.float64], formats: Formats = FORMATS) -> Integers:
    """Round clamped states (B, n) to the state format.

    Raises
    ------
    DataError
        If a value is outside the range, naming the sample.
    """
    return _encode_samples("clamped state", clamped, formats.state)


def encode_initial(minibatch: Minibatch, formats: Formats = FORMATS) -> Integers | None:
    """Round the states to begin from to the format of stored states, (B, N); None if there are none.

    Raises
    ------
    DataError
        If one is beyond the rail, naming the sample.
    """
    if minibatch.initial is None:
        return None
    rounded = _encode_samples("initial state", minibatch.initial, formats.stored)
    if np.abs(rounded).max() > formats.rail:
        sample = int(np.argwhere(np.abs(rounded) > formats.rail)[0][0])
        raise DataError(f"An initial state of sample {sample} must be within +-{formats.state.limit:g}: clip it")
    return rounded


def decode_contrast(
    network: Network, sums: Sums, codes: ScheduleCodes, batch: int, formats: Formats = FORMATS
) -> Parameters:
    """Local contrast averaged over a minibatch of ``batch`` samples: the descent direction of the loss."""
    span = codes.effective_beta * (2 if codes.mode is Mode.SYMMETRIC else 1)

    def mean(values: Integers, fixed: Fixed) -> NDArray[np.float64]:
        return fixed.decode(values) / (span * batch)

    bias = mean(sums.bias, formats.bias_contrast)
    bias[:, network.clamped] = 0.0
    return Parameters(
        tuple(mean(u, formats.contrast) for u in sums.U),
        tuple(mean(v, formats.contrast) for v in sums.V),
        tuple(mean(gain, formats.gain_contrast) for gain in sums.gain),
        bias,
    )


def decode_residual(network: Network, total: int, batch: int, formats: Formats = FORMATS) -> float:
    """Mean of |ds/dt| over free neurons and samples, from the device's sum."""
    free = int((~network.clamped).sum())
    return total * formats.state.lsb / (free * batch)


def _positive(name: str, given: float, value: float, fixed: Fixed) -> int:
    if not fixed.fits(value):
        largest = "lower it" if name == "beta" else "lower it or dt"
        raise CapabilityError(f"{name} {given:g} is too large for this device: {largest}")
    code = int(fixed.encode(value))
    if code == 0:
        raise CapabilityError(f"{name} {given:g} is too small for this device: it would round to 0")
    return code


def _encode_samples(what: str, values: ArrayLike, fixed: Fixed) -> Integers:
    array: NDArray[Any] = np.asarray(values, dtype=float)
    codes = np.floor(array * 2.0**fixed.fraction + 0.5)
    outside = np.abs(codes) > fixed.top
    if outside.any():
        sample, index = (int(i) for i in np.argwhere(outside)[0])
        raise DataError(
            f"A {what} must be within +-{fixed.limit:g}, not {array[sample, index]:g} "
            f"(sample {sample}, neuron {index}): scale the data"
        )
    return codes.astype(np.int64)
