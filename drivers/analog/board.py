"""AnalogBoard: what a board of analog neurons is told and tells, in volts, whatever wire it hangs on."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...substrate.closing import Closing
from ...substrate.errors import CapabilityError

__all__ = [
    "AnalogBoard",
    "BoardIdentity",
    "Drive",
    "Limits",
    "Reading",
    "Sensors",
    "Trace",
    "Wiring",
    "check_drive",
    "check_wiring",
]

Volts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BoardIdentity:
    """Which one board this is: the four fields of ``*IDN?`` (IEEE 488.2)."""

    maker: str
    model: str
    serial: str
    firmware: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What a board can be told, and how finely it reads.

    Attributes
    ----------
    neurons, channels
        Numbers of neurons N and of rank channels K.
    weight, gain, bias, nudge, volts
        Largest magnitude of a weight, a drive gain, a bias (V), a nudge, and a state, target or clamped value (V).
    stiffness, quartic
        Nominal, and fixed by components: dimensionless, and 1/V^2.
    lsb
        One step of the readout (V).
    time_constant
        Nominal, of a neuron of stiffness 1 (s).
    references
        Voltages that the readout can be switched to (V), for calibration; empty if none.
    reference_uncertainty
        Of each of them, one standard deviation (V).
    """

    neurons: int
    channels: int
    weight: float
    gain: float
    bias: float
    nudge: float
    volts: float
    stiffness: float
    quartic: float
    lsb: float
    time_constant: float
    references: tuple[float, ...] = ()
    reference_uncertainty: float = 0.0


@dataclass(frozen=True, slots=True)
class Wiring:
    """What stays the same over a minibatch.

    Attributes
    ----------
    a, b
        Weights (N, K) of each rank channel's two sides: its buses are ``a[:, p] . s`` and ``b[:, p] . s``.
    clamped
        Mask (N,) of neurons that a voltage is forced on.
    output
        Mask (N,) of neurons that are nudged.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    clamped: NDArray[np.bool_]
    output: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Drive:
    """What one phase is run with; one message to the board.

    Neuron i that is not clamped follows, with time constant tau::

        tau ds_i/dt = bias_i - stiffness_i s_i - quartic_i s_i^3 + nudge (target_i - s_i)    (last term: outputs)
                      + sum_p ( a_ip drive_a_p (b_p . s) + b_ip drive_b_p (a_p . s) )

    Attributes
    ----------
    bias, clamp, target
        (N,) volts; ``clamp`` and ``target`` matter for clamped and for output neurons only.
    drive_a, drive_b
        Gains (K,) of the two directions. Equal for a network with an energy; a correction makes them differ.
    nudge
        0, +beta or -beta.
    restart
        Whether to start from 0 V, else from where the last phase ended.
    averages
        Readings averaged on the board.
    """

    bias: Volts
    clamp: Volts
    target: Volts
    drive_a: NDArray[np.float64]
    drive_b: NDArray[np.float64]
    nudge: float = 0.0
    restart: bool = False
    averages: int = 1


@dataclass(frozen=True, slots=True)
class Reading:
    """What a board read once it had settled.

    Attributes
    ----------
    volts
        States (N,), as read: not corrected.
    overload
        Mask (N,) of neurons that a rail, or the readout's range, holds.
    settled
        Whether the board itself found that nothing moves any more.
    """

    volts: Volts
    overload: NDArray[np.bool_]
    settled: bool


@dataclass(frozen=True, slots=True)
class Sensors:
    """What a board tells of its surroundings; None for what it has no sensor for.

    Attributes
    ----------
    temperature
        Of the board (degrees Celsius).
    supply
        Voltage that it is supplied with (V).
    """

    temperature: float | None = None
    supply: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A record in time: ``times`` (T,) in seconds from the start of the phase, ``volts`` (T, N)."""

    times: NDArray[np.float64]
    volts: Volts


class AnalogBoard(Closing):
    """One analog board. A method does what it says or raises a DeviceError; it never returns stale values.

    Whoever opened a board owns it: one thread, and every wait has a deadline.
    """

    @property
    @abstractmethod
    def identity(self) -> BoardIdentity:
        """Which board this is."""

    @property
    @abstractmethod
    def limits(self) -> Limits:
        """Sizes, ranges and nominal values."""

    @abstractmethod
    def wire(self, wiring: Wiring) -> None:
        """Set weights and switches.

        Raises
        ------
        CapabilityError
            If a value is outside the limits, naming it.
        """

    @abstractmethod
    def phase(self, drive: Drive) -> Reading:
        """Run a phase until it has settled, and read all neurons."""

    @abstractmethod
    def record(self, drive: Drive, samples: int, interval: float) -> Trace:
        """Start a phase and read all neurons ``samples`` times, ``interval`` seconds apart, from its start on."""

    @abstractmethod
    def reference(self, volts: float, averages: int = 1) -> Reading:
        """Read one of ``limits.references`` on all channels of the readout, in place of the neurons."""

    @abstractmethod
    def sensors(self) -> Sensors:
        """Ask what the board tells of its surroundings now."""

    @abstractmethod
    def counters(self) -> dict[str, int | float]:
        """Messages, errors and whatever else the board's health is, by name."""

    @abstractmethod
    def close(self) -> None:
        """Release the board. May be called twice."""


def check_wiring(limits: Limits, wiring: Wiring) -> None:
    """Raise :class:`CapabilityError` if a board with ``limits`` cannot be wired so, naming the value."""
    neurons, channels = limits.neurons, limits.channels
    for name, mask in (("clamped", wiring.clamped), ("output", wiring.output)):
        if mask.shape != (neurons,):
            raise CapabilityError(f"Mask '{name}' must have shape {(neurons,)} on this board, not {mask.shape}")
    for name, weights in (("a", wiring.a), ("b", wiring.b)):
        _check(f"Weights of side {name}", weights, (neurons, channels), limits.weight)


def check_drive(limits: Limits, drive: Drive) -> None:
    """Raise :class:`CapabilityError` if a board with ``limits`` cannot be driven so, naming the value."""
    neurons, channels = (limits.neurons,), (limits.channels,)
    _check("Biases", drive.bias, neurons, limits.bias, " V")
    _check("Clamped values", drive.clamp, neurons, limits.volts, " V")
    _check("Targets", drive.target, neurons, limits.volts, " V")
    _check("Drive gains of side a", drive.drive_a, channels, limits.gain)
    _check("Drive gains of side b", drive.drive_b, channels, limits.gain)
    _check("Nudge", np.array([drive.nudge]), (1,), limits.nudge)
    if drive.averages < 1:
        raise CapabilityError(f"Readings averaged must be at least 1, not {drive.averages}")


def _check(what: str, values: NDArray[np.float64], shape: tuple[int, ...], largest: float, unit: str = "") -> None:
    if values.shape != shape:
        raise CapabilityError(f"{what} must have shape {shape} on this board, not {values.shape}")
    wrong = ~(np.abs(values) <= largest)  # also where not a number
    if np.any(wrong):
        where = tuple(int(index) for index in np.argwhere(wrong)[0])
        place = f" at {where[0] if len(where) == 1 else where}" if values.size > 1 else ""
        raise CapabilityError(f"{what} must be within +-{largest:g}{unit} on this board, not {values[where]:g}{place}")
