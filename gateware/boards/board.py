"""What is to be known of an FPGA board to build for it and to flash it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...substrate.errors import ToolError
from ...substrate.geometry import Geometry

__all__ = ["Board", "Lamps", "find_board", "load_board"]


@dataclass(frozen=True, slots=True)
class Lamps:
    """LEDs, each as resource and number of the platform, or None where the board has too few.

    Attributes
    ----------
    alive
        Blinks once a second as long as the clock runs.
    busy
        Lit during a run.
    saturated
        Lit if anything saturated in the last run.
    link_error
        Lit for about a second after a byte or frame was damaged.
    """

    alive: tuple[str, int] | None = None
    busy: tuple[str, int] | None = None
    saturated: tuple[str, int] | None = None
    link_error: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """A board, as data: nothing of Amaranth is imported before something is built.

    Attributes
    ----------
    name, summary
        Name for the command line, and what it is.
    platform
        The Amaranth platform: ``module:Class``, or something that makes one.
    family
        ``ecp5`` or ``ice40``.
    part
        The FPGA, as nextpnr and people call it.
    idcode
        What the FPGA answers on JTAG; None if it has none (iCE40).
    clock
        Frequency of the gateware in Hz, made by the PLL of the board's oscillator.
    baud
        Bits a second of the serial line: the highest that is dependable.
    geometry
        Sizes, unless others are asked for.
    lamps
        LEDs.
    uart
        Resource of the serial line, with pins ``rx`` and ``tx`` as the FPGA sees them.
    usb
        Vendor and product of the programmer on the board.
    loader
        Arguments that tell openFPGALoader of the board.
    volatile
        Whether the FPGA can be loaded until power is off; if not, flash is the only way.
    buffer
        Bytes that the link takes in while the device is busy.
    packer
        Arguments for ecppack or icepack.
    """

    name: str
    summary: str
    platform: str | Callable[[], Any]
    family: str
    part: str
    idcode: int | None
    clock: int
    baud: int
    geometry: Geometry
    lamps: Lamps = Lamps()
    uart: tuple[str, int] = ("uart", 0)
    usb: tuple[int, int] | None = None
    loader: tuple[str, ...] = ()
    volatile: bool = True
    buffer: int = 4096
    packer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.family not in {"ecp5", "ice40"}:
            raise ValueError(f"Family of board '{self.name}' must be ecp5 or ice40, not {self.family!r}")

    def at_clock(self, megahertz: float | None) -> Board:
        """The same board with another clock of the gateware; with its own if None.

        Raises
        ------
        ToolError
            If it is no frequency. (Whether the PLL makes it, and its baud rate, the build finds out.)
        """
        if megahertz is None:
            return self
        if not 1 <= megahertz <= 500:
            raise ToolError(f"Clock of {self.name} must be from 1 to 500 MHz, not {megahertz:g}")
        return replace(self, clock=round(megahertz * 1e6))

    def make_platform(self) -> Any:
        """Make the Amaranth platform.

        Raises
        ------
        ToolError
            If amaranth-boards is missing.
        """
        if not isinstance(self.platform, str):
            return self.platform()
        module, _, name = self.platform.partition(":")
        try:
            return getattr(importlib.import_module(module), name)()
        except ModuleNotFoundError as error:
            raise ToolError(
                f"Python package {error.name} is missing, which board builds need: pip install 'equipoise[boards]'"
            ) from None


def find_board(name: str) -> Board:
    """The board of a name, or of a Python file (``my_board.py``) that defines one.

    Raises
    ------
    ToolError
        If there is none.
    """
    from .known import BOARDS  # noqa: PLC0415 (which is made of boards)

    if name.endswith(".py"):
        return load_board(Path(name))
    if name not in BOARDS:
        raise ToolError(f"Board '{name}' is not known: choose one of {', '.join(BOARDS)}, or give a Python file")
    return BOARDS[name]


def load_board(path: Path) -> Board:
    """The board that a Python file defines under the name ``board``.

    Raises
    ------
    ToolError
        If the file cannot be run, or defines none.
    """
    spec = importlib.util.spec_from_file_location(f"equipoise_board_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ToolError(f"Board file '{path}' cannot be read: give the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # what is defined in it can then be traced to its file
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ToolError(f"Board file '{path}' failed ({type(error).__name__}: {error})") from error
    board = getattr(module, "board", None)
    if not isinstance(board, Board):
        raise ToolError(f"Board file '{path}' must define 'board', a Board, not {board!r}: see docs/boards.md")
    return board
