"""The command's parts, and what every one of them does when it fails.

Exit codes: 0 done, 1 failed (with one line on standard error), 2 wrong usage, 130 interrupted. What a command needs is
imported when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ... import __version__
from ...substrate.errors import EquipoiseError
from . import (
    bench,
    build,
    calibrate,
    calibration,
    devices,
    doctor,
    evaluate,
    flash,
    health,
    importing,
    report,
    sample,
    selftest,
    serve,
    serve_board,
    study,
    train,
)
from .options import settings

__all__ = ["app", "main"]

app = typer.Typer(
    help="Train physical energy networks in place, by symmetric equilibrium propagation.",
    epilog="Begin with: equipoise doctor, then: equipoise train --recipe digits-quick",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"equipoise {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for command in (
    train.train, sample.sample, evaluate.evaluate, report.report, study.study, bench.bench, serve.serve,
    serve_board.serve_board, devices.devices, doctor.doctor, health.health, build.build, flash.flash,
    selftest.selftest, calibrate.calibrate,
):  # fmt: skip
    app.command()(command)
app.command("import")(importing.import_model)
app.add_typer(calibration.calibration, name="calibration")


def main() -> None:
    """Run the command and exit."""
    try:
        app(prog_name="equipoise")
    except EquipoiseError as error:
        if settings.debug:
            raise
        print(f"equipoise: {error}", file=sys.stderr)
        sys.exit(1)
