"""``equipoise serve-board``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .options import Debug, Json, console, show_json
from .serve import tcp_place

__all__ = ["serve_board"]


def serve_board(
    tcp: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.", show_default="127.0.0.1:0"),
    ] = None,
    pty: Annotated[
        bool, typer.Option("--pty", help="As a pseudo-terminal instead, like a board's serial port.")
    ] = False,
    neurons: Annotated[int, typer.Option(help="Neurons of the board, 1 to 64.")] = 8,
    channels: Annotated[int, typer.Option(help="Rank channels of the board, 1 to 64.")] = 4,
    mismatch: Annotated[float, typer.Option(help="Mismatch of its parts, as a fraction: 0.03 is 3 %.")] = 0.03,
    seed: Annotated[int, typer.Option(help="Which board: its parts are drawn from this.")] = 0,
    noise: Annotated[float, typer.Option(help="Noise of each neuron in volts; slow.")] = 0.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Offer the reference board, a circuit in ngspice, as an instrument that understands SCPI; until Ctrl-C.

    Prints the address to give as --device. Anybody who reaches the TCP port can use the board.

    [bold]Examples[/bold]

      equipoise serve-board --tcp 127.0.0.1:5025

      equipoise serve-board --pty --neurons 16 --seed 3
    """
    from ...sim.spice.board import SpiceBoard
    from ...sim.spice.server import serve_board as serve_on

    if pty and tcp is not None:
        raise typer.BadParameter("cannot be given together with --tcp", param_hint="--pty")

    def announce(address: str) -> None:
        if as_json:
            show_json({"address": address})
        else:
            typer.echo(address)
        sys.stdout.flush()

    host, port = tcp_place(tcp or "127.0.0.1:0")
    try:
        with SpiceBoard(neurons=neurons, channels=channels, mismatch=mismatch, seed=seed, noise=noise) as board:
            serve_on(board, host=host, port=port, pty=pty, announce=announce)
    except KeyboardInterrupt:
        console.print("Stopped.")  # the way to end it, so not a failure
