"""``equipoise report``."""

from __future__ import annotations

import typer

from .options import Debug, Json, RunPath, show_json

__all__ = ["report"]


def report(run: RunPath, as_json: Json = False, debug: Debug = False) -> None:
    """Write the report of a run: one HTML file with all figures in it. The run may still be going on.

    [bold]Example[/bold]

      equipoise report runs/full
    """
    from ..report import write_report
    from ..run import Run

    path = write_report(Run.open(run))
    if as_json:
        show_json({"report": str(path)})
    else:
        typer.echo(f"Report: {path}")
