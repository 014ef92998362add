"""``operating-point``: bias and variance of the estimator against beta, and the best beta of a device."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import bootstrap

from ...sim.float_model import FloatModel
from ...substrate.interface import Substrate
from ...substrate.network import Coupling, Module, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Minibatch, Schedule
from ..operating_point import BestBeta, Errors, beta_grid, errors_at, truths_of
from .gradients import random_minibatch
from .statistics import Interval, slope
from .study import Claim, Findings, Setting, Study, Verdict
from .style import LINES, WIDE, draw, label

__all__ = ["STUDY"]

Array = NDArray[np.float64]

_COLD, _WARM = 1e-6, 6.4e-5
"""Temperatures 64 times apart: the best beta should differ by 64**(1/6) = 2."""

_SMALLEST = 2.0**-9
_SCHEDULE = Schedule(120, 60)
_BATCH = 32
"""Size of the minibatch whose gradient is to be best."""

_REPEATED = 1 / 16
"""Beta at which one minibatch is repeated, so that only noise differs."""

_WIDTH = 2.0
"""Largest ratio of the ends of the best beta's interval that counts as known."""

_POWER = (0.12, 0.22)
_NOISE = (-2.2, -1.8)
_GOOD = 0.1


def _network() -> Network:
    modules = (Module("input", 16, clamped=True), Module("hidden", 16), Module("output", 16))
    couplings = tuple(Coupling(a, b, 8) for a, b in (("input", "hidden"), ("hidden", "output"), ("input", "output")))
    return Network(modules, couplings, "output")


def run(setting: Setting) -> Findings:
    """Run the study."""
    device, network = setting.device, _network()
    count, samples = (8, 8) if setting.reduced else (16, 16)
    parameters = Parameters.random(network, setting.rng("parameters"))
    minibatches = [random_minibatch(network, setting.rng("minibatch", k), samples) for k in range(count)]
    seeds = [int(setting.rng("seed", k).integers(2**63)) for k in range(count)]
    betas = beta_grid(network, _SMALLEST)
    temperatures = (0.0, _COLD, _WARM) if device.identity.thermal else (0.0,)
    setting.progress.expect((len(temperatures) + 1) * len(betas) + len(temperatures))
    _load(device, network, parameters)
    ideal = FloatModel()
    _load(ideal, network, device.read())
    truths = truths_of(device, network, minibatches)

    def products(source: Substrate, beta: float, temperature: float) -> Array:
        schedule = replace(_SCHEDULE, beta=beta, temperature=temperature)
        return errors_at(source, minibatches, truths, schedule, seeds)

    def errors(name: str, source: Substrate, temperature: float) -> Errors:
        rows = [
            setting.measure(f"{name}, beta {beta:g}", partial(products, source, float(beta), temperature))
            for beta in betas
        ]
        return Errors(betas, np.array(rows), samples)

    equations = errors("equations", ideal, 0.0)
    by_temperature = {t: errors(f"T {t:g}", device, t) for t in temperatures}
    noise = {
        t: setting.measure(f"repeats, T {t:g}", partial(_repeat, device, minibatches[0], truths[0], t, seeds))
        * samples / _BATCH
        for t in temperatures
    }  # fmt: skip
    bests = {t: found.best(_BATCH, setting.seed) for t, found in by_temperature.items()}
    claims = [_best_claim(t, best) for t, best in bests.items()]
    claims += [_good_claim(bests[0.0]), *_noise_claims(by_temperature, setting.seed)]
    sources = _sources(equations, by_temperature[0.0], noise)
    numbers = {
        "betas": betas,
        "batch": _BATCH,
        "equations": _curves(equations),
        "device": {f"T {t:g}": _curves(found) for t, found in by_temperature.items()},
        "best": {f"T {t:g}": asdict(best) for t, best in bests.items()},
        "sources at beta 1/16": sources,
    }
    figure = _figure(equations, by_temperature, bests)
    return Findings(claims, numbers, {"operating-point": figure}, _text(bests, sources, claims))


def _load(device: Substrate, network: Network, parameters: Parameters) -> None:
    device.configure(network)
    device.write(parameters)


def _repeat(device: Substrate, minibatch: Minibatch, truth: Array, temperature: float, seeds: list[int]) -> float:
    """Variance of the contrast of one minibatch, as a part of the squared norm: read-out and thermal noise alone."""
    schedule = replace(_SCHEDULE, beta=_REPEATED, temperature=temperature)
    many = np.tile(truth, (len(seeds), 1))
    products = errors_at(device, [minibatch] * len(seeds), many, schedule, seeds)
    variance = Errors(np.array([_REPEATED]), products[None], len(minibatch)).variance(len(minibatch))[0]
    return max(float(variance), 0.0)  # where nothing differs, sums may still round to less than zero


def _curves(errors: Errors) -> dict[str, Any]:
    return {"bias squared": errors.bias(), "variance": errors.variance(_BATCH)}


def _sources(equations: Errors, device: Errors, noise: dict[float, float]) -> dict[str, float]:
    """Variance at beta 1/16 by where it comes from, as parts of the squared norm of the gradient."""
    at = int(np.flatnonzero(device.betas == _REPEATED)[0])
    bias, whole = float(equations.variance(_BATCH)[at]), float(device.variance(_BATCH)[at])
    found = {
        "bias that differs between samples": bias,
        "read-out noise": noise[0.0],
        "rounding and deviation from the equations": max(whole - bias - noise[0.0], 0.0),
    }
    return found | {f"thermal noise at T {t:g}": max(v - noise[0.0], 0.0) for t, v in noise.items() if t}


