"""``equipoise doctor``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .options import Debug, Json, show_json

__all__ = ["doctor"]


def doctor(
    udev: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the udev rule for FPGA boards to a file, and say how to install it."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what is missing on this machine, what for, and how to get it.

    The exit code is 1 if the simulated board cannot be built; what only real boards need does not count.

    [bold]Examples[/bold]

      equipoise doctor

      equipoise doctor --udev 70-equipoise.rules
    """
    from ..doctor import check_machine, write_udev_rule

    if udev is not None:
        commands = write_udev_rule(udev)
        if as_json:
            show_json({"rule": str(udev), "install": commands})
        else:
            typer.echo("\n".join([f"Rule: {udev}", "To install it, so that no board needs root:", *commands]))
            typer.echo("Then plug the board in again.")
        return
    checks = check_machine()
    ready = all(check.ok for check in checks if check.required)
    if as_json:
        show_json({"ready": ready, "checks": [asdict(check) | {"ok": check.ok} for check in checks]})
    else:
        table = Table("", "what", "needed for", box=None, pad_edge=False)
        table.add_column("found, or what to do", overflow="fold")
        for check in checks:
            mark = "ok" if check.ok else "MISSING" if check.required else "absent"
            style = {"ok": "green", "MISSING": "bold red", "absent": "yellow"}[mark]
            table.add_row(f"[{style}]{mark}[/]", check.name, check.purpose, escape(check.found or check.remedy))
        Console(highlight=False).print(table)
        typer.echo("Ready to train on sim:" if ready else "Not ready to train on sim:")
    if not ready:
        raise typer.Exit(1)
