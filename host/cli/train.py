"""``equipoise train``."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.table import Table

from ...substrate.errors import CapabilityError, RunError
from .options import Debug, Device, Json, console, show_json

if TYPE_CHECKING:
    from ..config import TrainConfig
    from ..run import Run

__all__ = ["train"]

_DEFAULT_DEVICE = "sim:"
_DEFAULT_RECIPE = "digits-quick"


def train(
    recipe: Annotated[
        str | None,
        typer.Option(
            help="digits-quick (minutes on sim:), digits (full), digits-labels (told the class) or points.",
            show_default=_DEFAULT_RECIPE,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="digits, moons, swiss-roll, gaussians, or a .npy or .npz file.", show_default="the recipe's"),
    ] = None,
    network: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Network.", show_default="the recipe's")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Parameters to begin with.", show_default="the recipe's"),
    ] = None,
    device: Device = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.", show_default="the recipe's")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples of a step.", show_default="the recipe's")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.", show_default="0")] = None,
    beta: Annotated[
        str | None,
        typer.Option(help="Strength of the nudge; auto: measured on the device.", show_default="the recipe's"),
    ] = None,
    estimator: Annotated[
        Literal["symmetric", "one-sided"] | None,
        typer.Option(help="Which phases are contrasted.", show_default="symmetric"),
    ] = None,
    update: Annotated[
        Literal["host", "device"] | None,
        typer.Option(help="Who changes the parameters; a run can be resumed with the other.", show_default="host"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Run directory.", show_default="runs/RECIPE-TIME")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with this run, as it was configured.")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train a denoiser on a device, by symmetric equilibrium propagation.

    Ctrl-C stops at once, with a checkpoint. The device is the simulated gateware (sim:) unless told
    otherwise; a resumed run goes on where it was.

    [bold]Examples[/bold]

      equipoise train --recipe digits-quick

      equipoise train --recipe digits --device golden: --out runs/full

      equipoise train --device serial:/dev/ttyUSB1 --beta auto

      equipoise train --recipe points --data swiss-roll --device float: --steps 500

      equipoise train --network mine/network.toml --start mine/start.safetensors

      equipoise train --recipe digits --update device

      equipoise train --resume runs/full
    """
    from ..devices import open_steady
    from ..run import Run
    from ..trainer import prepare
    from ..trainer import train as run_training
    from .progress import TrainingProgress

    settings: dict[str, Any] = {
        "steps": steps, "batch": batch, "seed": seed, "beta": _beta(beta), "estimator": estimator,
        "start": None if start is None else str(start),
    }  # fmt: skip
    if resume is not None:
        given = {"recipe": recipe, "data": data, "network": network, "out": out, **settings}
        if wrong := [f"--{name}" for name, value in given.items() if value is not None]:
            raise typer.BadParameter(
                f"goes on with a run as it was configured: leave out {', '.join(wrong)}", param_hint="--resume"
            )
        run = Run.open(resume)
        if update is not None and update != run.config.update:
            run.switch_update(update)
        address = device or recorded_device(run)
        with open_steady(address) as opened:
            finish(run, run_training(run, opened, TrainingProgress(console)), as_json=as_json)
        return
    config = _configure(recipe or _DEFAULT_RECIPE, data, network, settings | {"update": update})
    address = device or _DEFAULT_DEVICE
    # The device first: what does not fit, or a wrong address, leaves no empty run behind.
    with open_steady(address) as opened:
        try:
            prepare(config, opened)
        except CapabilityError as error:
            if opened.identity.kind != "analog" or network is not None:
                raise
            raise CapabilityError(f"{error}; recipe points-board fits a board of 8 neurons and 4 channels") from error
        run = Run.create(out or Path("runs") / f"{config.recipe}-{datetime.now():%Y%m%d-%H%M%S}", config)
        command = shlex.join(["equipoise", *sys.argv[1:]])
        run.write("command.json", json.dumps({"device": address, "command": command}, indent=2).encode())
        _keep_import(run)
        finish(run, run_training(run, opened, TrainingProgress(console)), as_json=as_json)


