"""``equipoise build``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from .options import Debug, Json, console, show_json

if TYPE_CHECKING:
    from ...gateware.build import BoardBuild

__all__ = ["BoardName", "Clock", "GeometryText", "build"]

BoardName = Annotated[
    str | None, typer.Argument(metavar="BOARD", help="Name of a board, or a Python file that defines one.")
]

GeometryText = Annotated[
    str,
    typer.Option("--geometry", metavar="NAME=N,...", help="Sizes other than the board's own, as lanes=8,contexts=2."),
]

Clock = Annotated[
    float | None,
    typer.Option("--clock", metavar="MHZ", help="Clock of the gateware, if not the board's own.", show_default=False),
]


def build(
    board: BoardName = None,
    geometry: GeometryText = "",
    clock: Clock = None,
    every: Annotated[bool, typer.Option("--list", help="List the boards, and build nothing.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Build the bitstream of a board: once, then it is found in the cache. The tools come from pip packages.

    A bitstream whose timing is not met is an error: it must not be flashed.

    [bold]Examples[/bold]

      equipoise build --list

      equipoise build ulx3s-85f

      equipoise build icebreaker --geometry levels=2,rows=256 --json

      equipoise build ulx3s-25f --geometry lanes=2,contexts=1 --clock 80

      equipoise build my_board.py
    """
    from ...gateware.boards import find_board
    from ...gateware.build import build_bitstream, parse_geometry
    from ...substrate.errors import ToolError
    from ..bench import bench_network

    if every:
        _list(as_json)
        return
    if board is None:
        raise typer.BadParameter("give the name of a board, or --list", param_hint="BOARD")
    known = find_board(board).at_clock(clock)
    sizes = parse_geometry(geometry, known.geometry)
    with console.status("") as status:

        def stage(name: str) -> None:
            status.update(name)
            if not console.is_terminal:
                console.print(name)

        try:
            built = build_bitstream(known, sizes, network=bench_network(), stage=stage)
        except KeyboardInterrupt:
            console.print("Interrupted: nothing of this build is kept.")
            raise typer.Exit(130) from None
    if as_json:
        show_json(_facts(built))
    else:
        _show(built)
    if not built.report.met:
        report = built.report
        raise ToolError(
            f"Timing of {report.board} is not met: fmax {report.fmax_mhz:.1f} MHz, target {report.target_mhz:.1f} MHz. "
            "Build fewer lanes or contexts (--geometry), or take a lower clock (--clock)"
        )


def _facts(built: BoardBuild) -> dict[str, object]:
    return asdict(built.report) | {"met": built.report.met, "bitstream": str(built.bitstream)}


def _show(built: BoardBuild) -> None:
    table = Table("what", "value", box=None, pad_edge=False)
    for name, value in built.report.rows():
        table.add_row(name, value)
    table.add_row("bitstream", str(built.bitstream))
    Console(highlight=False).print(table)


def _list(as_json: bool) -> None:
    from ...gateware.boards import BOARDS

    if as_json:
        show_json({
            "boards": [
                {
                    "name": board.name, "summary": board.summary, "part": board.part, "clock": board.clock,
                    "baud": board.baud, "geometry": dict(board.geometry.words()),
                }
                for board in BOARDS.values()
            ]
        })  # fmt: skip
        return
    table = Table("board", "what it is", "clock", "baud", "geometry", box=None, pad_edge=False)
    for board in BOARDS.values():
        clock = f"{board.clock / 1e6:g} MHz"
        table.add_row(board.name, board.summary, clock, f"{board.baud:,}", str(board.geometry))
    Console(highlight=False).print(table)
