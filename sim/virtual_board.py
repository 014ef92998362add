"""VirtualBoard: an analog board in NumPy whose imperfections are drawn from a seed and hidden behind its interface."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import (
    AnalogBoard,
    BoardIdentity,
    Drive,
    Limits,
    Reading,
    Sensors,
    Trace,
    Wiring,
    check_wiring,
)
from ..substrate.errors import CapabilityError, DeviceError
from .nominal import CALIBRATED_AT, OFFSET_SHARE, READ_NOISE, VOLTS, nominal_limits, sensed, warmed

__all__ = ["Effects", "Imperfections", "VirtualBoard"]

Array = NDArray[np.float64]

_LARGEST = 1024
"""Most neurons and most rank channels: what a computer of today settles in a moment."""

VOLTAGE_SHARE = 0.1
"""Standard deviation of the gain of what makes a voltage, for a mismatch of 1: no current or product is in it."""

SLOW_NOISE = 20e-6
"""Of the 1/f noise that averaging does not remove (V)."""

PHASE_SECONDS = 2e-3
"""How long a phase and its readings take, on the board's own clock (s)."""

SWING = 0.5
"""How far the board's temperature goes up and down by itself (K)."""

SUPPLY = 12.0
"""Voltage that it is supplied with (V)."""

OUTLIER = 0.2
"""Standard deviation of how far an outlier is off (V)."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What no model of the board knows of. All off by default.

    Attributes
    ----------
    slow
        Part of the way to equilibrium that is left when the board says that it has settled: slow amplifiers.
    fourth
        Error of the cubic's multipliers: a force ``-fourth s^4`` (1/V^3).
    stuck, clipped
        A channel of the readout that always reads the same; one that never reads beyond +-1 V, and does not say so.
    late
        Probability that an answer is that of the request before.
    outliers
        Probability that the reading of a neuron is wrong.
    drift
        Of all offsets of the readout (V/s, on the board's own clock).
    noise
        Of each reading, beside that of its readout: standard deviation (V).
    fails
        Requests after which the board does not answer any more.
    """

    slow: float = 0.0
    fourth: float = 0.0
    stuck: int | None = None
    clipped: int | None = None
    late: float = 0.0
    outliers: float = 0.0
    drift: float = 0.0
    noise: float = 0.0
    fails: int | None = None


@dataclass(frozen=True, slots=True)
class Imperfections:
    """Parts of one board: factors on what they should be (1 if perfect), offsets in volts (0 if perfect).

    Attributes
    ----------
    stiffness, quartic, bias_gain, target_gain, clamp_gain, time_constant, nudge_up, nudge_down
        Factors (N,).
    bias_offset, target_offset, clamp_offset
        Offsets (N,).
    sense_a, sense_b, push_a, push_b
        Factors (N, K) of the weights where they form the buses, and where they bring a drive back to the neurons.
    drive_a, drive_b, bus_a_offset, bus_b_offset
        Of the rank channels (K,): factors of the drive gains, offsets of the buses.
    read_gain, read_offset, read_bow, before, after
        Of the readout (N,): factor; offset; bow (1 per range); crosstalk of the channels before and after.
    """

    stiffness: Array
    quartic: Array
    bias_gain: Array
    target_gain: Array
    clamp_gain: Array
    time_constant: Array
    nudge_up: Array
    nudge_down: Array
    bias_offset: Array
    target_offset: Array
    clamp_offset: Array
    sense_a: Array
    sense_b: Array
    push_a: Array
    push_b: Array
    drive_a: Array
    drive_b: Array
    bus_a_offset: Array
    bus_b_offset: Array
    read_gain: Array
    read_offset: Array
    read_bow: Array
    before: Array
    after: Array

    @classmethod
    def draw(cls, neurons: int, channels: int, mismatch: float, seed: int) -> Imperfections:
        """Draw a board: most factors with standard deviation ``mismatch``, offsets with a tenth of it in volts."""
        rng = np.random.default_rng([seed, 0])
        drawn = {}
        for part in fields(cls):
            name = part.name
            shape: tuple[int, ...] = (channels,) if name.startswith(("drive", "bus")) else (neurons,)
            if name.startswith(("sense", "push")):
                shape = (neurons, channels)
            deviation = mismatch * np.clip(rng.standard_normal(shape), -3, 3)  # parts beyond are not sold
            if name.endswith("offset"):
                drawn[name] = OFFSET_SHARE * deviation
            elif name == "read_bow":
                drawn[name] = deviation / 3
            elif name in {"target_gain", "clamp_gain"}:
                drawn[name] = 1 + VOLTAGE_SHARE * deviation
            elif name in {"before", "after"}:
                drawn[name] = 0.1 * np.abs(deviation)
            else:
                drawn[name] = 1 + deviation
        return cls(**drawn)


