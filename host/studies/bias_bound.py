"""``bias-bound``: the bias of the symmetric estimator, term by term, against a bound that is never broken.

The derivation is in docs/bias.md. With s+ and s- the equilibria at +beta and -beta, m their mean and d half their
difference, the bias is the sum of three terms, exactly:

    midpoint   (g'(m) - g'(s0)) [d / beta]      the slope of dE/dtheta is taken at m, not at s0
    path       g'(s0) [d / beta - s'(0)]        the equilibrium does not move along a straight line
    cubic      g'''(m) [d, d, d] / (6 beta)     dE/dtheta has a third derivative

where g = -dE/dtheta. The third is zero for U, V, gain and bias, and is not for quartic, were it trained.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim.float_model import FloatModel
from ...substrate.energy import equilibrium
from ...substrate.interface import Substrate
from ...substrate.network import Coupling, Module, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Schedule
from .bound_figure import figure as draw_figure
from .expansion import Enclosure, Expansion, enclose, expand, follow
from .gradients import Problem, Reference, contrast, local_slopes, random_minibatch, settling_steps
from .statistics import Interval, bootstrap, mean, share
from .study import Claim, Findings, Setting, Study, Verdict, summary

__all__ = ["STUDY", "random_network"]

Array = NDArray[np.float64]

_PARTS = (8, 16, 32, 64)
"""The betas: the softest eigenvalue of a network, divided by these."""

_SMALLEST = (2.0**-9, 2.0**-10, 2.0**-11)
"""Betas from which a device's floor is found."""

_SETTLED = 1e-13
"""Part of a disturbance that is left after a phase."""

_ROUNDING = 1e-12
"""Relative size of a term that is zero but for double precision, times beta."""

_NEAR = 0.02
"""Most that a measured term differs from the predicted one at the smallest beta, relative to it."""

_FEW = 5
"""Fewest networks, or measurements above the floor, that say anything."""

_ABOVE_FLOOR = 3
"""How many times the floor a device's error may be above the bound."""


def random_network(rng: np.random.Generator) -> Problem:
    """A chain of 3 to 5 modules with some couplings besides, of random sizes, ranks, stiffness and quartic."""
    count = int(rng.integers(3, 6))
    modules = tuple(
        Module(
            f"m{number}",
            int(rng.integers(3, 11)),
            stiffness=float(rng.choice([0.5, 1.0, 2.0])),
            quartic=float(rng.choice([0.25, 0.5, 1.0, 2.0])),
            clamped=number == 0,
        )
        for number in range(count)
    )
    pairs = [(number - 1, number) for number in range(1, count)]
    pairs += [(a, b) for a in range(count) for b in range(a + 2, count) if rng.random() < 0.4]
    couplings = tuple(Coupling(f"m{a}", f"m{b}", int(rng.integers(1, 5))) for a, b in pairs)
    network = Network(modules, couplings, f"m{count - 1}")
    weakest = float(network.stiffness[~network.clamped].min())
    parameters = Parameters.random(network, rng, radius=weakest * rng.uniform(0.3, 0.9))
    return Problem(network, parameters, random_minibatch(network, rng, 4))


def run(setting: Setting) -> Findings:
    """Run the study."""
    networks = 8 if setting.reduced else 32
    setting.progress.expect(networks)
    rows = [setting.measure(f"network {number}", partial(_measure, setting, number)) for number in range(networks)]
    return _conclude(setting, rows)


def _measure(setting: Setting, number: int) -> dict[str, Any]:
    """One network: the float model's and the device's error, the three terms, and the bounds, at each beta."""
    problem = random_network(setting.rng("bias-bound", number)).load(setting.device)
    reference = Reference.of(problem)
    betas = [max(round(reference.softest / part * 2**14), 1) / 2**14 for part in _PARTS]
    steps = settling_steps(problem.network, reference.softest, _SETTLED)
    on_device = _errors(setting.device, problem, reference, [*betas, *_SMALLEST], steps)
    model = FloatModel()
    problem.load(model)
    on_float = _errors(model, problem, reference, betas, steps)
    states = equilibrium(problem.network, problem.parameters, problem.minibatch)
    start = expand(problem, follow(problem, states, 0.0), 0.0)
    norm = float(np.linalg.norm(reference.oracle.vector()))
    points = [
        {"beta": beta, "float": error, "device": other, **_terms(problem, start, beta, norm)}
        for beta, error, other in zip(betas, on_float, on_device, strict=False)
    ]
    return {"softest": reference.softest, "points": points, "smallest": on_device[len(betas) :], "steps": steps}


