"""ScpiBoard: an analog board that understands lines of text, as its profile says: over VISA, or plain lines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...substrate.errors import CapabilityError, DeviceError, EquipoiseError
from .answers import read_flag, read_numbers, write_number
from .board import (
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
from .instrument import Instrument, Wire
from .profile import MAIN, Command, Profile, Wait
from .profile_file import read_profile
from .serial_lines import SerialLines
from .told import Told
from .visa import VisaWire

__all__ = ["ScpiBoard", "open_serial_board", "open_visa_board"]

Array = NDArray[np.float64]

POWER_ON = 128
"""Bit of the standard event status register (IEEE 488.2) that says that an instrument was switched on since."""

AGREEING = 3
"""Fewest readings of a board that does not know whether it has settled."""


def open_visa_board(resource: str, profile: Path = Path("reference")) -> ScpiBoard:
    """Open the board at a VISA resource; ``profile`` is a file, or a shipped one's name (the reference board's)."""
    return _open(read_profile(profile), lambda link: VisaWire(resource, link.baud, link.terminator))


def open_serial_board(port: str, profile: Path, baud: int | None = None) -> ScpiBoard:
    """Open the board at a serial port, without VISA; ``baud`` in place of the profile's."""
    return _open(read_profile(profile), lambda link: SerialLines(port, baud or link.baud, link.terminator))


def _open(profile: Profile, wire: Callable[..., Wire]) -> ScpiBoard:
    instruments: dict[str, Instrument] = {}
    try:
        for name, resource in {MAIN: "", **profile.instruments}.items():
            link = profile.link
            opened = VisaWire(resource, link.baud, link.terminator) if resource else wire(link)
            error = profile.commands.get("error")
            instruments[name] = Instrument(
                opened, join=link.join, timeout=link.timeout, error=error.send if error else ""
            )
        return ScpiBoard(profile, instruments)
    except EquipoiseError:
        for instrument in instruments.values():
            instrument.close()
        raise


