"""``thermal``: the law of a device's Langevin noise against the law that its temperature asks for."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from ...substrate.codes import encode_schedule
from ...substrate.errors import CapabilityError
from ...substrate.interface import Substrate
from ...substrate.network import Coupling, Module, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Schedule
from .langevin import Linear, Marginal, boltzmann_marginal, chain_marginal, linear_law
from .statistics import Interval, combine, mean
from .study import Claim, Findings, Setting, Study, Verdict
from .style import LINES, WIDE, draw, label

__all__ = ["STUDY", "free_outputs", "held_temperature"]

Array = NDArray[np.float64]

_DT = 1 / 8
_LINEAR_T, _LINEAR_STEPS = 1 / 64, 200
"""States of about 0.2; and ten times the slowest mode's 20 steps."""

_QUARTIC_T, _QUARTIC_STEPS = 0.5, 100
_STIFFNESS, _QUARTIC = 0.5, 2.0
"""One neuron whose quartic counts for more than its stiffness at this temperature."""

_LAGS = (1, 4, 16, 64)
_MARGIN = 0.1
"""Largest relative error of a temperature that passes: half of the 20 % that must be noticed."""

_ALARM = 1e-3
"""A law is rejected at this probability: about one study in two hundred cries wolf."""

_BATCH = 64
"""Samples of a run. If the noise of samples is a little correlated, that counts for more in a large batch, which has
more pairs."""


def held_temperature(device: Substrate, network: Network, schedule: Schedule) -> float:
    """The temperature that a schedule asks for, as a device holds it: fixed point rounds the noise's amplitude."""
    if "formats" in device.identity.details:
        return encode_schedule(network, schedule).effective_temperature
    return schedule.temperature


def free_outputs(device: Substrate, network: Network, steps: int, temperature: float, batch: int, seed: int) -> Array:
    """States of the output module after ``steps`` from zero, a chain for each sample; (batch, outputs)."""
    minibatch = Minibatch(np.zeros((batch, network.inputs)), np.zeros(batch, np.int64))
    schedule = Schedule(steps, 1, estimator=Estimator.FREE, temperature=temperature, seed=seed)
    return device.run(minibatch, schedule).outputs


def _linear_network() -> Network:
    modules = (Module("hidden", 8, 1.0, 0.0), Module("output", 8, 1.0, 0.0))
    return Network(modules, (Coupling("hidden", "output", 4),), "output", dt=_DT)


def _quartic_network() -> Network:
    return Network((Module("output", 16, _STIFFNESS, _QUARTIC),), (), "output", dt=_DT)


