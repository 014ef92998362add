"""Check of the memories: each that the host can write is walked with patterns that depend on the address."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...substrate.protocol import SPACES, Access, Feature, Space, table_masks
from .checks import Bench, Fault

__all__ = ["check_memories", "pattern", "walked"]

_CHUNK = 1 << 14
"""Bytes of a memory that are written or read between two steps of the progress."""


def walked(features: Feature) -> list[str]:
    """Memories that the host can write, of a device with these features; parameters with their guard bits.

    (Registers have bits that do not exist; the runs use all that do.)
    """
    found = [
        name
        for name, space in SPACES.items()
        if space.access is Access.READ_WRITE and (space.feature is None or space.feature in features)
    ]
    return [name for name in found if name not in ("registers", "rule") and f"fine_{name}" not in found]


def pattern(space: Space, rows: int, words: int, seed: int) -> NDArray[np.uint32]:
    """Words (rows, words) that differ at random from address to address, and from memory to memory.

    A counter would do for the address lines; a mixed one shows every bit of the data beside every bit of the address.
    """
    addresses = np.arange(rows * words, dtype=np.uint64) + np.uint64(((seed << 8) + space.code) % 2**20 << 40)
    mixed = addresses * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return (mixed & np.uint64(2 ** (8 * space.size) - 1)).astype(np.uint32).reshape(rows, words)


def check_memories(bench: Bench) -> str:
    """Write all memories, read all of them, then the same with the complement.

    Only when all are written is the first one read, so that a write that strays into another memory shows too.

    Raises
    ------
    Fault
        If a word differs: memory, row, lane and bit of the first, and what the others have in common.
    """
    geometry, names = bench.geometry, walked(bench.session.hello.features)
    shapes = {name: (SPACES[name].rows(geometry), SPACES[name].words(geometry)) for name in names}
    bits = sum(rows * words * 8 * SPACES[name].size for name, (rows, words) in shapes.items())
    bench.plan(4 * sum(len(_chunks(name, *shape)) for name, shape in shapes.items()))
    wrong = {name: _Wrong(SPACES[name]) for name in names}
    for inverted in (False, True):
        for name, shape in shapes.items():
            _write(bench, name, _wanted(bench, name, shape, inverted))
        for name, shape in shapes.items():
            wrong[name].add(_wanted(bench, name, shape, inverted), _read(bench, name, shape))
    for name in names:
        if wrong[name].words:
            raise Fault(wrong[name].describe())
    return f"{', '.join(names)}: {bits} bits hold 0 and 1, each at its own address"


def _wanted(bench: Bench, name: str, shape: tuple[int, int], inverted: bool) -> NDArray[np.uint32]:
    words = pattern(SPACES[name], *shape, bench.seed)
    masks = table_masks(bench.geometry).get(name, (2 ** (8 * SPACES[name].size) - 1,))
    mask = np.array(masks, np.uint32)
    return (words & mask) ^ mask if inverted else words & mask


def _chunks(name: str, rows: int, words: int) -> list[slice]:
    step = max(1, _CHUNK // (words * SPACES[name].size))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _write(bench: Bench, name: str, words: NDArray[np.uint32]) -> None:
    # Of the words, the session takes signed ones where the memory holds such.
    held: NDArray[Any] = words if SPACES[name].size == 4 else words.astype(np.uint16).view(np.int16)
    if name.endswith("_momentum"):
        held = words.view(np.int32)
    for rows in _chunks(name, *words.shape):
        part = held[rows]
        bench.session.write(name, rows.start, part[:, 0] if SPACES[name].across == 1 else part)
        bench.step()


def _read(bench: Bench, name: str, shape: tuple[int, int]) -> NDArray[np.uint32]:
    read = np.empty(shape, np.uint32)
    for rows in _chunks(name, *shape):
        words = bench.session.read(name, rows.start, rows.stop - rows.start).reshape(-1, shape[1])
        read[rows] = words.astype(np.int64) & (2 ** (8 * SPACES[name].size) - 1)
        bench.step()
    return read


class _Wrong:
    """Differences between what was written to a memory and what was read.

    Attributes
    ----------
    words
        Words that were wrong, of both patterns.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self.words = 0
        self._rows: set[int] = set()
        self._bits: dict[tuple[int, int], set[int]] = {}  # (word, bit): what was read there when it was wrong
        self._first: tuple[int, int, int, int] | None = None
        self._from: int | None = None

    def add(self, wanted: NDArray[np.uint32], read: NDArray[np.uint32]) -> None:
        """Compare what was read from all rows."""
        flipped = wanted ^ read
        where = np.argwhere(flipped)
        if not len(where):
            return
        self.words += len(where)
        self._rows |= set(where[:, 0].tolist())
        for bit in range(8 * self._space.size):
            for word in np.flatnonzero(((flipped >> np.uint32(bit)) & 1).any(axis=0)).tolist():
                bad = (flipped[:, word] >> np.uint32(bit)) & 1 == 1
                seen = self._bits.setdefault((word, bit), set())
                seen |= set(((read[bad, word] >> np.uint32(bit)) & 1).tolist())
        row, word = (int(index) for index in where[0])
        if self._first is None or row < self._first[0]:
            self._first = row, word, int(wanted[row, word]), int(read[row, word])
            others = np.flatnonzero((wanted == read[row]).all(axis=1))
            self._from = int(others[0]) if len(others) and self._space.size * wanted.shape[1] >= 4 else None

    def describe(self) -> str:
        """One line on all of it: the first bad word, and what the others have in common."""
        assert self._first is not None
        row, word, wanted, read = self._first
        bit = ((wanted ^ read) & -(wanted ^ read)).bit_length() - 1
        place = f"{self._space.name} row {row}{_word(self._space, word)}"
        rows = "" if len(self._rows) == 1 else f", and so in {len(self._rows)} rows"
        if len(self._bits) == 1 and len(seen := self._bits[word, bit]) == 1:
            return f"{place}: bit {bit} is stuck at {next(iter(seen))}{rows}"
        digits = 2 * self._space.size
        told = f"{place}: wrote {wanted:#0{digits + 2}x}, read {read:#0{digits + 2}x} (lowest wrong bit: {bit})"
        if self._from is not None:
            told += f", which was written to row {self._from}: address lines, or a bitstream of another geometry"
        return f"{told}; {self.words} words in {len(self._rows)} rows are wrong"


def _word(space: Space, word: int) -> str:
    if space.across == 1:
        return ""
    return f", lane {word}" if space.across == "lanes" else f", word {word}"
