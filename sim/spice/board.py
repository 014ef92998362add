"""SpiceBoard: the reference board as a circuit in ngspice, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ...drivers.analog.board import (
    AnalogBoard,
    BoardIdentity,
    Drive,
    Limits,
    Reading,
    Sensors,
    Trace,
    Wiring,
    check_drive,
    check_wiring,
)
from ...substrate.errors import CapabilityError, DeviceError, EquipoiseError
from ..nominal import CALIBRATED_AT, sensed, warmed
from .ngspice import find_ngspice
from .parts import Adc, Parts, board_limits

__all__ = ["CHANNELS", "MISMATCH_LIMIT", "NEURONS", "SpiceBoard"]

NEURONS, CHANNELS = 8, 4
"""Sizes unless others are asked for."""

MISMATCH_LIMIT = 0.2
"""Largest mismatch: with more, parts change sign."""

START = 60.0
"""Seconds that the process may take to come up."""

HOTTEST = 85.0
"""Temperature to which parts are sold (degrees Celsius), either side of 0."""

SUPPLY = 12.0
"""Voltage that the board is supplied with (V), behind regulators: no part heeds it."""

DEADLINE = 120.0
"""Seconds that one request may take: a phase of the largest circuit that never settles takes less."""


class SpiceBoard(AnalogBoard):
    """One board, drawn from a seed.

    Parameters
    ----------
    neurons, channels
        Sizes, 1 to 64 each.
    mismatch
        Standard deviation of its parts' values, as a fraction (0.03 is 3 %); offsets are a tenth of it in volts. 0 is
        a perfect board, but for the steps and the noise of its readout.
    seed
        Which board.
    noise
        Noise of each neuron (V), see :class:`~.circuit.Circuit`; slow.
    temperature
        Of all parts (degrees Celsius): what it does to each is drawn from the seed. The same board at another one has
        the same serial number.

    Raises
    ------
    CapabilityError
        If a value is out of range.
    ToolError
        If ngspice is not installed.
    DeviceError
        If it does not start.
    """

    def __init__(
        self,
        *,
        neurons: int = NEURONS,
        channels: int = CHANNELS,
        mismatch: float = 0.0,
        seed: int = 0,
        noise: float = 0.0,
        temperature: float = CALIBRATED_AT,
    ) -> None:
        self._limits = board_limits(neurons, channels)
        if not 0 <= mismatch <= MISMATCH_LIMIT:
            raise CapabilityError(
                f"Mismatch of a SPICE board must be a fraction from 0 to {MISMATCH_LIMIT:g}, not {mismatch:g}"
            )
        if seed < 0:
            raise CapabilityError(f"Seed of a SPICE board must be at least 0, not {seed}")
        if not 0 <= noise <= self._limits.volts:
            raise CapabilityError(f"Noise of a SPICE board must be from 0 to {self._limits.volts:g} V, not {noise:g}")
        if not -HOTTEST <= temperature <= HOTTEST:
            raise CapabilityError(
                f"Temperature of a SPICE board must be within +-{HOTTEST:g} degrees Celsius, not {temperature:g}"
            )
        find_ngspice()
        self._temperature = temperature
        self._identity = BoardIdentity(
            "Equipoise", "SPICE board", f"{neurons}x{channels}-mismatch{mismatch:g}-noise{noise:g}-seed{seed}", "1"
        )
        self._adc = Adc(self._limits, mismatch, seed, temperature)
        self._counters: dict[str, int | float] = {"phases": 0, "records": 0, "unsettled": 0, "overloads": 0}
        self._pipe, self._process, self._said = _start()
        self._opened = True
        try:
            parts = warmed(Parts.draw(neurons, channels, mismatch, seed), mismatch, seed, temperature)
            self._ask("", START, self._limits, parts, noise)
        except EquipoiseError:
            self.close()
            raise

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
        self._ask("wire", DEADLINE, wiring)

    def phase(self, drive: Drive) -> Reading:
        """Run a phase until no state moves by more than 10 uV a time constant, or for 500 time constants."""
        check_drive(self._limits, drive)
        states, settled = self._ask("phase", DEADLINE, drive)
        self._counters["phases"] += 1
        self._counters["unsettled"] += not settled
        return self._read(states, drive.averages, settled)

    def record(self, drive: Drive, samples: int, interval: float) -> Trace:
        """Start a phase and read all neurons at equal times."""
        check_drive(self._limits, drive)
        if samples < 1 or not 0 < samples * interval <= 1.0:
            raise CapabilityError(
                f"A record must have at least 1 sample and take at most 1 s, not {samples} at {interval:g} s"
            )
        times, states = self._ask("record", DEADLINE, drive, samples, interval)
        self._counters["records"] += 1
        return Trace(times, self._adc.read(states)[0])

    def reference(self, volts: float, averages: int = 1) -> Reading:
        """Read a reference on all channels of the readout."""
        if volts not in self._limits.references:
            known = ", ".join(f"{known:g}" for known in self._limits.references)
            raise CapabilityError(f"References of this board are {known} V, not {volts:g}")
        return self._read(np.full(self._limits.neurons, volts), averages, settled=True)

    def sensors(self) -> Sensors:
        """Temperature and supply."""
        return Sensors(sensed(self._temperature), SUPPLY)

    def counters(self) -> dict[str, int | float]:
        """Phases, records, phases that did not settle, and readings with an overload."""
        return dict(self._counters)

    def close(self) -> None:
        """End the process."""
        self._opened = False
        self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        self._process.kill()
        self._process.wait()
        self._said.close()

    def _read(self, states: Any, averages: int, settled: bool) -> Reading:
        volts, overload = self._adc.read(states, averages)
        self._counters["overloads"] += bool(overload.any())
        return Reading(volts, overload, settled)

    def _ask(self, name: str, deadline: float, *arguments: object) -> Any:
        if not self._opened:
            raise DeviceError("The SPICE board is closed: open it again")
        try:
            self._pipe.send((name, arguments))
            if not self._pipe.poll(deadline):
                self.close()
                raise DeviceError(f"ngspice did not answer within {deadline:g} s and was ended: take a smaller board")
            done, value = self._pipe.recv()
        except (OSError, EOFError) as error:
            raise self._gone() from error
        if not done:
            raise value
        return value

    def _gone(self) -> DeviceError:
        """The error for a process that ended by itself."""
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        self.close()
        return DeviceError(f"ngspice's process ended (exit code {code}, it last said: {last}): open the board again")


def _start() -> tuple[Connection, subprocess.Popen[bytes], Any]:
    """Start the process; the pipe to it, and the file that takes what it prints."""
    ours, theirs = socket.socketpair()
    said = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the board
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "equipoise.sim.spice.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who then end it
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    return Connection(ours.detach()), process, said
