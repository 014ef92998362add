"""The model of an analog board: which imperfections it has, and what the board does and reads because of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.board import Drive, Limits, Wiring

__all__ = ["NETWORK_TERMS", "READOUT_TERMS", "Model", "jacobian", "nominal"]

Array = NDArray[np.float64]

READOUT_TERMS = ("read_gain", "read_offset", "read_bow", "before", "after", "clamp_gain", "clamp_offset")
"""Terms of the readout and of what calibrates it, fitted first."""

NETWORK_TERMS = (
    "stiffness", "quartic", "even", "fourth", "bias_gain", "bias_offset", "nudge_up", "nudge_down", "target_gain",
    "target_offset", "sense_a", "sense_b", "push_a", "push_b", "drive_a", "drive_b", "bus_a_offset", "bus_b_offset",
)  # fmt: skip
"""Terms of neurons and couplings, fitted to equilibria."""


@dataclass(frozen=True, slots=True)
class Model:
    """Imperfections of one board. Factors are kept as logarithms, so that gauges are linear; all are 0 if perfect.

    Attributes
    ----------
    stiffness, quartic, bias_gain, nudge_up, nudge_down, target_gain, clamp_gain
        Logarithms (N,) of factors.
    even, fourth
        Of errors of the cubic's multipliers (N,): forces ``-even s^2`` (1/V) and ``-fourth s^4`` (1/V^3).
    bias_offset, target_offset, clamp_offset
        Volts (N,).
    sense_a, sense_b, push_a, push_b
        Logarithms (N, K) of the weights' factors where they form buses, and where they bring drives back to neurons.
    drive_a, drive_b
        Logarithms (K,) of the drive gains' factors.
    bus_a_offset, bus_b_offset
        Volts (K,).
    read_gain, read_offset, read_bow, before, after
        Of the readout (N,): relative error, volts, bow (part of the range), crosstalk of the neighbours.
    """

    stiffness: Array
    quartic: Array
    even: Array
    fourth: Array
    bias_gain: Array
    bias_offset: Array
    nudge_up: Array
    nudge_down: Array
    target_gain: Array
    target_offset: Array
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
    clamp_gain: Array
    clamp_offset: Array

    def seen(self, limits: Limits, volts: Array) -> Array:
        """What the readout makes of true voltages (..., N), without noise."""
        most = limits.volts
        read = volts * (1 + self.read_gain) + self.read_offset + self.read_bow * (volts**2 / most - most / 3)
        read = read + self.before * (np.roll(volts, 1, axis=-1) - volts)
        return np.asarray(read + self.after * (np.roll(volts, -1, axis=-1) - volts))

    def true(self, limits: Limits, read: Array) -> Array:
        """True voltages (..., N) of what was read: the inverse of :meth:`seen`, by iteration."""
        volts = read.copy()
        for _ in range(12):  # each gains a factor of about one over the mismatch
            volts += read - self.seen(limits, volts)
        return volts

    def nudge(self, wiring: Wiring, drive: Drive) -> Array:
        """Nudge (N,) that each neuron has."""
        return np.asarray(drive.nudge * np.exp(self.nudge_up if drive.nudge > 0 else self.nudge_down) * wiring.output)

    def force(self, limits: Limits, wiring: Wiring, drive: Drive, states: Array) -> Array:
        """Force (N,) on each neuron that is not clamped, in volts; 0 where clamped."""
        bus_a = states @ (wiring.a * np.exp(self.sense_a)) + self.bus_a_offset
        bus_b = states @ (wiring.b * np.exp(self.sense_b)) + self.bus_b_offset
        force = drive.bias * np.exp(self.bias_gain) + self.bias_offset
        force = force - limits.stiffness * np.exp(self.stiffness) * states - self.even * states**2
        force -= limits.quartic * np.exp(self.quartic) * states**3 + self.fourth * states**4
        target = drive.target * np.exp(self.target_gain) + self.target_offset
        force += self.nudge(wiring, drive) * (target - states)
        force += (wiring.a * np.exp(self.push_a)) @ (drive.drive_a * np.exp(self.drive_a) * bus_b)
        force += (wiring.b * np.exp(self.push_b)) @ (drive.drive_b * np.exp(self.drive_b) * bus_a)
        return np.where(wiring.clamped, 0.0, force)

    def slope(self, limits: Limits, wiring: Wiring, drive: Drive, states: Array) -> Array:
        """Derivative (N, N) of :meth:`force` by the states; minus one on the diagonal of clamped neurons."""
        steep = limits.stiffness * np.exp(self.stiffness) + 3 * limits.quartic * np.exp(self.quartic) * states**2
        steep += 2 * self.even * states + 4 * self.fourth * states**3 + self.nudge(wiring, drive)
        slope = -np.diag(steep)
        pushed_a = wiring.a * np.exp(self.push_a) * (drive.drive_a * np.exp(self.drive_a))
        pushed_b = wiring.b * np.exp(self.push_b) * (drive.drive_b * np.exp(self.drive_b))
        slope += pushed_a @ (wiring.b * np.exp(self.sense_b)).T + pushed_b @ (wiring.a * np.exp(self.sense_a)).T
        slope[wiring.clamped] = -np.eye(len(states))[wiring.clamped]
        return slope

    def equilibrium(self, limits: Limits, wiring: Wiring, drive: Drive, begin: Array | None = None) -> Array:
        """States (N,) that the board settles to from ``begin`` (0 V if None), by implicit steps that grow."""
        held = drive.clamp * np.exp(self.clamp_gain) + self.clamp_offset
        start = np.zeros(limits.neurons) if begin is None else begin
        states, step = np.where(wiring.clamped, held, start), 0.5
        for _ in range(100):
            force = self.force(limits, wiring, drive, states)
            if np.abs(force).max(initial=0.0) < 1e-10:
                break
            move = np.linalg.solve(np.eye(len(states)) / step - self.slope(limits, wiring, drive, states), force)
            states = states + np.clip(move, -0.5, 0.5) * ~wiring.clamped
            step = min(2 * step, 1e9)
        return states


def nominal(limits: Limits) -> Model:
    """A perfect board."""
    sizes = {"sense": (limits.neurons, limits.channels), "push": (limits.neurons, limits.channels)}
    of_channels = dict.fromkeys(("drive", "bus"), (limits.channels,))
    shapes = {**sizes, **of_channels}
    return Model(*(np.zeros(shapes.get(item.name.split("_")[0], (limits.neurons,))) for item in fields(Model)))


def jacobian(model: Model, limits: Limits, wiring: Wiring, drive: Drive, states: Array) -> dict[str, Array]:
    """Derivatives of :meth:`Model.force` by each of :data:`NETWORK_TERMS`, each (N, size of the term)."""
    neurons, a, b = limits.neurons, wiring.a, wiring.b
    sensed_a, sensed_b = a * np.exp(model.sense_a), b * np.exp(model.sense_b)
    bus_a, bus_b = states @ sensed_a + model.bus_a_offset, states @ sensed_b + model.bus_b_offset
    pushed_a = a * np.exp(model.push_a) * (drive.drive_a * np.exp(model.drive_a))
    pushed_b = b * np.exp(model.push_b) * (drive.drive_b * np.exp(model.drive_b))
    nudge = model.nudge(wiring, drive)
    target_gain = drive.target * np.exp(model.target_gain)
    pull = nudge * (target_gain + model.target_offset - states)
    each = np.eye(neurons)[:, :, None]
    by = {
        "stiffness": np.diag(-limits.stiffness * np.exp(model.stiffness) * states),
        "quartic": np.diag(-limits.quartic * np.exp(model.quartic) * states**3),
        "even": np.diag(-(states**2)),
        "fourth": np.diag(-(states**4)),
        "bias_gain": np.diag(drive.bias * np.exp(model.bias_gain)),
        "bias_offset": np.eye(neurons),
        "nudge_up": np.diag(pull * (drive.nudge > 0)),
        "nudge_down": np.diag(pull * (drive.nudge < 0)),
        "target_gain": np.diag(nudge * target_gain),
        "target_offset": np.diag(nudge),
        "sense_a": pushed_b[:, None, :] * (sensed_a * states[:, None])[None],
        "sense_b": pushed_a[:, None, :] * (sensed_b * states[:, None])[None],
        "push_a": each * (pushed_a * bus_b)[None],
        "push_b": each * (pushed_b * bus_a)[None],
        "drive_a": pushed_a * bus_b,
        "drive_b": pushed_b * bus_a,
        "bus_a_offset": pushed_b,
        "bus_b_offset": pushed_a,
    }
    return {name: value.reshape(neurons, -1) * ~wiring.clamped[:, None] for name, value in by.items()}
