"""The gateware's noise generator, vectorised: xoroshiro128+ by jump-ahead (``docs/arithmetic.md``, Noise).

The step of the generator's 128-bit state is linear over GF(2). So states are made by doubling: those of the first half,
and the same advanced by a matrix M^n, applied through tables of bytes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["NoiseStream"]

Words = NDArray[np.uint64]

_WARM_UP = 64
_SEED_CONSTANT = 0x9E3779B97F4A7C15


class NoiseStream:
    """Noise of several samples in one phase.

    Parameters
    ----------
    seed
        Seed of the run, 0 to 2**64 - 1.
    samples
        Numbers of the samples in their minibatch, (B,).
    phase
        0 free, 1 positive, 2 negative, 3 update of a reverse process.
    row
        Of the reverse process; 0 if there is none.
    """

    def __init__(self, seed: int, samples: NDArray[np.int64], phase: int, row: int = 0) -> None:
        states = np.empty((len(samples), 2), np.uint64)
        states[:, 0] = np.uint64(seed)
        states[:, 1] = np.uint64(_SEED_CONSTANT ^ row << 32 ^ phase) ^ (samples.astype(np.uint64) << np.uint64(8))
        if len(states) == 1:  # for which arrays are slow
            states[0] = _warmed(*states[0].tolist())
        else:
            for _ in range(_WARM_UP):
                word = states[:, 0] + states[:, 1]
                states = _step(states)
                states[:, 1] ^= word
        self._states = states

    def words(self, count: int) -> Words:
        """The next ``count`` words of each sample, (B, count)."""
        # Every so many states by jumps; those between by steps, which cost less.
        stride = 1 << max(0, count.bit_length() - 5) // 2
        heads = self._states[:, None, :]
        while heads.shape[1] * stride < count + 1:
            heads = np.concatenate([heads, _advance(heads, heads.shape[1] * stride)], axis=1)
        heads = heads[:, : count // stride + 1]
        block = np.empty((*heads.shape[:2], stride, 2), np.uint64)
        for step in range(stride):
            block[:, :, step] = heads
            heads = _step(heads)
        states = block.reshape(len(block), -1, 2)
        self._states = np.ascontiguousarray(states[:, count])
        return np.asarray(states[:, :count, 0] + states[:, :count, 1])

    def take(self, count: int) -> NDArray[np.float64]:
        """The next ``count`` integers of each sample, -1020 to 1020; (B, count)."""
        words = self.words(count)
        octets = np.ascontiguousarray(words).view(np.uint8).reshape(*words.shape, 8)
        return octets.sum(axis=-1, dtype=np.float64) - 1020.0


def _step(states: Words) -> Words:
    """One step of xoroshiro128+ (Blackman and Vigna 2018, parameters 24, 16, 37) on states (..., 2)."""
    s0, mixed = states[..., 0], states[..., 0] ^ states[..., 1]
    new = np.empty_like(states)
    new[..., 0] = _rotate(s0, 24) ^ mixed ^ (mixed << np.uint64(16))
    new[..., 1] = _rotate(mixed, 37)
    return new


def _warmed(s0: int, s1: int) -> tuple[int, int]:
    """One state after the steps that mix it."""
    mask = 2**64 - 1
    for _ in range(_WARM_UP):
        word, mixed = (s0 + s1) & mask, s0 ^ s1
        s0 = ((s0 << 24 | s0 >> 40) ^ mixed ^ (mixed << 16)) & mask
        s1 = ((mixed << 37 | mixed >> 27) & mask) ^ word
    return s0, s1


def _rotate(word: Words, count: int) -> Words:
    return (word << np.uint64(count)) | (word >> np.uint64(64 - count))


def _advance(states: Words, steps: int) -> Words:
    """States ``steps`` steps on; ``steps`` is a power of two."""
    tables = _tables(steps.bit_length() - 1)
    octets = np.ascontiguousarray(states).view(np.uint8).reshape(*states.shape[:-1], 16)
    advanced = tables[0, octets[..., 0]]
    for position in range(1, 16):
        advanced = advanced ^ tables[position, octets[..., position]]
    return advanced


@cache
def _tables(power: int) -> Words:
    """What each byte of a state becomes after 2**power steps, (16, 256, 2)."""
    basis = np.zeros((128, 2), np.uint64)
    for bit in range(128):
        basis[bit, bit // 64] = np.uint64(1) << np.uint64(bit % 64)
    columns = _step(basis) if power == 0 else _advance(_advance(basis, 1 << (power - 1)), 1 << (power - 1))
    tables = np.zeros((16, 256, 2), np.uint64)
    for value in range(1, 256):
        low = value & -value
        tables[:, value] = tables[:, value ^ low] ^ columns[low.bit_length() - 1 :: 8]
    return tables
