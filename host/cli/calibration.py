"""``equipoise calibration``: list, show and compare records."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from .calibrate import Folder
from .options import Debug, Json, show_json

__all__ = ["calibration"]

calibration = typer.Typer(
    help="List, show and compare calibrations of analog boards.", no_args_is_help=True, rich_markup_mode="rich"
)

RecordId = Annotated[str, typer.Argument(metavar="ID", help="Identifier of a record, or how it begins.")]


@calibration.command("list")
def list_records(folder: Folder = None, as_json: Json = False, debug: Debug = False) -> None:
    """List all records: board, age, state.

    [bold]Example[/bold]

      equipoise calibration list
    """
    from ...calibration.history import History, default_folder

    now, history = datetime.now(UTC), History(folder or default_folder())
    rows = [
        {
            "id": record.id,
            "board": record.uid,
            "created": record.created[:19],
            "valid_until": record.valid_until[:19],
            "state": history.state(record, now).value,
            "as_left_lsb": record.verification["as_left_lsb"],
            "failed": record.failed,
        }
        for record in history.records()
    ]  # fmt: skip
    if as_json:
        show_json({"records": rows})
        return
    table = Table(box=None, pad_edge=False)
    for head in ("id", "board", "created", "valid until", "state", "held-out (LSB)"):
        table.add_column(head, no_wrap=head == "id", overflow="fold")
    for row in rows:
        table.add_row(*map(str, list(row.values())[:5]), f"{row['as_left_lsb']:.2f}")
    Console(highlight=False).print(table)


@calibration.command()
def show(record_id: RecordId, folder: Folder = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show a record: every term with its uncertainty, and the page about it.

    [bold]Example[/bold]

      equipoise calibration show 3fa1
    """
    import json

    from ...calibration.history import History, default_folder

    history = History(folder or default_folder())
    record, path = history.find(record_id)
    if as_json:
        show_json(json.loads(record.to_json()))
        return
    state = history.state(record, datetime.now(UTC))
    typer.echo(f"{record.id} of {record.uid}, {state.value}, until {record.valid_until[:19]}")
    if record.failed:
        typer.echo(f"rejected: {record.failed}")
    if checks := history.checks(record):
        last = checks[-1]
        typer.echo(f"{len(checks)} checks, the last on {last['at'][:19]}: {last['reason'] or 'passed'}")
    _table([(name, _size(term["value"]), _size(term["uncertainty"]), term["unit"])
            for name, term in record.values.items()], "term", "size (rms)", "uncertainty (rms)", "unit")  # fmt: skip
    typer.echo(f"Report: {path.with_suffix('.html')}")


@calibration.command()
def diff(first: RecordId, second: RecordId, folder: Folder = None, as_json: Json = False, debug: Debug = False) -> None:
    """Compare two records: how far each term moved, and how many uncertainties that is.

    [bold]Example[/bold]

      equipoise calibration diff 3fa1 90bc
    """
    import numpy as np

    from ...calibration.history import History, default_folder
    from ...substrate.errors import CalibrationError

    history = History(folder or default_folder())
    a, b = history.find(first)[0], history.find(second)[0]
    if a.limits != b.limits:
        raise CalibrationError(f"Records {a.id} and {b.id} are of boards of different sizes or ranges")
    moved: dict[str, dict[str, Any]] = {}
    for name, term in a.values.items():
        change = np.array(b.values[name]["value"]) - np.array(term["value"])
        sure = np.hypot(b.values[name]["uncertainty"], term["uncertainty"])
        where = np.unravel_index(int(np.argmax(np.abs(change) / sure)), change.shape)
        moved[name] = {
            "rms": _size(change), "largest": float(change[where]), "at": [int(index) for index in where],
            "uncertainties": float(np.abs(change[where]) / sure[where]), "unit": term["unit"],
        }  # fmt: skip
    if as_json:
        show_json({"first": a.id, "second": b.id, "terms": moved})
        return
    rows = [(name, v["rms"], v["largest"], str(v["at"]), v["uncertainties"], v["unit"]) for name, v in moved.items()]
    _table(rows, "term", "moved (rms)", "most", "at", "uncertainties", "unit")


def _size(values: Any) -> float:
    import numpy as np

    return float(np.sqrt(np.mean(np.square(values))))


def _table(rows: list[tuple[Any, ...]], *heads: str) -> None:
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row))
    Console(highlight=False).print(table)
