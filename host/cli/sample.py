"""``equipoise sample``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .options import Debug, Device, Json, RunPath, console, show_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Beyond", "SamplerName", "sample"]

Beyond = Annotated[
    float | None,
    typer.Option(
        "--beyond",
        min=0,
        help="How far to go beyond the best linear filter: more is sharper, and less varied; 1 is the network's own.",
        show_default="the run's",
    ),
]

SamplerName = Annotated[
    Literal["heun", "euler", "ddim", "ancestral", "langevin"],
    typer.Option(
        help="heun: two denoiser calls a step; euler, ddim, ancestral: one; langevin: four of two replicas, with the "
        "device's own noise."
    ),
]


def sample(
    run: RunPath,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="Number of samples.")] = 64,
    sampler: SamplerName = "heun",
    steps: Annotated[int, typer.Option(min=1, help="Noise levels to go down.")] = 18,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise to begin with.")] = 0,
    label: Annotated[
        int | None, typer.Option(min=0, help="Class of the samples, for a run trained with labels.", show_default="any")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(min=0, help="How much the class counts; above 1 exaggerates it.", show_default="1"),
    ] = None,
    beyond: Beyond = None,
    warm: Annotated[
        bool,
        typer.Option(
            "--warm", help="Begin each call from the states of the one before (golden:, float:, or --on-device)."
        ),
    ] = False,
    on_device: Annotated[
        bool,
        typer.Option(
            "--on-device", help="The device takes all steps itself, with its own noise; the host reads the samples."
        ),
    ] = False,
    free_steps: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Relaxation steps of a call.", show_default="as in training")
    ] = None,
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

      equipoise sample runs/labels --label 3 --guidance 2

      equipoise sample runs/full --sampler ancestral --steps 100 --beyond 1.5

      equipoise sample runs/full --device golden: --warm --free-steps 20

      equipoise sample runs/full --device serial:/dev/ttyUSB1 --on-device
    """
    import numpy as np

    from ...substrate.errors import RunError
    from ..conditioning import check_label
    from ..data import load_data
    from ..device_sampler import sample_on_device
    from ..devices import open_steady
    from ..guidance import Beyond as BeyondFilter
    from ..images import save_grid
    from ..sampler import Sampler
    from ..sampler import sample as generate
    from .progress import bar
    from .train import recorded_device
    from .trained import open_trained

    if on_device and beyond is not None and beyond != 1:
        raise typer.BadParameter("is done by the host: leave out --on-device", param_hint="--beyond")
    if guidance is not None and label is None:
        raise typer.BadParameter("needs a class to guide to: give --label too", param_hint="--guidance")
    if grid is not None and grid.suffix != ".png":
        raise RunError(f"Picture '{grid}' must be a .png file")
    trained, checkpoint = open_trained(run)
    if label is not None:
        check_label(trained.config, label)
    data = load_data(trained.config.data)
    further = BeyondFilter(data.train, trained.config.beyond if beyond is None else beyond)
    if on_device and further.factor != 1:
        console.print(
            f"The device samples with the network alone: not {further.factor:g} times beyond the linear filter.",
            soft_wrap=True,
        )
    with open_steady(device or recorded_device(trained)) as opened, bar(console) as progress:
        opened.configure(trained.config.network)
        opened.write(checkpoint.average)
        task = progress.add_task("sample", total=None)
        try:
            asked: dict[str, Any] = {
                "steps": steps, "sampler": Sampler(sampler), "seed": seed, "warm": warm, "free_steps": free_steps,
                "labels": None if label is None else np.full(count, label),
                "guidance": 1.0 if guidance is None else guidance,
                "progress": lambda done, total: progress.update(task, completed=done, total=total),
            }  # fmt: skip
            if on_device:
                drawn = sample_on_device(opened, trained.config, count, **asked)
            else:
                drawn = generate(opened, trained.config, count, data.train.shape[1], beyond=further, **asked)
            samples = data.original(drawn)
        except KeyboardInterrupt:
            console.print(
                "Interrupted: no samples were written. Fewer (-n) or fewer --steps take less long.", soft_wrap=True
            )
            raise typer.Exit(130) from None
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
