"""Requests to a device: how reads and writes of its spaces are cut into frames, and their words read back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..substrate.geometry import Geometry, read_latency
from ..substrate.protocol import MAX_PAYLOAD, READ_REQUEST, SPACES, WRITE_REQUEST, Operation, Space

__all__ = [
    "ANSWER_BYTES",
    "REQUEST_CYCLES",
    "Request",
    "check_request",
    "encode_words",
    "join_words",
    "read_requests",
    "rows_at_once",
    "run_request",
    "word_cycles",
    "write_requests",
]

ANSWER_BYTES = 4096
"""Longest answer asked for: long enough that frames cost little, short enough that a damaged one is cheap to repeat."""

REQUEST_CYCLES = 12_288
"""Clock cycles that a device reads for one request at most. Answers come soon enough that none is taken for lost; and a
device that is silent for 16,384 the simulated board takes for idle (``SETTLE`` in sim/board.v), and stops its time."""

_UNSIGNED = (
    *("registers", "modules", "ends", "sites", "rule", "rates", "updates"),
    *("fine_weights", "fine_gains", "fine_biases"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes
    ----------
    operation, payload
        What is sent.
    what
        What errors call it, such as ``READ of weights, rows 0 to 255``.
    expects
        Bytes of its answer; None if that is for the caller to judge.
    allowance
        Seconds that the device itself may need, beyond the link's deadline.
    """

    operation: Operation
    payload: bytes
    what: str
    expects: int | None = 0
    allowance: float = 0.0

    @property
    def mutates(self) -> bool:
        """Whether it changes what a READ answers."""
        return self.operation in (Operation.WRITE, Operation.RUN)


def run_request(allowance: float) -> Request:
    """Request a RUN that may take ``allowance`` seconds."""
    return Request(Operation.RUN, b"", "RUN", allowance=allowance)


def word_cycles(geometry: Geometry) -> int:
    """Clock cycles that a device takes for each word of a READ or CHECK, at most: one for each of its bytes."""
    return 4 + (read_latency(geometry) + 1 if geometry.compact else 0)  # a compact device reads word by word


def rows_at_once(space: str, geometry: Geometry) -> int:
    """Rows of ``space`` that a device reads in :data:`REQUEST_CYCLES`; one at least."""
    return max(1, REQUEST_CYCLES // word_cycles(geometry) // SPACES[space].words(geometry))


def read_requests(space: str, row: int, count: int, geometry: Geometry) -> list[Request]:
    """Requests that read ``count`` rows of ``space`` from ``row`` on.

    Raises
    ------
    ValueError
        If the space does not have these rows.
    """
    kind = _space(space, row, count, geometry)
    row_bytes = kind.row_bytes(geometry)
    return [
        Request(
            Operation.READ,
            READ_REQUEST.pack(kind.code, first, rows),
            f"READ of {_rows(space, first, rows)}",
            expects=rows * row_bytes,
        )
        for first, rows in _chunks(row, count, min(ANSWER_BYTES // row_bytes, rows_at_once(space, geometry)))
    ]


def check_request(space: str, row: int, count: int, geometry: Geometry, allowance: float) -> Request:
    """Request the CRC-32 of ``count`` rows of ``space`` from ``row`` on; it may take ``allowance`` seconds.

    Raises
    ------
    ValueError
        If the space does not have these rows.
    """
    kind = _space(space, row, count, geometry)
    payload = READ_REQUEST.pack(kind.code, row, count)
    return Request(Operation.CHECK, payload, f"CHECK of {_rows(space, row, count)}", expects=4, allowance=allowance)


def encode_words(space: str, words: NDArray[Any]) -> bytes:
    """Bytes of rows of ``space`` on the wire; every word must fit."""
    return words.astype(_dtype(SPACES[space])).tobytes()


def write_requests(space: str, row: int, words: ArrayLike, geometry: Geometry) -> list[Request]:
    """Requests that write ``words`` to ``space`` from ``row`` on.

    Parameters
    ----------
    words
        Integers, (rows, words of a row), or (rows,) where a row is a single word.

    Raises
    ------
    ValueError
        If the space does not have these rows, or a word does not fit.
    """
    words = np.asarray(words)
    kind = _space(space, row, len(words), geometry)
    across = kind.words(geometry)
    if words.shape[1:] != (() if kind.across == 1 else (across,)):
        raise ValueError(f"Words for {space} must have {across} in a row, not shape {words.shape}")
    limits = np.iinfo(_dtype(kind))
    if words.size and (words.min() < limits.min or words.max() > limits.max):
        bad = words[(words < limits.min) | (words > limits.max)].flat[0]
        raise ValueError(f"Words for {space} must be from {limits.min} to {limits.max}, not {bad}")
    coded = words.astype(_dtype(kind))
    limit = (MAX_PAYLOAD - WRITE_REQUEST.size) // kind.row_bytes(geometry)
    return [
        Request(
            Operation.WRITE,
            WRITE_REQUEST.pack(kind.code, first) + coded[first - row : first - row + rows].tobytes(),
            f"WRITE of {_rows(space, first, rows)}",
        )
        for first, rows in _chunks(row, len(words), limit)
    ]


def join_words(space: str, payloads: list[bytes], geometry: Geometry) -> NDArray[Any]:
    """Words that the answers to :func:`read_requests` carry: (rows, words of a row), or (rows,) where that is always 1.

    Registers, tables and parameters with guard bits are unsigned, all else is signed.
    """
    kind = SPACES[space]
    words = np.frombuffer(b"".join(payloads), _dtype(kind))
    return words if kind.across == 1 else words.reshape(-1, kind.words(geometry))


def _dtype(space: Space) -> np.dtype[Any]:
    return np.dtype(f"<{'u' if space.name in _UNSIGNED else 'i'}{space.size}")


def _space(name: str, row: int, count: int, geometry: Geometry) -> Space:
    space = SPACES[name]
    if row < 0 or row + count > space.rows(geometry):
        raise ValueError(f"Rows of {name} must be from 0 to {space.rows(geometry) - 1}, not {row} to {row + count - 1}")
    return space


def _chunks(row: int, count: int, limit: int) -> Iterator[tuple[int, int]]:
    """Cut ``count`` rows from ``row`` on into (first row, rows) of at most ``limit`` rows."""
    for first in range(row, row + count, limit):
        yield first, min(limit, row + count - first)


def _rows(space: str, row: int, count: int) -> str:
    return f"{space}, row {row}" if count == 1 else f"{space}, rows {row} to {row + count - 1}"
