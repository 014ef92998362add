"""Instrument: one instrument on one wire, asked by one thread, with a deadline for everything."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from fnmatch import fnmatchcase
from typing import TypeVar

from ...substrate.errors import DeviceError, LinkError, MismatchError
from .board import BoardIdentity

__all__ = ["Instrument", "TimedOut", "Wire"]

_T = TypeVar("_T")

IDENTITY = "*IDN?"
"""The one query that every instrument has to know (IEEE 488.2)."""

NO_ERROR = "0"
"""Number of the entry by which an empty error queue answers."""

ERRORS_DRAINED = 100
"""Most entries taken from an error queue: an instrument that says more says the same thing for ever."""

HANGING = 5.0
"""Seconds beyond its deadline after which a call into a wire's library is given up."""


class TimedOut(Exception):
    """No whole answer came by the deadline; ``part`` is what came of it."""

    def __init__(self, part: str = "") -> None:
        super().__init__(part)
        self.part = part


class Wire(ABC):
    """What carries lines of text to an instrument and back. Not safe for two threads."""

    description: str
    """What errors call it, such as ``visa:TCPIP::...``."""

    @abstractmethod
    def send(self, message: str) -> None:
        """Send one message; the wire adds the terminator.

        Raises
        ------
        LinkError
            If the instrument does not take it, or is gone.
        """

    @abstractmethod
    def receive(self, seconds: float) -> str:
        """The next line, without its terminator.

        Raises
        ------
        TimedOut
            If none comes in time.
        LinkError
            If the instrument is gone, or sends what is not text.
        """

    def clear(self) -> None:
        """Clear the session after a timeout, where a wire has something to clear: streams of bytes have not."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Release the wire. May be called twice."""


