"""Builds bitstreams: Amaranth to RTLIL, yosys to a netlist, nextpnr to a layout, a packer to a file; then from a cache.

The cache (the user's cache folder, or the environment variable ``EQUIPOISE_CACHE``) has a folder for each build, named
by a hash of all that makes it: sources, board, geometry and tool versions. The first 8 bytes of it are the build id.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import platformdirs

from ... import gateware, substrate
from ...substrate.errors import ToolError
from ...substrate.files import locked
from ...substrate.geometry import Geometry
from ...substrate.network import Network
from ..boards.board import Board
from .floorplan import find_die, place
from .netlist import edited_cells
from .packing import pack
from .report import RESOURCES, BuildReport, make_report, project
from .tools import Tool, find_build_tool, run_build_tool

__all__ = [
    "COLLISIONS",
    "ICE40_MEMORIES",
    "BoardBuild",
    "bitstream_folder",
    "build_bitstream",
    "digest",
    "find_bitstream",
    "parse_geometry",
]

_TOOLS = {"ecp5": ("yosys", "nextpnr-ecp5", "ecppack"), "ice40": ("yosys", "nextpnr-ice40", "icepack")}
_PRODUCTS = {"ecp5": "top.bit", "ice40": "top.bin"}

COLLISIONS = "setparam -set COLLISION_X_MASK 1'1 t:$memrd_v2 r:CLK_ENABLE=1 %i r:TRANSPARENCY_MASK=1 %d"
"""No memory of the gateware has a row read for use in the cycle in which it is written, but for FIFOs, whose ports are
transparent. Told so, yosys leaves out the registers that would make such a read return the old word."""

_FEW_GAINS = 'setattr -set ram_style "distributed" m:*gain_contrast*'
"""Block RAM is what small parts lack: the contrast of 64 gains or fewer, one a lane, goes into LUTs instead."""

ICE40_MEMORIES = """\
delete t:$meminit_v2 r:MEMID=*weights r:MEMID=*samples r:MEMID=*sites %u %u %i
setattr -set ram_style "huge" m:*weights m:*samples m:*sites
setattr -set ram_style "block" m:operands_*
"""
"""An iCE40UP5K has four large RAMs of a single port and without contents to begin with: for memories that only the host
writes, and only between runs. It has no small ones: the registers that yosys would take are dearer than block RAM."""

_OPTIONS = {
    # Large geometries have a fifth less wire with this placer (docs/boards.md).
    "ecp5": {"nextpnr_opts": "--placer static --router router2 --timing-allow-fail --report report.json"},
    "ice40": {
        "synth_opts": "-dsp -spram",
        "nextpnr_opts": "--router router2 --timing-allow-fail --report report.json",
    },
}

_SEEDS = (1, 2, 3, 4)
"""Seeds of the placement, tried in turn until timing is met: two lanes on an ECP5 reached 73 to 87 MHz with them."""


_PATIENCE = 100
"""Rounds of the router without fewer wires used twice, after which a placement is given up: it would go on for ever.
One with eleven contexts took 106 in all, one of an iCEBreaker stayed at two wires for 6,000."""

_FULL = re.compile(r"no BELs remaining to implement cell type '?(\w+)")
"""What nextpnr says if there are too few of something."""


@dataclass(frozen=True, slots=True)
class BoardBuild:
    """A bitstream that was built.

    Attributes
    ----------
    folder
        Its folder: bitstream, report, and the logs of the tools.
    bitstream
        The file to flash.
    report
        What it came to.
    """

    folder: Path
    bitstream: Path
    report: BuildReport


def parse_geometry(text: str, default: Geometry) -> Geometry:
    """Sizes written as ``lanes=8,contexts=2``; those left out are the default's.

    Raises
    ------
    ToolError
        If one is not a size, or not an integer in its range.
    """
    names = [field.name for field in fields(Geometry)]
    values: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = part.partition("=")
        if name not in names or not equals:
            raise ToolError(f"Geometry '{part}' must be NAME=INTEGER with a name of {', '.join(names)}")
        try:
            values[name] = int(value)
        except ValueError:
            raise ToolError(f"Geometry {name} must be an integer, not '{value}'") from None
    try:
        return replace(default, **values)
    except ValueError as error:
        raise ToolError(str(error)) from None


def bitstream_folder() -> Path:
    """Folder of all bitstreams."""
    return Path(os.environ.get("EQUIPOISE_CACHE") or platformdirs.user_cache_dir("equipoise")) / "bitstreams"


def find_bitstream(board: Board, geometry: Geometry | None = None) -> BoardBuild | None:
    """The bitstream for a board and geometry (the board's own by default), if these sources and tools have built it."""
    tools = [find_build_tool(name) for name in _TOOLS[board.family]]
    return _load(board, _place(board, digest(board, geometry or board.geometry, tools)))


def build_bitstream(
    board: Board,
    geometry: Geometry | None = None,
    *,
    network: Network | None = None,
    stage: Callable[[str], None] = lambda name: None,
) -> BoardBuild:
    """Build a bitstream, or find it in the cache. Whether its timing is met is for the caller to look at.

    Parameters
    ----------
    board
        The board.
    geometry
        Sizes; the board's own by default.
    network
        The network that the report projects the speed for.
    stage
        Called with what is being done, each time that this changes.

    Raises
    ------
    ToolError
        If a tool is missing or fails: also if the geometry does not fit the FPGA.
    """
    geometry = geometry or board.geometry
    tools = [find_build_tool(name) for name in _TOOLS[board.family]]
    made_of = digest(board, geometry, tools)
    folder = _place(board, made_of)
    build = _load(board, folder)
    if build is not None:
        return build
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f"{folder.name}.lock")):
        build = _load(board, folder)  # somebody else may have built it while we waited for the lock
        if build is None:
            partial = folder.with_name(f"{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a builder that was killed
            partial.mkdir()
            _build(partial, board, geometry, made_of[:8], tools, network, stage)
            partial.rename(folder)
            build = _load(board, folder)
    assert build is not None
    return build


def digest(board: Board, geometry: Geometry, tools: list[Tool]) -> bytes:
    """SHA-256 of all that makes a bitstream."""
    try:
        versions = [f"amaranth {version('amaranth')}", *(tool.version for tool in tools)]
    except PackageNotFoundError:
        raise ToolError(
            "Python package amaranth is missing, which board builds need: pip install 'equipoise[boards]'"
        ) from None
    facts = (board.name, board.part, board.clock, board.baud, board.buffer, board.lamps, board.uart, board.packer)
    total = hashlib.sha256(
        repr((facts, geometry, versions, COLLISIONS, _FEW_GAINS, ICE40_MEMORIES, _OPTIONS, _SEEDS)).encode()
    )
    folders = [Path(package.__file__ or "").parent for package in (substrate, gateware)]
    for path in [*(path for folder in folders for path in sorted(folder.rglob("*.py"))), _pins(board)]:
        total.update(f"{path.name} {path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    return total.digest()


def _pins(board: Board) -> Path:
    """The file that defines the board's platform."""
    if not isinstance(board.platform, str):
        return Path(inspect.getfile(board.platform))
    module = board.platform.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise ToolError(f"Python module {module} is missing, which {board.name} needs: pip install 'equipoise[boards]'")
    return Path(spec.origin)


def _place(board: Board, digest: bytes) -> Path:
    return bitstream_folder() / f"{board.name}-{digest[:8].hex()}"


def _load(board: Board, folder: Path) -> BoardBuild | None:
    if not folder.is_dir():
        return None
    return BoardBuild(folder, folder / _PRODUCTS[board.family], BuildReport.load(folder / "build.json"))


def _build(
    folder: Path,
    board: Board,
    geometry: Geometry,
    build: bytes,
    tools: list[Tool],
    network: Network | None,
    stage: Callable[[str], None],
) -> None:
    """Build in ``folder``, and leave there only what is of use later."""
    from ..boards.top import Top  # noqa: PLC0415 (with Amaranth, which only a build needs)

    stage("writing RTLIL")
    platform = board.make_platform()
    options = dict(_OPTIONS[board.family])
    if board.packer:
        options["ecppack_opts" if board.family == "ecp5" else "icepack_opts"] = shlex.join(board.packer)
    script = COLLISIONS
    if board.family == "ice40":
        script += f"\n{ICE40_MEMORIES}"
    elif geometry.levels * geometry.groups <= 64:
        script += f"\n{_FEW_GAINS}"
    plan = platform.prepare(Top(board, geometry, build), "top", emit_src=False, script_after_read=script, **options)
    for name, content in plan.files.items():
        path = folder / name
        path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    steps = dict(_steps((folder / "build_top.sh").read_text()))
    versions = {"amaranth": version("amaranth")} | {tool.name: tool.version for tool in tools}
    speed = project(board, geometry, network) if network is not None else None
    synthesis, layout, packing = tools
    stage(f"synthesising ({synthesis.version})")
    run_build_tool(synthesis, steps[synthesis.name], folder)
    spacers = 0
    if board.family == "ecp5":
        die = find_die(board.part, geometry)
        with edited_cells(folder / "top.json") as cells:
            pack(cells)
            if die is not None:
                spacers = place(cells, geometry, die)
    report, log = None, folder / "top.tim"
    for seed in _SEEDS:
        stage(f"placing and routing, seed {seed} ({layout.version})")
        log.unlink(missing_ok=True)
        try:
            if not run_build_tool(layout, [*steps[layout.name], "--seed", str(seed)], folder, lambda: _stuck(log)):
                continue
        except ToolError as error:
            full = _FULL.search(str(error))
            if full is None:
                raise
            what = RESOURCES.get(full[1], full[1])
            raise ToolError(
                f"The gateware does not fit {board.part}: it has too few {what} for {geometry}. "
                "Build fewer lanes, contexts, rows or levels (--geometry)"
            ) from None
        routed = json.loads((folder / "report.json").read_text())
        report = make_report(board, geometry, build, versions, routed, speed, spacers)
        if report.met:
            break
    if report is None:
        raise ToolError(
            f"The gateware could not be routed on {board.part} from any of {len(_SEEDS)} placements: it has too few "
            f"wires for {geometry}. Build fewer lanes or contexts (--geometry)"
        )
    report.save(folder / "build.json")
    stage(f"packing ({packing.version})")
    run_build_tool(packing, steps[packing.name], folder)
    kept = {"build.json", "report.json", "top.json", "top.rpt", "top.tim", _PRODUCTS[board.family]}
    for path in folder.iterdir():
        if path.name not in kept:
            path.unlink()


def _stuck(log: Path) -> bool:
    """Whether the router has not come nearer to its end for long, by nextpnr's log."""
    rounds = re.findall(r"overused=(\d+)", log.read_text(errors="replace")) if log.exists() else []
    twice = [int(count) for count in rounds]
    return len(twice) > _PATIENCE and min(twice[-_PATIENCE:]) >= min(twice[:-_PATIENCE])


def _steps(script: str) -> Iterator[tuple[str, list[str]]]:
    """The tools that Amaranth's build script runs, and their arguments."""
    for line in script.splitlines():
        match = re.match(r'"\$(\w+)" (.*)', line)
        if match:
            yield match[1].lower().replace("_", "-"), shlex.split(match[2])
