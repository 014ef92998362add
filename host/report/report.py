"""The report of a run: what its directory holds, as one HTML file that needs nothing else."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from ...substrate.errors import RunError
from ..config import TrainConfig
from ..images import load_arrays
from ..run import Run
from ..templates import template
from . import figures, pictures
from .figures import Picture
from .imported import imported_table
from .quality import quality_pictures, quality_tables, read_quality

__all__ = ["write_report"]

Records = list[dict[str, Any]]


def write_report(run: Run) -> Path:
    """Write ``report.html`` of a run that has ended, is under way, or has only just begun.

    Returns
    -------
    Path
        The file, written whole or not at all.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    records = run.metrics()
    kinds = {record["kind"] for record in records}
    by_kind: dict[str, Records] = {kind: [r for r in records if r["kind"] == kind] for kind in kinds}
    steps, evaluations = by_kind.get("step", []), by_kind.get("evaluation", [])
    baselines = by_kind["baselines"][-1] if "baselines" in by_kind else None
    page = template("report.html", __package__).render(
        name=run.path.resolve().name,
        config=run.config,
        head=_read(run, "config.json"),
        state=_state(records),
        done=steps[-1]["step"] if steps else 0,
        errors=_errors(evaluations, baselines),
        warnings=by_kind.get("warning", []),
        resumed=[record["step"] for record in by_kind.get("resumed", [])],
        curves=_curves(run.config, steps, evaluations, baselines),
        pictures=_pictures(run),
        imported=imported_table(run, evaluations),
        quality=quality_tables(read_quality(run)),
        quality_pictures=list(quality_pictures(run).values()),
        health=_health(steps),
        speed=_speed(run.config, steps),
        timing=figures.timing(_seconds(steps)) if steps else None,
        device=_rows(_read(run, "device.json")),
        settings=_settings(run.config),
        network=(run.path / "network.toml").read_text() if (run.path / "network.toml").exists() else "",
        command=_command(run),
    )
    return run.write("report.html", page.encode())


def _read(run: Run, name: str) -> dict[str, Any]:
    """A JSON file of the run; empty if the run ended before it was written."""
    path = run.path / name
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise RunError(f"File '{path}' cannot be read ({error}): delete it to go on") from None


def _state(records: Records) -> str:
    """How the run stands: its last word."""
    last = records[-1]["kind"] if records else None
    return str(last) if last in {"finished", "interrupted"} else "under way" if records else "just begun"


def _errors(evaluations: Records, baselines: dict[str, Any] | None) -> dict[str, Any] | None:
    """Table of denoising errors: columns by sigma, rows from training and baselines."""
    if not evaluations or baselines is None:
        return None
    first, last = evaluations[0], evaluations[-1]
    return {
        "sigmas": last["sigmas"],
        "rows": [
            (f"denoiser at step {last['step']}", last["error"]),
            (f"denoiser at step {first['step']}", first["error"]),
            ("best linear filter (Wiener)", baselines["wiener"]),
            ("mean of the training data", baselines["mean"]),
            ("noisy sample itself", baselines["identity"]),
        ],
    }


def _curves(
    config: TrainConfig, steps: Records, evaluations: Records, baselines: dict[str, Any] | None
) -> list[Picture]:
    """Figures of what was measured during training, as far as there is something to draw."""
    drawn = []
    if steps:
        drawn.append(figures.loss(steps))
    if evaluations and baselines is not None:
        drawn.append(figures.error_by_sigma(evaluations, baselines))
        drawn.append(figures.error_over_time(evaluations, baselines))
    if evaluations:
        drawn.append(figures.cosine(evaluations))
    if steps:
        drawn.append(figures.residual(steps, steps[-1].get("beta", config.beta)))
        drawn.append(figures.saturations(steps))
    return drawn


def _pictures(run: Run) -> list[Picture]:
    """Denoised and generated samples, as far as the run has them and they can be drawn."""
    images, samples = load_arrays(run, "images.npz"), load_arrays(run, "samples.npz")
    drawn = [
        pictures.denoising(images) if images else None,
        pictures.generated(samples["samples"], images["clean"] if images else None) if samples else None,
    ]
    return [picture for picture in drawn if picture is not None]


def _seconds(steps: Records) -> dict[str, float]:
    return {part: sum(record["seconds"][part] for record in steps) for part in ("device", "link", "host")}


def _health(steps: Records) -> list[tuple[str, str]]:
    """How often something met a limit."""
    if not steps:
        return []
    count = len(steps)
    saturated = {kind: sum(r["saturations"][kind] for r in steps) for kind in ("state", "bus", "force")}
    clipped = [record["clipped"] for record in steps]
    return [
        ("saturations of a state", f"{saturated['state']:,}"),
        ("saturations of a bus", f"{saturated['bus']:,}"),
        ("saturations of a force", f"{saturated['force']:,}"),
        ("steps with a clipped gradient", f"{sum(bool(c['gradient']) for c in clipped):,} of {count:,}"),
        ("parameters clipped to their format, mean of a step", f"{sum(c['parameters'] for c in clipped) / count:,.1f}"),
        ("numbers of samples clipped, mean of a step", f"{sum(c['samples'] for c in clipped) / count:,.1f}"),
    ]


def _speed(config: TrainConfig, steps: Records) -> list[tuple[str, str]]:
    """Rates over all steps of the run, evaluations left out."""
    if not steps:
        return []
    seconds = _seconds(steps)
    total = sum(seconds.values())
    rows = [("time in steps", f"{total:.1f} s"), ("samples a second", f"{len(steps) * config.batch / total:,.0f}")]
    rows += [(f"{part}, a step", f"{1e3 * spent / len(steps):.2f} ms") for part, spent in seconds.items()]
    relax_steps, cycles = (sum(record[name] for record in steps) for name in ("relax_steps", "cycles"))
    if relax_steps and cycles:
        relax_cycles = sum(record["relax_cycles"] for record in steps)
        rows.append(("cycles of a relaxation step", f"{relax_cycles / relax_steps:,.1f}"))
        rows.append(("cycles of the device a second", f"{cycles / seconds['device'] / 1e6:.2f} million"))
    return rows


def _settings(config: TrainConfig) -> list[tuple[str, str]]:
    """Everything that decides the result, but the network, which has a place of its own."""
    values = config.to_json() | {"estimator": config.estimator.value}
    return _rows(
        {item.name: values[item.name] for item in fields(config) if item.name in values and item.name != "network"}
    )


def _rows(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested object as rows, with dotted names."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append((f"{prefix}{name}", text))
    return rows


def _command(run: Run) -> str:
    """What began the run; put together from its configuration where it was not begun at the command line."""
    recorded = _read(run, "command.json").get("command")
    config = run.config
    pieces = ["equipoise", "train", "--recipe", config.recipe, "--data", config.data, "--seed", str(config.seed)]
    return str(recorded) if recorded else shlex.join([*pieces, "--steps", str(config.steps)])
