"""Packing of a netlist: what goes into a multiplier or a carry chain, and what must not."""

from __future__ import annotations

from typing import Any

import pytest

from equipoise.gateware.build.packing import pack

CLOCK = 1


def product(*registers: dict[str, Any], bits: int = 2) -> dict[str, Any]:
    """A multiplier whose lowest bits go to a register each; changes of the registers' connections and parameters."""
    ports = {f"P{number}": [100 + number] for number in range(36)}
    cells = {"product": _cell("MULT18X18D", {"A0": [2]}, ports)}
    changes = [*registers, *[{}] * (bits - len(registers))]
    for number, change in enumerate(changes):
        inputs = {"DI": [100 + number], "CLK": [CLOCK], "CE": ["1"], "LSR": ["0"]}
        cell = _cell("TRELLIS_FF", inputs, {"Q": [200 + number]})
        cell["parameters"] = {"CEMUX": "1 ", "CLKMUX": "CLK"}
        for name, value in change.items():
            if name in cell["parameters"]:
                cell["parameters"][name] = value
            else:
                cell["connections"][name] = [value]
        cells[f"register_{number}"] = cell
    return cells


def _cell(kind: str, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> dict[str, Any]:
    directions = dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output")
    return {"type": kind, "parameters": {}, "connections": inputs | outputs, "port_directions": directions}


def test_a_product_s_register_goes_into_the_multiplier() -> None:
    cells = product()
    assert pack(cells) == (1, 0)
    assert list(cells) == ["product"]
    packed = cells["product"]
    assert [packed["connections"][f"P{number}"] for number in range(3)] == [[200], [201], [102]]
    assert packed["connections"]["CLK0"] == [CLOCK]
    assert all(packed["connections"][f"CE{number}"] == ["1"] for number in range(4))
    assert packed["parameters"]["REG_OUTPUT_CLK"] == "CLK0"


@pytest.mark.parametrize(
    "change",
    [{"CEMUX": "CE"}, {"CLKMUX": "INV"}, {"LSR": 7}, {"CLK": 8}, {"DI": 9}],
    ids=["enable", "falling edge", "reset", "another clock", "the next bit"],
)
def test_a_register_that_more_than_the_clock_governs_does_not(change: dict[str, Any]) -> None:
    cells = product({}, change)
    if "DI" in change:  # the second register is of the first bit too
        cells["register_1"]["connections"]["DI"] = [100]
    before = {name: dict(cell["connections"]) for name, cell in cells.items()}
    assert pack(cells) == (0, 0)
    assert {name: cell["connections"] for name, cell in cells.items()} == before


def test_a_product_that_is_seen_before_its_register_keeps_it() -> None:
    cells = product()
    cells["gate"] = _cell("LUT4", {"A": [101], "B": ["0"], "C": ["0"], "D": ["0"]}, {"Z": [300]})
    assert pack(cells) == (0, 0) and len(cells) == 4


def added(init: int, half: dict[str, int]) -> tuple[int, int]:
    """Sum and carry of half a CCU2C without carry in: as in yosys' model, ccu2c_sim.vh."""
    a, b, c, d = (half[name] for name in "ABCD")
    whole = init >> (a | b << 1 | c << 2 | d << 3) & 1
    return whole, (1 - whole) & (init >> (a | b << 1) & 1)


def chain(table: int, ports: str) -> dict[str, Any]:
    """An adder of A and of a gate of two inputs, which are at those ports of its LUT; the others are at 1."""
    wires = {name: ["1"] for name in "ABCD"} | {ports[0]: [10], ports[1]: [11]}
    whole = 0
    for index in range(16):
        value = {name: index >> number & 1 for number, name in enumerate("ABCD")}
        whole |= (table >> (value[ports[0]] | value[ports[1]] << 1) & 1) << index
    gate = _cell("LUT4", wires, {"Z": [20]})
    gate["parameters"] = {"INIT": f"{whole:016b}"}
    inputs = {"A0": [12], "B0": [20], "A1": [13], "B1": [14]} | {
        f"{name}{half}": [level] for name, level in (("C", "0"), ("D", "1")) for half in "01"
    }
    adder = _cell("CCU2C", inputs, {"S0": [30], "S1": [31]})
    adder["parameters"] = {"INIT0": "1001011010101010", "INIT1": "1001011010101010"}
    return {"gate": gate, "adder": adder}


@pytest.mark.parametrize("ports", ["AB", "BA", "CD", "AD"])
@pytest.mark.parametrize("table", range(16))
def test_a_gate_before_an_adder_goes_into_its_lut(table: int, ports: str) -> None:
    cells = chain(table, ports)
    assert pack(cells) == (0, 1) and list(cells) == ["adder"]
    wires, init = cells["adder"]["connections"], int(cells["adder"]["parameters"]["INIT0"], 2)
    for number in range(8):
        level = {10: number & 1, 11: number >> 1 & 1, 12: number >> 2, "0": 0, "1": 1}
        gate = table >> (level[10] | level[11] << 1) & 1
        half = {name: level[wires[f"{name}0"][0]] for name in "ABCD"}
        assert added(init, half) == (level[12] ^ gate, level[12] & gate)


def test_a_gate_that_others_see_does_not() -> None:
    cells = chain(8, "AB")
    cells["other"] = _cell("TRELLIS_FF", {"DI": [20]}, {"Q": [40]})
    assert pack(cells) == (0, 0) and len(cells) == 3


def test_a_gate_of_three_inputs_does_not() -> None:
    cells = chain(8, "AB")
    cells["gate"]["connections"]["C"] = [15]
    assert pack(cells) == (0, 0) and len(cells) == 2


@pytest.mark.parametrize(("port", "level"), [("C0", "1"), ("D0", "0"), ("C0", 16)])
def test_nor_into_a_lut_that_has_no_input_to_spare(port: str, level: Any) -> None:
    cells = chain(8, "AB")
    cells["adder"]["connections"][port] = [level]
    assert pack(cells) == (0, 0) and len(cells) == 2
