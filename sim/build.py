"""Builds the simulated board: Amaranth to Verilog, Verilator to C++, g++ to a program; once, then from a cache.

The cache (the user's cache folder, or the environment variable ``EQUIPOISE_CACHE``) has a folder for each board, named
by a hash of all that makes it: sources, geometry, tool versions, flags and processor.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from rich.console import Console

from .. import gateware, substrate
from ..substrate.errors import CapabilityError
from ..substrate.files import locked
from ..substrate.geometry import Geometry
from .tools import find_package, find_tool, find_verilator, fingerprint, run_tool

__all__ = ["BOARD_ID", "BUFFER", "CLOCK", "BoardBuild", "board_geometry", "build_board", "cache_folder", "digest"]

CLOCK = 1_000_000
"""Clock frequency in Hz that the simulated board states. A host makes its deadlines of it, so it is one that even a
slow machine keeps up with."""

BUFFER = 32768
"""Bytes that it takes in while busy."""

BOARD_ID = b"simboard"
"""Board id of all simulated boards."""

SOURCES = Path(__file__).parent
MAIN = SOURCES / "board.cpp"

_WARNINGS = ("CASEINCOMPLETE", "WIDTHEXPAND", "WIDTHTRUNC", "ALWNEVER")
"""Warnings of Verilator that Amaranth's Verilog gives rise to, and that mean nothing there."""

_VERILATE = (
    *("--cc", "--exe", "--vpi", "--top-module", "board", "--prefix", "Vboard", "-o", "board"),
    *("-O3", "--x-assign", "fast", "--x-initial", "0", "--noassert", "--timescale", "1ns/1ns"),
    *(f"-Wno-{name}" for name in _WARNINGS),
    *("-CFLAGS", "-DVL_TIME_CONTEXT -march=native"),
)

