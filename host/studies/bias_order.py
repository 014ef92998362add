"""``bias-order``: how the error of the one-sided and of the symmetric estimator falls with beta.

The order is the slope of log error against log beta, at full relaxation. It is fitted where it means something: above,
where the next term of the expansion in beta is small; below, where the error stands out from the device's floor. The
floor is found from the smallest betas, where it alone is left and grows as 1 / beta; being unrelated to the bias, it is
taken off in squares.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...substrate.phases import Estimator, Schedule
from .gradients import Reference, contrast, random_problem, relative_error, settling_steps, targets
from .statistics import Interval, mean, slope
from .study import Claim, Findings, Setting, Study, summary
from .style import LINES, WIDE, draw, label

__all__ = ["STUDY"]

Array = NDArray[np.float64]

_ORDERS = {Estimator.ONE_SIDED: 1, Estimator.SYMMETRIC: 2}

_TOLERANCE = 0.1
"""Most that a slope differs from the order."""

_SETTLED = 1e-11
"""Part of a disturbance that is left after a phase."""

_NEXT_TERM = 1 / 8
"""Largest size of the next term of the expansion, relative to the first: (beta / softest eigenvalue) ** order."""

_ABOVE_FLOOR = 2
"""How many times the floor an error must be."""

_FLOOR_POINTS = 5
"""Smallest betas from which the floor is found."""

_FLOOR_SLOPE = -0.5
"""Slope below which the smallest betas show a floor."""


def run(setting: Setting) -> Findings:
    """Run the study."""
    networks, batch = (6, 8) if setting.reduced else (8, 32)
    # Multiples of a device's step of beta, half an octave apart.
    betas = [round(2.0 ** (14 - k / 2)) / 2**14 for k in (range(3, 21, 1) if setting.reduced else range(2, 23))]
    devices = targets(setting)
    setting.progress.expect(networks * len(devices))
    curves: dict[str, dict[Estimator, Array]] = {}
    softest: dict[str, Array] = {}
    for name in devices:
        rows = [
            setting.measure(f"{name} network {number}", partial(_measure, setting, name, number, batch, betas))
            for number in range(networks)
        ]
        curves[name] = {estimator: np.array([row[estimator.value] for row in rows]) for estimator in _ORDERS}
        softest[name] = np.array([row["softest"] for row in rows])
    return _conclude(setting, np.array(betas), curves, softest)


def _measure(setting: Setting, name: str, number: int, batch: int, betas: list[float]) -> dict[str, Any]:
    """Relative error of both estimators at each of ``betas``, on one network."""
    device = targets(setting)[name]
    drawn = random_problem(setting, "bias-order", number, batch=batch)
    problem = drawn.load(device)
    reference = Reference.of(problem)
    steps = settling_steps(problem.network, reference.softest, _SETTLED)
    errors: dict[str, Any] = {"softest": reference.softest}
    for estimator in _ORDERS:
        errors[estimator.value] = [
            relative_error(
                contrast(device, problem.minibatch, Schedule(steps, steps, beta, estimator)), reference.oracle
            )
            for beta in betas
        ]
    return errors


def _conclude(
    setting: Setting, betas: Array, curves: dict[str, dict[Estimator, Array]], softest: dict[str, Array]
) -> Findings:
    claims, said = [], []
    numbers: dict[str, Any] = {"betas": betas}
    fits: dict[str, dict[Estimator, list[dict[str, Any]]]] = {}
    for name, by_estimator in curves.items():
        fits[name] = {}
        for estimator, order in _ORDERS.items():
            errors = by_estimator[estimator]
            fitted = [
                _fit(betas, own, order, eigenvalue) for own, eigenvalue in zip(errors, softest[name], strict=True)
            ]
            slopes = [fit["slope"] for fit in fitted if fit["slope"] is not None]
            found = mean(slopes)
            fits[name][estimator] = fitted
            claims.append(_claim(name, estimator, order, found))
            numbers[f"{name} {estimator.value}"] = {"errors": errors, "fits": fitted}
            said.append(f"{estimator.value} on {name} {found.show('.3f')}")
    text = (
        "Expected: at full relaxation the error against the oracle falls as beta for the one-sided estimator and as "
        f"beta squared for the symmetric one, slopes 1 and 2 within {_TOLERANCE} where the fit is valid. "
        f"Measured on {len(next(iter(softest.values())))} random networks, seed {setting.seed}: {'; '.join(said)}. "
        f"The fit takes betas at which the next term of the expansion is below {_NEXT_TERM:g} of the first, and the "
        f"error above {_ABOVE_FLOOR} times the floor; a network with fewer than 3 such betas counts for nothing. "
        f"{summary(claims)}"
    )
    return Findings(claims, numbers, {"bias-order": _figure(betas, curves, fits)}, text)


def _fit(betas: Array, errors: Array, order: int, softest: float) -> dict[str, Any]:
    """Slope of one network's errors where it is valid; None where that is at fewer than 3 betas."""
    floor = _floor(betas, errors)
    valid = ((betas / softest) ** order <= _NEXT_TERM) & (errors >= _ABOVE_FLOOR * floor / betas)
    found = None
    if valid.sum() >= 3:
        alone = np.sqrt(errors[valid] ** 2 - (floor / betas[valid]) ** 2)
        found = slope(np.log(betas[valid]), np.log(alone)).value
    return {"slope": found, "floor_times_beta": floor, "betas": betas[valid].tolist()}


