"""``relaxation``: what is left of the gradient when phases are too short, for both estimators.

A free phase that is cut short leaves a drift: the states go on moving while they are nudged. One-sided contrasts
before and after, so the drift is in it, divided by beta. Symmetric contrasts two phases that have drifted alike, so
it cancels between +beta and -beta. That the drift is the reason is measured too: the difference of the two estimators
is compared with the contrast of a free phase that simply goes on.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim.float_model import FloatModel
from ...substrate.energy import oracle
from ...substrate.errors import CapabilityError
from ...substrate.parameters import Parameters, cosine, norm_ratio
from ...substrate.phases import Estimator, Schedule
from ..bench import bench_network
from .gradients import Problem, contrast, local_slopes, random_minibatch
from .statistics import Interval, mean
from .study import Claim, Findings, Setting, Study, summary
from .style import LINES, WIDE, draw, label

__all__ = ["STUDY"]

Array = NDArray[np.float64]

_ESTIMATORS = (Estimator.ONE_SIDED, Estimator.SYMMETRIC)

_SCALES = {"weak": 1.0, "strong": 2.0}
"""Factor on U and V of random parameters: the largest eigenvalue of the coupling matrix is 0.46 times its square."""

_POINT = (60, 24, 1 / 64)
"""Free steps, nudged steps and beta at which the claims are made."""

_WEAK, _STRONG, _DRIFT = 0.99, 0.7, 0.95
"""Least cosine of both estimators at weak coupling, of symmetric at strong coupling, and of the drift."""

_DRIFT_RATIO = 0.15
"""Most that the length of the drift differs from what is predicted."""


def run(setting: Setting) -> Findings:
    """Run the study."""
    if setting.device.identity.kind == "analog":
        raise CapabilityError("an analog board counts no steps, and always settles: phases cannot be cut short there")
    networks, batch = (4, 4) if setting.reduced else (8, 32)
    free, nudged, betas = (
        ([60], [24], [1 / 64, 1 / 16])
        if setting.reduced
        else ([15, 60, 240], [6, 24, 96], [1 / 256, 1 / 64, 1 / 16, 1 / 4])
    )
    grid = list(product(free, nudged, betas))
    setting.progress.expect(networks * len(_SCALES))
    found = {
        name: [
            setting.measure(f"{name} network {number}", partial(_measure, setting, name, number, batch, grid))
            for number in range(networks)
        ]
        for name in _SCALES
    }
    return _conclude(setting, grid, found)


def _measure(
    setting: Setting, name: str, number: int, batch: int, grid: list[tuple[int, int, float]]
) -> dict[str, Any]:
    """Cosine and norm ratio of both estimators at each point of the grid, and their difference against the drift."""
    rng, network = setting.rng("relaxation", number), bench_network()
    drawn, scale = Parameters.random(network, rng), _SCALES[name]
    strong = Parameters(tuple(scale * u for u in drawn.U), tuple(scale * v for v in drawn.V), drawn.gain, drawn.bias)
    problem = Problem(network, strong, random_minibatch(network, rng, batch)).load(setting.device)
    minibatch = problem.minibatch
    truth = oracle(network, problem.parameters, minibatch)
    points = []
    for free, nudged, beta in grid:
        point: dict[str, Any] = {}
        found = {}
        for estimator in _ESTIMATORS:
            schedule = Schedule(free, nudged, beta, estimator)
            found[estimator] = contrast(setting.device, minibatch, schedule)
            point[estimator.value] = [cosine(found[estimator], truth), norm_ratio(found[estimator], truth)]
        excess = found[Estimator.ONE_SIDED].map(np.subtract, found[Estimator.SYMMETRIC])
        drift, residual = _drift(problem, free, nudged)
        predicted = drift.map(lambda leaf, beta=beta: leaf / beta)
        point["drift"] = [cosine(excess, predicted), norm_ratio(excess, predicted)]
        point["excess"] = norm_ratio(excess, truth)
        point["predicted"] = norm_ratio(predicted, truth)
        point["residual"] = residual
        points.append(point)
    return {"points": points}


def _drift(problem: Problem, free: int, nudged: int) -> tuple[Parameters, float]:
    """Contrast of a free phase that goes on for ``nudged`` steps, undivided, and the residual after ``free`` steps.

    In the float model, whose states can all be read.
    """
    model = FloatModel()
    problem.load(model)
    first = model.run(problem.minibatch, Schedule(free, 1, estimator=Estimator.FREE))
    before = model.states()["free"]
    model.run(problem.minibatch, Schedule(free + nudged, 1, estimator=Estimator.FREE))
    after = model.states()["free"]
    return local_slopes(problem, after).map(np.subtract, local_slopes(problem, before)), first.residual


def _conclude(setting: Setting, grid: list[tuple[int, int, float]], found: dict[str, list[dict[str, Any]]]) -> Findings:
    at = grid.index(_POINT)

    def values(name: str, key: str, place: int) -> Interval:
        return mean([network["points"][at][key][place] for network in found[name]])

    one, both = (estimator.value for estimator in _ESTIMATORS)
    free, nudged, beta = _POINT
    where = f"{free} + {nudged} steps, beta 1/{1 / beta:g}"
    claims = []
    for estimator in (one, both):
        aligned = values("weak", estimator, 0)
        claims.append(
            Claim(
                f"weak coupling, {estimator}", f"cosine at least {_WEAK} ({where})", f"cosine {aligned.show('.4f')}",
                aligned.within(_WEAK), aligned.numbers(),
            )
        )  # fmt: skip
    against, stays = values("strong", one, 0), values("strong", both, 0)
    claims.append(
        Claim(
            "strong coupling, one-sided", f"anti-correlated: cosine below 0 ({where})", f"cosine {against.show('.3f')}",
            against.within(high=0), against.numbers(),
        )
    )  # fmt: skip
    claims.append(
        Claim(
            "strong coupling, symmetric", f"aligned: cosine at least {_STRONG} ({where})",
            f"cosine {stays.show('.3f')}", stays.within(_STRONG), stays.numbers(),
        )
    )  # fmt: skip
    direction, length = values("strong", "drift", 0), values("strong", "drift", 1)
    claims.append(
        Claim(
            "the free drift is the reason",
            f"one-sided less symmetric points along drift / beta: cosine at least {_DRIFT}",
            f"cosine {direction.show('.4f')}",
            direction.within(_DRIFT),
            direction.numbers(),
        )
    )
    claims.append(
        Claim(
            "and all of it",
            f"one-sided less symmetric is as long as drift / beta: ratio 1 +- {_DRIFT_RATIO}",
            f"ratio {length.show('.3f')}",
            length.within(1 - _DRIFT_RATIO, 1 + _DRIFT_RATIO),
            length.numbers(),
        )
    )
    excess = mean([network["points"][at]["excess"] for network in found["strong"]])
    ratios = values("strong", one, 1), values("strong", both, 1)
    numbers = {
        "grid": grid,
        "excess": excess.numbers(),
        "points": {name: [network["points"] for network in networks] for name, networks in found.items()},
    }
    text = (
        f"Expected: with strong couplings (U and V {_SCALES['strong']:g} times as large) relaxation is slow, and at "
        f"{where} one-sided is anti-correlated with the oracle, about -0.4, while symmetric stays aligned, about 0.85. "
        f"Measured on {setting.address} with {len(found['strong'])} random networks, seed {setting.seed}: cosine "
        f"{against.show('.3f')} and {stays.show('.3f')}, norm ratio {ratios[0].show('.3g')} and "
        f"{ratios[1].show('.3g')}. Why: what one-sided has beyond symmetric, {excess.show('.3g')} times the oracle, is "
        f"the drift of the free phase divided by beta (cosine {direction.show('.4f')}, length {length.show('.3f')} of "
        f"what a free phase that goes on predicts); between +beta and -beta it cancels. {summary(claims)}"
    )
    figures = {"relaxation-why": _why(grid, found)}
    if len(grid) > 2:
        figures = {
            "relaxation-cosine": _map(grid, found, 0, "cosine to the oracle"),
            "relaxation-ratio": _map(grid, found, 1, "norm ratio to the oracle"),
            **figures,
        }
    return Findings(claims, numbers, figures, text)


def _map(grid: list[tuple[int, int, float]], found: dict[str, list[dict[str, Any]]], place: int, what: str) -> Any:
    """Mean over networks at each point of the grid, as numbers on grey: a panel for each coupling and estimator."""
    betas = sorted({beta for *_, beta in grid})
    phases = sorted({(free, nudged) for free, nudged, _ in grid})
    with draw(WIDE, 3.9) as figure:
        plots = figure.subplots(1, 4, sharey=True)
        for axes, (name, estimator) in zip(plots, product(found, _ESTIMATORS), strict=True):
            table = np.zeros((len(phases), len(betas)))
            for number, (free, nudged, beta) in enumerate(grid):
                cells = [network["points"][number][estimator.value][place] for network in found[name]]
                table[phases.index((free, nudged)), betas.index(beta)] = np.mean(cells)
            # Grey says how far from 1, the number everything: dark is bad, in both tables.
            far = np.abs(table - 1) if place == 0 else np.abs(np.log2(table))
            axes.imshow(-far, cmap="gray", vmin=-2, vmax=0, aspect="auto")
            for (row, column), value in np.ndenumerate(table):
                text = f"{value:.2f}" if place == 0 or value < 9.95 else f"{value:.3g}"
                ink = "white" if far[row, column] > 1 else "black"
                axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
            axes.set_xticks(range(len(betas)), [f"1/{1 / beta:g}" for beta in betas])
            axes.set_yticks(range(len(phases)), [f"{free} + {nudged}" for free, nudged in phases])
            axes.tick_params(length=0)
            axes.grid(visible=False)
            axes.set(xlabel="beta (units of stiffness)", title=f"{name}, {estimator.value}")
        plots[0].set_ylabel("steps of free + nudged phase")
        figure.suptitle(f"{what.capitalize()}, mean over networks", fontsize=10)
        return figure


def _why(grid: list[tuple[int, int, float]], found: dict[str, list[dict[str, Any]]]) -> Any:
    """Cosine against residual / beta; and what one-sided has beyond symmetric against what the drift predicts."""
    with draw(WIDE, 3.6) as figure:
        left, right = figure.subplots(1, 2)
        for estimator, line in zip(_ESTIMATORS, (LINES[1], LINES[0]), strict=True):
            for name, fill in zip(found, ("white", line["color"]), strict=True):
                points = [
                    (point["residual"] / beta, point[estimator.value][0])
                    for network in found[name]
                    for (*_, beta), point in zip(grid, network["points"], strict=True)
                ]
                left.plot(
                    *np.transpose(points), linestyle="", marker=line["marker"], color=line["color"], markersize=3.5,
                    markerfacecolor=fill, markeredgewidth=0.8, label=f"{estimator.value}, {name} coupling",
                )  # fmt: skip
        left.axhline(0, color="black", linewidth=0.8)
        label(left, "residual of the free phase / beta", "cosine to the oracle", "What is left of the gradient")
        left.set_xscale("log")
        left.set_xlim(left=5e-5)
        for name, line in zip(found, (LINES[3], LINES[0]), strict=True):
            pairs = np.array([
                (point["predicted"], point["excess"]) for network in found[name] for point in network["points"]
            ])  # fmt: skip
            right.plot(
                *pairs.T,
                linestyle="",
                marker=line["marker"],
                color=line["color"],
                markersize=3.5,
                label=f"{name} coupling",
            )
        ends = np.array(right.get_xlim())
        ends = np.array([1e-3, max(ends[1], 1.0)])
        right.plot(ends, ends, color="black", linewidth=0.8, label="equal")
        label(
            right, "predicted: free drift / beta, over norm of the oracle",
            "measured: one-sided less symmetric", "Where the difference comes from", log="y",
        )  # fmt: skip
        right.set_xscale("log")
        right.set_xlim(*ends)
        right.set_ylim(*ends)
        return figure


STUDY = Study(
    "relaxation",
    "What do phases that are too short do?",
    "Where phases end before the network has settled, does symmetric stay aligned where one-sided turns against the "
    "gradient, and is the free drift the reason?",
    run,
)
