"""``unbiased``: the symmetric estimator against the oracle, as beta goes to 0 at full relaxation.

What separates the device from the float model is its floor: rounding or noise, which the division by 2 beta makes
larger as beta falls. Where the floor crosses the float model's own error lies the best beta.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim.float_model import FloatModel
from ...substrate.parameters import cosine, norm_ratio
from ...substrate.phases import Schedule
from .gradients import Reference, contrast, random_problem, relative_error, settling_steps
from .statistics import Interval, mean, slope
from .study import Claim, Findings, Setting, Study, Verdict, summary
from .style import LINES, WIDE, draw, label

__all__ = ["STUDY"]

Array = NDArray[np.float64]

_SETTLED = 1e-10
"""Part of a disturbance that is left after a phase: far below any beta."""

_LIMIT = 1e-5
"""Largest relative error of the float model at the smallest beta of a full run."""

_COSINE, _RATIO = 0.99, 0.02
"""Least cosine of the device at its best beta, and the most that its norm ratio differs from 1."""

_FLOOR_SLOPE = 0.2
"""Most that the log-log slope of a floor differs from -1."""


def run(setting: Setting) -> Findings:
    """Run the study."""
    networks, batch = (4, 8) if setting.reduced else (8, 32)
    betas = [2.0**-k for k in (range(2, 11, 2) if setting.reduced else range(1, 13))]
    setting.progress.expect(networks)
    rows = [
        setting.measure(f"network {number}", partial(_measure, setting, number, batch, betas))
        for number in range(networks)
    ]
    data = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return _conclude(setting, np.array(betas), data)


def _measure(setting: Setting, number: int, batch: int, betas: list[float]) -> dict[str, list[float]]:
    """Device and float model, with the device's parameters, against the oracle: at each of ``betas``."""
    drawn = random_problem(setting, "unbiased", number, batch=batch)
    problem, model = drawn.load(setting.device), FloatModel()
    problem.load(model)
    reference = Reference.of(problem)
    truth = reference.oracle
    steps = settling_steps(problem.network, reference.softest, _SETTLED)
    found = []
    for beta in betas:
        schedule = Schedule(steps, steps, beta)
        on_device, on_float = (contrast(each, problem.minibatch, schedule) for each in (setting.device, model))
        apart = np.linalg.norm(on_device.vector() - on_float.vector()) / np.linalg.norm(truth.vector())
        found.append({
            "cosine": cosine(on_device, truth),
            "ratio": norm_ratio(on_device, truth),
            "error": relative_error(on_device, truth),
            "float_cosine": cosine(on_float, truth),
            "float_ratio": norm_ratio(on_float, truth),
            "float_error": relative_error(on_float, truth),
            "apart": float(apart),
        })  # fmt: skip
    return {name: [each[name] for each in found] for name in found[0]}


def _conclude(setting: Setting, betas: Array, data: dict[str, Array]) -> Findings:
    """Claims, figure and text from what was measured: arrays (networks, betas)."""
    limit = mean(data["float_error"][:, -1])
    goal = _LIMIT * (betas[-1] / 2.0**-12) ** 2  # the error is of second order in beta
    crossing = _crossings(betas, data["float_error"], data["apart"])
    best = _best(betas, data["float_error"], data["apart"])
    cosines, ratios = mean(data["cosine"][:, best]), mean(data["ratio"][:, best])
    exact = setting.device.identity.kind == "float"
    claims = [
        Claim(
            "float model goes to the oracle",
            f"relative error below {goal:.0e} at beta {betas[-1]:g}",
            limit.show(".2e"),
            limit.within(high=goal),
            limit.numbers(),
        ),
        Claim(
            "direction on the device",
            f"cosine at least {_COSINE} at the best beta, {betas[best]:.3g}",
            cosines.show(".6f"),
            cosines.within(_COSINE),
            cosines.numbers(),
        ),
        Claim(
            "length on the device",
            f"norm ratio 1 +- {_RATIO} at the best beta, {betas[best]:.3g}",
            ratios.show(".4f"),
            ratios.within(1 - _RATIO, 1 + _RATIO),
            ratios.numbers(),
        ),
    ]
    floor = _floor(betas, data["apart"])
    if exact:
        where = "The device is the float model: it has no floor but that of double precision. "
    else:
        claims.append(_floor_claim(betas, data["apart"], floor))
        where = _where(betas, crossing, floor)
    numbers = {
        "betas": betas,
        **data,
        "best_beta": betas[best],
        "crossing_log2_beta": crossing.numbers(),
        "floor_times_beta": floor,
    }
    text = (
        f"Expected: as beta goes to 0 and all phases settle, cosine and norm ratio to the oracle go to 1, until the "
        f"floor of the device. Measured on {len(data['cosine'])} random networks: the float model's relative error is "
        f"{limit.show('.2e')} at beta {betas[-1]:g}. On {setting.address} the cosine is {cosines.show('.6f')} and the "
        f"norm ratio {ratios.show('.4f')} at beta {betas[best]:.3g}. {where}"
        f"{summary(claims)}"
    )
    return Findings(claims, numbers, {"unbiased": _figure(setting, betas, data, exact)}, text)