def _errors(device: Substrate, problem: Problem, reference: Reference, betas: list[float], steps: int) -> list[float]:
    """Error of the symmetric estimator on ``device``, relative to the oracle."""
    goal = reference.oracle.vector()
    found = [contrast(device, problem.minibatch, Schedule(steps, steps, beta)).vector() for beta in betas]
    return [float(np.linalg.norm(each - goal) / np.linalg.norm(goal)) for each in found]


def _terms(problem: Problem, start: Expansion, beta: float, norm: float) -> dict[str, Any]:
    """Measured, predicted and bounded norms of the three terms at ``beta``, relative to the oracle's norm."""
    plus, minus = (follow(problem, start.states, sign * beta) for sign in (1, -1))
    middle, half = (plus + minus) / 2, (plus - minus) / 2
    s0, slope = start.states, half / beta
    free = ~problem.network.clamped

    def on_quartic(values: Array) -> Array:
        """Mean over samples, by free neuron, of a change of -s^4 / 4: the contrast of quartic, were it trained."""
        return np.asarray(values[:, free].mean(0))

    measured = {
        "midpoint": _along(problem, middle, slope).vector() - _along(problem, s0, slope).vector(),
        "path": _along(problem, s0, slope - start.first).vector(),
        "cubic": (local_slopes(problem, plus).vector() - local_slopes(problem, minus).vector()) / (2 * beta)
        - _along(problem, middle, slope).vector(),
    }
    predicted = {
        "midpoint": beta**2 / 2 * _bent(problem, start.second, start.first).vector(),
        "path": beta**2 / 6 * _along(problem, s0, start.third).vector(),
    }
    causes = {name: beta**2 / 6 * _along(problem, s0, part).vector() for name, part in start.causes.items()}
    as_quartic = {
        "midpoint": on_quartic(-(middle**3 - s0**3) * slope),
        "path": on_quartic(-(s0**3) * (slope - start.first)),
        "cubic": on_quartic(-(plus**4 - minus**4) / (8 * beta) + middle**3 * slope),
    }
    quartic_gradient = float(np.linalg.norm(on_quartic(s0**3 * start.first)))
    box = enclose(problem, s0, beta)
    bounds = {
        kind: _bounds(problem, box, radii, beta) for kind, radii in (("path", box.path), ("scalars", box.scalars))
    }
    bias = _norm(sum(measured.values()))
    return {
        "bias": bias / norm,
        "measured": {name: _norm(term) / norm for name, term in measured.items()},
        "predicted": {name: _norm(term) / norm for name, term in predicted.items()},
        "apart": {name: _norm(measured[name] - term) / norm for name, term in predicted.items()},
        "causes": {name: _norm(term) / norm for name, term in causes.items()},
        "bounds": {kind: {name: value / norm for name, value in each.items()} for kind, each in bounds.items()},
        "quartic": {name: _norm(term) / quartic_gradient for name, term in as_quartic.items()},
        "quartic_bias": _norm(sum(as_quartic.values())) / quartic_gradient,
        "scalars": {
            "softest": float(box.softest.min()),
            "curvature": float(box.curvature.max()),
            "slope": float(box.slope.max()),
        },
        "nodes": box.nodes,
    }


def _along(problem: Problem, at: Array, step: Array) -> Parameters:
    """g'(at)[step]."""
    bias = local_slopes(problem, step).bias
    both = local_slopes(problem, at, step).map(np.add, local_slopes(problem, step, at))
    return Parameters(both.U, both.V, both.gain, bias)


