"""Floor plan: where the multipliers and block RAMs of a large geometry go, so that its wires have room.

A placer that is left alone packs all in the middle of the chip, as that makes the sum of the wires shortest, and there
are too few in the middle then. Cells whose place is given pull the others to them: the neuron units to one side, the
lanes beside them in the order of their chain, and in each the contexts from top to bottom. A signal from lane to lane
then has a short way, and one from a lane to its contexts stays in the lane's column. Around the multipliers logic would
still be packed without a gap. So rows of it, all over the chip, are taken by spacers, cells that do nothing.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from ...substrate.geometry import Geometry
from .netlist import Cells, bits_of

__all__ = ["Die", "find_die", "floor_plan", "place", "spacers"]

UNIT = 5
"""Multipliers of a neuron unit."""

_LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
"""LUTs that a cell takes."""

_UNIT = re.compile(r"\.neuron_(\d+)\.")
_LANE = re.compile(r"\.lane_(\d+)\.")
_OPERAND = re.compile(r"\.lane_(\d+)\.left_(\d+)_")
_OPERANDS = re.compile(r"\.lane_\d+\.operands_(\d+)\.")


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
    """Where a chip has its multipliers and block RAMs, rows of blocks of four, and its logic.

    Attributes
    ----------
    blocks
        First column of each block of a row.
    multipliers, memories
        What a block is in which rows.
    columns, rows
        Of the logic.
    """

    blocks: tuple[int, ...]
    multipliers: Blocks
    memories: Blocks
    columns: range
    rows: tuple[int, ...]

    def places(self, kind: Blocks) -> list[Place]:
        """Places of the multipliers or memories, from left to right."""
        rows, block = kind
        return [Place(x + offset, y, cell) for x in self.blocks for offset, cell in block for y in rows]


_LARGE = Die(
    blocks=(4, 13, 22, 31, 40, 49, 58, 69, 78, 87, 96, 105, 114),
    multipliers=((10, 34, 58), ((0, "MULT18_0"), (1, "MULT18_1"), (4, "MULT18_4"), (5, "MULT18_5"))),
    memories=((22, 46, 70, 82), ((0, "EBR0"), (2, "EBR1"), (4, "EBR2"), (6, "EBR3"))),
    columns=range(2, 125),
    rows=tuple(row for row in range(2, 94) if row not in {10, 22, 34, 46, 58, 70, 82}),
)
"""Of an LFE5U-85F: as nextpnr names them."""


def find_die(part: str, geometry: Geometry) -> Die | None:
    """The chip, if it is known and the geometry is so large that it needs a plan: a quarter of its multipliers."""
    die = _LARGE if re.fullmatch(r"LFE5U(M5G)?-85F", part) else None
    return die if die and 4 * geometry.contexts * (UNIT + geometry.lanes) > len(die.places(die.multipliers)) else None


def floor_plan(cells: Cells, geometry: Geometry, die: Die) -> dict[str, str]:
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
    places = die.places(die.multipliers)
    plan: dict[str, str] = {}
    for column, names in _multipliers(cells).items():
        plan |= _spread(names, _window(places, column / columns, (column + 1) / columns))

    # Lanes have more memories than units, and columns as wide as they need.
    places, groups = die.places(die.memories), _memories(cells)
    shares = list(accumulate((sum(map(len, group)) for group in groups), initial=0))
    for group, first, last in zip(groups, shares, shares[1:], strict=False):
        free = _window(places, first / shares[-1], last / shares[-1])
        for names in group:
            spread = _spread(names, free)
            plan |= spread
            free = [place for place in free if str(place) not in spread.values()]
    return plan


def spacers(cells: Cells, die: Die) -> list[str]:
    """Places of the LUTs of rows that are to stay free of logic: as many as are half of the LUTs that are not used."""
    row = [f"SLICE{name}.K{number}" for name in "ABCD" for number in range(2)]
    used = sum(_LUTS.get(cell["type"], 0) for cell in cells.values())
    free = len(die.rows) * len(die.columns) * len(row) - used
    count = max(free, 0) // 2 // (len(die.columns) * len(row))
    rows = [die.rows[(2 * number + 1) * len(die.rows) // (2 * count)] for number in range(count)]
    return [f"X{x}/Y{y}/{name}" for y in rows for x in die.columns for name in row]


def place(cells: Cells, geometry: Geometry, die: Die) -> int:
    """Give cells their places, for nextpnr, and add spacers; returns how many."""
    for name, where in floor_plan(cells, geometry, die).items():
        cells[name]["attributes"]["BEL"] = where
    places = spacers(cells, die)
    for number, where in enumerate(places):
        cells[f"spacer_{number}"] = {
            "type": "LUT4",
            "parameters": {"INIT": "0" * 16},
            "attributes": {"BEL": where},
            "port_directions": {},
            "connections": {},
        }
    return len(places)


def _window(places: list[Place], first: float, last: float) -> list[Place]:
    """The places from one share of the chip's width to another, from top to bottom."""
    chosen = places[round(first * len(places)) : round(last * len(places))]
    return sorted(chosen, key=lambda place: (place.y, place.x))


def _spread(names: list[str], places: list[Place]) -> dict[str, str]:
    """Names on places, as far apart as there is room, in their order; where there is none is for the placer to say."""
    names = names[: len(places)]
    return {name: str(places[number * len(places) // len(names)]) for number, name in enumerate(names)}


def _multipliers(cells: Cells) -> dict[int, list[str]]:
    """Multipliers of each column, by their contexts: those of neuron units in their order there, then lane by lane."""
    drivers = {bit: name for name, cell in cells.items() for _, bit in bits_of(cell, "output")}
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    of_units: Counter[int] = Counter()
    for name in sorted(name for name, cell in cells.items() if cell["type"] == "MULT18X18D"):
        if unit := _UNIT.search(name):
            context = int(unit[1])
            found[of_units[context]].append((context, name))
            of_units[context] += 1
        else:  # a lane's may have the name of what its product goes to; but what goes in is named by the lane
            operands = (_OPERAND.search(drivers.get(bit, "")) for _, bit in bits_of(cells[name], "input"))
            if lane := next(filter(None, operands), None):
                found[UNIT + int(lane[1])].append((int(lane[2]), name))
    return {column: [name for _, name in sorted(multipliers)] for column, multipliers in found.items()}


def _memories(cells: Cells) -> list[tuple[list[str], list[str]]]:
    """Block RAMs of the neuron units, and of lane by lane: those of contexts, by context, and others."""
    found: dict[int, tuple[list[tuple[int, str]], list[str]]] = defaultdict(lambda: ([], []))
    for name in sorted(name for name, cell in cells.items() if cell["type"] == "DP16KD"):
        if unit := _UNIT.search(name):
            found[-1][0].append((int(unit[1]), name))
        elif lane := _LANE.search(name):
            of_contexts, others = found[int(lane[1])]
            if operands := _OPERANDS.search(name):
                of_contexts.append((int(operands[1]), name))
            else:
                others.append(name)
    return [([name for _, name in sorted(found[key][0])], found[key][1]) for key in sorted(found)]
