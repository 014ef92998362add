"""Figures of studies: the style of all figures, and their files.

with draw(WIDE, 3) as figure:
    left, right = figure.subplots(1, 2)
    left.plot(x, y, label="symmetric", **LINES[0])
    label(left, "beta", "relative error")
"""

from __future__ import annotations

from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..plots import LINES, STYLE, draw

__all__ = ["LINES", "WIDE", "draw", "label", "save"]

WIDE = 9.8
"""Inches of a figure that takes a page's whole width."""

_DPI = 160


def label(axes: Axes, x: str, y: str, title: str = "", *, log: str = "", legend: bool = True) -> None:
    """Say what the axes show, with units; ``log`` names those that are logarithmic (``x``, ``y``, ``xy``)."""
    axes.set(xlabel=x, ylabel=y, title=title)
    if "x" in log:
        axes.set_xscale("log", base=2)
    if "y" in log:
        axes.set_yscale("log")
    if legend and axes.get_legend_handles_labels()[0]:
        axes.legend()


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write ``stem.png`` and ``stem.svg``."""
    files = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    with rc_context(STYLE):
        figure.savefig(files[0], dpi=_DPI)
        figure.savefig(files[1], metadata={"Date": None})
    return files
