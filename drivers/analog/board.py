"""AnalogBoard: what a board of analog neurons is told and tells, in volts, whatever wire it hangs on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["AnalogBoard", "BoardIdentity", "Drive", "Limits", "Reading", "Trace", "Wiring"]

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
    temperature
        Of the board (degrees Celsius), or None if it has no sensor.
    """

    volts: Volts
    overload: NDArray[np.bool_]
    settled: bool
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A record in time: ``times`` (T,) in seconds from the start of the phase, ``volts`` (T, N)."""

    times: NDArray[np.float64]
    volts: Volts


class AnalogBoard(ABC):
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
    def counters(self) -> dict[str, int | float]:
        """Messages, errors and whatever else the board's health is, by name."""

    @abstractmethod
    def close(self) -> None:
        """Release the board. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
