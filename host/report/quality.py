"""Figures of a run's quality, from what ``equipoise evaluate`` wrote."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from numpy.typing import NDArray

from ...substrate.errors import RunError
from ..images import load_arrays
from ..plots import LINES, WIDTH, draw, embed
from ..run import Run
from .figures import Picture
from .pictures import tiled

__all__ = ["quality_pictures", "quality_tables", "read_quality", "write_figures"]

Array = NDArray[np.float64]

_INCHES = 9.8
_ROW = 15
_TOP = 1.4
"""Largest ratio of errors that is drawn."""
_ORDER = ("held-out data", "training data", "generated", "gaussian")


def read_quality(run: Run) -> dict[str, Any]:
    """What was evaluated; empty if nothing was yet."""
    path = run.path / "quality.json"
    try:
        return dict(json.loads(path.read_text())) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise RunError(f"File '{path}' cannot be read ({error}): delete it to go on") from None


def quality_pictures(run: Run) -> dict[str, Picture]:
    """Figures by the name that their file has."""
    found, sets = read_quality(run), load_arrays(run, "quality.npz")
    pictures: dict[str, Picture] = {}
    if found:
        pictures["quality-denoising"] = _denoising(found["denoising"])
    if found and sets:
        named = {name: sets[name] for name in _ORDER if name in sets}
        first = next(iter(named.values()))
        if first.ndim == 3:
            pictures["quality-samples"] = _images(named)
        elif first.ndim == 2 and first.shape[1] == 2:
            pictures["quality-samples"] = _densities(named)
    return pictures


def write_figures(run: Run) -> list[Path]:
    """Write them as files of the run."""
    files = []
    for name, picture in quality_pictures(run).items():
        head, _, content = picture.source.partition("base64,")
        files.append(run.write(f"{name}.{'svg' if 'svg' in head else 'png'}", base64.b64decode(content)))
    return files


def quality_tables(found: dict[str, Any]) -> dict[str, Any] | None:
    """What a page shows of it as text; None if there is nothing."""
    if not found:
        return None
    rows = [
        (name, [_interval(measure) for measure in measures.values()]) for name, measures in found["samples"].items()
    ]
    return {
        "measures": list(found["samples"]["generated"]),
        "rows": rows,
        "step": found["step"],
        "count": found["count"],
        "reference": found["reference"],
        "sampling": ", ".join(f"{name} {value}" for name, value in found["sampling"].items()),
        "parameters": ", ".join(f"{name} {count:,}" for name, count in found["parameters"].items()),
        "classifier": [(name, _interval(value)) for name, value in found.get("classifier", {}).items()],
    }


def _interval(numbers: dict[str, Any]) -> str:
    value, low, high = (numbers[name] for name in ("value", "low", "high"))
    if low is None or high is None:
        return f"{value:.3g}"
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def _denoising(found: dict[str, Any]) -> Picture:
    """Errors over that of the Wiener filter, by noise level, with their intervals."""
    with draw(2 * WIDTH, 3.2) as figure:
        axes = figure.add_subplot()
        axes.set(xlabel="noise level sigma (data have deviation 0.5)", ylabel="error / error of the Wiener filter")
        for (name, ratios), line in zip(found["ratios"].items(), LINES, strict=False):
            values, low, high = (
                np.array([each[part] if each[part] is not None else each["value"] for each in ratios], float)
                for part in ("value", "low", "high")
            )
            axes.errorbar(found["sigmas"], values, [values - low, high - values], label=name, capsize=3, **line)
        axes.axhline(1.0, color="black", linewidth=0.8)
        axes.set_ylim(top=min(axes.get_ylim()[1], _TOP))
        axes.set(xscale="log")
        axes.set_xticks(found["sigmas"], [f"{sigma:g}" for sigma in found["sigmas"]])
        axes.set_xticks([], minor=True)
        axes.legend()
        note = (
            "On held-out data, with bootstrap intervals of 95 %. Below 1 is better than any linear filter. The "
            "posterior mean over the training data says how far below is possible where the noise is strong; at weak "
            "noise it knows too few samples, and leaves the picture."
        )
        return Picture("Denoising against other denoisers", note, embed(figure), wide=True)


def _images(sets: dict[str, Array]) -> Picture:
    rows = []
    for name, images in sets.items():
        rows += [(name if not begin else "", images[begin : begin + _ROW]) for begin in (0, _ROW)]
    scale = next(iter(sets.values()))
    note = (
        "Not chosen: the first of each set. 'gaussian' is drawn from the normal distribution with the mean and "
        "covariance of the training data, all that a linear denoiser can learn. "
        "Grey values end where those of held-out images do."
    )
    return Picture("Samples of each set", note, tiled(rows, _ROW, scale), wide=True)


def _densities(sets: dict[str, Array]) -> Picture:
    """Two-dimensional histograms side by side, on one scale."""
    first = next(iter(sets.values()))
    middle, reach = (first.max(0) + first.min(0)) / 2, 0.65 * float(np.ptp(first, axis=0).max())
    edges = [np.linspace(middle[axis] - reach, middle[axis] + reach, 61) for axis in (0, 1)]
    counted = {
        name: np.histogram2d(points[:, 0], points[:, 1], bins=edges)[0] / len(points) for name, points in sets.items()
    }
    low, high = 0.5 / max(len(points) for points in sets.values()), max(float(each.max()) for each in counted.values())
    with draw(_INCHES, _INCHES / len(sets) + 0.3) as figure:
        plots = figure.subplots(1, len(sets), sharex=True, sharey=True, squeeze=False).ravel()
        for axes, (name, counts) in zip(plots, counted.items(), strict=True):
            axes.pcolormesh(edges[0], edges[1], counts.T, cmap="Greys", norm=LogNorm(low, max(high, 2 * low)))
            axes.set(title=name, aspect="equal")
            axes.grid(visible=False)
        note = "Share of the points in each cell, the darker the more, logarithmic, on one scale."
        return Picture("Density of each set", note, embed(figure, "png"), wide=True)