def _bent(problem: Problem, one: Array, other: Array) -> Parameters:
    """g''[one, other], which does not depend on where it is taken."""
    both = local_slopes(problem, one, other).map(np.add, local_slopes(problem, other, one))
    return Parameters(both.U, both.V, both.gain, np.zeros_like(both.bias))


def _bounds(problem: Problem, box: Enclosure, radii: tuple[Array, Array, Array], beta: float) -> dict[str, float]:
    """Bounds on the norms of midpoint and path term, and on the whole bias: means over samples."""
    r1, r2, r3 = radii
    network = problem.network
    midpoint, path, whole = (np.zeros(len(r1)) for _ in range(3))
    path += (beta**2 / 6 * r3) ** 2  # of the bias, which the states are themselves
    whole += path
    for coupling, u, v, g in zip(
        network.couplings, problem.parameters.U, problem.parameters.V, problem.parameters.gain, strict=True
    ):
        strength = _spectral(v * g[0]) ** 2 + _spectral(u * g[0]) ** 2 + (_spectral(u) * _spectral(v)) ** 2
        clamped = [name for name in (coupling.a, coupling.b) if network[name].clamped]
        if clamped:
            first, second = np.zeros(len(r1)), beta**2 / 6 * box.modules[clamped[0]] * r3
        else:
            first = beta**2 / 2 * r1 * r2
            second = beta**2 / 6 * np.hypot(box.modules[coupling.a], box.modules[coupling.b]) * r3
        midpoint += strength * first**2
        path += strength * second**2
        whole += strength * (first + second) ** 2
    terms = {"midpoint": midpoint, "path": path, "whole": whole}
    return {name: float(np.sqrt(term).mean()) for name, term in terms.items()}


def _conclude(setting: Setting, rows: list[dict[str, Any]]) -> Findings:
    points = [point for row in rows for point in row["points"]]
    last = [row["points"][-1] for row in rows]
    over = [[_is_above(point) for point in row["points"]] for row in rows]
    above, broken = sum(map(sum, over)), sum(map(any, over))
    never = share(broken, len(rows))
    tight = {
        kind: bootstrap([p["bounds"][kind]["whole"] / p["bias"] for p in last], seed=setting.seed)
        for kind in ("path", "scalars")
    }
    claims = [
        Claim(
            "the bound is never broken", "error of the float model at most the bound, on every network at every beta",
            f"{above} of {len(points)} above it, {len(rows)} networks (a share of networks up to {never.high:.2f} is "
            f"not excluded); bound / bias {tight['path'].show('.3g')} in the median",
            Verdict.BROKEN if broken else Verdict.HELD if len(rows) >= _FEW else Verdict.UNDECIDED,
            {"above": above, "points": len(points), "share": never.numbers(), "tightness": tight["path"].numbers()},
        )
    ]  # fmt: skip
    for name in ("midpoint", "path"):
        kept = [p for p in last if p["predicted"][name] > 0]
        apart = mean([p["apart"][name] / p["predicted"][name] for p in kept])
        claims.append(
            Claim(
                f"the {name} term is as predicted", f"within {_NEAR:g} of its Taylor term at the smallest beta",
                f"apart by {apart.show('.2e')} of it", apart.within(high=_NEAR), apart.numbers(),
            )
        )  # fmt: skip
    sums = mean([abs(p["float"] / p["bias"] - 1) for row in rows for p in row["points"][:1]])
    claims.append(
        Claim(
            "the terms add up to the bias",
            f"the float model's error is their sum within {_NEAR:g}, at the largest beta",
            f"apart by {sums.show('.2e')} of it", sums.within(high=_NEAR), sums.numbers(),
        )
    )  # fmt: skip
    cubic = max(p["measured"]["cubic"] * p["beta"] for p in points)
    claims.append(
        Claim(
            "the cubic term is zero for U, V, gain and bias", f"times beta, at most {_ROUNDING:g} of the oracle",
            f"at most {cubic:.1e}", Verdict.HELD if cubic <= _ROUNDING else Verdict.BROKEN, {"largest": cubic},
        )
    )  # fmt: skip
    seen = mean([p["quartic"]["cubic"] / p["quartic_bias"] for p in last])
    claims.append(
        Claim(
            "the cubic term is not zero for quartic", "above 0.001 of the bias of quartic, were it trained",
            f"{seen.show('.3f')} of it", seen.within(0.001), seen.numbers(),
        )
    )  # fmt: skip
    if setting.device.identity.kind != "float":
        claims.append(_device_claim(setting, rows))
    text = _text(setting, rows, claims, tight)
    numbers = {"networks": rows, "tightness": {kind: each.numbers() for kind, each in tight.items()}}
    return Findings(claims, numbers, {"bias-bound": draw_figure(rows)}, text)