class ScpiBoard(AnalogBoard):
    """A board behind one or several instruments.

    Of what a phase is run with, only what has changed is sent, and all of it to an instrument in one message, together
    with the queries for the answers and for errors.

    Parameters
    ----------
    profile
        What it is and understands.
    instruments
        By the names of the profile; ``board`` is the one at the address. Closed with the board.

    Raises
    ------
    DeviceError
        If an instrument does not answer, or answers nonsense.
    MismatchError
        If the board is another one than the profile is for.
    """

    def __init__(self, profile: Profile, instruments: dict[str, Instrument]) -> None:
        self._profile, self._instruments = profile, instruments
        self._told = Told(profile)
        self._wiring: Wiring | None = None
        self._lost = False
        self._counters: dict[str, int | float] = {"phases": 0, "records": 0, "unsettled": 0, "overloads": 0}
        for name, instrument in instruments.items():
            found = instrument.identify(profile.idn if name == MAIN else "*")
            if name == MAIN:
                self._identity = found
            instrument.errors()  # those of whoever used it before
            if (status := profile.commands.get("status")) is not None:
                instrument.ask([status.send], 1)  # that it was switched on is no news yet
        self._limits = self._sizes(profile.limits)
        self._clamped = np.zeros(self._limits.neurons, dtype=bool)

    @property
    def identity(self) -> BoardIdentity:
        """What it answered when asked."""
        return self._identity

    @property
    def limits(self) -> Limits:
        """Those of the profile, with the sizes that the board tells if it is asked."""
        return self._limits

    def wire(self, wiring: Wiring) -> None:
        """Set weights and switches."""
        check_wiring(self._limits, wiring)
        self._wiring, self._clamped = wiring, wiring.clamped.copy()
        self._exchange(self._told.wiring(wiring))
        self._lost = False

    def phase(self, drive: Drive) -> Reading:
        """Run a phase until the board says that it has settled, or until readings agree."""
        check_drive(self._limits, drive)
        self._recover()
        self._counters["phases"] += 1
        restart = self._restart(drive)
        answers, settled = self._run([*self._told.drive(drive), *restart, *self._told.plain("start")])
        self._counters["unsettled"] += not settled
        return self._reading(answers, settled, self._more(drive.averages))

    def record(self, drive: Drive, samples: int, interval: float) -> Trace:
        """Start a phase and read all neurons at equal times, if the board can."""
        command = self._need("record", "record in time")
        check_drive(self._limits, drive)
        self._recover()
        restart = self._restart(drive)
        before = [*self._told.drive(drive), *restart]
        query = command.send.format(samples=samples, interval=write_number(interval))
        limit = self._profile.settle.limit + samples * interval
        answer = self._exchange(before, ["record"], timeout=limit, texts={"record": query})["record"]
        volts = self._numbers(answer, samples * self._limits.neurons, "record")
        self._counters["records"] += 1
        if not np.all(np.isfinite(volts)):
            raise DeviceError(f"{self._name(command)} recorded what is beyond its range: lower biases or weights")
        return Trace(np.arange(samples, dtype=np.float64) * interval, volts.reshape(samples, -1))

    def reference(self, volts: float, averages: int = 1) -> Reading:
        """Read a reference in place of the neurons, if the board has any."""
        command = self._need("reference", "read references")
        if volts not in self._limits.references:
            known = ", ".join(f"{known:g}" for known in self._limits.references)
            raise CapabilityError(f"References of this board are {known} V, not {volts:g}")
        texts = {"reference": command.send.format(value=write_number(command.scale * volts + command.offset))}
        settings = self._told.value("averages", averages)
        readings = [
            self._numbers(
                self._exchange(settings, ["reference"], texts=texts)["reference"], self._limits.neurons, "reference"
            )
            for _ in range(1 if "averages" in self._profile.commands else averages)
        ]
        return self._judge(np.mean(readings, axis=0), None, True)

    def sensors(self) -> Sensors:
        """Ask for temperature and supply, as far as the profile has queries for them."""
        if not (names := [name for name in ("temperature", "supply") if name in self._profile.commands]):
            return Sensors()
        answers = self._exchange([], names)
        found = {name: float(self._numbers(answers[name], 1, name)[0]) for name in names}
        for name, value in found.items():
            if not np.isfinite(value):
                raise DeviceError(f"{self._main} answers '{name}' with an overload: check its sensor")
        return Sensors(**found)

    def counters(self) -> dict[str, int | float]:
        """Phases and their faults; messages and faults of all instruments."""
        total = dict(self._counters)
        for instrument in self._instruments.values():
            for name, value in instrument.counters.items():
                total[name] = total.get(name, 0) + value
        return total

    def close(self) -> None:
        """Close all instruments."""
        for instrument in self._instruments.values():
            instrument.close()

    def _sizes(self, limits: Limits) -> Limits:
        """``limits`` with the sizes that the board tells."""
        if "sizes" not in self._profile.commands:
            return limits
        answer = self._exchange([], ["sizes"])["sizes"]
        if not (sizes := re.fullmatch(r"\s*\+?(\d{1,4})\s*,\s*\+?(\d{1,4})\s*", answer)) or "0" in sizes.groups():
            raise DeviceError(f"{self._main} tells sizes '{answer}', not its numbers of neurons and channels")
        return replace(limits, neurons=int(sizes[1]), channels=int(sizes[2]))

    @property
    def _main(self) -> str:
        return self._instruments[MAIN].description

    def _name(self, command: Command) -> str:
        return self._instruments[command.to].description

    def _need(self, name: str, what: str) -> Command:
        if name not in self._profile.commands:
            raise CapabilityError(f"This board cannot {what}: profile '{self._profile.source}' has no command '{name}'")
        return self._profile.commands[name]

    def _recover(self) -> None:
        """Set weights and switches again if an instrument may have lost them."""
        if self._lost and self._wiring is not None:
            self.wire(self._wiring)

    # Messages

    def _exchange(
        self,
        settings: Sequence[tuple[str, str]],
        queries: Sequence[str] = (),
        *,
        timeout: float = 0.0,
        texts: dict[str, str] | None = None,
    ) -> dict[str, str]:
        """Send ``settings``, then ask ``queries`` by name; one message an instrument, the one that sets first."""
        commands = self._profile.commands
        found: dict[str, str] = {}
        error, status = commands.get("error"), commands.get("status")
        targets = dict.fromkeys([*(to for to, _ in settings), *(commands[name].to for name in queries)])
        try:
            for target in targets:
                lines = [text for to, text in settings if to == target]
                names = [name for name in queries if commands[name].to == target]
                lines += [(texts or {}).get(name, commands[name].send) for name in names]
                if error is not None:
                    lines.append(error.send)
                    names.append("error")
                if status is not None:
                    lines.append(status.send)
                    names.append("status")
                limit = timeout + self._profile.link.timeout
                answers = dict(zip(names, self._instruments[target].ask(lines, len(names), limit), strict=True))
                self._check_power(target, answers.pop("status", "0"))
                self._check(target, answers.pop("error", "0"))
                found |= answers
        except EquipoiseError:
            self._told.forget()
            self._lost = True
            raise
        return found

    def _check(self, target: str, error: str) -> None:
        """Raise if an instrument reports an error, with all that it has to report."""
        if error.strip().partition(",")[0].lstrip("+-") == "0":
            return
        instrument = self._instruments[target]
        instrument.counters["instrument_errors"] += 1
        said = ", ".join([error.strip(), *instrument.errors()])
        raise DeviceError(f"{instrument.description} reports {said}: check the profile's commands and limits")

    def _check_power(self, target: str, status: str) -> None:
        """Raise if an instrument was switched off and on: it has lost what it was told, and answers all the same."""
        instrument = self._instruments[target]
        if not re.fullmatch(r"\s*\+?\d{1,5}\s*", status):
            raise DeviceError(
                f"{instrument.description} answers 'status' with '{status[:40]}', not the number of a register"
            )
        if int(status) & POWER_ON:
            raise DeviceError(
                f"{instrument.description} was switched off and on, and has lost its settings: "
                "check its power, then begin again, or resume the run"
            )

    # Running

    def _restart(self, drive: Drive) -> list[tuple[str, str]]:
        """What brings neurons to 0 V if ``drive`` asks for it, or releases them where they have just been brought."""
        if not drive.restart:
            return []
        if "restart" in self._profile.commands:
            return self._told.plain("restart")
        everywhere = np.ones(self._limits.neurons, dtype=bool)
        held = replace(drive, clamp=np.zeros(self._limits.neurons), nudge=0.0)
        before = [*self._told.drive(held), *self._told.clamped(everywhere), *self._told.plain("start")]
        if not self._run(before)[1]:
            raise DeviceError(f"{self._main} did not settle at 0 V with all neurons clamped: check its switches")
        return self._told.clamped(self._clamped)

    def _run(self, before: list[tuple[str, str]]) -> tuple[dict[str, str], bool]:
        """Send ``before`` and wait; the answers to all that is read, and whether the board settled."""
        settle = self._profile.settle
        if settle.wait is Wait.ANSWER:
            answers = self._exchange(before, ["settled", *self._reads()], timeout=settle.limit)
            return answers, self._flag(answers["settled"])
        if settle.wait is Wait.POLL:
            settled = self._poll(before)
            return self._exchange([], self._reads()), settled
        return self._repeat(before)

    def _more(self, averages: int) -> list[Array]:
        """Further readings to average here, where the board has no command for it."""
        if "averages" in self._profile.commands:
            return []
        neurons = self._limits.neurons
        return [self._numbers(self._exchange([], ["read"])["read"], neurons, "read") for _ in range(averages - 1)]

    def _poll(self, before: list[tuple[str, str]]) -> bool:
        settle = self._profile.settle
        deadline = time.monotonic() + settle.limit
        self._exchange(before)
        while not self._flag(self._exchange([], ["settled"])["settled"]):
            if time.monotonic() >= deadline:
                return False
            time.sleep(settle.interval)
        return True

    def _repeat(self, before: list[tuple[str, str]]) -> tuple[dict[str, str], bool]:
        settle = self._profile.settle
        deadline = time.monotonic() + settle.limit
        self._exchange(before)
        last, same = None, 1
        while True:
            time.sleep(settle.interval)
            answers = self._exchange([], self._reads())
            volts = self._numbers(answers["read"], self._limits.neurons, "read")
            agrees = last is not None and bool(np.all(np.abs(volts - last) <= settle.tolerance))
            last, same = volts, same + 1 if agrees else 1
            if same >= AGREEING or not np.all(np.isfinite(volts)):
                return answers, True
            if time.monotonic() >= deadline:
                return answers, False

    # What is read

    def _reads(self) -> list[str]:
        return [name for name in ("read", "overload") if name in self._profile.commands]

    def _reading(self, answers: dict[str, str], settled: bool, more: list[Array]) -> Reading:
        neurons, overload = self._limits.neurons, None
        volts = np.mean([self._numbers(answers["read"], neurons, "read"), *more], axis=0)
        if "overload" in answers:
            flags = self._numbers(answers["overload"], neurons, "overload")
            if not set(flags) <= {0.0, 1.0}:
                raise DeviceError(f"{self._main} answers 'overload' with '{answers['overload']}', not 0 or 1 a neuron")
            overload = flags == 1
        return self._judge(volts, overload, settled)

    def _judge(self, volts: Array, overload: NDArray[np.bool_] | None, settled: bool) -> Reading:
        over = ~np.isfinite(volts)
        if overload is not None:
            over |= overload
        self._counters["overloads"] += bool(over.any())
        held = np.clip(volts, -self._limits.volts, self._limits.volts) if over.any() else volts
        return Reading(held, over, settled)

    def _numbers(self, answer: str, count: int, name: str) -> Array:
        command = self._profile.commands[name]
        return read_numbers(answer, command, count, name, self._name(command))

    def _flag(self, answer: str) -> bool:
        return read_flag(answer, self._name(self._profile.commands["settled"]))