def run(setting: Setting) -> Findings:
    """Run the study."""
    device, repeats = setting.device, 4 if setting.reduced else 12
    if not device.identity.thermal:
        raise CapabilityError("this device has no Langevin noise to measure")
    batch = _BATCH // 2 if setting.reduced else _BATCH
    runs = repeats * len(_LAGS)
    setting.progress.expect(3 * runs)
    linear, by_run, later = _measure_linear(setting, runs, batch)
    states, law, temperature = _measure_quartic(setting, runs, batch)
    claims = [*_linear_claims(linear, by_run), *_time_claims(device, linear, later), *_quartic_claims(states, law)]
    chains, states = np.concatenate(by_run), states.ravel()
    boltzmann = boltzmann_marginal(_STIFFNESS, _QUARTIC, temperature)
    away = float(np.abs(law.cdf(law.edges) - boltzmann.cdf(law.edges)).max())
    found = {claim.name: claim for claim in claims}
    p, p_boltzmann = (found["covariance"].numbers[name] for name in ("p", "p_boltzmann"))
    text = (
        "With noise on, states should follow the law of the Langevin equation at the temperature that was asked for. "
        f"{len(chains)} chains of a network without quartic had a temperature of {found['temperature'].measured} "
        f"times that, and their covariance agreed with that of the discretised equation with probability {p:.2g} (with "
        f"T (stiffness - J)^-1, which takes no account of the step's length: {p_boltzmann:.2g}). {states.size} states "
        f"of a neuron with quartic gave {found['temperature with quartic'].measured} times, and agreed with the law of "
        f"the discretised equation with probability {found['marginal with quartic'].numbers['p']:.2g}; that law's "
        f"distribution is within {away:.2g} of Boltzmann's, which quadrature gives. Each state comes from a chain of "
        "its own, so time does not correlate them, and intervals are over runs, each with a seed of its own; "
        f"neighbouring samples of a run were correlated by {found['chains are independent'].measured}. How fast a "
        "chain forgets was measured by running the same chains longer."
    )
    numbers = {
        "temperatures": {"linear": _held(device, _linear_network(), _LINEAR_T), "quartic": temperature},
        "steps": {"linear": _LINEAR_STEPS, "quartic": _QUARTIC_STEPS},
        "covariance": {"measured": chains.T @ chains / len(chains), "expected": linear.covariance[_OUT, _OUT]},
        "distance of the discretised law to Boltzmann": away,
        "second moment": {"measured": float(np.mean(states**2)), "discretised": law.second_moment,
                          "boltzmann": boltzmann.second_moment},
    }  # fmt: skip
    figure = _figure(linear, chains, found["forgetting"].numbers, states, law, boltzmann)
    return Findings(claims, numbers, {"thermal": figure}, f"{text} {_sum_up(claims)}")


_OUT = slice(8, 16)
"""Output module among the free neurons."""


def _held(device: Substrate, network: Network, temperature: float) -> float:
    schedule = Schedule(1, 1, estimator=Estimator.FREE, temperature=temperature)
    return held_temperature(device, network, schedule)


def _measure_linear(
    setting: Setting, runs: int, batch: int
) -> tuple[Linear, Array, dict[int, list[tuple[Array, Array]]]]:
    """The law, the states of each run's chains, and for each lag those of some runs now and so many steps later."""
    device, network = setting.device, _linear_network()
    device.configure(network)
    device.write(Parameters.random(network, setting.rng("linear"), radius=0.6))
    law = linear_law(network, device.read(), _held(device, network, _LINEAR_T), _LINEAR_STEPS)

    def outputs(number: int, more: int) -> Array:
        return free_outputs(device, network, _LINEAR_STEPS + more, _LINEAR_T, batch, _seed(setting, "linear", number))

    chains: list[Array] = []
    later: dict[int, list[tuple[Array, Array]]] = {lag: [] for lag in _LAGS}
    for number in range(runs):
        lag = _LAGS[number % len(_LAGS)]
        now = np.array(setting.measure(f"linear {number}", partial(outputs, number, 0)))
        chains.append(now)
        then = np.array(setting.measure(f"linear {number}, {lag} steps later", partial(outputs, number, lag)))
        later[lag].append((now, then))
    return law, np.stack(chains), later


def _measure_quartic(setting: Setting, runs: int, batch: int) -> tuple[Array, Marginal, float]:
    """States of each run, (runs, batch, neurons), their law, and the temperature."""
    device, network = setting.device, _quartic_network()
    device.configure(network)
    device.write(Parameters.zeros(network))

    def outputs(number: int) -> Array:
        return free_outputs(device, network, _QUARTIC_STEPS, _QUARTIC_T, batch, _seed(setting, "quartic", number))

    states = [np.array(setting.measure(f"quartic {number}", partial(outputs, number))) for number in range(runs)]
    temperature = _held(device, network, _QUARTIC_T)
    law = chain_marginal(_STIFFNESS, _QUARTIC, temperature, _DT, _QUARTIC_STEPS)
    return np.stack(states), law, temperature


def _seed(setting: Setting, *names: str | int) -> int:
    return int(setting.rng(*names).integers(2**63))


def _whiten(covariance: Array, states: Array) -> Array:
    """States with the covariance turned into the unit matrix; (n, p)."""
    return np.linalg.solve(np.linalg.cholesky(covariance), states.T).T