def _beta(text: str | None) -> float | Literal["auto"] | None:
    """The number, or auto."""
    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"must be a number or auto, not '{text}'", param_hint="--beta") from None


def _configure(recipe: str, data: str | None, network: Path | None, settings: dict[str, Any]) -> TrainConfig:
    """The recipe with what was said otherwise; its phases last as long on a network of one's own."""
    from ...substrate.phases import Estimator
    from ...substrate.toml import read_network
    from ..recipes import recipe as make
    from ..recipes import with_network

    chosen = {name: value for name, value in settings.items() if value is not None}
    if "estimator" in chosen:
        chosen["estimator"] = Estimator(chosen["estimator"])
    if chosen.get("beta") == "auto":
        del chosen["beta"]
        chosen["auto_beta"] = True
    config = make(recipe, data, **chosen)
    if network is None:
        return config
    return with_network(config, read_network(network))


def _keep_import(run: Run) -> None:
    """Keep what ``equipoise import`` said of the parameters that the run begins with, for its report."""
    from ..importing import digest

    start = Path(run.config.start)
    told = start.with_name("import.json")
    if start.suffix != ".safetensors" or not told.exists():
        return
    try:
        content = told.read_bytes()
        if json.loads(content)["start"] == digest(start):
            run.write("import.json", content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"File '{told}' cannot be read ({error}): import the model again, or delete it") from None


def recorded_device(run: Run) -> str:
    """Address that a run was begun on; the default if the run ended before it was written down.

    Raises
    ------
    RunError
        If it cannot be read, or is one to be given by whoever goes on: a run directory may come from elsewhere, and
        must not have files written for it, or our token shown to another machine.
    """
    from ...sim.door import is_loopback

    path = run.path / "command.json"
    try:
        address = str(json.loads(path.read_text())["device"])
    except FileNotFoundError:
        return _DEFAULT_DEVICE
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"File '{path}' cannot be read ({error}): delete it to go on") from None
    place, _, query = address.partition("?")
    strange = ""
    if written := [part for part in query.split("&") if part.partition("=")[0] in ("trace", "log")]:
        strange = f"that writes a file ({written[0]})"
    elif place.rpartition("tcp:")[1] and not is_loopback(place.rpartition("tcp:")[2].rpartition(":")[0].strip("[]")):
        strange = f"on another machine ({place})"
    if strange:
        raise RunError(f"'{path}' names a device {strange}: give it as --device if you mean it")
    return address


def finish(run: Run, summary: dict[str, Any], *, as_json: bool) -> None:
    """Write the report, say what came out, and exit with 130 if the run was interrupted."""
    from ..report import write_report

    report = write_report(run)
    if as_json:
        show_json({**summary, "report": str(report)})
    else:
        _show(summary)
        typer.echo(f"Report: {report}")
    if summary["interrupted"]:
        console.print(f"Interrupted after step {summary['step']}. Go on with: equipoise train --resume {run.path}")
        raise typer.Exit(130)


def _show(summary: dict[str, Any]) -> None:
    """Print a table of denoising errors against the baselines, and where the time went."""
    if summary["error"] is not None:
        table = Table(title="Denoising error on held-out data (mean squared, per number)")
        table.add_column("")
        for sigma in summary["sigmas"]:
            table.add_column(f"sigma {sigma:g}", justify="right")
        rows = {
            "before training": summary["first_error"],
            "after training": summary["error"],
            "best linear filter (Wiener)": summary["baselines"]["wiener"],
            "mean image": summary["baselines"]["mean"],
            "noisy image itself": summary["baselines"]["identity"],
        }
        for name, errors in rows.items():
            table.add_row(name, *(f"{error:.4f}" for error in errors), style="bold" if name == "after training" else "")
        console.print(table)
    total = sum(summary["seconds"].values())
    if total:
        shares = ", ".join(f"{part} {100 * seconds / total:.1f} %" for part, seconds in summary["seconds"].items())
        console.print(f"{summary['step']} steps in all; {total:.1f} s of this call in steps: {shares}")
