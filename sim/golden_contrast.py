"""Contrast sums of the golden model: every product is rounded before it is added, as in the gateware."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..substrate.codes import Sums
from ..substrate.formats import Formats
from ..substrate.network import Network

__all__ = ["contrast_sums"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]
Buses = dict[tuple[int, int], Array]

_BLOCK = 1 << 16
"""Products worked on at once, to stay in the cache."""


def contrast_sums(
    network: Network, levels: Integers, parts: list[tuple[int, Array, Buses, Buses]], formats: Formats
) -> Sums:
    """Sums over the samples of a minibatch.

    Parameters
    ----------
    network
        The network.
    levels
        Noise level of each sample, (B,).
    parts
        For each phase that is contrasted: its sign, the states (B, N), and buses and drives (B, k) by (coupling, side).
    formats
        Number formats.
    """
    shift = formats.state.fraction + formats.bus.fraction - formats.contrast.fraction
    gain_shift = 2 * formats.bus.fraction - formats.gain_contrast.fraction
    signs = np.concatenate([np.full(len(levels), float(sign)) for sign, *_ in parts])
    states = np.concatenate([states for _, states, _, _ in parts])
    sides: tuple[list[Integers], list[Integers]] = ([], [])
    gains = []
    for number, coupling in enumerate(network.couplings):
        for side, name in enumerate((coupling.a, coupling.b)):
            drive = np.concatenate([drives[number, 1 - side] for *_, drives in parts])
            sides[side].append(_sum_of_rounded_products(signs, states[:, network.slices[name]], drive, shift))
        gain = np.zeros((network.levels, coupling.rank), np.int64)
        for sign, _, raws, _ in parts:
            product = np.floor(raws[number, 0] * raws[number, 1] * 2.0**-gain_shift + 0.5)
            np.add.at(gain, levels, (sign * product).astype(np.int64))
        gains.append(gain)
    bias = np.zeros((network.levels, network.neurons), np.int64)
    for sign, part, _, _ in parts:
        np.add.at(bias, levels, (sign * part).astype(np.int64))
    return Sums(tuple(sides[0]), tuple(sides[1]), tuple(gains), bias)


def _sum_of_rounded_products(signs: Array, states: Array, drives: Array, shift: int) -> Integers:
    """Sum over rows r of sign_r * R(state_ri * drive_rp, shift), (n, k).

    R(x, shift) = (x + half - low) / 2**shift with low = (x + half) mod 2**shift. The sum of x + half is a matrix
    product; the low bits of a product depend on the low bits of its factors alone, so they are worked out in 16 bits.
    """
    half = 1 << shift >> 1
    total = (signs[:, None] * states).T @ drives + half * signs.sum()
    state_bits, drive_bits = _low_bits(states), _low_bits(drives)
    low = np.zeros(total.shape, np.int64)
    rows = max(1, _BLOCK // max(1, total.size))
    for sign in (1.0, -1.0):
        chosen = np.flatnonzero(signs == sign)
        for begin in range(0, len(chosen), rows):
            some = chosen[begin : begin + rows]
            bits = state_bits[some][:, :, None] * drive_bits[some][:, None, :]
            bits += np.uint16(half)
            bits &= np.uint16((1 << shift) - 1)
            low += int(sign) * bits.sum(axis=0, dtype=np.int64)
    return (total.astype(np.int64) - low) >> shift


def _low_bits(values: Array) -> NDArray[np.uint16]:
    return values.astype(np.int64).astype(np.uint16)
