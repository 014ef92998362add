"""Packing: what yosys leaves outside of an ECP5's multipliers and carry chains, though it has a place there.

A multiplier has registers of its own behind it; and a LUT of a carry chain, which adds two bits, has an input to spare
for a gate before one of them. Both would else be cells with wires of their own, and wires are what a large geometry is
short of.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from .netlist import Cells, bits_of

__all__ = ["pack"]

_SUM = 0x96AA
"""Of a LUT in a carry chain with input D at 1: the sum of A and B if C is 0; and, with D at 0, what is carried: A."""


def pack(cells: Cells) -> tuple[int, int]:
    """Pack the netlist that yosys wrote.

    Parameters
    ----------
    cells
        Those of the netlist; changed in place.

    Returns
    -------
    Multipliers that got their register, and gates that went into carry chains.
    """
    return _registers(cells), _gates(cells)


def _registers(cells: Cells) -> int:
    """Registers of products, if nothing but the clock governs them, and nothing else sees what they are of."""
    sinks: dict[Any, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bit in bits_of(cell, "input"):
            sinks[bit].append((name, port))
    packed = 0
    for cell in [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]:
        ports = cell["connections"]
        outputs = {f"P{number}": sinks[ports[f"P{number}"][0]] for number in range(36)}
        used = {port: ends[0] for port, ends in outputs.items() if ends}
        if any(len(ends) > 1 for ends in outputs.values()):
            continue
        if not all(end == "DI" and _is_plain(cells[name]) for name, end in used.values()):
            continue
        clocks = {cells[name]["connections"]["CLK"][0] for name, _ in used.values()}
        if len(clocks) != 1:
            continue
        for port, (name, _) in used.items():
            ports[port] = cells.pop(name)["connections"]["Q"]
        cell["parameters"] |= {"REG_OUTPUT_CLK": "CLK0", "REG_OUTPUT_CE": "CE0", "GSR": "DISABLED"}
        # nextpnr does not say which of its four enables the register has: all are on.
        wires = {"CLK0": [clocks.pop()]} | {f"CE{number}": ["1"] for number in range(4)}
        cell["connections"] |= wires
        cell["port_directions"] |= dict.fromkeys(wires, "input")
        packed += 1
    return packed


def _is_plain(cell: dict[str, Any]) -> bool:
    """Whether it is a register without enable and reset."""
    if cell["type"] != "TRELLIS_FF":
        return False
    parameters = {name: value.strip() for name, value in cell["parameters"].items()}
    enabled = parameters["CEMUX"] == "1"
    return enabled and parameters["CLKMUX"] == "CLK" and cell["connections"]["LSR"] == ["0"]


def _gates(cells: Cells) -> int:
    """Gates of two inputs that only a carry chain's input B sees."""
    readers = Counter(bit for cell in cells.values() for _, bit in bits_of(cell, "input"))
    luts = {cell["connections"]["Z"][0]: name for name, cell in cells.items() if cell["type"] == "LUT4"}
    packed = 0
    for cell in [cell for cell in cells.values() if cell["type"] == "CCU2C"]:
        ports = cell["connections"]
        for half in "01":
            (gated,) = ports[f"B{half}"]
            adds = int(cell["parameters"][f"INIT{half}"], 2) == _SUM
            if not adds or ports[f"C{half}"] != ["0"] or ports[f"D{half}"] != ["1"] or readers[gated] != 1:
                continue
            if gated not in luts:
                continue
            gate = _gate(cells[luts[gated]])
            if gate is None:
                continue
            inputs, table = gate
            del cells[luts[gated]]
            ports[f"B{half}"], ports[f"C{half}"] = [inputs[0]], [inputs[1]]
            cell["parameters"][f"INIT{half}"] = f"{_added(table):016b}"
            packed += 1
    return packed


def _gate(lut: dict[str, Any]) -> tuple[list[Any], int] | None:
    """Inputs and table of a LUT that is a gate of two inputs."""
    wires = [lut["connections"][port][0] for port in "ABCD"]
    live = [number for number, wire in enumerate(wires) if not isinstance(wire, str)]
    if len(live) != 2:
        return None
    fixed = sum(1 << number for number, wire in enumerate(wires) if wire == "1")
    whole, table = int(lut["parameters"]["INIT"], 2), 0
    for first in range(2):
        for second in range(2):
            table |= (whole >> (fixed | first << live[0] | second << live[1]) & 1) << (first | second << 1)
    return [wires[number] for number in live], table


def _added(table: int) -> int:
    """Content of the LUT that adds A and what a gate makes of B and C."""
    content = _SUM & 0xFF
    for index in range(8):
        content |= ((index & 1) ^ (table >> (index >> 1) & 1)) << (8 + index)
    return content
