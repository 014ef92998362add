"""Frames of the link, the golden codec: what gateware and drivers both must agree with (``docs/link.md``)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from cobs import cobs  # type: ignore[import-untyped]

from ..substrate.protocol import HEADER, VERSION

__all__ = ["LIMIT", "Decoder", "Frame", "encode_frame"]

_CRC_SIZE = 4
_OVERHEAD = HEADER.size + _CRC_SIZE

LIMIT = 65535 * 64 * 4
"""Longest payload that any answer may have, in bytes: a READ of all rows of the widest space."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A good frame.

    Attributes
    ----------
    version, operation, sequence, status
        The header: numbers as they came, which this version may not know. 8, 8, 16 and 8 bits.
    payload
        What follows the header.
    """

    version: int
    operation: int
    sequence: int
    status: int
    payload: bytes


def encode_frame(operation: int, sequence: int, payload: bytes = b"", status: int = 0, version: int = VERSION) -> bytes:
    """Bytes of a frame on the wire, with the 0x00 that ends it.

    Raises
    ------
    struct.error
        If a number does not fit its field.
    """
    body = HEADER.pack(version, operation, sequence, status) + payload
    return bytes(cobs.encode(body + zlib.crc32(body).to_bytes(_CRC_SIZE, "little"))) + b"\0"


class Decoder:
    """Finds the good frames in a stream of bytes, however it is cut and whatever damaged it.

    A damaged frame costs itself alone: decoding starts afresh after the next 0x00. Empty frames are ignored.

    Parameters
    ----------
    limit
        Longest payload taken, in bytes; it bounds the memory that noise without a 0x00 can fill.

    Attributes
    ----------
    crc_errors
        Frames dropped for their CRC.
    framing_errors
        Frames dropped for COBS, or for being too short or too long.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        if limit < 0:
            raise ValueError(f"Limit of a frame's payload must not be negative, not {limit}")
        self.crc_errors = 0
        self.framing_errors = 0
        self._limit = limit
        self._longest = cobs.max_encoded_length(limit + _OVERHEAD)
        self._pending = bytearray()
        self._too_long = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take in the next bytes, as many as there are; returns the good frames that they complete, in order."""
        *ends, rest = data.split(b"\0")
        frames = []
        for end in ends:
            self._append(end)
            if frame := self._finish():
                frames.append(frame)
        self._append(rest)
        return frames

    def _append(self, part: bytes) -> None:
        if self._too_long or len(self._pending) + len(part) > self._longest:
            self._too_long = True
            self._pending.clear()
        else:
            self._pending += part

    def _finish(self) -> Frame | None:
        """The frame that a 0x00 has ended, if it is a good one."""
        encoded, too_long = bytes(self._pending), self._too_long
        self._pending.clear()
        self._too_long = False
        if not encoded and not too_long:
            return None
        try:
            raw = bytes(cobs.decode(encoded))
        except cobs.DecodeError:
            raw = b""
        if not _OVERHEAD <= len(raw) <= _OVERHEAD + self._limit:
            self.framing_errors += 1
            return None
        body, crc = raw[:-_CRC_SIZE], raw[-_CRC_SIZE:]
        if zlib.crc32(body) != int.from_bytes(crc, "little"):
            self.crc_errors += 1
            return None
        version, operation, sequence, status = HEADER.unpack_from(body)
        return Frame(version, operation, sequence, status, body[HEADER.size :])
