"""JSON lines: requests to a LUCIDAC and what comes back, an envelope to a line.

A request is ``{"id", "type", "msg"}``; its answer has the same id and type, and ``code`` 0 or an ``error``. Between
answers the device sends what it has to say unasked: data and states of a run, log entries.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from ...substrate.errors import DeviceError, LinkError
from ..transport import Transport

__all__ = ["ANSWER_TIMEOUT", "JsonLines", "NoAnswer"]

Envelope = dict[str, Any]

ANSWER_TIMEOUT = 5.0
"""Seconds in which a request must be answered."""

LONGEST = 1 << 20
"""Bytes of the longest line: many times those of the largest block of samples."""

_SHOWN = 60
"""Characters of a wrong line that an error quotes."""


class NoAnswer(LinkError):
    """Nothing came until the deadline."""


class JsonLines:
    """Envelopes over a transport, which it owns from here on.

    Parameters
    ----------
    transport
        A TCP connection, or a serial port.
    chatty
        Whether the wire is also the device's console, as a serial port is: it echoes requests, and prints plain text
        between the envelopes. Such lines are counted and skipped; elsewhere they are errors.

    Attributes
    ----------
    counters
        ``requests`` sent; ``skipped_lines`` of a console; ``stale_messages`` of an earlier request or run.
    """

    def __init__(self, transport: Transport, chatty: bool = False) -> None:
        self.description = transport.description
        self.counters = {"requests": 0, "skipped_lines": 0, "stale_messages": 0}
        self._transport = transport
        self._chatty = chatty
        self._pending = b""

    def request(self, kind: str, message: Envelope, timeout: float = ANSWER_TIMEOUT) -> Envelope:
        """Ask for ``kind``, and return the ``msg`` of the answer.

        Raises
        ------
        DeviceError
            If the device refuses, or answers nonsense.
        LinkError
            If no answer comes in time, or the device is gone.
        """
        name = str(uuid.uuid4())
        sent = {"id": name, "type": kind, "msg": message}
        self._transport.send(json.dumps(sent, separators=(",", ":")).encode() + b"\n")
        self.counters["requests"] += 1
        deadline = time.monotonic() + timeout
        while True:
            answer = self.receive(deadline, f"'{kind}'", timeout)
            if answer == sent:
                continue  # a console's echo
            # An emulated device acknowledges a run without the id of the request.
            if answer.get("id", name) != name or ("id" not in answer and answer["type"] != kind):
                self.counters["stale_messages"] += 1
                continue
            if answer.get("error") is not None or answer.get("code", 0) != 0:
                reason = answer.get("error") or "no reason given"
                raise DeviceError(f"{self.description} refused '{kind}': {reason} (code {answer.get('code')})")
            content = answer.get("msg")
            if answer["type"] != kind or not isinstance(content, dict | None):
                raise self._nonsense(f"'{kind}' with", json.dumps(answer))
            return content or {}

    def receive(self, deadline: float, awaited: str, timeout: float) -> Envelope:
        """Return the next envelope that is no log entry; ``awaited`` and ``timeout`` are for the error.

        Raises
        ------
        DeviceError, LinkError
            As :meth:`request`.
        """
        while True:
            line = self._line(deadline, awaited, timeout).strip()
            if not line:
                continue
            try:
                envelope = json.loads(line)
            except ValueError:
                envelope = None
            if isinstance(envelope, dict) and isinstance(envelope.get("type"), str):
                if envelope["type"] != "log":
                    return envelope
            elif isinstance(envelope, dict) and envelope.get("error") is not None:
                raise DeviceError(f"{self.description} did not understand {awaited}: {envelope['error']}")
            elif self._chatty and not line.startswith(b"{"):
                self.counters["skipped_lines"] += 1
            else:
                raise self._nonsense(f"{awaited} with", line.decode(errors="replace"))

    def close(self) -> None:
        """Let go of the device. May be called twice."""
        self._transport.close()

    def _line(self, deadline: float, awaited: str, timeout: float) -> bytes:
        while b"\n" not in self._pending:
            if len(self._pending) > LONGEST:
                raise self._nonsense(f"{awaited} with a line without end,", self._pending.decode(errors="replace"))
            arrived = self._transport.receive(deadline)
            if not arrived:
                raise NoAnswer(
                    f"{self.description} did not answer {awaited} within {timeout:g} s: check that nobody else "
                    "runs it, then open it again"
                )
            self._pending += arrived
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _nonsense(self, what: str, line: str) -> DeviceError:
        shown = line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
        return DeviceError(f"{self.description} answered {what} {shown!r}: check that a LUCIDAC is there")
