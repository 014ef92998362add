"""``rank``: what each rank channel of a coupling costs, and what it buys."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...drivers.layout import Layout
from ...substrate.energy import oracle
from ...substrate.factor import factor
from ...substrate.geometry import Geometry
from ...substrate.interface import Substrate
from ...substrate.network import Coupling, Module, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Schedule
from .gradients import contrast, random_minibatch
from .statistics import Interval, mean, slope
from .study import Claim, Findings, Setting, Study, Verdict
from .style import LINES, WIDE, draw, label

__all__ = ["STUDY"]

Array = NDArray[np.float64]

_RANKS = (1, 2, 4, 8, 16, 24, 32, 48, 64)
_DECAY = 8
"""Halvings from the largest singular value of the dense coupling to the smallest."""

_LARGEST = 0.5
"""Largest singular value; below the stiffness, so that there is one equilibrium."""

_INPUT = 4.0
"""Largest singular value of the coupling from input to hidden: states of the order of 1."""

_SLOPE = (0.8, 1.2)
_LINEAR = 0.03
"""Largest deviation from a straight line, as a part of the largest cost, that passes for linear."""

_ABOVE_FLOOR = 4.0
"""How far above the error at full rank an error must be to tell of what was discarded."""

_MOST = 0.6
"""Largest discarded part that is small enough for its error to be proportional."""

_FULL = 0.05
"""Largest relative error at full rank that passes: beta's bias and the device's rounding."""


def _network(size: int, rank: int) -> Network:
    """The dense coupling goes from hidden to output; all other parameters have the same shape at every rank."""
    modules = (Module("input", size, clamped=True), Module("hidden", size), Module("output", size))
    return Network(modules, (Coupling("input", "hidden", 8), Coupling("hidden", "output", rank)), "output")


class _Problem:
    """A dense coupling with a spectrum that falls exponentially, the other parameters, and a minibatch."""

    def __init__(self, size: int, batch: int, rng: np.random.Generator) -> None:
        self.size = size
        left, _ = np.linalg.qr(rng.normal(size=(size, size)))
        right, _ = np.linalg.qr(rng.normal(size=(size, size)))
        self.dense = left * (_LARGEST * 2.0 ** (-_DECAY * np.arange(size) / size)) @ right.T
        drawn = Parameters.random(_network(size, 1), rng, radius=0.5)
        self.u, self.v = drawn.U[0], drawn.V[0]
        strength = _INPUT / np.linalg.norm(self.u @ self.v.T, 2)
        self.u, self.v = np.sqrt(strength) * self.u, np.sqrt(strength) * self.v
        self.minibatch: Minibatch = random_minibatch(_network(size, 1), rng, batch, deviation=1.0)

    @cached_property
    def truth(self) -> Array:
        """The oracle's gradient with the whole dense coupling."""
        return _common(oracle(_network(self.size, self.size), self.parameters(self.size)[0], self.minibatch))

    def parameters(self, rank: int) -> tuple[Parameters, float]:
        """Parameters with the dense coupling cut off at ``rank``; the part of its squared norm that is discarded."""
        cut = factor(self.dense, rank)
        bias = np.zeros((1, 3 * self.size))
        return Parameters((self.u, cut.U), (self.v, cut.V), (np.ones((1, 8)), np.ones((1, rank))), bias), cut.discarded


def _common(gradient: Parameters) -> Array:
    """The parts of a gradient that have the same shape at every rank: U, V and gain of the other coupling, biases."""
    return np.concatenate([leaf.ravel() for leaf in (gradient.U[0], gradient.V[0], gradient.gain[0], gradient.bias)])


def run(setting: Setting) -> Findings:
    """Run the study."""
    size, batch, count = (32, 8, 12) if setting.reduced else (64, 16, 6)
    ranks = [rank for rank in _RANKS if rank <= size]
    schedule = Schedule(120, 60, beta=1 / 32)
    setting.progress.expect(count * len(ranks) + len(_RANKS))
    rows = []
    for number in range(count):
        problem = _Problem(size, batch, setting.rng("rank", number))
        for rank in ranks:
            measured = partial(_quality, setting.device, problem, rank, schedule)
            rows.append(setting.measure(f"quality of {number} at rank {rank}", measured) | {"problem": number})
    costs = [setting.measure(f"cost at rank {rank}", partial(_cost, setting.device, size, rank)) for rank in _RANKS]
    quality_claims = _quality_claims(rows, count, size)
    cost_claim = _cost_claim(costs, setting.address)
    claims = [cost_claim, *quality_claims]
    text = (
        "A coupling of rank k should cost k channels, and its gradient should be as wrong as the root of what the rank "
        f"discards of the dense coupling's squared norm. Cost: {cost_claim.measured}. Quality: the error of the "
        "gradient of all other parameters, against the oracle with the whole dense coupling, goes with the power "
        f"{quality_claims[0].measured} of that root; with nothing discarded it is {quality_claims[1].measured}, what "
        "beta and the device's rounding leave."
    )
    figure = _figure(rows, costs, ranks)
    return Findings(claims, {"quality": rows, "cost": costs, "size": size}, {"rank": figure}, text)


