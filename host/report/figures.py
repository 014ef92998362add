"""Figures of the measurements of a run, in one style that is readable in black and white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import LINES, WIDTH, draw, embed

__all__ = [
    "Picture",
    "cosine",
    "error_by_sigma",
    "error_over_time",
    "loss",
    "residual",
    "saturations",
    "timing",
]

Records = list[dict[str, Any]]

_SMOOTHED_OVER = 0.04
"""Part of the steps that a moving average is over."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure for a page.

    Attributes
    ----------
    title
        What it shows.
    note
        How to read it.
    source
        The image as a data URI.
    wide
        Whether it takes a page's whole width.
    """

    title: str
    note: str
    source: str
    wide: bool = False


def loss(steps: Records) -> Picture:
    """Loss of every step, and its moving average."""
    at, values = _column(steps, "step"), _column(steps, "loss")
    window = max(1, round(len(values) * _SMOOTHED_OVER))
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    with draw() as figure:
        axes = _axes(figure, "optimiser step", "loss (squared error / 2, a sample)")
        axes.plot(at, values, color="0.75", linewidth=0.8, label="each step")
        if window > 1:
            axes.plot(at[window - 1 :], smooth, color="black", label=f"mean of {window} steps")
        if values.min() > 0 and values.max() > 10 * values.min():
            axes.set_yscale("log")
        axes.legend()
        note = "Error of the network's output at the end of the free phase, on the minibatch that was trained on."
        return Picture("Loss over time", note, embed(figure))


def error_by_sigma(evaluations: Records, baselines: dict[str, Any]) -> Picture:
    """Denoising error by noise level, at the first and the last evaluation, against the baselines."""
    last, first = evaluations[-1], evaluations[0]
    curves = [
        (f"step {last['step']}", last["sigmas"], last["error"]),
        ("Wiener filter", baselines["sigmas"], baselines["wiener"]),
        (f"step {first['step']}", first["sigmas"], first["error"]),
        ("mean of the data", baselines["sigmas"], baselines["mean"]),
        ("noisy sample itself", baselines["sigmas"], baselines["identity"]),
    ]
    if first is last:
        del curves[2]
    with draw() as figure:
        axes = _axes(figure, "noise level sigma (data have deviation 0.5)", "mean squared error, a number")
        for (label, sigmas, errors), line in zip(curves, LINES, strict=False):
            axes.plot(sigmas, errors, label=label, **line)
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(last["sigmas"], [f"{sigma:g}" for sigma in last["sigmas"]])
        axes.set_xticks([], minor=True)
        axes.legend()
        note = "On held-out data, the same noise each time. The Wiener filter is the best linear denoiser."
        return Picture("Denoising error by noise level", note, embed(figure))


def error_over_time(evaluations: Records, baselines: dict[str, Any]) -> Picture:
    """Denoising error as a multiple of the Wiener filter's, by noise level."""
    at = _column(evaluations, "step")
    with draw() as figure:
        axes = _axes(figure, "optimiser step", "error / error of the Wiener filter")
        for number, (sigma, wiener) in enumerate(zip(baselines["sigmas"], baselines["wiener"], strict=True)):
            ratio = [record["error"][number] / wiener for record in evaluations]
            axes.plot(at, ratio, label=f"sigma {sigma:g}", **LINES[number % len(LINES)])
        axes.axhline(1.0, color="black", linewidth=0.8)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.legend()
        note = "Below 1 the network denoises better than any linear filter can."
        return Picture("Denoising error over time", note, embed(figure))


def cosine(evaluations: Records) -> Picture:
    """Cosine of the device's gradient to the oracle."""
    with draw() as figure:
        axes = _axes(figure, "optimiser step", "cosine to the oracle")
        axes.plot(_column(evaluations, "step"), _column(evaluations, "cosine"), **LINES[0])
        axes.axhline(1.0, color="0.5", linewidth=0.8)
        note = (
            "Direction of the contrast that the device measured on a held-out batch, against implicit differentiation "
            "at the equilibrium. 1 is exact."
        )
        return Picture("Gradient against the oracle", note, embed(figure))


def residual(steps: Records, beta: float) -> Picture:
    """Residual of the free phase, against beta."""
    with draw() as figure:
        axes = _axes(figure, "optimiser step", "mean |ds/dt| at the end of the free phase")
        axes.plot(_column(steps, "step"), _column(steps, "residual"), color="black", linewidth=0.9, label="residual")
        axes.axhline(beta, color="#b3261e", linestyle="--", label=f"beta = {beta:g}")
        axes.set_yscale("symlog", linthresh=1e-6)
        axes.legend()
        note = "How far from equilibrium the free phase was left. It should stay well below beta."
        return Picture("Residual of the free phase", note, embed(figure))


def saturations(steps: Records) -> Picture:
    """Saturations counted on the device."""
    at = _column(steps, "step")
    with draw() as figure:
        axes = _axes(figure, "optimiser step", "saturations, a step")
        highest = 1.0
        for kind, line in zip(("state", "bus", "force"), LINES, strict=False):
            counts = np.array([record["saturations"][kind] for record in steps])
            seen = counts > 0
            axes.plot(
                at[seen], counts[seen], label=kind, **{**line, "linestyle": "", "markersize": 3, "clip_on": False}
            )
            highest = max(highest, 2.0 * counts.max())
        axes.set_yscale("symlog", linthresh=1)
        axes.set(xlim=(at[0] - 1, at[-1] + 1), ylim=(0, highest))
        axes.legend()
        note = "How often a number met the end of its format on the device; 0 is best, a few do no harm."
        return Picture("Saturations", note, embed(figure))


def timing(seconds: dict[str, float]) -> Picture:
    """Where the time of the steps went, as one bar."""
    total = sum(seconds.values()) or 1.0
    fills = {"device": ("0.35", ""), "link": ("0.85", "////"), "host": ("white", "....")}
    with draw(2 * WIDTH, 1.15) as figure:
        axes = _axes(figure, "share of the time (%)", "")
        left = 0.0
        for part, spent in seconds.items():
            share = 100 * spent / total
            colour, hatch = fills[part]
            axes.barh(
                0, share, left=left, color=colour, hatch=hatch, edgecolor="black", linewidth=0.8,
                label=f"{part} {share:.1f} %",
            )  # fmt: skip
            left += share
        axes.set(xlim=(0, 100), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
        return Picture("Where the time went", "Wall time of all steps, evaluations left out.", embed(figure), wide=True)


def _axes(figure: Figure, x: str, y: str) -> Axes:
    axes = figure.add_subplot()
    axes.set(xlabel=x, ylabel=y)
    return axes


def _column(records: Records, name: str) -> np.ndarray:
    return np.array([record[name] for record in records], float)