def _floor(betas: Array, errors: Array) -> float:
    """Floor times beta: from the smallest betas, if the error grows there as beta falls; else 0."""
    last = slice(len(betas) - _FLOOR_POINTS, None)
    steepness = slope(np.log(betas[last]), np.log(errors[last])).value
    return float(np.exp(np.log(errors[last] * betas[last]).mean())) if steepness < _FLOOR_SLOPE else 0.0


def _claim(name: str, estimator: Estimator, order: int, found: Interval) -> Claim:
    return Claim(
        f"{estimator.value} on {name}",
        f"slope {order} +- {_TOLERANCE}",
        f"slope {found.show('.3f')}",
        found.within(order - _TOLERANCE, order + _TOLERANCE),
        found.numbers(),
    )


def _figure(betas: Array, curves: dict[str, dict[Estimator, Array]], fits: dict[str, dict[Estimator, Any]]) -> Any:
    """Error against beta: a panel for each device, filled marks where the fit is valid."""
    with draw(WIDE if len(curves) > 1 else WIDE / 2, 3.8) as figure:
        plots = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
        for axes, (name, by_estimator) in zip(plots, curves.items(), strict=True):
            for (estimator, errors), line in zip(by_estimator.items(), (LINES[1], LINES[0]), strict=True):
                middle = np.exp(np.log(errors).mean(0))
                axes.plot(betas, middle, label=estimator.value, **{**line, "markerfacecolor": "white"})
                every = [set(fit["betas"]) for fit in fits[name][estimator]]
                valid = np.array([any(beta in own for own in every) for beta in betas])
                axes.plot(betas[valid], middle[valid], color=line["color"], linestyle="", marker=line["marker"])
                _guide(axes, betas, middle, valid, _ORDERS[estimator])
                floor = np.median([fit["floor_times_beta"] for fit in fits[name][estimator]])
                if floor:
                    axes.plot(betas, floor / betas, color=line["color"], linestyle=":", linewidth=0.9)
            label(axes, "beta (units of stiffness)", "", f"On {name}", log="xy")
        plots[0].set_ylabel("error / norm of the oracle")
        low = min(errors.min() for by_estimator in curves.values() for errors in by_estimator.values())
        plots[0].set_ylim(low / 3, 3)
        figure.supxlabel(
            "Geometric mean over networks. Filled marks: where the slope is fitted. Thin dashes: slopes 1 and 2. "
            "Dots: floor / beta.",
            fontsize=8,
        )
        return figure


def _guide(axes: Any, betas: Array, middle: Array, valid: NDArray[np.bool_], order: int) -> None:
    """A thin line of the expected slope, through the middle of the fitted points."""
    if valid.any():
        at = np.flatnonzero(valid)[valid.sum() // 2]
        axes.plot(betas, middle[at] * (betas / betas[at]) ** order, color="0.45", linestyle="--", linewidth=0.7)


STUDY = Study(
    "bias-order",
    "Of what order is the bias?",
    "Does the error fall as beta for the one-sided estimator, and as beta squared for the symmetric one?",
    run,
)
