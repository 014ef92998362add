"""The device ``sim:``: the gateware driver on a simulated board."""

from __future__ import annotations

from pathlib import Path

from ..drivers.gateware import GatewareDevice
from ..drivers.session import Session
from .board import BoardTransport, SimulatedBoard
from .build import BoardBuild, board_geometry, build_board

__all__ = ["connect", "open_board", "open_wire"]


def open_board(lanes: int = 8, contexts: int = 1, *, compact: int = 0, trace: Path | None = None) -> GatewareDevice:
    """Build the simulated board if need be, start it, and connect to its device.

    Parameters
    ----------
    lanes, contexts
        Rank channels and samples worked on at once.
    compact
        1 for the variant of small FPGAs.
    trace
        File for waveforms (VCD), complete when the device is closed.

    Raises
    ------
    ToolError
        If the board cannot be built on this machine.
    DeviceError
        If the trace file cannot be written, or the simulator does not start.
    """
    return GatewareDevice(Session(open_wire(lanes, contexts, compact=compact, trace=trace)))


def open_wire(lanes: int = 8, contexts: int = 1, *, compact: int = 0, trace: Path | None = None) -> BoardTransport:
    """Start the board of :func:`open_board`; gives the wire to it."""
    build = build_board(board_geometry(lanes, contexts, compact), trace=trace is not None)
    return BoardTransport(SimulatedBoard(build, trace=trace))


def connect(build: BoardBuild, *, trace: Path | None = None) -> GatewareDevice:
    """Start a board and connect to its device, as :func:`open_board` does."""
    return GatewareDevice(Session(BoardTransport(SimulatedBoard(build, trace=trace))))
