"""A session with a device: requests go out without waiting, answers come back in order, losses are made good."""

from __future__ import annotations

import secrets
import struct
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..substrate.errors import DeviceError, LinkError, MismatchError, ResetError
from ..substrate.formats import COMPACT, FORMATS
from ..substrate.protocol import MAP_HASH, VERSION, Hello, Operation, Status
from .framing import Decoder, Frame, encode_frame
from .requests import ANSWER_BYTES, Request, join_words, read_requests, write_requests
from .transport import Transport
from .window import Window

__all__ = ["DEADLINE", "RETRIES", "Answer", "Counters", "Session"]

DEADLINE = 1.0
"""Longest wait in seconds for an answer, beyond what the request itself may take, before it is asked for again."""

RETRIES = 12
"""How often a lost request is sent again: where one frame in ten is damaged each way, all are lost once in 10**9."""

_SHORTEST = 0.05
"""Shortest wait in seconds: what an operating system may keep a program, or a USB bridge a byte, waiting."""

_MARGIN = 4
"""A wait is at first so many times the longest pause between answers seen lately; it doubles with every loss."""

_FADE = 0.95
"""What is left of a pause seen, with every answer that comes sooner."""


_LONGEST_REASON = 200
"""Bytes of a refusal that are shown."""

_GREETING = struct.Struct("<BB8s")
"""What every version's HELLO begins with: version, oldest version served, map hash."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, its payload, and the instant of :func:`time.monotonic` at which it was here."""

    status: Status
    payload: bytes
    at: float