def _best_claim(temperature: float, best: BestBeta) -> Claim:
    width = best.high / best.low
    known = best.inside and width <= _WIDTH
    beyond = "" if best.inside else "; at the end of the range, so a better one may lie beyond it"
    return Claim(
        f"best beta at T {temperature:g}",
        f"between {_SMALLEST:g} and the stiffness, known within a factor of {_WIDTH:g}",
        f"{best.beta:.4f} (95 % confidence: {best.low:.4f} to {best.high:.4f}), error {best.error:.2%}{beyond}",
        Verdict.HELD if known else Verdict.UNDECIDED,
        asdict(best),
    )


def _good_claim(best: BestBeta) -> Claim:
    found = Interval(best.error, best.error_low, best.error_high, 0)
    return Claim(
        "good at its best",
        f"error of the gradient of {_BATCH} samples at the best beta below {_GOOD:.0%} without thermal noise",
        f"{best.error:.2%} (95 % confidence: {best.error_low:.2%} to {best.error_high:.2%})",
        found.within(high=_GOOD),
    )


def _noise_claims(by_temperature: dict[float, Errors], seed: int) -> list[Claim]:
    if _WARM not in by_temperature:
        return []
    cold, warm = by_temperature[_COLD], by_temperature[_WARM]
    variance = warm.variance(_BATCH)
    used = slice(0, max(int(np.argmin(variance)) - 1, 0))
    fall = slope(np.log(warm.betas[used]), np.log(variance[used]))
    power = _power(cold, warm, seed)
    return [
        Claim(
            "variance of noise",
            f"falls with the square of beta: power {_NOISE[0]:g} to {_NOISE[1]:g}",
            fall.show(".3f"), fall.within(*_NOISE), fall.numbers(),
        ),
        Claim(
            "more noise, larger beta",
            f"best beta with T to the power of 1/6: {_POWER[0]:g} to {_POWER[1]:g}",
            power.show(".3f"), power.within(*_POWER), power.numbers(),
        ),
    ]  # fmt: skip


def _power(cold: Errors, warm: Errors, seed: int) -> Interval:
    """Power of the temperature that the best beta goes with, by bootstrap over the minibatches, which both share."""
    count, span = cold.products.shape[1], np.log(_WARM / _COLD)

    def power(numbers: NDArray[np.int64]) -> float:
        high, low = (each.chosen(numbers).lowest(_BATCH)[0] for each in (warm, cold))
        return float(np.log(high / low) / span)

    found = bootstrap(
        (np.arange(count),), power, n_resamples=400, method="percentile", vectorized=False,
        rng=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return Interval(power(np.arange(count)), float(found.low), float(found.high), count)


def _text(bests: dict[float, BestBeta], sources: dict[str, float], claims: list[Claim]) -> str:
    shown = "; ".join(
        f"at T {t:g} it is {best.beta:.3f} ({best.low:.3f} to {best.high:.3f}), where the error is {best.error:.1%} of "
        "the gradient" for t, best in bests.items()
    )  # fmt: skip
    parts = ", ".join(f"{name} {np.sqrt(value):.2%}" for name, value in sources.items())
    found = {claim.name: claim for claim in claims}
    law = found.get("more noise, larger beta")
    power = f" The best beta goes with the temperature to the power {law.measured}; theory says 1/6." if law else ""
    return (
        "Bias grows with beta and noise is divided by it, so there should be a best beta between them. For a gradient "
        f"of {_BATCH} samples, {shown} (in brackets: 95 % confidence, by bootstrap over minibatches). What makes it "
        f"scatter at beta 1/16, as parts of the gradient's norm: {parts}.{power}"
    )


def _figure(equations: Errors, by_temperature: dict[float, Errors], bests: dict[float, BestBeta]) -> Figure:
    with draw(WIDE, 3.2) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        still = by_temperature[0.0]
        for source, values, line in (
            ("bias of the equations", np.sqrt(np.maximum(equations.bias(), 0)), LINES[3]),
            ("bias of the device", np.sqrt(np.maximum(still.bias(), 0)), LINES[1]),
            ("scatter of the device", np.sqrt(still.variance(_BATCH)), LINES[2]),
            ("both", np.sqrt(still.mean_squared(_BATCH)), LINES[0]),
        ):
            shown = values > 0
            left.plot(still.betas[shown], values[shown], label=source, **line)
        label(left, "beta", "error / norm of the gradient", "Without thermal noise", log="xy")
        for (temperature, errors), line in zip(by_temperature.items(), (LINES[0], LINES[1], LINES[2]), strict=False):
            right.plot(errors.betas, np.sqrt(errors.mean_squared(_BATCH)), label=f"T = {temperature:g}", **line)
            best = bests[temperature]
            right.errorbar(
                best.beta, best.error, xerr=[[max(best.beta - best.low, 0)], [max(best.high - best.beta, 0)]],
                color=line["color"], marker="D", markersize=8, markerfacecolor="white", zorder=3,
            )  # fmt: skip
        label(right, "beta", "", f"All errors, {_BATCH} samples; diamonds: best beta", log="xy")
    return figure


STUDY = Study(
    "operating-point",
    "The best beta",
    "At which beta is the gradient of this device best, and how good is it there?",
    run,
)
