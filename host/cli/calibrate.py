"""``equipoise calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .options import Debug, Json, console, show_json

__all__ = ["Folder", "calibrate"]

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        envvar="EQUIPOISE_CALIBRATIONS",
        help="Folder of records.",
        show_default="with the user's data",
    ),
]

PHASE_SECONDS = 0.02
"""How long a phase takes where nothing is known: a line of text to an instrument and its answer."""


def calibrate(
    device: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address of the board, such as spice: or visa:RESOURCE?profile=FILE.")
    ],
    valid: Annotated[float, typer.Option(metavar="DAYS", help="How long the record may be used, in days.")] = 30.0,
    averages: Annotated[int, typer.Option(min=1, help="Readings that the board averages.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Of the vectors that are measured.")] = 0,
    folder: Folder = None,
    plan_only: Annotated[bool, typer.Option("--plan", help="Show what would be measured, and exit.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what an analog board really is, and keep it as a record for training.

    The record is accepted only if readings that it was not fitted to are predicted better than before. A calibration
    that broke off goes on where it was when the same command is given again within an hour. Exit code 1 says that the
    record was rejected.

    [bold]Examples[/bold]

      equipoise calibrate --device 'spice:?mismatch=0.03&seed=1'

      equipoise calibrate --device 'visa:TCPIP::10.0.0.5::5025::SOCKET?profile=board.toml' --valid 7

      equipoise calibrate --device spice: --plan --json
    """
    from ...calibration.history import History, default_folder
    from ...calibration.plan import STAGES, make_plan
    from ...calibration.run import Settings
    from ...calibration.run import calibrate as calibrate_board
    from ...substrate.errors import CalibrationError
    from ..analog import open_board
    from ..calibrated import write_calibration_report
    from .progress import bar

    settings = Settings(folder or default_folder(), valid, averages, seed)
    with open_board(device) as board:
        plan = make_plan(board.limits, averages=averages, seed=seed)
        counts, seconds = plan.counts(), plan.seconds(PHASE_SECONDS)
        if plan_only and as_json:
            show_json({"vectors": counts, "seconds": seconds})
            return
        if not as_json:
            table = Table("stage", "vectors", "what it is for", box=None, pad_edge=False)
            for stage, count in counts.items():
                table.add_row(stage, str(count), STAGES[stage])
            console.print(table)
            console.print(f"{len(plan.vectors)} vectors of 3 readings: about {seconds:.0f} s at 20 ms each.")
        if plan_only:
            return
        with bar(console) as shown:
            task = shown.add_task("calibrate", total=len(plan.vectors))
            done = calibrate_board(
                board,
                settings,
                advance=lambda stage: shown.update(task, advance=1, description=stage),
                resumed=lambda count: console.print(f"Takes over {count} vectors that were measured already."),
            )
    record = done.record
    page = write_calibration_report(History(settings.folder), record, done.path)
    verification = record.verification
    if as_json:
        show_json({
            "id": record.id, "failed": record.failed, "file": str(done.path), "report": str(page),
            "valid_until": record.valid_until, **verification, **record.measured,
        })  # fmt: skip
    else:
        typer.echo(
            f"Calibration {record.id}: held-out readings are predicted to {verification['as_left_lsb']:.2f} LSB rms, "
            f"{verification['as_found_lsb']:.2f} before; valid until {record.valid_until[:10]}."
        )
        typer.echo(f"Report: {page}")
    if record.failed:
        raise CalibrationError(f"Calibration {record.id} is rejected: {record.failed}")