def _linear_claims(law: Linear, by_run: Array) -> list[Claim]:
    chains = np.concatenate(by_run)
    white = _whiten(law.covariance[_OUT, _OUT], chains).reshape(by_run.shape)
    ratio = mean(np.mean(white**2, axis=(1, 2)))
    p, p_boltzmann = (_same_covariance(each[_OUT, _OUT], chains) for each in (law.covariance, law.boltzmann))
    alone = mean(np.mean(white[:, 0::2] * white[:, 1::2], axis=(1, 2)))
    return [
        _temperature_claim("temperature", ratio),
        Claim(
            "covariance",
            f"that of the discretised equation, not rejected at {_ALARM:g}",
            f"probability {p:.2g} of so much difference by chance",
            _fits(p, ratio),
            {"p": p, "p_boltzmann": p_boltzmann, "count": len(chains)},
        ),
        Claim(
            "chains are independent",
            f"correlation of neighbouring samples of a minibatch within +-{_MARGIN:g}",
            alone.show(".2g"),
            alone.within(-_MARGIN, _MARGIN),
            alone.numbers(),
        ),
    ]


def _same_covariance(covariance: Array, states: Array) -> float:
    """Probability of a likelihood ratio so large if ``covariance`` is the true one (Anderson 2003, section 10.8)."""
    white = _whiten(covariance, states)
    count, size = white.shape
    found = white.T @ white / count
    ratio = count * (np.trace(found) - np.linalg.slogdet(found)[1] - size)
    return float(stats.chi2.sf(ratio, size * (size + 1) / 2))


def _temperature_claim(name: str, ratio: Interval) -> Claim:
    return Claim(
        name, f"1 +- {_MARGIN:g} times what was asked for", ratio.show(".4f"), ratio.within(1 - _MARGIN, 1 + _MARGIN),
        ratio.numbers(),
    )  # fmt: skip


def _fits(p: float, ratio: Interval) -> Verdict:
    """Verdict of a test of fit: too few data to notice a wrong temperature are too few for a fit."""
    if p < _ALARM:
        return Verdict.BROKEN
    return Verdict.HELD if ratio.high - ratio.low < 2 * _MARGIN else Verdict.UNDECIDED


def _time_claims(device: Substrate, law: Linear, later: dict[int, list[tuple[Array, Array]]]) -> list[Claim]:
    """Whether chains forget as fast as the equation says, from the same chains at two times."""
    white = law.covariance[_OUT, _OUT]
    rows: dict[str, Any] = {"lags": list(later), "expected": [], "measured": [], "low": [], "high": []}
    chances = []
    for lag, runs in later.items():
        expected = float(np.trace(np.linalg.solve(white, law.lagged(lag)[_OUT, _OUT]))) / white.shape[0]
        values = [_correlation(_whiten(white, now), _whiten(white, then)) for now, then in runs]
        found = mean(values)
        chances.append(stats.ttest_1samp(values, expected).pvalue)
        for name, value in (
            ("expected", expected),
            ("measured", found.value),
            ("low", found.low),
            ("high", found.high),
        ):
            rows[name].append(value)
    p = float(stats.combine_pvalues(chances).pvalue)
    shown = ", ".join(f"{m:.3f} ({e:.3f})" for m, e in zip(rows["measured"], rows["expected"], strict=True))
    verdict = Verdict.BROKEN if p < _ALARM else Verdict.HELD
    if not device.identity.deterministic:
        shown, verdict = "a chain of this device cannot be run twice", Verdict.UNDECIDED
    return [
        Claim(
            "forgetting",
            f"correlation over {', '.join(map(str, later))} steps as in the equation, not rejected at {_ALARM:g}",
            f"{shown}: probability {p:.2g}" if device.identity.deterministic else shown,
            verdict,
            {**rows, "p": p},
        )
    ]