@dataclass
class _Wire:
    """What the board was last told of weights."""

    wiring: Wiring
    sense_a: Array = field(init=False)
    sense_b: Array = field(init=False)
    push_a: Array = field(init=False)
    push_b: Array = field(init=False)


class VirtualBoard(AnalogBoard):
    """One board, drawn from a seed.

    Parameters
    ----------
    neurons, channels
        Sizes, at least 1.
    mismatch
        Standard deviation of its parts' values, as a fraction.
    seed
        Which board.
    effects
        What goes wrong beside.

    Attributes
    ----------
    ambient
        Temperature around it (degrees Celsius); it does something to all parts, which is drawn from the seed.

    Raises
    ------
    CapabilityError
        If a size or the mismatch is out of range.
    """

    def __init__(
        self,
        *,
        neurons: int = 8,
        channels: int = 4,
        mismatch: float = 0.0,
        seed: int = 0,
        effects: Effects | None = None,
    ) -> None:
        for name, size in (("neurons", neurons), ("channels", channels)):
            if size < 1:
                raise CapabilityError(f"A virtual board must have at least 1 of {name}, not {size}")
        if not 0 <= mismatch <= 0.2:
            raise CapabilityError(f"Mismatch of a virtual board must be a fraction from 0 to 0.2, not {mismatch:g}")
        self._parts = Imperfections.draw(neurons, channels, mismatch, seed)
        self._effects = effects or Effects()
        self._rng = np.random.default_rng([seed, 1])
        self.ambient, self._drawn = CALIBRATED_AT, (mismatch, seed)
        self._limits = nominal_limits(neurons, channels, _LARGEST)
        self._identity = BoardIdentity(
            "Equipoise", "virtual board", f"{neurons}x{channels}-mismatch{mismatch:g}-seed{seed}", "1"
        )
        self._slow = np.zeros((4, neurons))  # octaves of slow noise
        self._state = np.zeros(neurons)
        self._last: Reading | None = None
        self._clock = 0.0
        self._counters: dict[str, int | float] = {"requests": 0, "phases": 0, "overloads": 0}
        nothing, none = np.zeros((neurons, channels)), np.zeros(neurons, dtype=bool)
        self.wire(Wiring(nothing, nothing, none, none))

    @property
    def identity(self) -> BoardIdentity:
        """The serial number says what the board was drawn from."""
        return self._identity

    @property
    def limits(self) -> Limits:
        """Sizes, ranges and nominal values."""
        return self._limits

    def wire(self, wiring: Wiring) -> None:
        """Set weights and switches."""
        check_wiring(self._limits, wiring)
        self._wire = _Wire(wiring)
        self._answer()

    def phase(self, drive: Drive) -> Reading:
        """Settle, and read."""
        self._answer()
        self._counters["phases"] += 1
        begin = np.zeros(self._limits.neurons) if drive.restart else self._state
        end, settled = self._settle(drive, begin)
        self._state = end + self._effects.slow * (begin - end)
        return self._read(self._state, drive.averages, settled)

    def record(self, drive: Drive, samples: int, interval: float) -> Trace:
        """Follow the states in time, in steps of at most a twentieth of the time constant."""
        self._answer()
        state = np.zeros(self._limits.neurons) if drive.restart else self._state.copy()
        state = self._clamp(drive, state)
        steps = int(np.clip(np.ceil(interval / (self._limits.time_constant / 20)), 1, 20))
        free = ~self._wire.wiring.clamped
        rate = free / (self._limits.time_constant * self._here.time_constant)
        volts = np.empty((samples, len(state)))
        long = (
            interval > self._limits.time_constant
        )  # neurons have settled between two samples: only noise is left to see
        if long:
            state, _ = self._settle(drive, state)
        for at in range(samples):
            volts[at] = state
            for _ in range(0 if long else steps):
                half = state + 0.5 * interval / steps * rate * self._force(drive, state)
                state = state + interval / steps * rate * self._force(drive, half)
        self._state = state
        spectrum = self._rng.standard_normal((samples // 2 + 1, len(state), 2)) @ np.array([1, 1j])
        ranks = np.maximum(np.arange(samples // 2 + 1), 1)[:, None]
        slow = np.fft.irfft(spectrum / np.sqrt(ranks), samples, axis=0) if samples > 1 else np.zeros_like(volts)
        slow *= SLOW_NOISE / max(float(slow.std()), 1e-12)
        noise = float(np.hypot(READ_NOISE, self._effects.noise))
        seen = self._convert(volts + slow) + noise * self._rng.standard_normal(volts.shape)
        return Trace(np.arange(samples) * interval, self._round(seen)[0])

    def reference(self, volts: float, averages: int = 1) -> Reading:
        """Read a reference on all channels of the readout."""
        self._answer()
        if volts not in self._limits.references:
            known = ", ".join(f"{reference:g}" for reference in self._limits.references)
            raise CapabilityError(f"References of this board are {known} V, not {volts:g}")
        return self._read(np.full(self._limits.neurons, volts), averages, settled=True)

    def sensors(self) -> Sensors:
        """Temperature and supply."""
        self._answer()
        return Sensors(sensed(self._temperature()), SUPPLY)

    def counters(self) -> dict[str, int | float]:
        """Requests, phases, and readings with an overload."""
        return dict(self._counters)

    def close(self) -> None:
        """Nothing is held."""

    def exact(self, drive: Drive, begin: Array | None = None) -> Array:
        """Where the states (N,) would settle, without noise and readout: what only tests and benchmarks may know."""
        self._warm()
        return self._settle(drive, np.zeros(self._limits.neurons) if begin is None else begin)[0]

    def _force(self, drive: Drive, state: Array) -> Array:
        """Force (N,) on each neuron, in volts over the resistor of a stiffness of 1; after :meth:`_warm`."""
        parts, wire = self._here, self._wire
        bus_a, bus_b = self._buses(state)
        nudge = self._nudge(drive)
        target = drive.target * parts.target_gain + parts.target_offset
        force = drive.bias * parts.bias_gain + parts.bias_offset - parts.stiffness * state
        force -= parts.quartic * state**3 + self._effects.fourth * state**4
        force += nudge * (target - state)
        force += wire.push_a @ (drive.drive_a * parts.drive_a * bus_b)
        force += wire.push_b @ (drive.drive_b * parts.drive_b * bus_a)
        return np.asarray(force)

    def _buses(self, state: Array) -> tuple[Array, Array]:
        parts, wire = self._here, self._wire
        return state @ wire.sense_a + parts.bus_a_offset, state @ wire.sense_b + parts.bus_b_offset

    def _nudge(self, drive: Drive) -> Array:
        factor = self._here.nudge_up if drive.nudge > 0 else self._here.nudge_down
        return np.asarray(drive.nudge * factor * self._wire.wiring.output)

    def _clamp(self, drive: Drive, state: Array) -> Array:
        held = drive.clamp * self._here.clamp_gain + self._here.clamp_offset
        return np.where(self._wire.wiring.clamped, held, state)

    def _settle(self, drive: Drive, begin: Array) -> tuple[Array, bool]:
        """Follow the states to where they settle: implicit steps that grow, so that the nearest attractor is found."""
        parts, wire = self._here, self._wire
        free = ~wire.wiring.clamped
        state, step = self._clamp(drive, begin), 0.5
        linear = -np.diag(parts.stiffness + self._nudge(drive))
        linear += (wire.push_a * (drive.drive_a * parts.drive_a)) @ wire.sense_b.T
        linear += (wire.push_b * (drive.drive_b * parts.drive_b)) @ wire.sense_a.T
        for _ in range(200):
            force = self._force(drive, state)[free]
            if float(np.abs(force).max(initial=0.0)) < 1e-11:
                return state, True
            slope = linear - np.diag(3 * parts.quartic * state**2 + 4 * self._effects.fourth * state**3)
            matrix = np.diag(parts.time_constant[free] / step) - slope[np.ix_(free, free)]
            state[free] += np.clip(np.linalg.solve(matrix, force), -0.5, 0.5)
            state = np.clip(state, -1.2 * VOLTS, 1.2 * VOLTS)
            step = min(2 * step, 1e9)
        return state, False

    def _convert(self, volts: Array) -> Array:
        """What the readout makes of ``volts`` (..., N), without noise."""
        parts = self._here
        seen = parts.read_gain * volts + parts.read_offset + parts.read_bow * (volts**2 / VOLTS - VOLTS / 3)
        seen = seen + parts.before * (np.roll(volts, 1, axis=-1) - volts)
        return np.asarray(seen + parts.after * (np.roll(volts, -1, axis=-1) - volts))

    def _round(self, seen: Array) -> tuple[Array, NDArray[np.bool_]]:
        lsb = self._limits.lsb
        steps, top = np.round(seen / lsb), VOLTS / lsb
        return np.clip(steps, -top, top - 1) * lsb, (steps < -top) | (steps > top - 1)

    def _read(self, volts: Array, averages: int, settled: bool) -> Reading:
        effects, rng = self._effects, self._rng
        self._clock += PHASE_SECONDS
        keep = 0.5 ** np.arange(len(self._slow))[:, None]  # each octave changes half as often as the one before
        fresh = rng.standard_normal(self._slow.shape) * SLOW_NOISE / np.sqrt(len(self._slow))
        self._slow = np.sqrt(1 - keep) * self._slow + np.sqrt(keep) * fresh
        seen = self._convert(volts) + self._slow.sum(axis=0) + effects.drift * self._clock
        noise = float(np.hypot(READ_NOISE, effects.noise))
        read, over = self._round(seen + noise * rng.standard_normal((averages, len(volts))))
        mean = read.mean(axis=0)
        mean += OUTLIER * rng.standard_normal(mean.shape) * (rng.random(mean.shape) < effects.outliers)
        if effects.stuck is not None:
            mean[effects.stuck] = 1.234
        if effects.clipped is not None:
            mean[effects.clipped] = np.clip(mean[effects.clipped], -1.0, 1.0)
        overload = over.any(axis=0)
        self._counters["overloads"] += bool(overload.any())
        reading = Reading(mean, overload, settled)
        late = self._last is not None and rng.random() < effects.late
        answer, self._last = (self._last if late and self._last else reading), reading
        return replace(answer, volts=answer.volts.copy())

    def _answer(self) -> None:
        self._counters["requests"] += 1
        if self._effects.fails is not None and self._counters["requests"] > self._effects.fails:
            raise DeviceError("The virtual board does not answer: open it again")
        self._warm()

    def _temperature(self) -> float:
        return float(self.ambient + SWING * np.sin(self._clock / 10))

    def _warm(self) -> None:
        """What parts and weights are worth at the temperature of now."""
        parts = self._here = warmed(self._parts, *self._drawn, self._temperature())
        wire, wiring = self._wire, self._wire.wiring
        wire.sense_a, wire.sense_b = wiring.a * parts.sense_a, wiring.b * parts.sense_b
        wire.push_a, wire.push_b = wiring.a * parts.push_a, wiring.b * parts.push_b
