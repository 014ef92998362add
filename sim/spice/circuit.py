"""The reference board as a netlist, and the names by which the running circuit is told weights, gains and voltages.

A neuron is an integrator: an amplifier with a capacitor from its output ``o`` to its virtual ground ``x``. A resistor
beside it is the stiffness, two multipliers make the cubic, and everything else draws its current from ``x``. Behind
the output a switch puts either it or the clamp's voltage on ``s``, which all others see and the readout reads. A rank
channel has, for each direction, a summing amplifier (its bus), a gain (its drive), and conductances that bring it
back. All amplifiers have one pole, an offset and rails.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...drivers.analog.board import Drive, Limits, Wiring
from .parts import Parts

__all__ = ["Circuit"]

Array = NDArray[np.float64]

RESISTOR = 10e3
"""That turns voltages to currents (ohm)."""

OPEN_LOOP = 1e5
"""Gain of an amplifier at DC."""

GAIN_BANDWIDTH = 10e6
"""Product of gain and bandwidth of an amplifier (Hz)."""

RAIL = 1.15
"""Rails of amplifiers, in ranges of the states."""

ALMOST = 1 - 1e-9
"""Of a rail: nearer than this an amplifier's pole is too far up to be set."""

LONGEST_STEP = 4.0
"""Of the simulator, in time constants."""

FOREVER = 1e3
"""End of the simulated time (s), which is never reached."""


