"""A board without faults, for tests of what uses one: relaxation in double precision, from where it stands."""

import numpy as np

from equipoise.drivers.analog.board import (
    AnalogBoard,
    BoardIdentity,
    Limits,
    Reading,
    Sensors,
    Trace,
    check_drive,
    check_wiring,
)

STEP = 0.2
STEPS = 600


class IdealBoard(AnalogBoard):
    """Keeps ``drives`` it was given; ``spoil(reading)`` may change what it reads, ``drift`` volts a phase are added."""

    def __init__(self, neurons=8, channels=4, stiffness=1.0, quartic=1.0, drift=0.0):
        self._limits = Limits(
            neurons=neurons, channels=channels, weight=4.0, gain=4.0, bias=4.0, nudge=0.5, volts=4.0,
            stiffness=stiffness, quartic=quartic, lsb=1e-4, time_constant=1e-5,
        )  # fmt: skip
        self.drives, self.drift, self.closed = [], drift, False
        self.spoil = lambda reading: reading
        self._states = np.zeros(neurons)

    @property
    def identity(self):
        return BoardIdentity("Test", "Ideal", "1", "2")

    @property
    def limits(self):
        return self._limits

    def wire(self, wiring):
        check_wiring(self._limits, wiring)
        self.wiring = wiring

    def phase(self, drive):
        check_drive(self._limits, drive)
        self.drives.append(drive)
        w, limits = self.wiring, self._limits
        s = np.zeros(limits.neurons) if drive.restart else self._states
        s = np.where(w.clamped, drive.clamp, s)
        for _ in range(STEPS):
            force = (
                drive.bias - limits.stiffness * s - limits.quartic * s**3 + drive.nudge * w.output * (drive.target - s)
            )
            force += w.a @ (drive.drive_a * (w.b.T @ s)) + w.b @ (drive.drive_b * (w.a.T @ s))
            s = s + STEP * np.where(w.clamped, 0, force)
        self._states = s
        over = np.zeros(limits.neurons, dtype=bool)
        return self.spoil(Reading(s + self.drift * len(self.drives), over, True))

    def record(self, drive, samples, interval):
        return Trace(np.arange(samples) * interval, np.zeros((samples, self._limits.neurons)))

    def reference(self, volts, averages=1):
        return Reading(np.full(self._limits.neurons, volts), np.zeros(self._limits.neurons, dtype=bool), True)

    def sensors(self):
        return Sensors()

    def counters(self):
        return {"phases": len(self.drives)}

    def close(self):
        self.closed = True
