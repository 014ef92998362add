"""The device synthesises: no latches, no loops, and as many multipliers and memories as designed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.lib import wiring

from equipoise.gateware.boards import BOARDS
from equipoise.gateware.build.build import COLLISIONS, ICE40_MEMORIES
from equipoise.gateware.core import Core
from equipoise.gateware.device import Device
from equipoise.substrate.formats import COMPACT, FORMATS
from equipoise.substrate.geometry import Geometry

from ..yosys import run_yosys

GEOMETRY = Geometry(
    lanes=3, contexts=2, modules=4, neurons=16, rows=32, groups=8, levels=4, sample_words=128, output_words=64
)


def synthesise(component: wiring.Component, folder: Path) -> dict[str, int]:
    """Cells by type. Fails on loops, undriven nets and nets with several drivers."""
    (folder / "top.il").write_text(rtlil.convert(component, name="top"))
    script = (
        "read_rtlil top.il; hierarchy -check -top top; proc; flatten; opt_clean; check -assert; "
        "memory_collect; opt; tee -q -o cells.json stat -json"
    )
    run_yosys(script, folder)
    return json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    return synthesise(Core(GEOMETRY, FORMATS), tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    top = Device(GEOMETRY, build=bytes(8), board=bytes(8), clock=1)
    return synthesise(top, tmp_path_factory.mktemp("device"))


def test_every_register_is_clocked(device: dict[str, int]) -> None:
    clocked = {"$dff", "$dffe", "$sdff", "$sdffe", "$sdffce"}
    registers = {kind for kind in device if "dff" in kind or "latch" in kind or kind in {"$sr", "$aldff", "$aldffe"}}
    assert registers and registers <= clocked


def test_one_multiplier_a_lane_and_context_and_five_a_neuron_unit_and_two(core: dict[str, int]) -> None:
    lanes, contexts = GEOMETRY.lanes, GEOMETRY.contexts
    assert core["$mul"] == lanes * contexts + 5 * contexts + 2  # those of the reverse unit and of the updater


@pytest.fixture(scope="module")
def icebreaker(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Cells of an iCE40 that the icebreaker's device takes, as its build makes it; without the clock, pads and UART."""
    folder = tmp_path_factory.mktemp("icebreaker")
    geometry = BOARDS["icebreaker"].geometry
    device = Device(geometry, build=bytes(8), board=bytes(8), clock=1, buffer=BOARDS["icebreaker"].buffer)
    (folder / "top.il").write_text(rtlil.convert(device, name="top", emit_src=False))
    memories = "; ".join(ICE40_MEMORIES.splitlines())
    script = (
        f"read_rtlil top.il; {COLLISIONS}; {memories}; synth_ice40 -dsp -spram -top top; "
        "tee -q -o cells.json stat -json"
    )
    run_yosys(script, folder)
    return json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]


def test_on_an_ice40_each_multiplication_is_one_multiplier(icebreaker: dict[str, int]) -> None:
    geometry = BOARDS["icebreaker"].geometry
    assert icebreaker["SB_MAC16"] == geometry.contexts * (geometry.lanes + 4)  # no noise, so four a neuron unit


def test_the_icebreaker_has_room_for_its_memories(icebreaker: dict[str, int]) -> None:
    assert icebreaker["SB_RAM40_4K"] <= 30 and icebreaker["SB_SPRAM256KA"] <= 4


def test_memories_stay_memories(core: dict[str, int]) -> None:
    lanes, contexts = GEOMETRY.lanes, GEOMETRY.contexts
    a_lane = 4 + contexts  # weights, gains, two contrasts; operands
    a_context = 2  # both banks of states; biases and targets
    tables = 9  # modules, ends, sites, biases, samples, outputs, bias contrast, schedule, rates
    assert core["$mem_v2"] == lanes * a_lane + contexts * a_context + tables


EXTREMES: list[Callable[[], Geometry]] = [
    lambda: Geometry(lanes=1, contexts=1, modules=2, neurons=4, rows=4, groups=2, levels=1, sample_words=4),
    lambda: Geometry(lanes=1, modules=2, neurons=4, rows=4, groups=2, levels=1, sample_words=4, compact=1),
    lambda: Geometry(
        lanes=16, contexts=8, neurons=128, rows=256, groups=32, levels=4, sample_words=1024, output_words=512
    ),
]


@pytest.mark.parametrize("geometry", EXTREMES, ids=["1x1", "1x1-compact", "16x8"])
def test_elaborates(geometry: Callable[[], Geometry]) -> None:
    assert rtlil.convert(Core(geometry(), COMPACT if geometry().compact else FORMATS), name="core").startswith(
        "attribute"
    )
