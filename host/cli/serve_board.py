"""``equipoise serve-board``."""

from __future__ import annotations

from typing import Annotated

import typer

from .options import Debug, Json, console
from .serve import Pty, TcpPlace, announcer, tcp_place

__all__ = ["serve_board"]


def serve_board(
    tcp: TcpPlace = None,
    pty: Pty = False,
    neurons: Annotated[int, typer.Option(help="Neurons of the board, 1 to 64.")] = 8,
    channels: Annotated[int, typer.Option(help="Rank channels of the board, 1 to 64.")] = 4,
    mismatch: Annotated[float, typer.Option(help="Mismatch of its parts, as a fraction: 0.03 is 3 %.")] = 0.03,
    seed: Annotated[int, typer.Option(help="Which board: its parts are drawn from this.")] = 0,
    noise: Annotated[float, typer.Option(help="Noise of each neuron in volts; slow.")] = 0.0,
    temperature: Annotated[float, typer.Option(help="Of all parts, in degrees Celsius.")] = 25.0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Offer the reference board, a circuit in ngspice, as an instrument that understands SCPI; until Ctrl-C.

    Prints the address to give as --device. Only programs of this machine reach it.

    [bold]Examples[/bold]

      equipoise serve-board --tcp 127.0.0.1:5025

      equipoise serve-board --pty --neurons 16 --seed 3
    """
    from ...sim.door import is_loopback
    from ...sim.spice.board import SpiceBoard
    from ...sim.spice.server import serve_board as serve_on
    from ...substrate.errors import DeviceError

    host, port = tcp_place(tcp, pty)
    if not is_loopback(host):
        raise DeviceError(
            f"tcp:{host}:{port} can be reached from other machines, and SCPI knows no password: "
            "serve the board on 127.0.0.1, and reach it by a tunnel"
        )
    announce = announcer(as_json)
    try:
        with SpiceBoard(
            neurons=neurons, channels=channels, mismatch=mismatch, seed=seed, noise=noise, temperature=temperature
        ) as board:
            serve_on(board, host=host, port=port, pty=pty, announce=announce)
    except KeyboardInterrupt:
        console.print("Stopped.")  # the way to end it, so not a failure
