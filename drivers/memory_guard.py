"""Memory guard: whether a device still holds what it must, by checksums that it makes of its own memories."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
from .layout import Area
from .requests import Request, check_request, encode_words, rows_at_once, word_cycles
from .session import Answer

__all__ = ["MemoryGuard"]


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
        """CHECKs of all areas, of a device that runs at ``clock`` Hz or faster."""
        seconds = word_cycles(self._geometry) / clock
        return [
            check_request(part.space, part.row, part.count, self._geometry, seconds * self._words(part))
            for area in held
            for part in self._parts(area)
        ]

    def damaged(self, held: Mapping[Area, NDArray[Any]], answers: Sequence[Answer]) -> list[Area]:
        """Parts of areas that do not hold what they must, by the answers to :meth:`requests`."""
        parts = [(part, words[part.row - area.row :][: part.count]) for area, words in held.items()
                 for part in self._parts(area)]  # fmt: skip
        return [
            part
            for (part, words), answer in zip(parts, answers, strict=True)
            if int.from_bytes(answer.payload, "little") != zlib.crc32(encode_words(part.space, words))
        ]

    def _parts(self, area: Area) -> list[Area]:
        """An area in parts, each answered soon: a device that is silent for long is taken for idle or dead."""
        rows = rows_at_once(area.space, self._geometry)
        end = area.row + area.count
        return [Area(area.space, row, min(rows, end - row)) for row in range(area.row, end, rows)]

    def words(self, held: Mapping[Area, NDArray[Any]]) -> int:
        """Words in all areas."""
        return sum(self._words(area) for area in held)

    def _words(self, area: Area) -> int:
        return area.count * SPACES[area.space].words(self._geometry)
