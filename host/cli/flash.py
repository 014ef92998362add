"""``equipoise flash``."""

from __future__ import annotations

from typing import Annotated

import typer

from .build import Clock, GeometryText
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
    clock: Clock = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Where the board answers, for its self-test. Else the serial port of the same USB chip.",
            show_default=False,
        ),
    ] = None,
    tested: Annotated[bool, typer.Option("--selftest/--no-selftest", help="Test the board once it is loaded.")] = True,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Load the bitstream that was built for a board into it, and test the board.

    The FPGA is asked what it is before anything is written. The self-test (see equipoise selftest) asks for
    the build id of this very bitstream.

    [bold]Examples[/bold]

      equipoise flash ulx3s-85f

      equipoise flash ulx3s-85f --persist --serial D00123
    """
    from ...gateware.boards import find_board
    from ...gateware.build import find_bitstream, parse_geometry
    from ...substrate.errors import ToolError
    from ..flash import board_address, flash_board
    from .progress import percent_bar
    from .selftest import fail_on, test_and_show

    known = find_board(board).at_clock(clock)
    built = find_bitstream(known, parse_geometry(geometry, known.geometry))
    option = (f" --geometry {geometry}" if geometry else "") + (f" --clock {clock:g}" if clock else "")
    if built is None:
        raise ToolError(f"No bitstream is built for {known.name}: equipoise build {board}{option}")
    if not built.report.met:
        raise ToolError(f"Timing of the bitstream for {known.name} is not met: see equipoise build {board}{option}")
    with percent_bar(console, f"flashing {known.name}") as progress:
        used = flash_board(known, built.bitstream, persist=persist, serial=serial, progress=progress)
    build_id = built.report.build_id
    if not as_json:
        typer.echo(f"Loaded build {build_id}.")
    loaded = {"board": known.name, "build_id": build_id, "persist": persist}
    if not tested:
        if as_json:
            show_json(loaded)
        return
    address = device or board_address(known, used)
    report = test_and_show(address, build_id, 0, quiet=as_json)
    if as_json:
        show_json(loaded | {"address": address, "selftest": report.values()})
    fail_on(report)
    if not as_json:
        typer.echo(f"Next: equipoise train --device '{address}'")
