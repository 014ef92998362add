"""The process that ngspice runs in: one circuit, told what to do over a pipe by :class:`~.board.SpiceBoard`.

Started as ``python -m equipoise.sim.spice.worker FILE-NUMBER``. Each message in is a method's name and its arguments;
each message out is ``(True, value)`` or ``(False, error)``.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

from ...drivers.analog.board import Drive, Limits, Wiring
from ...substrate.errors import DeviceError, EquipoiseError
from .circuit import Circuit
from .ngspice import Ngspice
from .parts import Parts

__all__ = ["LiveCircuit", "serve"]

Array = NDArray[np.float64]

STILL = 1e-5
"""Largest rate of a state, in volts a time constant, at which the circuit counts as settled."""

LOOK = 5.0
"""Time constants between two looks at the rates."""

PATIENCE = 500.0
"""Time constants after which a phase ends even if it has not settled."""

POINTS = 20_000
"""Points in time after which the simulation begins again from its last states, so that memory stays bounded."""


class LiveCircuit:
    """A circuit in ngspice that is never reset unless asked: each phase goes on where the last one ended.

    Parameters
    ----------
    limits, parts, noise
        As those of :class:`~.circuit.Circuit`.
    """

    def __init__(self, limits: Limits, parts: Parts, noise: float) -> None:
        self._limits = limits
        self._noisy = noise > 0
        self._circuit = Circuit(limits, parts, noise)
        self._spice = Ngspice(self._circuit.netlist())
        zeros = np.zeros((limits.neurons, limits.channels))
        nothing = np.zeros(limits.neurons, dtype=bool)
        self._begun = False
        self.wire(Wiring(zeros, zeros, nothing, nothing))

    def wire(self, wiring: Wiring) -> None:
        """Set weights and switches."""
        self._wiring = wiring
        self._tell(self._circuit.wire(wiring))

    def phase(self, drive: Drive) -> tuple[Array, bool]:
        """Run a phase; true states (N,) in volts, and whether it settled.

        A circuit with noise never stands still: it runs for ten looks and counts as settled.
        """
        self._tell(self._circuit.drive(self._wiring, drive))
        tau = self._limits.time_constant
        anew = self._begin(drive.restart)
        looks = 0
        while True:
            self._spice.run(LOOK * tau, anew=anew)
            anew, looks = False, looks + 1
            before, states = self._states(2)
            rate = np.abs(states - before).max() / float(np.diff(self._spice.last("time", 2))[0]) * tau
            settled = bool(rate < STILL) or (self._noisy and looks >= 10)
            if settled or looks * LOOK >= PATIENCE:
                return states, settled

    def record(self, drive: Drive, samples: int, interval: float) -> tuple[Array, Array]:
        """Start a phase; times (samples,) from its start, and true states (samples, N) at them."""
        from scipy.interpolate import CubicSpline  # noqa: PLC0415  # a second that few boards need

        self._tell(self._circuit.drive(self._wiring, drive))
        anew = self._begin(drive.restart)
        first = 0 if anew else self._spice.points - 1
        self._spice.run(samples * interval, anew=anew)
        count = self._spice.points - first
        passed = self._spice.last("time", count)
        times = np.arange(samples) * interval
        passed = passed if anew else passed - passed[0]
        # ngspice's first point of a run is a step after its start: hold it rather than extrapolate.
        return times, np.asarray(CubicSpline(passed, self._states(count))(np.maximum(times, passed[0])))

    def _begin(self, restart: bool) -> bool:
        """Prepare to start from 0 V or from where the circuit stands; whether the simulation must begin anew."""
        if self._begun and not restart and self._spice.points < POINTS:
            return False
        held = np.zeros(self._limits.neurons)
        if self._begun and not restart:
            held = np.array([self._spice.last(f"v(o{i})", 1)[0] for i in range(self._limits.neurons)])
        self._tell(self._circuit.hold(held))
        self._begun = True
        return True

    def _states(self, count: int) -> Array:
        """The last ``count`` states, (count, N)."""
        return np.stack([self._spice.last(f"v(s{i})", count) for i in range(self._limits.neurons)], axis=1)

    def _tell(self, commands: list[str]) -> None:
        for command in commands:
            self._spice.command(command)


def serve(pipe: Connection) -> None:
    """Make the circuit that the first message describes, and do what the others say, until the pipe is closed."""
    circuit: LiveCircuit | None = None
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        try:
            if circuit is None:
                circuit, value = LiveCircuit(*arguments), None
            else:
                value = getattr(circuit, name)(*arguments)
            pipe.send((True, value))
        except EquipoiseError as error:
            pipe.send((False, error))
        except Exception as error:  # the other side must hear of it rather than wait
            pipe.send((False, DeviceError(f"SPICE circuit failed ({type(error).__name__}: {error})")))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