def _correlation(now: Array, then: Array) -> float:
    return float(np.sum(now * then) / np.sqrt(np.sum(now**2) * np.sum(then**2)))


def _quartic_claims(states: Array, law: Marginal) -> list[Claim]:
    step = 0.05
    moments = [_moment(1 + step), _moment(1 - step)]
    power = float(np.log(moments[0] / moments[1]) / np.log((1 + step) / (1 - step)))
    square = mean(np.mean(states**2, axis=(1, 2)))
    value, low, high = ((s / law.second_moment) ** (1 / power) for s in (square.value, square.low, square.high))
    ratio = Interval(float(value), float(low), float(high), square.count)
    test = stats.kstest(states.ravel(), law.cdf)
    return [
        _temperature_claim("temperature with quartic", ratio),
        Claim(
            "marginal with quartic",
            f"the law of the discretised equation, not rejected at {_ALARM:g}",
            f"probability {test.pvalue:.2g} (Kolmogorov-Smirnov distance {test.statistic:.2g})",
            _fits(float(test.pvalue), ratio),
            {"p": float(test.pvalue), "distance": float(test.statistic), "count": states.size},
        ),
    ]


def _moment(factor: float) -> float:
    return chain_marginal(_STIFFNESS, _QUARTIC, factor * _QUARTIC_T, _DT, _QUARTIC_STEPS).second_moment


def _sum_up(claims: list[Claim]) -> str:
    verdict = combine(claim.verdict for claim in claims)
    wrong = ", ".join(claim.name for claim in claims if claim.verdict is Verdict.BROKEN)
    return {
        Verdict.HELD: "All of it held.",
        Verdict.BROKEN: f"What did not hold: {wrong}.",
        Verdict.UNDECIDED: "Nothing was contradicted, but the data do not decide everything.",
    }[verdict]


def _figure(
    law: Linear, chains: Array, time: dict[str, Any], states: Array, marginal: Marginal, boltzmann: Marginal
) -> Figure:
    with draw(WIDE, 3) as figure:
        left, middle, right = figure.subplots(1, 3)
        expected, measured = law.covariance[_OUT, _OUT], chains.T @ chains / len(chains)
        own = np.eye(len(expected), dtype=bool)
        left.plot(expected[own], measured[own], label="variances", color="black", marker="o", linestyle="")
        left.plot(expected[~own], measured[~own], label="covariances", color="0.55", marker="^", linestyle="")
        ends = [expected.min(), expected.max()]
        left.plot(ends, ends, color="black", linewidth=0.8, label="equal")
        label(left, "expected (state squared)", "measured (state squared)", "Covariance without quartic")
        lags = np.arange(0, max(time["lags"]) + 1)
        white = law.covariance[_OUT, _OUT]
        curve = [np.trace(np.linalg.solve(white, law.lagged(int(lag))[_OUT, _OUT])) / len(white) for lag in lags]
        middle.plot(lags, curve, color="black", linewidth=1.0, label="expected")
        value = np.array(time["measured"])
        spread = [value - np.array(time["low"]), np.array(time["high"]) - value]
        middle.errorbar(time["lags"], value, spread, **{**LINES[1], "linestyle": ""}, capsize=3, label="measured, 95 %")
        label(middle, "steps between", "correlation of a chain with itself", "Forgetting")
        right.hist(states, bins=60, density=True, color="0.85", edgecolor="0.6", linewidth=0.4, label="measured")
        right.plot(marginal.centres, marginal.density, color="black", label="discretised law")
        right.plot(boltzmann.centres, boltzmann.density, color="#b3261e", linestyle="--", label="Boltzmann")
        label(right, "state", "probability density", "One neuron with quartic")
        right.set_ylim(0, 1.45 * float(marginal.density.max()))
    return figure


STUDY = Study(
    "thermal",
    "Langevin noise follows its temperature",
    "With noise on, do states follow the law that the temperature asks for?",
    run,
)