def _is_above(point: dict[str, Any]) -> bool:
    """Whether the float model breaks the bound. Its rounding, below 1e-12 / beta, is no bias."""
    return bool(point["float"] > point["bounds"]["path"]["whole"] + _ROUNDING / point["beta"])


def _device_claim(setting: Setting, rows: list[dict[str, Any]]) -> Claim:
    """Whether the device stays below the bound, as far as its floor lets one see."""
    above = seen = total = 0
    for row in rows:
        small = np.array(row["smallest"]) * np.array(_SMALLEST)
        grows = row["smallest"][-1] > 1.5 * row["smallest"][0]  # as 1 / beta it would be 4 times as large
        floor = float(np.exp(np.log(small).mean())) if grows else 0.0
        for point in row["points"]:
            total += 1
            bound, at = point["bounds"]["path"]["whole"], floor / point["beta"]
            if point["device"] > bound + _ABOVE_FLOOR * at:
                above += 1
            elif at < bound:
                seen += 1
    verdict = Verdict.BROKEN if above else Verdict.HELD if seen >= max(total // 4, _FEW) else Verdict.UNDECIDED
    return Claim(
        f"{setting.address} stays below the bound",
        f"error at most the bound and {_ABOVE_FLOOR} times the floor, on every network at every beta",
        f"{above} of {total} above it; at {seen} the floor is below the bound, so that it says something",
        verdict,
        {"above": above, "seen": seen, "points": total},
    )


def _text(setting: Setting, rows: list[dict[str, Any]], claims: list[Claim], tight: dict[str, Interval]) -> str:
    last = [row["points"][-1] for row in rows]
    parts = {name: mean([p["measured"][name] / p["bias"] for p in last]) for name in ("midpoint", "path")}
    causes = {name: mean([p["causes"][name] / p["bias"] for p in last]) for name in last[0]["causes"]}
    spread = np.quantile([p["bounds"]["path"]["whole"] / p["bias"] for p in last], [0, 1])
    return (
        f"Expected: on random networks the bias of the symmetric estimator stays below the bound of docs/bias.md, and "
        f"is the sum of three terms of which the last, through the third state derivative of dE/dtheta, is zero for U, "
        f"V, gain and bias but not for quartic. Measured on {len(rows)} networks, seed {setting.seed}, at beta from 1/"
        f"{_PARTS[0]} to 1/{_PARTS[-1]} of the softest eigenvalue: {claims[0].measured}, {spread[0]:.3g} to "
        f"{spread[1]:.3g} in all; from the softest eigenvalue, 6 quartic s and the norm of the loss gradient alone it "
        f"is {tight['scalars'].show('.3g')}. Over the norm of the bias, the midpoint term is "
        f"{parts['midpoint'].show('.2f')} and the path term {parts['path'].show('.2f')} (they may cancel); of the path "
        f"term, the nudge's own stiffness makes {causes['nudge'].show('.2f')}, the curvature 6 quartic s "
        f"{causes['curvature'].show('.2f')}, and the quartic itself {causes['quartic'].show('.2f')}. {summary(claims)}"
    )


def _norm(vector: Any) -> float:
    return float(np.linalg.norm(vector))


def _spectral(matrix: Array) -> float:
    return float(np.linalg.norm(matrix, 2))


STUDY = Study(
    "bias-bound",
    "Is the bias what theory says?",
    "Does the bias of the symmetric estimator stay below its bound, and is it made of the terms that theory names?",
    run,
)
