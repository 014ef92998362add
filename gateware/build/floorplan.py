"""Floor plan: where the multipliers and block RAMs of a large geometry go, so that its wires have room.

A placer that is left alone packs all in the middle of the chip, as that makes the sum of the wires shortest, and there
are too few in the middle then. Cells whose place is given pull the others to them: the neuron units to one side, the
lanes beside them in the order of their chain, and in each the contexts from top to bottom. A signal from lane to lane
then has a short way, and one from a lane to its contexts stays in the lane's column.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ...substrate.geometry import Geometry

__all__ = ["Die", "find_die", "floor_plan", "write_floor_plan"]

UNIT = 5
"""Multipliers of a neuron unit."""

_UNIT = re.compile(r"\.neuron_(\d+)\.")
_LANE = re.compile(r"\.lane_(\d+)\.")
_OPERAND = re.compile(r"\.lane_(\d+)\.left_(\d+)_")


class Place(NamedTuple):
    """Where a cell goes, and what nextpnr calls it."""

    x: int
    y: int
    cell: str

    def __str__(self) -> str:
        return f"X{self.x}/Y{self.y}/{self.cell}"


Blocks = tuple[tuple[int, ...], tuple[tuple[int, str], ...]]
"""Rows of a chip, and for each cell of a block there its column in the block and its name."""


@dataclass(frozen=True, slots=True)
class Die:
    """Where a chip has its multipliers and block RAMs: rows of blocks of four.

    Attributes
    ----------
    blocks
        First column of each block of a row.
    multipliers, memories
        What a block is in which rows.
    """

    blocks: tuple[int, ...]
    multipliers: Blocks
    memories: Blocks

    def places(self, kind: Blocks) -> list[Place]:
        """Places of the multipliers or memories, from left to right."""
        rows, block = kind
        return [Place(x + offset, y, cell) for x in self.blocks for offset, cell in block for y in rows]


_LARGE = Die(
    blocks=(4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
    multipliers=((10, 34, 58), ((0, "MULT18_0"), (1, "MULT18_1"), (4, "MULT18_4"), (5, "MULT18_5"))),
    memories=((22, 46, 70, 82), ((0, "EBR0"), (2, "EBR1"), (4, "EBR2"), (6, "EBR3"))),
)
"""Of an LFE5U-85F: as nextpnr names them."""


def find_die(part: str, geometry: Geometry) -> Die | None:
    """The chip, if it is known and the geometry is so large that it needs a plan: a quarter of its multipliers."""
    die = _LARGE if re.fullmatch(r"LFE5U(M5G)?-85F", part) else None
    return die if die and 4 * geometry.contexts * (UNIT + geometry.lanes) > len(die.places(die.multipliers)) else None


def floor_plan(cells: dict[str, Any], geometry: Geometry, die: Die) -> dict[str, str]:
    """Places of the multipliers and block RAMs of lanes and neuron units, by the names of the cells.

    Parameters
    ----------
    cells
        Those of the netlist that yosys wrote.
    geometry
        What it is of.
    die
        The chip.
    """
    columns = UNIT + geometry.lanes
    multipliers = die.places(die.multipliers)
    memories = die.places(die.memories)

    def window(places: list[Place], first: int, last: int) -> list[Place]:
        """The places from column to column, from top to bottom."""
        return sorted(places[first * len(places) // columns : last * len(places) // columns], key=lambda p: (p.y, p.x))

    plan: dict[str, str] = {}
    for column, names in _multipliers(cells).items():
        plan |= _spread(names, window(multipliers, column, column + 1))
    of_units, of_lanes = _memories(cells)
    plan |= _spread(of_units, window(memories, 0, UNIT))
    for lane, names in of_lanes.items():
        plan |= _spread(names, window(memories, UNIT + lane, UNIT + lane + 1))
    return plan


def write_floor_plan(netlist: Path, geometry: Geometry, die: Die) -> None:
    """Write the plan into the netlist, for nextpnr."""
    content = json.loads(netlist.read_text())
    cells = content["modules"]["top"]["cells"]
    for name, place in floor_plan(cells, geometry, die).items():
        cells[name]["attributes"]["BEL"] = place
    netlist.write_text(json.dumps(content))


def _spread(names: list[str], places: list[Place]) -> dict[str, str]:
    """Names on places, as far apart as there is room, in their order; where there is none is for the placer to say."""
    names = names[: len(places)]
    return {name: str(places[number * len(places) // len(names)]) for number, name in enumerate(names)}


def _multipliers(cells: dict[str, Any]) -> dict[int, list[str]]:
    """Multipliers of each column, by their contexts: those of neuron units in their order there, then lane by lane."""
    drivers = {bit: name for name, cell in cells.items() for bit in _bits(cell, "output")}
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    of_units: Counter[int] = Counter()
    for name in sorted(name for name, cell in cells.items() if cell["type"] == "MULT18X18D"):
        if unit := _UNIT.search(name):
            context = int(unit[1])
            found[of_units[context]].append((context, name))
            of_units[context] += 1
        else:  # a lane's may have the name of what its product goes to; but what goes in is named by the lane
            operands = (_OPERAND.search(drivers.get(bit, "")) for bit in _bits(cells[name], "input"))
            if lane := next(filter(None, operands), None):
                found[UNIT + int(lane[1])].append((int(lane[2]), name))
    return {column: [name for _, name in sorted(multipliers)] for column, multipliers in found.items()}


def _memories(cells: dict[str, Any]) -> tuple[list[str], dict[int, list[str]]]:
    """Block RAMs of the neuron units, context by context, and of each lane."""
    of_units: list[tuple[int, str]] = []
    of_lanes: dict[int, list[str]] = defaultdict(list)
    for name in sorted(name for name, cell in cells.items() if cell["type"] == "DP16KD"):
        if unit := _UNIT.search(name):
            of_units.append((int(unit[1]), name))
        elif lane := _LANE.search(name):
            of_lanes[int(lane[1])].append(name)
    return [name for _, name in sorted(of_units)], of_lanes


def _bits(cell: dict[str, Any], direction: str) -> Iterator[Any]:
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == direction:
            yield from bits
