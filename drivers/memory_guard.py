"""Memory guard: whether a device still holds what it must, by checksums that it makes of its own memories."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
from .layout import Area
from .requests import Request, check_request, encode_words
from .session import Answer

__all__ = ["CHECK_CYCLES", "MemoryGuard"]

CHECK_CYCLES = 5
"""Clock cycles that the device takes for each word of a CHECK, at most."""


class MemoryGuard:
    """Compares the CRC-32 of areas of a device with that of what was written there.

    Parameters
    ----------
    geometry
        Of the device.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry

    def requests(self, held: Mapping[Area, NDArray[Any]], clock: float) -> list[Request]:
        """One CHECK for each area, of a device that runs at ``clock`` Hz or faster."""
        return [
            check_request(area.space, area.row, area.count, self._geometry, CHECK_CYCLES * self._words(area) / clock)
            for area in held
        ]

    def damaged(self, held: Mapping[Area, NDArray[Any]], answers: Sequence[Answer]) -> list[Area]:
        """Areas that do not hold what they must, by the answers to :meth:`requests`."""
        return [
            area
            for (area, words), answer in zip(held.items(), answers, strict=True)
            if int.from_bytes(answer.payload, "little") != zlib.crc32(encode_words(area.space, words))
        ]

    def words(self, held: Mapping[Area, NDArray[Any]]) -> int:
        """Words in all areas."""
        return sum(self._words(area) for area in held)

    def _words(self, area: Area) -> int:
        return area.count * SPACES[area.space].words(self._geometry)