def _best(betas: Array, bias: Array, apart: Array) -> int:
    """Index of the beta at which float error and floor together are least, over all networks."""
    return int(np.argmin(np.sqrt((bias**2 + apart**2).mean(0)))) if len(betas) else 0


def _crossings(betas: Array, bias: Array, apart: Array) -> Interval:
    """log2 of the beta at which the floor equals the float model's error, over networks where they cross."""
    found = []
    for own, other in zip(bias, apart, strict=True):
        with np.errstate(divide="ignore"):
            lead = np.log2(other) - np.log2(own)
        for at in range(len(betas) - 1):
            if lead[at] < 0 <= lead[at + 1] and np.isfinite(lead[at]):
                share = lead[at] / (lead[at] - lead[at + 1])
                found.append(np.log2(betas[at]) + share * np.log2(betas[at + 1] / betas[at]))
                break
    return mean(found)


def _below(betas: Array, apart: Array) -> Any:
    """The smaller half of the betas, where nothing is as large as the floor."""
    return slice(len(betas) // 2, None)


def _floor(betas: Array, apart: Array) -> float:
    """Relative error of the floor, times beta: the geometric mean over networks and the smaller betas."""
    rows = _below(betas, apart)
    if not np.all(apart[:, rows] > 0):
        return 0.0
    return float(np.exp(np.log(apart[:, rows] * betas[rows]).mean()))


def _floor_claim(betas: Array, apart: Array, floor: float) -> Claim:
    """Whether what separates device and float model is a floor, and nothing else."""
    expected = f"grows as 1 / beta: log-log slope -1 +- {_FLOOR_SLOPE}"
    if not floor:
        return Claim("only a floor separates them", expected, "there is no difference", Verdict.HELD, {"floor": 0.0})
    rows = _below(betas, apart)
    slopes = mean([slope(np.log(betas[rows]), np.log(line[rows])).value for line in apart])
    return Claim(
        "only a floor separates them",
        expected,
        f"slope {slopes.show('.3f')}",
        slopes.within(-1 - _FLOOR_SLOPE, -1 + _FLOOR_SLOPE),
        slopes.numbers(),
    )


def _where(betas: Array, crossing: Interval, floor: float) -> str:
    text = f"Its floor is {floor:.2e} / beta, relative to the oracle"
    if np.isnan(crossing.value):
        return f"{text}, and does not cross the float model's own error from beta {betas[0]:g} to {betas[-1]:g}. "
    low, at, high = (2.0**value for value in (crossing.low, crossing.value, crossing.high))
    span = f" ({low:.3g} to {high:.3g})" if crossing.count > 1 else ""
    return (
        f"{text}; it crosses the float model's own error at beta {at:.3g}{span}, below which a smaller beta is worse. "
    )


def _figure(setting: Setting, betas: Array, data: dict[str, Array], exact: bool) -> Any:
    """Deviation of cosine and of norm ratio from 1, and the error with its two parts, against beta."""
    beta = "beta (units of stiffness)"
    with draw(WIDE, 3.3) as figure:
        plots = figure.subplots(1, 3)
        curves = [("float:", "float_", LINES[1])] + ([] if exact else [(setting.address, "", LINES[0])])
        for name, prefix, line in curves:
            _spread(plots[0], betas, np.abs(1 - data[f"{prefix}cosine"]), name, line)
            _spread(plots[1], betas, np.abs(1 - data[f"{prefix}ratio"]), name, line)
            _spread(plots[2], betas, data[f"{prefix}error"], name, line)
        if not exact and np.all(data["apart"] > 0):
            _spread(plots[2], betas, data["apart"], "difference of the two", LINES[3])
        label(plots[0], beta, "1 - cosine to the oracle", "Direction", log="xy")
        label(plots[1], beta, "|1 - norm ratio|", "Length", log="xy")
        label(
            plots[2],
            beta,
            "error / norm of the oracle",
            "Error, and what the device adds",
            log="xy",
        )
        return figure


def _spread(axes: Any, betas: Array, values: Array, name: str, line: dict[str, Any]) -> None:
    """Geometric mean over networks, in a band from the least to the greatest."""
    values = np.maximum(values, 1e-16)
    axes.plot(betas, np.exp(np.log(values).mean(0)), label=name, **line)
    axes.fill_between(betas, values.min(0), values.max(0), color=line["color"], alpha=0.12, linewidth=0)


STUDY = Study(
    "unbiased",
    "Is the estimator unbiased?",
    "Does the symmetric contrast become the true gradient as beta goes to 0, down to what floor of the device?",
    run,
)