_MAKE = (
    *("-j2", "-f", "Vboard.mk", "CXX=g++", "LINK=g++"),
    *("OPT_FAST=-O3", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"),  # what runs every cycle; what runs once; the runtime
    "CFG_CXXFLAGS_PCH_I=-include",  # left empty in the makefile of the Python package
)

_ZERO_MEMORY = re.compile(r"^  initial begin\n(?:    \S+ ?\[\d+\] = \d+'[hd]0+;\n)+  end\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BoardBuild:
    """A simulated board, ready to be started.

    Attributes
    ----------
    executable
        The simulator.
    geometry
        What was built.
    trace
        Whether it can write waveforms.
    """

    executable: Path
    geometry: Geometry
    trace: bool = False


def board_geometry(lanes: int = 8, contexts: int = 1, compact: int = 0) -> Geometry:
    """Sizes with memories for every network one would simulate, so that a single build serves them all.

    Raises
    ------
    CapabilityError
        If there are no devices of so many lanes or contexts.
    """
    try:
        return Geometry(
            lanes=lanes,
            contexts=contexts,
            neurons=512,
            rows=max(4096, 65536 // max(lanes, 1)),
            groups=max(64, 1 << (1023 // max(lanes, 1)).bit_length()),
            levels=32,
            compact=compact,
        )
    except ValueError as error:
        raise CapabilityError(f"A simulated board cannot be built: {error}") from None


def cache_folder() -> Path:
    """Folder of all built boards."""
    return Path(os.environ.get("EQUIPOISE_CACHE") or platformdirs.user_cache_dir("equipoise")) / "boards"


def digest(geometry: Geometry, *, trace: bool = False) -> bytes:
    """SHA-256 of all that makes a board; the first 8 bytes are its build id.

    Raises
    ------
    ToolError
        If a tool is missing.
    """
    total = hashlib.sha256(repr((geometry, trace, CLOCK, BUFFER, _VERILATE, _MAKE, fingerprint())).encode())
    folders = [Path(package.__file__ or "").parent for package in (substrate, gateware)]
    sources = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    for path in [*sources, SOURCES / "board.v", MAIN, Path(__file__)]:
        total.update(f"{path.name} {path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    return total.digest()


def build_board(geometry: Geometry | None = None, *, trace: bool = False, console: Console | None = None) -> BoardBuild:
    """Build a board, or find it in the cache.

    Parameters
    ----------
    geometry
        Sizes; :func:`board_geometry` by default.
    trace
        Whether it can write waveforms (which makes it slower).
    console
        Where to say that it takes a while; standard error by default.

    Raises
    ------
    ToolError
        If a tool is missing or fails.
    """
    geometry = geometry or board_geometry()
    identity = digest(geometry, trace=trace)
    kind = f"{'-compact' if geometry.compact else ''}{'-trace' if trace else ''}"
    name = f"{geometry.lanes}x{geometry.contexts}{kind}-{identity.hex()[:24]}"
    target = cache_folder() / name
    build = BoardBuild(target / "board", geometry, trace)
    if target.is_dir():
        return build
    console = console or Console(stderr=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_name(f"{name}.lock")):
        if not target.is_dir():  # else somebody else has built it while we waited for the lock
            log = target.with_name(f"{name}.log")
            partial = target.with_name(f"{name}.partial")
            shutil.rmtree(partial, ignore_errors=True)  # of a builder that was killed
            _build(partial, log, geometry, identity, trace=trace, console=console)
            partial.rename(target)
    return build


def _build(folder: Path, log: Path, geometry: Geometry, identity: bytes, *, trace: bool, console: Console) -> None:
    """Build in ``folder``, and leave there only what is needed to run."""
    log.unlink(missing_ok=True)
    work = folder / "work"
    work.mkdir(parents=True)
    start = f"Building the simulated board ({geometry}), once: "
    console.print(f"{start}about a minute", highlight=False)
    with console.status("writing Verilog") as status:
        # One at a time: Amaranth's yosys, when it is first used, writes a cache that another process must not read yet.
        with locked(cache_folder() / "verilog.lock"):
            (work / "device.v").write_text(device_verilog(geometry, identity))
        status.update("running Verilator")
        verilate(work, log, trace=trace)
        status.update("compiling C++")
        compile_board(work, log)
    (work / "board").rename(folder / "board")
    shutil.rmtree(work)


def device_verilog(geometry: Geometry, identity: bytes) -> str:
    """Verilog of the device, as module ``device``.

    Raises
    ------
    ToolError
        If Amaranth is missing.
    """
    find_package("amaranth")
    from amaranth.back import verilog  # noqa: PLC0415 (the host runs without Amaranth)

    from ..gateware.device import Device  # noqa: PLC0415

    device = Device(geometry, build=identity[:8], board=BOARD_ID, clock=CLOCK, buffer=BUFFER)
    return without_zeros(verilog.convert(device, name="device", emit_src=False, strip_internal_attrs=True))


def without_zeros(text: str) -> str:
    """Leave out of Verilog the initial contents of memories that start at zero.

    There are hundreds of thousands of words, one to a line, which take Verilator long. ``--x-initial 0`` does the same.
    """
    return _ZERO_MEMORY.sub("", text)


def verilate(work: Path, log: Path, *, trace: bool = False, main: Path = MAIN) -> None:
    """Make C++ of ``device.v`` in ``work``, the mailboxes and the main program."""
    libraries = find_package("cocotb") / "libs"
    link = f"-L{libraries} -Wl,-rpath,{libraries} -lcocotbvpi_verilator"
    command = [find_verilator(), *_VERILATE, "-LDFLAGS", link, "-Mdir", str(work)]
    if trace:
        command.append("--trace-vcd")
    run_tool([*command, str(SOURCES / "board.v"), str(work / "device.v"), str(main)], log)


def compile_board(work: Path, log: Path) -> None:
    """Compile what :func:`verilate` made, to ``board`` in ``work``."""
    find_tool("g++")
    run_tool([find_tool("make"), "-C", str(work), *_MAKE], log)
