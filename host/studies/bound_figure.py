"""Figure of ``bias-bound``."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .style import LINES, WIDE, draw, label

__all__ = ["figure"]


def figure(rows: list[dict[str, Any]]) -> Figure:
    """Bias against bound; predicted against measured terms; and the cubic term by parameter."""
    points = [point for row in rows for point in row["points"]]
    with draw(WIDE, 3.5) as drawn:
        left, middle, right = drawn.subplots(1, 3)
        _bound(left, points)
        _terms(middle, points)
        _cubic(right, points)
        return drawn


def _bound(axes: Any, points: list[dict[str, Any]]) -> None:
    bias = np.array([point["float"] for point in points])
    for kind, name, line in (("path", "from the path", LINES[0]), ("scalars", "from three numbers", LINES[3])):
        bound = [point["bounds"][kind]["whole"] for point in points]
        axes.plot(bias, bound, linestyle="", marker=line["marker"], color=line["color"], markersize=3, label=name)
    ends = np.array([bias.min() / 2, bias.max() * 2])
    axes.plot(ends, ends, color="black", linewidth=0.8, label="equal: no point may lie below")
    label(axes, "measured bias / norm of the oracle", "bound / norm of the oracle", "The bound", log="y")
    axes.set_xscale("log")
    axes.set_ylim(bottom=ends[0] / 300)  # room for the legend
    axes.legend(loc="lower right")


def _terms(axes: Any, points: list[dict[str, Any]]) -> None:
    for name, line in (("midpoint", LINES[1]), ("path", LINES[2])):
        pairs = [(p["predicted"][name], p["measured"][name]) for p in points if p["predicted"][name] > 0]
        axes.plot(
            *np.transpose(pairs), linestyle="", marker=line["marker"], color=line["color"], markersize=3,
            markerfacecolor="white", label=f"{name} term",
        )  # fmt: skip
    ends = np.array(axes.get_xlim())
    ends[0] = min(p["predicted"]["path"] for p in points) / 2
    axes.plot(ends, ends, color="black", linewidth=0.8, label="equal")
    label(axes, "predicted by its Taylor term", "measured", "The terms, over the oracle's norm", log="y")
    axes.set_xscale("log")


def _cubic(axes: Any, points: list[dict[str, Any]]) -> None:
    betas = [point["beta"] for point in points]
    curves = {
        "quartic, were it trained": ([p["quartic"]["cubic"] / p["quartic_bias"] for p in points], LINES[1]),
        "U, V, gain and bias": ([max(p["measured"]["cubic"] / p["bias"], 1e-17) for p in points], LINES[0]),
    }
    for name, (shares, line) in curves.items():
        axes.plot(betas, shares, linestyle="", marker=line["marker"], color=line["color"], markersize=3, label=name)
    label(axes, "beta (units of stiffness)", "cubic term / bias", "The term of the third derivative", log="xy")
