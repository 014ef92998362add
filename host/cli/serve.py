"""``equipoise serve``."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .options import Debug, Json, console, show_json

__all__ = ["Pty", "TcpPlace", "announcer", "serve", "tcp_place"]


TcpPlace = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.", show_default="127.0.0.1:0"),
]

Pty = Annotated[bool, typer.Option("--pty", help="As a pseudo-terminal instead, like a board's serial port.")]


def serve(
    tcp: TcpPlace = None,
    pty: Pty = False,
    lanes: Annotated[int, typer.Option(min=1, help="Rank channels worked on at once.")] = 8,
    contexts: Annotated[int, typer.Option(min=1, help="Samples worked on at once.")] = 1,
    trace: Annotated[Path | None, typer.Option(metavar="FILE.vcd", help="File for waveforms (slow).")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Offer the simulated gateware to other programs, as if it were a board; until Ctrl-C.

    Prints the address to give as --device. Where other machines can reach the port, they need a token: that in the
    environment variable EQUIPOISE_TOKEN, of this command and of theirs; without one, a token is made and shown.

    [bold]Examples[/bold]

      equipoise serve --tcp 0.0.0.0:7000

      equipoise serve --pty --lanes 16 --contexts 4
    """
    from ...drivers.tcp import TOKEN_VARIABLE
    from ...sim.board import SimulatedBoard
    from ...sim.build import board_geometry, build_board
    from ...sim.door import is_loopback
    from ...sim.serve import serve_pty, serve_tcp

    host, port = tcp_place(tcp, pty)
    announce = announcer(as_json)
    token = os.environ.get(TOKEN_VARIABLE)
    if token is None and not pty and not is_loopback(host):
        token = secrets.token_urlsafe(16)
        console.print(f"Clients need the token: export {TOKEN_VARIABLE}={token}", markup=False)
    build = build_board(board_geometry(lanes, contexts), trace=trace is not None, console=console)
    try:
        with SimulatedBoard(build, trace=trace) as board:
            if pty:
                serve_pty(board, announce)
            else:
                serve_tcp(board, host, port, announce, token)
    except KeyboardInterrupt:
        console.print("Stopped.")  # the way to end it, so not a failure


def tcp_place(tcp: str | None, pty: bool) -> tuple[str, int]:
    """Host and port of a value of ``--tcp``, which must not be given together with ``--pty``."""
    if pty and tcp is not None:
        raise typer.BadParameter("cannot be given together with --tcp", param_hint="--pty")
    text = tcp or "127.0.0.1:0"
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 2**16:
        raise typer.BadParameter(
            f"must have the form HOST:PORT, with a port from 0 to 65535, not '{text}'", param_hint="--tcp"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def announcer(as_json: bool) -> Callable[[str], None]:
    """What prints the address at which something is served, at once."""

    def announce(address: str) -> None:
        if as_json:
            show_json({"address": address})
        else:
            typer.echo(address)
        sys.stdout.flush()

    return announce