def _quality(device: Substrate, problem: _Problem, rank: int, schedule: Schedule) -> dict[str, Any]:
    """The device's gradient at ``rank`` against the oracle's with the whole dense coupling."""
    network, truth = _network(problem.size, rank), problem.truth
    parameters, discarded = problem.parameters(rank)
    device.configure(network)
    device.write(parameters)
    found = _common(contrast(device, problem.minibatch, schedule))
    return {
        "rank": rank,
        "discarded": discarded,
        "error": float(np.linalg.norm(found - truth) / np.linalg.norm(truth)),
        "cosine": float(found @ truth / np.linalg.norm(found) / np.linalg.norm(truth)),
    }


def _cost(device: Substrate, size: int, rank: int) -> dict[str, Any]:
    """Cycles of a relaxation step as the device counts them; and as the layout estimates them, on the high side."""
    network = _network(size, rank)
    device.configure(network)
    device.write(Parameters.random(network, np.random.default_rng(rank)))
    minibatch = Minibatch(np.zeros((1, size)), np.zeros(1, np.int64))
    result = device.run(minibatch, Schedule(16, 1, estimator=Estimator.FREE))
    geometry = device.identity.details.get("geometry")
    layout = Layout(network, Geometry(**geometry) if geometry else Geometry())
    lanes = layout.geometry.lanes
    return {
        "rank": rank,
        "groups": -(-rank // lanes),
        "lanes": lanes if geometry else None,
        "cycles": result.relax_cycles / result.relax_steps if result.relax_cycles else None,
        "estimate": layout.run_cycles(1, 2) - layout.run_cycles(1, 1),
        "estimate_lanes": lanes,
    }


def _cost_claim(costs: list[dict[str, Any]], address: str) -> Claim:
    name, expected = "cost is linear", f"cycles of a step on a straight line in channel groups, within {_LINEAR:.0%}"
    groups = np.array([cost["groups"] for cost in costs], float)
    if any(cost["cycles"] is None for cost in costs):
        return Claim(name, expected, f"not measured: {address} has no clock", Verdict.UNDECIDED)
    if len(set(groups)) < 3:
        lanes = costs[0]["lanes"]
        return Claim(name, expected, f"{lanes} lanes leave fewer than 3 numbers of groups", Verdict.UNDECIDED)
    cycles = np.array([cost["cycles"] for cost in costs])
    steepness, start = np.polyfit(groups, cycles, 1)
    off = float(np.abs(cycles - start - steepness * groups).max() / cycles.max())
    return Claim(
        name,
        expected,
        f"{start:.0f} + {steepness:.1f} cycles for each group of {costs[0]['lanes']} channels, at most {off:.2%} off",
        Verdict.HELD if off <= _LINEAR and steepness > 0 else Verdict.BROKEN,
        {"off": off, "cycles_per_group": float(steepness), "start": float(start)},
    )


def _quality_claims(rows: list[dict[str, Any]], count: int, size: int) -> list[Claim]:
    slopes, full = [], []
    for number in range(count):
        own = [row for row in rows if row["problem"] == number]
        floor = next(row["error"] for row in own if row["rank"] == size)
        used = [row for row in own if 0 < row["discarded"] < _MOST and row["error"] > _ABOVE_FLOOR * floor]
        full.append(floor)
        if len(used) >= 3:
            root, error = np.sqrt([row["discarded"] for row in used]), np.array([row["error"] for row in used])
            slopes.append(slope(np.log(root), np.log(error)).value)
    power: Interval = mean(slopes)
    left = mean(full)
    return [
        Claim(
            "error follows what is discarded",
            f"proportional to the root of the discarded part: power {_SLOPE[0]:g} to {_SLOPE[1]:g}",
            power.show(".3f"),
            power.within(*_SLOPE),
            power.numbers(),
        ),
        Claim("nothing is lost at full rank", f"relative error below {_FULL:g}", left.show(".3g"),
              left.within(high=_FULL), left.numbers()),
    ]  # fmt: skip


def _figure(rows: list[dict[str, Any]], costs: list[dict[str, Any]], ranks: list[int]) -> Figure:
    with draw(WIDE, 3) as figure:
        left, right = figure.subplots(1, 2)
        at = [cost["rank"] for cost in costs]
        if all(cost["cycles"] is not None for cost in costs):
            left.plot(at, [cost["cycles"] for cost in costs], label="counted by the device", **LINES[0])
        left.plot(
            at, [cost["estimate"] for cost in costs], **LINES[3],
            label=f"estimate of the layout, {costs[0]['estimate_lanes']} lanes (not measured)",
        )  # fmt: skip
        label(left, "rank k", "clock cycles of a relaxation step", "Cost")
        left.set_ylim(bottom=0)
        root = [np.sqrt(np.mean([row["discarded"] for row in rows if row["rank"] == rank])) for rank in ranks]
        errors = [[row["error"] for row in rows if row["rank"] == rank] for rank in ranks]
        right.plot(ranks, [np.mean(each) for each in errors], label="error of the gradient", **LINES[0])
        right.fill_between(
            ranks, [min(e) for e in errors], [max(e) for e in errors], color="0.85", label="all problems"
        )
        right.plot(ranks[:-1], root[:-1], label="root of the discarded part", **LINES[1])
        label(right, "rank k", "relative to the whole", "Quality", log="y")
    return figure


STUDY = Study(
    "rank",
    "Cost and quality against rank",
    "Does a coupling cost as much as it has rank channels, and is its gradient as good as its rank?",
    run,
)
