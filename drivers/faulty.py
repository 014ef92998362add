"""A bad wire, on purpose: ``fault+ADDRESS?drop=0.01&flip=0.001&...`` is the device at ADDRESS behind one.

What is done to which frame is drawn from a seeded generator, and written down.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

from ..substrate.errors import DeviceError, LinkError
from .transport import Transport

__all__ = ["FAULTS", "LONGEST_DELAY", "Faults", "FaultyTransport", "Mischief"]

LONGEST_DELAY = 0.05
"""Longest delay of a frame in seconds."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Probability of each fault, from 0 to 1, for every frame on either way, and independent of the others.

    Attributes
    ----------
    drop
        The frame, or a byte of it, is lost.
    flip
        A bit of it is inverted.
    duplicate
        The frame, or a byte of it, comes twice.
    truncate
        The end of it is lost, its 0x00 included.
    delay
        It comes later, and all behind it: by up to ``LONGEST_DELAY``.
    reorder
        It comes after the next one on its way, or two bytes of it change places.
    merge
        Its 0x00 is lost, so that it is one with the next frame.
    cut
        The connection ends within it, for good.
    reset
        The device is reset when half of it has come. (Only on the way to the device, and where the wire can do so.)
    """

    drop: float = 0.0
    flip: float = 0.0
    duplicate: float = 0.0
    truncate: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    merge: float = 0.0
    cut: float = 0.0
    reset: float = 0.0

    def __post_init__(self) -> None:
        for name in FAULTS:
            rate = getattr(self, name)
            if not 0 <= rate <= 1:  # so that NaN is none
                raise DeviceError(f"Rate of the fault '{name}' must be from 0 to 1, not {rate:g}")


FAULTS = tuple(field.name for field in fields(Faults))
"""Names of all faults."""


class Mischief:
    """Draws faults, and writes them down. It goes on where it was when a device is opened again.

    Parameters
    ----------
    faults
        How often.
    seed
        Of what strikes where.
    log
        File for one JSON object a fault and line: seconds since the beginning, way, number of the frame on it,
        fault, and what exactly was done. An old one is replaced.
    only
        Which frames may be struck, by their bytes without the 0x00; None for all.

    Attributes
    ----------
    count
        Faults so far.

    Raises
    ------
    DeviceError
        If the log cannot be written.
    """

    def __init__(
        self, faults: Faults, seed: int = 0, log: Path | None = None, only: Callable[[bytes], bool] | None = None
    ) -> None:
        self.faults = faults
        self.random = random.Random(seed)
        self.count = 0
        self._only = only
        self._rates = {name: rate for name in FAULTS if (rate := getattr(faults, name))}
        self._began = time.monotonic()
        self._log: IO[str] | None = None
        if log is not None:
            try:
                self._log = log.open("w", buffering=1)
            except OSError as error:
                raise DeviceError(f"Log of faults {log} cannot be written ({error.strerror}): choose another") from None

    def strike(self, frame: bytes) -> list[str]:
        """The faults that this frame is to suffer."""
        if self._only is not None and not self._only(frame):
            return []
        return [name for name, rate in self._rates.items() if self.random.random() < rate]

    def note(self, way: str, number: int, fault: str, what: str) -> None:
        """Write down what was done to frame ``number`` on a way."""
        self.count += 1
        if self._log is not None:
            seconds = round(time.monotonic() - self._began, 6)
            record = {"seconds": seconds, "way": way, "frame": number, "fault": fault, "what": what}
            self._log.write(json.dumps(record) + "\n")


class FaultyTransport(Transport):
    """``transport``, which it owns from here on, with the faults that ``mischief`` draws.

    Raises
    ------
    DeviceError
        If the device is to be reset, and the transport cannot do that.
    """

    def __init__(self, transport: Transport, mischief: Mischief) -> None:
        self.description = f"fault+{transport.description}"
        if mischief.faults.reset and type(transport).reset is Transport.reset:
            transport.close()
            raise DeviceError(f"{self.description} cannot reset its device from here: leave out the fault 'reset'")
        self._transport = transport
        self._mischief = mischief
        self._to = _Way("to device", mischief)
        self._from = _Way("from device", mischief)
        self._cut = False

    def send(self, data: bytes) -> None:
        """Send ``data``, or what is left of it."""
        self._check()
        *frames, rest = data.split(b"\0")
        passed = bytearray()
        for frame in frames:
            arrival = self._to.carry(frame)
            passed += arrival.before
            if arrival.event is not None:
                self._transport.send(bytes(passed))
                passed.clear()
                self._suffer(arrival)
            passed += arrival.after
        if passed or rest:
            self._transport.send(bytes(passed) + rest)

    def receive(self, deadline: float) -> bytes:
        """Return what has arrived, or what is left of it, by ``deadline``."""
        while True:
            self._check()
            data = self._transport.receive(deadline)
            if not data:
                return b""
            passed = bytearray()
            for frame in self._from.split(data):
                arrival = self._from.carry(frame)
                passed += arrival.before
                if arrival.event is not None:
                    self._suffer(arrival)
                passed += arrival.after
            if passed:
                return bytes(passed)

    def reset(self) -> None:
        """Reset the device."""
        self._transport.reset()

    def close(self) -> None:
        """Close the transport."""
        self._transport.close()

    def _suffer(self, arrival: _Arrival) -> None:
        if arrival.event == "delay":
            time.sleep(arrival.seconds)
        elif arrival.event == "reset":
            self._transport.reset()
        else:
            self._cut = True
            self._transport.close()
            self._check()

    def _check(self) -> None:
        if self._cut:
            raise LinkError(f"{self.description} was cut, on purpose: open it again")


@dataclass(slots=True)
class _Arrival:
    """What comes of a frame: bytes, then perhaps something that happens to the whole wire, then more bytes."""

    before: bytes
    event: str | None = None
    after: bytes = b""
    seconds: float = 0.0


class _Way:
    """One way of a wire: frames that are carried along it, and one that may be held back."""

    def __init__(self, name: str, mischief: Mischief) -> None:
        self._name, self._mischief, self._random = name, mischief, mischief.random
        self._number = 0
        self._held = b""
        self._begun = b""

    def split(self, data: bytes) -> list[bytes]:
        """Whole frames in what has come, without their 0x00; the rest is kept until it is whole."""
        *frames, self._begun = (self._begun + data).split(b"\0")
        return frames

    def carry(self, frame: bytes) -> _Arrival:
        """Carry a frame, given without its 0x00."""
        if not frame:
            return _Arrival(b"\0")
        self._number += 1
        arrival, held = _Arrival(frame + b"\0"), self._held
        self._held = b""
        for fault in self._mischief.strike(frame):
            if fault == "reset" and self._name != "to device":
                continue
            if what := getattr(self, f"_{fault}")(arrival):
                self._mischief.note(self._name, self._number, fault, what)
        if arrival.event:
            arrival.after += held
        else:
            arrival.before += held
        return arrival

    # Each does its damage and says what it was; nothing if there was nothing left to damage.

    def _drop(self, arrival: _Arrival) -> str:
        if self._random.random() < 0.5:
            arrival.before = b""
            return "frame"
        place = self._place(arrival)
        arrival.before = arrival.before[:place] + arrival.before[place + 1 :]
        return f"byte {place}"

    def _flip(self, arrival: _Arrival) -> str:
        if not arrival.before:
            return ""
        place, bit = self._place(arrival), self._random.randrange(8)
        damaged = bytearray(arrival.before)
        damaged[place] ^= 1 << bit
        arrival.before = bytes(damaged)
        return f"byte {place}, bit {bit}"

    def _duplicate(self, arrival: _Arrival) -> str:
        if not arrival.before:
            return ""
        if self._random.random() < 0.5:
            arrival.before *= 2
            return "frame"
        place = self._place(arrival)
        arrival.before = arrival.before[: place + 1] + arrival.before[place:]
        return f"byte {place}"

    def _truncate(self, arrival: _Arrival) -> str:
        if not arrival.before:
            return ""
        place = self._place(arrival)
        arrival.before = arrival.before[:place]
        return f"from byte {place} on"

    def _delay(self, arrival: _Arrival) -> str:
        seconds = self._random.uniform(0.0, LONGEST_DELAY)
        arrival.event, arrival.before, arrival.after, arrival.seconds = "delay", b"", arrival.before, seconds
        return f"{1e3 * seconds:.1f} ms"

    def _reorder(self, arrival: _Arrival) -> str:
        bytes_left = len(arrival.before)
        if arrival.event or bytes_left < 2:
            return ""
        if self._random.random() < 0.5:
            self._held, arrival.before = arrival.before, b""
            return "frame"
        place = self._random.randrange(bytes_left - 1)
        damaged = bytearray(arrival.before)
        damaged[place : place + 2] = damaged[place + 1], damaged[place]
        arrival.before = bytes(damaged)
        return f"bytes {place} and {place + 1}"

    def _merge(self, arrival: _Arrival) -> str:
        if arrival.event or not arrival.before.endswith(b"\0"):
            return ""
        arrival.before = arrival.before[:-1]
        return "0x00"

    def _cut(self, arrival: _Arrival) -> str:
        return self._event("cut", arrival)

    def _reset(self, arrival: _Arrival) -> str:
        return self._event("reset", arrival)

    def _event(self, event: str, arrival: _Arrival) -> str:
        frame = arrival.before or arrival.after
        place = self._random.randrange(len(frame)) if frame else 0
        arrival.event, arrival.before, arrival.after = event, frame[:place], frame[place:]
        return f"at byte {place}"

    def _place(self, arrival: _Arrival) -> int:
        return self._random.randrange(len(arrival.before))
