"""The style of all figures, readable in black and white, and how a figure gets onto a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

__all__ = ["HEIGHT", "LINES", "STYLE", "WIDTH", "draw", "embed"]

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "svg.hashsalt": "equipoise",
}

LINES: tuple[dict[str, Any], ...] = (
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#b3261e", "linestyle": "--", "marker": "s"},
    {"color": "#1f5fa8", "linestyle": "-.", "marker": "^"},
    {"color": "#6b6b6b", "linestyle": ":", "marker": "D"},
    {"color": "#a0a0a0", "linestyle": (0, (5, 1, 1, 1)), "marker": "v"},
)
"""Told apart by dashes and marks, not by colour alone."""

WIDTH, HEIGHT = 4.9, 3.0
"""Size of a figure that takes half a page, in inches."""


@contextmanager
def draw(width: float = WIDTH, height: float = HEIGHT) -> Iterator[Figure]:
    """A figure of ``width`` x ``height`` inches in the style of all pages."""
    with rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def embed(figure: Figure, kind: str = "svg", dpi: int = 144) -> str:
    """The figure as a data URI: ``svg`` for lines, ``png`` for images."""
    buffer = io.BytesIO()
    with rc_context(STYLE):
        if kind == "svg":
            figure.savefig(buffer, format=kind, metadata={"Date": None})
        else:
            figure.savefig(buffer, format=kind, dpi=dpi, bbox_inches="tight", pad_inches=0.02)
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    return f"data:{mime};base64,{base64.b64encode(buffer.getvalue()).decode()}"