class Instrument:
    """An instrument that answers lines.

    After a timeout the answer may still come, and would be taken for that of the next query. So before anything else is
    asked, ``*IDN?`` is sent, and what comes before its answer is dropped.

    Parameters
    ----------
    wire
        What it hangs on; closed with it.
    join
        What separates commands of one message, see :class:`~.profile.Link`.
    timeout
        Seconds for an answer.
    error
        Query of the error queue; empty if it has none.
    """

    def __init__(self, wire: Wire, *, join: str = ";", timeout: float = 2.0, error: str = "") -> None:
        self._wire, self._join, self._timeout, self._error = wire, join, timeout, error
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon, as none of an executor is: a library that hangs must not keep the program from ending.
        threading.Thread(target=self._serve, name=wire.description, daemon=True).start()
        self._closed = False
        self._stale = False
        self._unanswered = 0  # *IDN? that were sent to find the end of late answers
        self._idn = ""
        self._lost = ""
        self.counters: dict[str, int | float] = {
            "messages": 0,
            "timeouts": 0,
            "late_answers": 0,
            "instrument_errors": 0,
        }

    @property
    def description(self) -> str:
        """What errors call it."""
        return self._wire.description

    def identify(self, pattern: str = "*") -> BoardIdentity:
        """Ask who it is: opening a port that nobody answers at succeeds, so this is what finds out.

        Raises
        ------
        DeviceError
            If it does not answer, or answers nonsense.
        MismatchError
            If it is another instrument than ``pattern`` says.
        """
        return self._call(self._identify, self._timeout, pattern)

    def ask(self, commands: list[str], answers: int = 0, timeout: float | None = None) -> list[str]:
        """Send ``commands`` as one message, and return the ``answers`` to its queries.

        Raises
        ------
        DeviceError
            If the answers do not come, are too few or too many, or the instrument reports an error.
        """
        limit = self._timeout if timeout is None else timeout
        return self._call(self._ask, limit + 3 * self._timeout, commands, answers, limit)

    def errors(self) -> list[str]:
        """What the instrument's error queue holds; empties it."""
        return self._call(self._drain, 10 * self._timeout)

    def close(self) -> None:
        """Close the wire. May be called twice."""
        self._closed = True
        self._work.put(None)
        self._wire.close()

    def _serve(self) -> None:
        """What the instrument's thread does."""
        while (work := self._work.get()) is not None:
            work()

    def _call(self, function: Callable[..., _T], deadline: float, *arguments: object) -> _T:
        """Have the instrument's thread do it. A library that hangs costs this instrument, not the program."""
        if self._lost:
            raise LinkError(self._lost)
        if self._closed:
            raise DeviceError(f"{self.description} is closed: open it again")
        answer: Future[_T] = Future()

        def work() -> None:
            try:
                answer.set_result(function(*arguments))
            except BaseException as error:
                answer.set_exception(error)

        self._work.put(work)
        try:
            return answer.result(deadline + HANGING)
        except FutureTimeout:
            self._lost = (
                f"{self.description} takes nothing for {deadline + HANGING:g} s: switch it off and on, open it again"
            )
            raise LinkError(self._lost) from None

    def _identify(self, pattern: str) -> BoardIdentity:
        self._wire.send(IDENTITY)
        try:
            answer = self._wire.receive(self._timeout)
        except TimedOut as error:
            self.counters["timeouts"] += 1
            self._stale = True
            raise DeviceError(
                f"{self.description} does not answer {IDENTITY} within {self._timeout:g} s{_part(error)}: "
                "check power, cable, address and terminator"
            ) from None
        fields = [part.strip() for part in answer.split(",")]
        if len(fields) != 4 or not all(fields[:2]):
            raise DeviceError(
                f"{self.description} answers {IDENTITY} with '{_short(answer)}', not 'maker,model,serial,firmware': "
                "this is not an instrument, or its baud rate or terminator is another"
            )
        if not fnmatchcase(answer.strip(), pattern):
            raise MismatchError(
                f"{self.description} is '{_short(answer)}', the profile is for '{pattern}': "
                "give the address of that board, or the profile of this one"
            )
        self._idn = answer
        return BoardIdentity(*fields)

    def _ask(self, commands: list[str], answers: int, timeout: float) -> list[str]:
        self._synchronise()
        self.counters["messages"] += 1
        self._wire.send(self._join.join(commands))
        found: list[str] = []
        deadline = time.monotonic() + timeout
        lines = answers if self._join == "\n" else min(answers, 1)
        try:
            for _ in range(lines):
                line = self._wire.receive(max(deadline - time.monotonic(), 0.0))
                found += [line] if self._join == "\n" else line.split(";")
        except TimedOut as error:
            self.counters["timeouts"] += 1
            self._stale = True
            raise LinkError(
                f"{self.description} did not answer '{_short(commands[-answers])}' within {timeout:g} s{_part(error)}"
                f"{self._reason()}"
            ) from None
        if len(found) != answers:
            self._stale = True
            raise DeviceError(
                f"{self.description} gave {len(found)} answers to {answers} queries ('{_short(';'.join(found))}')"
                f"{self._reason()}"
            )
        return found

    def _reason(self) -> str:
        """What the instrument itself says of a failure, as far as it can be asked."""
        with contextlib.suppress(DeviceError):
            if said := self._drain():
                return f"; it reports {', '.join(said)}"
        return ": check that the profile is for this board"

    def _drain(self) -> list[str]:
        found: list[str] = []
        if not self._error:
            return found
        self._synchronise()
        for _ in range(ERRORS_DRAINED):
            self._wire.send(self._error)
            try:
                entry = self._wire.receive(self._timeout).strip()
            except TimedOut:
                self.counters["timeouts"] += 1
                self._stale = True
                raise LinkError(
                    f"{self.description} did not answer '{self._error}' within {self._timeout:g} s"
                ) from None
            if entry.partition(",")[0].lstrip("+-") == NO_ERROR:
                break
            found.append(_short(entry))
        self.counters["instrument_errors"] += len(found)
        return found

    def _synchronise(self) -> None:
        """After a timeout: drop answers until the one to a question asked now."""
        if not self._stale:
            return
        self._wire.clear()
        self._wire.send(IDENTITY)
        self._unanswered += 1
        deadline, found = time.monotonic() + self._timeout, 0
        try:
            # One that was busy answers those of earlier attempts as well.
            while found < self._unanswered:
                if self._wire.receive(max(deadline - time.monotonic(), 0.0)) == self._idn:
                    found += 1
                else:
                    self.counters["late_answers"] += 1
        except TimedOut:
            if not found:
                raise LinkError(
                    f"{self.description} no longer answers {IDENTITY}: switch it off and on, then open it again"
                ) from None
        self._stale, self._unanswered = False, 0


def _part(error: TimedOut) -> str:
    return f" ('{_short(error.part)}' came of it, without terminator)" if error.part else ""


def _short(text: str) -> str:
    """``text`` on one line, cut to a length that a message can hold."""
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."