class Circuit:
    """Netlist and settings of one board.

    Parameters
    ----------
    limits
        Sizes and nominal values.
    parts
        What the parts came out as.
    noise
        Of the current into each neuron, as the standard deviation of a voltage over the resistor (V); a new value is
        drawn every half time constant. 0 for none.
    """

    def __init__(self, limits: Limits, parts: Parts, noise: float = 0.0) -> None:
        self.limits, self._parts, self._noise = limits, parts, noise
        self._told: dict[str, float] = {}

    def netlist(self) -> list[str]:
        """Lines of the netlist; every setting at 0."""
        limits, parts = self.limits, self._parts
        tau, per_ohm = limits.time_constant, 1 / RESISTOR
        lines = ["* equipoise reference board"]
        for i in range(limits.neurons):
            lines += _amplifier(f"{i}", f"x{i}", f"o{i}", parts.neuron_offset[i], RAIL * limits.volts)
            lines += [
                f"C{i} o{i} x{i} {tau * per_ohm * parts.capacitor[i]:.17g} ic=0",
                f"Rk{i} o{i} x{i} {RESISTOR / (limits.stiffness * parts.stiffness[i]):.17g}",
                f"Bm{i} m{i} 0 V=v(o{i})*v(o{i})+{parts.first_offset[i]:.17g}",
                f"Bq{i} 0 x{i} I={limits.quartic * parts.quartic[i] * per_ohm:.17g}"
                f"*(v(m{i})*v(o{i})+{parts.second_offset[i]:.17g})",
                f"Vb{i} b{i} 0 dc 0",
                f"Gb{i} x{i} 0 b{i} 0 {per_ohm * parts.bias[i]:.17g}",
                f"Vt{i} t{i} 0 dc {parts.target_offset[i]:.17g}",
                f"Gu{i} x{i} 0 t{i} s{i} 0",
                f"Gd{i} x{i} 0 t{i} s{i} 0",
                f"Vc{i} c{i} 0 dc 0",
                f"Eo{i} s{i} y{i} o{i} 0 1",
                f"Ec{i} y{i} 0 c{i} 0 0",
            ]
            if self._noise:
                # Each neuron draws its own: ngspice's random numbers go on from source to source.
                lines += [f"Vn{i} n{i} 0 dc 0 trnoise({self._noise:.17g} {tau / 2:.17g} 0 0)"]
                lines += [f"Gn{i} x{i} 0 n{i} 0 {per_ohm:.17g}"]
        for side, offset in (("a", parts.bus_a_offset), ("b", parts.bus_b_offset)):
            for p in range(limits.channels):
                bus = f"{side}{p}"
                lines += _amplifier(f"s{bus}", f"w{bus}", f"l{bus}", offset[p], RAIL * limits.volts)
                lines += [f"Rl{bus} l{bus} w{bus} {RESISTOR:.17g}"]
                # What drives side a is the bus of side b, and the other way round.
                lines += [f"Ed{bus} d{bus} 0 l{'b' if side == 'a' else 'a'}{p} 0 0"]
                for i in range(limits.neurons):
                    lines += [f"Gs{bus}_{i} w{bus} 0 s{i} 0 0", f"Gp{bus}_{i} x{i} 0 d{bus} 0 0"]
        # Gear's method: the trapezoidal rule rings at the amplifiers' poles in steps far longer than these.
        lines += [".options method=gear reltol=1e-5 vntol=1e-7 abstol=1e-13 itl4=100"]
        lines += [".save " + " ".join(f"v(s{i}) v(o{i})" for i in range(limits.neurons))]
        lines += [f".tran {tau:.17g} {FOREVER:.17g} 0 {LONGEST_STEP * tau:.17g} uic", ".end"]
        return lines

    def wire(self, wiring: Wiring) -> list[str]:
        """Commands that set weights and switches, as far as they change."""
        parts, settings = self._parts, {}
        for side, weights, sense, push in (
            ("a", wiring.a, parts.sense_a, parts.push_a),
            ("b", wiring.b, parts.sense_b, parts.push_b),
        ):
            for (i, p), weight in np.ndenumerate(weights):
                settings[f"@gs{side}{p}_{i}[gain]"] = weight * sense[i, p] / RESISTOR
                settings[f"@gp{side}{p}_{i}[gain]"] = weight * push[i, p] / RESISTOR
        for i, clamped in enumerate(wiring.clamped):
            settings[f"@eo{i}[gain]"], settings[f"@ec{i}[gain]"] = float(not clamped), float(clamped)
        return list(self._changes(settings))

    def drive(self, wiring: Wiring, drive: Drive) -> list[str]:
        """Commands that set what a phase is run with, as far as it changes."""
        parts, settings = self._parts, {}
        for i in range(self.limits.neurons):
            settings[f"@vb{i}[dc]"] = drive.bias[i]
            settings[f"@vt{i}[dc]"] = drive.target[i] + parts.target_offset[i]
            settings[f"@vc{i}[dc]"] = drive.clamp[i] + parts.clamp_offset[i] if wiring.clamped[i] else 0.0
            nudge = drive.nudge / RESISTOR if wiring.output[i] else 0.0
            settings[f"@gu{i}[gain]"] = max(nudge, 0.0) * parts.nudge_up[i]
            settings[f"@gd{i}[gain]"] = min(nudge, 0.0) * parts.nudge_down[i]
        for p in range(self.limits.channels):
            settings[f"@eda{p}[gain]"] = drive.drive_a[p] * parts.drive_a[p]
            settings[f"@edb{p}[gain]"] = drive.drive_b[p] * parts.drive_b[p]
        return list(self._changes(settings))

    def hold(self, volts: Array) -> list[str]:
        """Commands that set what the neurons' outputs (N,) start from when the simulation begins anew."""
        rail = RAIL * self.limits.volts
        # Both the integrator and its amplifier's pole, or the output would first have to get there.
        poles = rail * np.arctanh(np.clip(volts / rail, -ALMOST, ALMOST))
        settings = {f"@c{i}[ic]": value for i, value in enumerate(volts)}
        return list(self._changes(settings | {f"@ca{i}[ic]": value for i, value in enumerate(poles)}))

    def _changes(self, settings: dict[str, float]) -> Iterator[str]:
        for name, value in settings.items():
            if self._told.get(name) != value:
                self._told[name] = value
                yield f"alter {name}={float(value):.17g}"


def _amplifier(name: str, ground: str, output: str, offset: float, rail: float) -> list[str]:
    """An inverting amplifier from its virtual ``ground`` to its ``output``."""
    siemens = 1e-3
    return [
        f"Vo{name} f{name} 0 dc {float(offset):.17g}",
        f"Ga{name} 0 p{name} f{name} {ground} {siemens:.17g}",
        f"Ra{name} p{name} 0 {OPEN_LOOP / siemens:.17g}",
        f"Ca{name} p{name} 0 {siemens / (2 * np.pi * GAIN_BANDWIDTH):.17g} ic=0",
        f"Ba{name} {output} 0 V={rail:.17g}*tanh(v(p{name})/{rail:.17g})",
    ]