@dataclass(slots=True)
class Counters:
    """What a session has counted since it was opened.

    Attributes
    ----------
    requests, answers
        Frames sent, repetitions included; frames received.
    retries
        Frames sent again.
    timeouts
        Deadlines that passed without an answer.
    crc_errors, framing_errors
        Damaged frames received.
    bytes_sent, bytes_received
        Bytes each way.
    """

    requests: int = 0
    answers: int = 0
    retries: int = 0
    timeouts: int = 0
    crc_errors: int = 0
    framing_errors: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Session:
    """A session with the device behind ``transport``, which it owns from here on. For one thread at a time.

    After an error the session is over, as nobody knows what the device still has to come: open the device again.

    Parameters
    ----------
    transport
        The wire.
    deadline, retries
        How long to wait for an answer at most, and how often to repeat a lost request.

    Attributes
    ----------
    address
        What errors name.
    hello
        What the device is.

    Raises
    ------
    LinkError
        If nobody answers.
    MismatchError
        If the device speaks another protocol version, or has another register map or number formats.
    """

    def __init__(self, transport: Transport, deadline: float = DEADLINE, retries: int = RETRIES) -> None:
        self.address = transport.description
        self._transport = transport
        self._deadline = deadline
        self._retries = retries
        self._decoder = Decoder(ANSWER_BYTES)
        self._counters = Counters()
        # A start at random: answers to an earlier session, still on the wire, are not taken for ours.
        self._sequence = secrets.randbelow(2**16)
        self._buffer = 0
        self._over = False
        self._pause = deadline / _MARGIN**2
        self._strange = 0
        try:
            hello = Request(Operation.HELLO, secrets.token_bytes(4), "HELLO", expects=None)
            (answer,) = self._exchange([hello])
            self.hello = self._greet(answer.payload)
        except BaseException:
            self.close()
            raise
        self._buffer = self.hello.buffer

    def burst(self, requests: Sequence[Request]) -> list[Answer]:
        """Send ``requests`` without waiting for answers, as far as the device's buffer goes: one round trip.

        Raises
        ------
        DeviceError
            If the device refused a request, follows another session, or answered nonsense.
        LinkError
            If the wire failed for longer than the retries could cover.
        ResetError
            If the device was reset since it was opened.
        """
        if self._over:
            raise DeviceError(f"{self.address} is closed after an error or by the caller: open it again")
        return self._exchange(requests)

    def read(self, space: str, row: int = 0, count: int = 1) -> NDArray[Any]:
        """Read ``count`` rows of ``space``: (count, words of a row), or (count,) where a row is a single word."""
        answers = self.burst(read_requests(space, row, count, self.hello.geometry))
        return join_words(space, [answer.payload for answer in answers], self.hello.geometry)

    def write(self, space: str, row: int, words: ArrayLike) -> None:
        """Write ``words`` to ``space`` from ``row`` on."""
        self.burst(write_requests(space, row, words, self.hello.geometry))

    @property
    def open(self) -> bool:
        """Whether it can still be used: not after an error on the wire, or when it was closed."""
        return not self._over

    @property
    def counters(self) -> dict[str, int]:
        """What the host has counted, by the names of :class:`Counters`."""
        self._counters.crc_errors = self._decoder.crc_errors
        self._counters.framing_errors = self._decoder.framing_errors
        return asdict(self._counters)

    def close(self) -> None:
        """End the session and close the transport. May be called twice."""
        self._over = True
        self._transport.close()

    def _exchange(self, requests: Sequence[Request]) -> list[Answer]:
        frames = [
            encode_frame(request.operation, (self._sequence + index) % 2**16, request.payload)
            for index, request in enumerate(requests)
        ]
        window = Window(frames, self._sequence, self._buffer, [request.mutates for request in requests])
        self._sequence = (self._sequence + len(frames)) % 2**16
        answers: dict[int, Answer] = {}
        try:
            self._complete(window, requests, answers)
        except BaseException:
            self._over = True
            raise
        finally:
            self._counters.retries += window.resent
        for index, request in enumerate(requests):
            if answers[index].status not in (Status.OK, Status.REPLAYED, Status.ABANDONED):
                raise DeviceError(
                    f"{self.address} refused {request.what} with {answers[index].status.name}: host and gateware "
                    "disagree, rebuild the gateware with this version of Equipoise"
                )
        return [answers[index] for index in range(len(requests))]

    def _complete(self, window: Window, requests: Sequence[Request], answers: dict[int, Answer]) -> None:
        """Send and collect until every request has its answer."""
        lead = b"\0"  # ends what noise, or half a frame of a host that died, began
        since = 0.0
        while not window.done:
            if frames := window.frames_to_send():
                data = lead + b"".join(frames)
                lead = b""
                self._transport.send(data)
                self._counters.bytes_sent += len(data)
                self._counters.requests += len(frames)
                since = time.monotonic()
            request = requests[window.oldest]
            patience = self._patience(window.tries) + request.allowance
            fresh = self._collect(since + patience, window, requests)
            answers.update(fresh)
            if fresh:
                self._strange = 0
                now = time.monotonic()
                if not request.allowance:
                    self._pause = max(now - since, _FADE * self._pause)
                since = now
            elif time.monotonic() >= since + patience:
                self._counters.timeouts += 1
                lead = b"\0"
                window.expire()
            if window.tries > self._retries:
                raise LinkError(
                    f"{self.address} gave no good answer to {request.what}, sent {window.tries} times with a deadline "
                    f"of {self._deadline + request.allowance:g} s: check that it runs and its cable, then open it again"
                )

    def _patience(self, tries: int) -> float:
        """Seconds to wait for an answer that was lost so often: soon after what is usual, then twice as long each time.

        What is asked for too early costs a frame, and does no harm; the whole deadline for each loss at the end of a
        burst would cost a poor wire most of its speed.
        """
        return min(self._deadline, max(_SHORTEST, _MARGIN * self._pause) * 2.0**tries)

    def _collect(self, expiry: float, window: Window, requests: Sequence[Request]) -> dict[int, Answer]:
        """Receive once, and sort out which requests got their answer by it."""
        received = self._transport.receive(expiry)
        now = time.monotonic()
        self._counters.bytes_received += len(received)
        fresh = {}
        for frame in self._decoder.feed(received):
            self._counters.answers += 1
            index = window.find(frame.sequence)
            if index is None or frame.operation != requests[index].operation:
                continue  # belongs to an earlier burst or session
            status = self._check(frame, requests[index])
            if status is Status.OUT_OF_ORDER:
                self._refuse(frame, window, index)
            elif window.answer(index):
                fresh[index] = Answer(status, frame.payload, now)
        return fresh

    def _check(self, frame: Frame, request: Request) -> Status:
        """Status of an answer that ``request`` may have got."""
        try:
            status = Status(frame.status)
        except ValueError:
            raise DeviceError(
                f"{self.address} answered {request.what} with the unknown status {frame.status}"
            ) from None
        if status is Status.REFUSED:
            reason = frame.payload[:_LONGEST_REASON].decode(errors="replace")
            raise DeviceError(f"{self.address} turned this host away: {reason}")
        if status is Status.NO_SESSION:
            raise ResetError(
                f"{self.address} was reset before {request.what}: open it again, and configure and write it anew"
            )
        if status is Status.BAD_VERSION:
            raise self._foreign_version(frame.version, frame.version)
        if status is Status.OK and request.expects not in (None, len(frame.payload)):
            raise DeviceError(
                f"{self.address} answered {request.what} with {len(frame.payload)} bytes, not {request.expects}"
            )
        return status

    def _refuse(self, frame: Frame, window: Window, index: int) -> None:
        explained = len(frame.payload) == 2 and window.refuse(index, int.from_bytes(frame.payload, "little"))
        if explained or index != window.oldest:
            return
        self._strange += 1  # a refusal that was late, unless it comes again and again
        if self._strange > self._retries:
            raise DeviceError(
                f"{self.address} follows another session: another program has opened it; let only one use it at a time"
            )

    def _greet(self, payload: bytes) -> Hello:
        """Read the answer to HELLO; raise if host and device do not belong together."""
        if len(payload) < _GREETING.size:
            raise DeviceError(f"{self.address} answered HELLO with {len(payload)} bytes: it is no Equipoise device")
        version, oldest, map_hash = _GREETING.unpack_from(payload)
        if not oldest <= VERSION <= version:
            raise self._foreign_version(oldest, version)
        if map_hash != MAP_HASH:
            raise MismatchError(
                f"{self.address} has register map {map_hash.hex()}, this host {MAP_HASH.hex()}: "
                "rebuild the gateware with this version of Equipoise, or use the version that built it"
            )
        try:
            hello = Hello.unpack(payload)
        except ValueError as error:
            raise DeviceError(f"{self.address} answered HELLO with nonsense: {error}") from error
        formats = COMPACT if hello.geometry.compact else FORMATS
        for (name, theirs), (_, ours) in zip(hello.formats.pairs(), formats.pairs(), strict=True):
            if theirs != ours:
                raise MismatchError(
                    f"{self.address} keeps {name} in {theirs}, this host in {ours}: "
                    "rebuild the gateware with this version of Equipoise, or use the version that built it"
                )
        return hello

    def _foreign_version(self, oldest: int, version: int) -> MismatchError:
        theirs = f"version {version}" if oldest == version else f"versions {oldest} to {version}"
        remedy = "update this host" if oldest > VERSION else "rebuild the gateware with this version of Equipoise"
        return MismatchError(f"{self.address} speaks protocol {theirs}, this host version {VERSION}: {remedy}")
