"""Learning on the gateware: requests and words by which a host has it change its parameters itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..substrate.learning import GUARD_BITS, Memory, RuleCodes, UpdateClips, flattened, shaped
from ..substrate.protocol import RULE, UPDATE_COUNTERS
from .layout import Area, Layout

__all__ = ["COUNTERS", "SETTINGS", "clips_of", "join_memory", "rule_words", "split_memory"]

COUNTERS = Area("updates", 0, len(UPDATE_COUNTERS))
"""Counters of updates."""

SETTINGS = Area("rule", 1, len(RULE) - 1)
"""The rule without its first register, which a run clears."""

_SIGN = 1 << 16 + GUARD_BITS - 1


def rule_words(layout: Layout, rule: RuleCodes) -> dict[str, NDArray[np.uint32]]:
    """Rows of the spaces ``rule``, with which the next run learns, and ``rates``."""
    values = {"learn": 1} | {register.name: getattr(rule, register.name) for register in RULE[1:]}
    rates = [end | rate << 17 for end, rate in zip(layout.row_ends(), rule.weight_rates, strict=True)]
    return {"rule": np.array(list(values.values()), np.uint32), "rates": np.array(rates, np.uint32)}


def split_memory(layout: Layout, memory: Memory) -> dict[Area, NDArray[Any]]:
    """Words of each area that a device holds after it has learned ``memory``."""
    found: dict[Area, NDArray[Any]] = {}
    for fine, vector in ((True, memory.fine & (2 * _SIGN - 1)), (False, memory.momentum)):
        weights, gains, biases = layout.arranged(shaped(layout.network, vector))
        areas = iter(layout.memory_areas(fine))
        found[next(areas)] = weights
        for level in range(layout.network.levels):
            found[next(areas)] = gains[level]
            found[next(areas)] = biases[level]
    return found


def join_memory(layout: Layout, words: Mapping[Area, NDArray[Any]]) -> Memory:
    """The inverse of :func:`split_memory`."""
    fine = {area: (words[area].astype(np.int64) ^ _SIGN) - _SIGN for area in layout.memory_areas(True)}
    momentum = {area: words[area] for area in layout.memory_areas(False)}
    return Memory(flattened(layout.unpack(fine)), flattened(layout.unpack(momentum)))


def clips_of(counters: Mapping[str, int]) -> UpdateClips:
    """What the last update had to clip."""
    return UpdateClips(counters["parameter_clips"], counters["step_clips"], counters["momentum_clips"])
