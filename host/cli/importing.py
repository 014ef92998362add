"""``equipoise import``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .options import Debug, Device, Json, console, show_json

if TYPE_CHECKING:
    from ...substrate.interface import Substrate
    from ...substrate.network import Network
    from ..config import TrainConfig
    from ..data import Dataset
    from ..importing import Model

__all__ = ["import_model"]


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="Dense weights of a model.")],
    recipe: Annotated[str, typer.Option(help="Noise levels and data to measure it with.")] = "digits",
    data: Annotated[str | None, typer.Option(help="Data set.", show_default="the recipe's")] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Channels of each coupling.", show_default="what keeps 99 % of each")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write.", show_default="FILE without .npz")
    ] = None,
    device: Device = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Bring a model of your own: factor its dense weights into low-rank couplings, and run it on a device.

    The file holds arrays weight.A-B (or encoder.A-B and decoder.A-B) and bias.A, of modules input, output and
    any others: docs/generate.md. Says for each rank what is left out, and how well the network denoises.

    [bold]Examples[/bold]

      equipoise import mine.npz --device golden:

      equipoise import mine.npz --rank 16 --out mine

      equipoise train --recipe digits --network mine/network.toml --start mine/start.safetensors
    """
    from ...substrate.errors import RunError
    from ...substrate.toml import network_to_toml
    from ..data import load_data
    from ..devices import open_device
    from ..importing import digest, read_model
    from ..recipes import recipe as make

    model = read_model(file)
    config = make(recipe, data)
    loaded = load_data(config.data)
    chosen = model.enough() if rank is None else min(rank, model.full_rank)
    folder = out or file.with_suffix("")
    with open_device(device or "float:") as opened:
        address = opened.identity.address
        rows = [_measured(opened, model, config, loaded, each) for each in sorted({*model.ranks(), chosen})]
    network = model.network(chosen, config.edm.levels)
    found = {"file": str(file), "device": address, "rank": chosen, "sigmas": rows[0].pop("sigmas"), "ranks": rows}
    for row in rows[1:]:
        del row["sigmas"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "network.toml").write_text(network_to_toml(network))
        model.parameters(network).save(folder / "start.safetensors", network)
        found["start"] = digest(folder / "start.safetensors")
        (folder / "import.json").write_text(json.dumps(found, indent=2))
        _draw(found, folder / "import.svg")
    except OSError as error:
        raise RunError(f"Folder '{folder}' cannot be written: {error.strerror or error}") from None
    command = f"equipoise train --recipe {recipe} --network {folder}/network.toml --start {folder}/start.safetensors"
    if as_json:
        show_json({**found, "out": str(folder), "fine-tune": command})
        return
    _show(found)
    typer.echo(f"Network: {folder / 'network.toml'}")
    typer.echo(f"Parameters: {folder / 'start.safetensors'}")
    console.print(f"Fine-tune it with: {command}", soft_wrap=True)


def _measured(device: Substrate, model: Model, config: TrainConfig, data: Dataset, rank: int) -> dict[str, Any]:
    """What ``rank`` leaves out, and denoising errors on the device."""
    from ..baselines import REPORT_SIGMAS
    from ..evaluation import denoising_errors
    from ..recipes import with_network
    from ..start import check_data

    network = model.network(rank, config.edm.levels)
    tried = with_network(config, network)
    check_data(tried, data)
    device.configure(network)
    device.write(model.parameters(network))
    errors, _ = denoising_errors(device, tried, data, 0)
    return {
        "rank": rank, "discarded": model.discarded(rank), "weights": _weights(network), "error": errors,
        "sigmas": list(REPORT_SIGMAS),
    }  # fmt: skip


def _weights(network: Network) -> int:
    return sum(c.rank * (network[c.a].size + network[c.b].size) for c in network.couplings)


def _show(found: dict[str, Any]) -> None:
    table = Table(title=f"Factored weights: what is left out of their squared norm, and denoising on {found['device']}")
    table.add_column("rank", justify="right")
    for coupling in found["ranks"][0]["discarded"]:
        table.add_column(coupling, justify="right")
    table.add_column("weights", justify="right")
    for sigma in found["sigmas"]:
        table.add_column(f"error, sigma {sigma:g}", justify="right")
    for row in found["ranks"]:
        left_out = [f"{share:.2%}" for share in row["discarded"].values()]
        errors = [f"{error:.4f}" for error in row["error"]]
        table.add_row(
            str(row["rank"]), *left_out, f"{row['weights']:,}", *errors,
            style="bold" if row["rank"] == found["rank"] else "",
        )  # fmt: skip
    console.print(table)


def _draw(found: dict[str, Any], path: Path) -> None:
    from ..plots import LINES, WIDTH, draw

    ranks = [row["rank"] for row in found["ranks"]]
    with draw(2 * WIDTH, 3.0) as figure:
        left, right = figure.subplots(1, 2)
        for name, line in zip(found["ranks"][0]["discarded"], LINES * 9, strict=False):
            left.plot(ranks, [max(row["discarded"][name], 1e-12) for row in found["ranks"]], label=name, **line)
        left.set(xlabel="rank", ylabel="part of the squared norm left out", yscale="log", ylim=(1e-6, 1.5))
        for number, (sigma, line) in enumerate(zip(found["sigmas"], LINES, strict=False)):
            right.plot(ranks, [row["error"][number] for row in found["ranks"]], label=f"sigma {sigma:g}", **line)
        right.set(xlabel="rank", ylabel="denoising error, mean squared", yscale="log")
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set_xticks(ranks, [str(rank) for rank in ranks])
            axes.legend()
        figure.savefig(path, format="svg", metadata={"Date": None})
