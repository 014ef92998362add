"""``equipoise evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .options import Debug, Device, Json, RunPath, console, show_json
from .sample import Beyond, SamplerName

if TYPE_CHECKING:
    from ..config import TrainConfig
    from ..data import Dataset
    from ..quality.evaluate import SamplePlan

__all__ = ["evaluate"]


def evaluate(
    run: RunPath,
    samples: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Samples of 'sample --save'.", show_default="new ones"),
    ] = None,
    count: Annotated[
        int, typer.Option("-n", "--count", min=4, help="Samples to generate and compare, at most 1000.", max=1000)
    ] = 1000,
    sampler: SamplerName = "heun",
    steps: Annotated[int, typer.Option(min=1, help="Noise levels to go down.")] = 18,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise to begin with.")] = 0,
    beyond: Beyond = None,
    backprop: Annotated[
        bool, typer.Option("--backprop", help="Train the same network by backpropagation too (PyTorch), to compare.")
    ] = False,
    device: Device = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say how good a run is: its denoising against other denoisers, its samples against held-out data.

    Writes quality.json, quality.npz and figures into the run, and its report anew.

    [bold]Examples[/bold]

      equipoise evaluate runs/full --device golden:

      equipoise evaluate runs/full --samples digits.npz --json
    """
    import json

    from ..data import load_data
    from ..devices import open_device
    from ..images import save_arrays
    from ..jsonable import finite
    from ..quality import evaluate as evaluate_run
    from ..quality.evaluate import SamplePlan
    from ..report import write_report
    from ..report.quality import write_figures
    from ..sampler import Sampler
    from .progress import bar
    from .train import recorded_device
    from .trained import open_trained

    trained, checkpoint = open_trained(run)
    data = load_data(trained.config.data)
    plan = SamplePlan(count, Sampler(sampler), steps, seed, beyond)
    if samples is not None:
        plan = _given(samples, data, trained.config)
    with open_device(device or recorded_device(trained)) as opened, bar(console) as progress:
        task = progress.add_task("evaluate", total=None)

        def say(text: str) -> None:
            progress.update(task, description=text)
            if not console.is_terminal:
                console.print(text)

        try:
            figures, sets = evaluate_run(
                opened, trained.config, data, checkpoint, plan, backprop=backprop, say=say,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )  # fmt: skip
        except KeyboardInterrupt:
            console.print("Interrupted: nothing was written.")
            raise typer.Exit(130) from None
    path = trained.write("quality.json", json.dumps(finite(figures), indent=2).encode())
    save_arrays(trained, "quality.npz", sets)
    drawn = write_figures(trained)
    report = write_report(trained)
    if as_json:
        show_json({**figures, "quality": str(path), "figures": [str(each) for each in drawn], "report": str(report)})
        return
    _show(figures)
    typer.echo(f"Figures: {path}")
    typer.echo(f"Report: {report}")


def _given(path: Path, data: Dataset, config: TrainConfig) -> SamplePlan:
    """Samples of a file, in the scale of training."""
    import numpy as np

    from ...substrate.errors import DataError
    from ..quality.evaluate import SamplePlan

    try:
        with np.load(path, allow_pickle=False) as file:
            samples = np.asarray(file["samples"], float)
            labels = file["labels"] if "labels" in file.files else None
    except FileNotFoundError:
        raise DataError(f"File '{path}' does not exist") from None
    except Exception as error:
        raise DataError(f"File '{path}' must be .npz with an array 'samples' ({error})") from None
    if samples.shape[1:] != data.shape or not np.all(np.isfinite(samples)):
        raise DataError(f"Samples of '{path}' must be finite, of shape (n, {data.shape}), not {samples.shape}")
    flat = (samples.reshape(len(samples), -1) - data.offset) / data.scale
    return SamplePlan(samples=flat, labels=labels, source=str(path))


def _show(figures: dict[str, Any]) -> None:
    """Print the tables."""
    denoising = figures["denoising"]
    table = Table(title="Denoising error over that of the Wiener filter, on held-out data")
    table.add_column("")
    for sigma in denoising["sigmas"]:
        table.add_column(f"{sigma:g}", justify="right")
    for name, ratios in denoising["ratios"].items():
        table.add_row(name, *(f"{ratio['value']:.3f}" for ratio in ratios))
    console.print(table)
    table = Table(title=f"{figures['count']} samples against {figures['reference']} held-out ones, 95 % confidence")
    table.add_column("")
    for name in figures["samples"]:
        table.add_column(name, justify="right")
    for measure in figures["samples"]["generated"]:
        found = [measures[measure] for measures in figures["samples"].values()]
        table.add_row(measure, *(f"{m['value']:.3g} ({m['low']:.3g} to {m['high']:.3g})" for m in found))
    console.print(table)
    for what, accuracy in figures.get("classifier", {}).items():
        console.print(f"classifier, {what}: {accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})")
