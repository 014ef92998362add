"""``equipoise sample``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .options import Debug, Device, Json, RunPath, console, show_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["sample"]


def sample(
    run: RunPath,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of samples.")] = 64,
    sampler: Annotated[
        Literal["heun", "euler"], typer.Option(help="heun: two denoiser calls a step; euler: one.")
    ] = "heun",
    steps: Annotated[int, typer.Option(min=1, help="Noise levels to go down.")] = 18,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise to begin with.")] = 0,
    grid: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Picture of the samples.", show_default="RUN/samples.png")
    ] = None,
    save: Annotated[Path | None, typer.Option(metavar="FILE.npz", help="File for the samples as an array.")] = None,
    device: Device = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Generate samples with a trained denoiser: from noise to data, on the device.

    The device is the one that the run was trained on, unless told otherwise.

    [bold]Examples[/bold]

      equipoise sample runs/full -n 64 --grid digits.png

      equipoise sample runs/full -n 1000 --device golden: --sampler euler --steps 40 --save digits.npz
    """
    from ...substrate.errors import RunError
    from ..checkpoint import load_checkpoint
    from ..data import load_data
    from ..devices import open_steady
    from ..images import save_grid
    from ..run import Run
    from ..sampler import Sampler
    from ..sampler import sample as generate
    from .progress import bar
    from .train import recorded_device

    trained = Run.open(run)
    checkpoint, damaged = load_checkpoint(trained)
    if checkpoint is None:
        raise RunError(f"Run '{run}' has no checkpoint yet: train it first")
    for message in damaged:
        console.print(f"warning: {message}", style="yellow", markup=False)
    data = load_data(trained.config.data)
    with open_steady(device or recorded_device(trained)) as opened, bar(console) as progress:
        opened.configure(trained.config.network)
        opened.write(checkpoint.average)
        task = progress.add_task("sample", total=None)
        samples = data.original(
            generate(
                opened,
                trained.config,
                count,
                data.train.shape[1],
                steps=steps,
                sampler=Sampler(sampler),
                seed=seed,
                progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        )
    picture = save_grid(grid or trained.path / "samples.png", samples)
    if save:
        _save(save, samples)
    if as_json:
        show_json({
            "run": str(run), "step": checkpoint.step, "count": count, "shape": list(samples.shape[1:]),
            "grid": str(picture), "save": str(save) if save else None,
        })  # fmt: skip
        return
    typer.echo(f"Picture: {picture}")
    if save:
        typer.echo(f"Samples: {save}")


def _save(path: Path, samples: NDArray[np.float64]) -> None:
    import numpy as np

    from ...substrate.errors import RunError

    try:
        with path.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, samples=samples)
    except OSError as error:
        raise RunError(f"File '{path}' cannot be written: {error.strerror or error}") from None
