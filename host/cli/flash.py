"""``equipoise flash``."""

from __future__ import annotations

from typing import Annotated

import typer

from .build import GeometryText
from .options import Debug, Json, console, show_json

__all__ = ["flash"]


def flash(
    board: Annotated[str, typer.Argument(metavar="BOARD", help="Name of a board, or a Python file that defines one.")],
    persist: Annotated[
        bool,
        typer.Option(
            "--persist", help="Write the board's flash, so that it starts with this. Else until power is off."
        ),
    ] = False,
    serial: Annotated[
        str | None, typer.Option(help="USB serial number of the board, if there are several.", show_default=False)
    ] = None,
    geometry: GeometryText = "",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Load the bitstream that was built for a board into it. The FPGA is asked what it is before anything is written.

    [bold]Examples[/bold]

      equipoise flash ulx3s-85f

      equipoise flash ulx3s-85f --persist --serial D00123
    """
    from ...gateware.boards import find_board
    from ...gateware.build import find_bitstream, parse_geometry
    from ...substrate.errors import ToolError
    from ..flash import flash_board

    known = find_board(board)
    built = find_bitstream(known, parse_geometry(geometry, known.geometry))
    option = f" --geometry {geometry}" if geometry else ""
    if built is None:
        raise ToolError(f"No bitstream is built for {known.name}: equipoise build {board}{option}")
    if not built.report.met:
        raise ToolError(f"Timing of the bitstream for {known.name} is not met: see equipoise build {board}{option}")
    with console.status(f"flashing {known.name}"):
        flash_board(known, built.bitstream, persist=persist, serial=serial)
    if as_json:
        show_json({"board": known.name, "build_id": built.report.build_id, "persist": persist})
    else:
        typer.echo(f"Loaded build {built.report.build_id}.")
        typer.echo(f"Next: equipoise train --device 'serial:PORT?baud={known.baud}', with a PORT of equipoise devices")
