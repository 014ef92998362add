"""``equipoise doctor``."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .options import Debug, Json, show_json

__all__ = ["doctor"]


def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Say what is missing on this machine, what for, and how to get it.

    The exit code is 1 if the simulated board cannot be built; what only real boards need does not count.

    [bold]Example[/bold]

      equipoise doctor
    """
    from ..doctor import check_machine

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
