"""What yosys makes of the gateware: multipliers of the FPGA for multipliers, block RAM for memories."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from amaranth.back import rtlil

from equipoise.gateware.build.build import COLLISIONS
from equipoise.gateware.build.floorplan import find_die, floor_plan, place, spacers
from equipoise.gateware.build.netlist import Cells
from equipoise.gateware.build.packing import pack
from equipoise.gateware.device import Device
from equipoise.substrate.geometry import Geometry

from ...yosys import run_yosys

GEOMETRIES = {
    "synth_ecp5": Geometry(
        lanes=2, contexts=2, neurons=256, rows=1024, groups=16, levels=8, sample_words=4096, output_words=2048
    ),
    "synth_ice40 -dsp": Geometry(
        lanes=1, contexts=1, modules=4, neurons=64, rows=512, groups=4, levels=4, sample_words=512, output_words=256
    ),
}


@pytest.fixture(scope="module", params=GEOMETRIES)
def mapped(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Geometry, str, dict[str, int], Path]:
    folder, geometry = tmp_path_factory.mktemp("mapped"), GEOMETRIES[request.param]
    device = Device(geometry, build=bytes(8), board=bytes(8), clock=1, buffer=2048)
    (folder / "top.il").write_text(rtlil.convert(device, name="top", emit_src=False))
    script = f"read_rtlil top.il; {COLLISIONS}; {request.param} -top top; tee -q -o cells.json stat -json"
    script += "; write_json top.json"
    log = run_yosys(script, folder)
    return (
        geometry,
        log,
        json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"],
        folder / "top.json",
    )


def test_the_floor_plan_knows_all_of_lanes_and_units(mapped: tuple[Geometry, str, dict[str, int], Path]) -> None:
    geometry, _, counts, written = mapped
    if "MULT18X18D" not in counts:
        pytest.skip("there is a plan for large ECP5s only")
    lanes, contexts = geometry.lanes, geometry.contexts
    large = Geometry(lanes=8, contexts=8)
    die = find_die("LFE5U-85F", large)
    assert die is not None and find_die("LFE5U-85F", geometry) is None and find_die("LFE5U-25F", large) is None
    netlist = json.loads(written.read_text())["modules"]["top"]["cells"]
    plan = floor_plan(netlist, geometry, die)
    planned = Counter(netlist[name]["type"] for name in plan)
    assert planned == {"MULT18X18D": contexts * (lanes + 5), "DP16KD": lanes * (5 + contexts) + contexts * 3}
    assert len(set(plan.values())) == len(plan)
    # From left to right the units and the lanes, from top to bottom the contexts.
    for kind in ("MULT18X18D", "DP16KD"):
        column = {
            name: int(place[1 : place.index("/")]) for name, place in plan.items() if netlist[name]["type"] == kind
        }
        units = [x for name, x in column.items() if ".neuron_" in name]
        first, second = ([x for name, x in column.items() if f".lane_{lane}." in name] for lane in range(lanes))
        assert units and max(units) <= min(first, default=127)
        assert max(first, default=0) <= min(second, default=127)
    for lane in range(lanes):
        row = {
            int(found[1]): int(place[place.index("/Y") + 2 : place.rindex("/")])
            for name, place in plan.items()
            if (found := re.search(rf"\.lane_{lane}\.operands_(\d+)\.", name))
        }
        assert row[0] < row[1]


def test_spacers_are_half_of_the_free_luts_and_in_whole_rows() -> None:
    die = find_die("LFE5U-85F", Geometry(lanes=8, contexts=8))
    assert die is not None
    row, total = 8 * len(die.columns), 83640
    assert len(die.rows) * row == total
    for used in (0, 41_000, 83_000, 90_000):
        places = spacers({str(number): {"type": "LUT4"} for number in range(used)}, die)
        assert len(set(places)) == len(places) and len(places) % row == 0
        assert max(total - used, 0) / 2 - row < len(places) <= max(total - used, 0) / 2
    cells: Cells = {}
    assert place(cells, Geometry(), die) == len(cells) == len({cell["attributes"]["BEL"] for cell in cells.values()})


def test_each_multiplier_of_lanes_and_units_gets_the_register_behind_it(
    mapped: tuple[Geometry, str, dict[str, int], Path],
) -> None:
    geometry, _, counts, written = mapped
    if "MULT18X18D" not in counts:
        pytest.skip("it is of ECP5s only")
    cells = json.loads(written.read_text())["modules"]["top"]["cells"]
    before = Counter(cell["type"] for cell in cells.values())
    multipliers, gates = pack(cells)
    after = Counter(cell["type"] for cell in cells.values())
    assert multipliers >= geometry.contexts * (geometry.lanes + 5)
    # Of each accumulator most bits are gates before an adder.
    assert gates > 30 * geometry.contexts * geometry.lanes
    assert before["LUT4"] - after["LUT4"] == gates and before["CCU2C"] == after["CCU2C"]
    assert before["TRELLIS_FF"] - after["TRELLIS_FF"] >= 28 * multipliers


def test_every_multiplier_is_one_of_the_fpga(mapped: tuple[Geometry, str, dict[str, int], Path]) -> None:
    geometry, _, cells, _ = mapped
    lanes, contexts = geometry.lanes, geometry.contexts
    if "MULT18X18D" in cells:
        assert cells["MULT18X18D"] == contexts * (lanes + 5) + 2
    else:  # 16 x 16 bits: an 18 x 18 takes three of them, a 16 x 18 two
        assert cells["SB_MAC16"] == contexts * (3 * lanes + 7) + 3


def test_memories_are_block_ram(mapped: tuple[Geometry, str, dict[str, int], Path]) -> None:
    geometry, _, cells, _ = mapped
    lanes, contexts = geometry.lanes, geometry.contexts
    if "DP16KD" in cells:
        a_lane = 1 + 2 + 1 + 1 + contexts  # weights, their contrast, gains, their contrast, operands
        a_context = 3  # two banks of states, biases with targets
        shared = 1 + 2 + 4 + 4 + 2 + 1  # sites, biases and their contrast, samples, outputs, schedule
        link = 3  # what waits, a request, an answer
        assert cells["DP16KD"] == lanes * a_lane + contexts * a_context + shared + link
    else:
        assert cells["SB_RAM40_4K"] >= 2 + 4 + 4  # weights, their contrast, states


def test_no_register_stands_in_for_a_collision(mapped: tuple[Geometry, str, dict[str, int], Path]) -> None:
    _, log, _, _ = mapped
    assert "emulate_read_first" not in log
