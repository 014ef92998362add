"""Options that several commands have, and how a command speaks: to people on standard error, to machines in JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

__all__ = ["Debug", "Device", "Json", "RunPath", "console", "settings", "show_json"]


@dataclass
class Settings:
    """How this call of the command behaves, whichever part of it runs."""

    debug: bool = False


settings = Settings()

console = Console(stderr=True, highlight=False)
"""For people. Standard output is kept for results."""


def _remember_debug(asked: bool) -> bool:
    settings.debug = asked
    return asked


Debug = Annotated[bool, typer.Option("--debug", callback=_remember_debug, help="Show the traceback of an error.")]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]

Device = Annotated[
    str | None,
    typer.Option(
        help="Address of the device, such as sim:, golden:, serial:/dev/ttyUSB1 or tcp:HOST:PORT.", show_default=False
    ),
]

RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]


def show_json(values: Mapping[str, Any]) -> None:
    """Print the result of a command for machines; a number that is not finite, which JSON lacks, becomes null."""
    from ..jsonable import finite

    typer.echo(json.dumps(finite(values), allow_nan=False))
