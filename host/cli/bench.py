"""``equipoise bench``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .options import Debug, Device, Json, console, show_json

__all__ = ["bench"]


def bench(
    device: Device = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples of a run.")] = 32,
    runs: Annotated[int, typer.Option(min=1, help="Runs to measure, after one that is not.")] = 3,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure a device: cycles of a relaxation step, samples a second, and where the time goes.

    The network is 64-32-16-32-64 with rank 8, neighbours plus couplings 0-4 and 1-3, module 0 clamped; symmetric
    estimator, 60 free and 24 nudged steps, beta 1/16.

    [bold]Examples[/bold]

      equipoise bench

      equipoise bench --device 'sim:?lanes=16&contexts=4' --json
    """
    from ..bench import measure
    from ..devices import open_device
    from .progress import bar

    with open_device(device or "sim:") as opened, bar(console) as progress:
        task = progress.add_task("bench", total=runs + 1)
        result = measure(opened, batch, runs, progress=lambda: progress.advance(task))
    if as_json:
        show_json(result)
        return
    table = Table("what", "value", box=None, pad_edge=False)
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
    Console(highlight=False).print(table)
