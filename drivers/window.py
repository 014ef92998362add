"""The window of requests under way: what to send next, which answer belongs to which request, and what was lost.

Pure bookkeeping without a wire or a clock, so that every loss can be played through. The rule of the device is in
``docs/link.md``: it executes requests in order, and refuses one that comes before its predecessor.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Sequence

__all__ = ["Window"]

_SPAN = 2**14
"""Most requests unanswered at once: well below the 2**15 in which old and new sequence numbers can be told apart."""


class Window:
    """Frames of one burst, numbered from 0 here and from ``first`` on the wire.

    A request is either not sent yet, in flight, to be sent again, or answered. As the wire keeps the order, an
    answer shows that the device is done with all that was sent before that request: those that are still
    unanswered then were lost on the way there or back, and are sent again without waiting for a deadline.

    Parameters
    ----------
    frames
        Encoded frames, in order.
    first
        Sequence number of frames[0].
    buffer
        Bytes that the device can take in: no more are in flight at a time (but always one frame).
    mutates
        For each frame, whether it changes what earlier ones read. A repeated read is answered anew, so
        such a frame waits until all reads before it are answered.

    Attributes
    ----------
    oldest
        The oldest unanswered request; len(frames) when all are answered.
    tries
        How often the oldest request was lost since it is the oldest.
    resent
        Frames sent again.
    """

    def __init__(self, frames: Sequence[bytes], first: int, buffer: int, mutates: Sequence[bool]) -> None:
        self.oldest = 0
        self.tries = 0
        self.resent = 0
        self._frames = frames
        self._first = first
        self._buffer = buffer
        self._waits_for = _last_reads(mutates)
        self._answered = [False] * len(frames)
        self._unsent = 0
        self._again: list[int] = []
        self._flight: deque[int] = deque()
        self._flight_bytes = 0

    @property
    def done(self) -> bool:
        """Whether all requests are answered."""
        return self.oldest == len(self._frames)

    def frames_to_send(self) -> list[bytes]:
        """Frames that are to be sent now; they count as in flight from here on."""
        chosen: list[bytes] = []
        while (index := self._next()) is not None:
            frame = self._frames[index]
            if self._flight and self._flight_bytes + len(frame) > self._buffer:
                break
            if index == self._unsent:
                self._unsent += 1
            else:
                self._again.pop(0)
                self.resent += 1
            self._flight.append(index)
            self._flight_bytes += len(frame)
            chosen.append(frame)
        return chosen

    def find(self, sequence: int) -> int | None:
        """Return the request that ``sequence`` numbers, None if no such request of this burst was sent."""
        index = self._index(sequence)
        return index if 0 <= index < self._unsent else None

    def answer(self, index: int) -> bool:
        """Note an answer to request ``index``; returns False if it had one already."""
        self._pass(index)
        if self._answered[index]:
            return False
        self._answered[index] = True
        if index in self._again:
            self._again.remove(index)
        while not self.done and self._answered[self.oldest]:
            self.oldest += 1
            self.tries = 0
        return True

    def refuse(self, index: int, expected: int) -> bool:
        """Note that request ``index`` came before the one numbered ``expected``, which was lost.

        Returns False if a device that has served only this burst does not expect that one now. On a wire that delays or
        doubles frames such a refusal may be an old one, so that the request is sent again all the same.
        """
        if self._answered[index]:
            return True  # an old one surely
        explained = self.oldest <= self._index(expected) < index
        self._pass(index)
        self._lose(index)
        return explained

    def expire(self) -> None:
        """Count all that is in flight as lost."""
        lost = list(self._flight)
        self._flight.clear()
        self._flight_bytes = 0
        for index in lost:
            self._lose(index)

    def _index(self, sequence: int) -> int:
        """Index nearest to the oldest that has this sequence number; may not exist."""
        ahead = (sequence - self._first - self.oldest) % 2**16
        return self.oldest + (ahead if ahead < 2**15 else ahead - 2**16)

    def _next(self) -> int | None:
        if self._again:
            return self._again[0]
        index = self._unsent
        if index == len(self._frames) or index - self.oldest >= _SPAN or self.oldest <= self._waits_for[index]:
            return None
        return index

    def _pass(self, index: int) -> None:
        """Take out of flight all that was sent up to ``index``, whose transmission the device has dealt with."""
        if index not in self._flight:
            return
        while (passed := self._flight.popleft()) != index:
            self._flight_bytes -= len(self._frames[passed])
            self._lose(passed)
        self._flight_bytes -= len(self._frames[index])

    def _lose(self, index: int) -> None:
        if self._answered[index] or index in self._again or index in self._flight:
            return
        insort(self._again, index)
        if index == self.oldest:
            self.tries += 1


def _last_reads(mutates: Sequence[bool]) -> list[int]:
    """For each request the last one that must be answered before it is sent, -1 if none."""
    waits, last = [], -1
    for index, mutating in enumerate(mutates):
        waits.append(last if mutating else -1)
        if not mutating:
            last = index
    return waits
