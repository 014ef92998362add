"""``versus-backprop``: the same network trained by the device and by exact gradients, and how well it denoises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...sim.float_model import FloatModel
from ...substrate.energy import oracle
from ...substrate.errors import DeviceError, ToolError
from ...substrate.interface import Identity, Substrate
from ...substrate.network import Coupling, Module, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Result, Schedule
from ..config import TrainConfig
from ..data import load_data
from ..edm import Edm
from ..run import Run
from ..trainer import Progress, train
from .backprop import backprop, load_torch
from .statistics import Interval, mean
from .study import Claim, Findings, Setting, Study, Verdict
from .style import LINES, WIDE, draw, label

__all__ = ["STUDY", "Instructed", "by_backprop"]

Array = NDArray[np.float64]
Gradient = Callable[[Network, Parameters, Minibatch, Schedule], Parameters]

_MARGIN = 0.03
_SETTLED = 400
"""Free steps after which the oracle takes the float model to be at its equilibrium."""

_STEPS, _REDUCED_STEPS = 300, 120
_SMOOTHED = 20
"""Steps that the drawn loss is a moving average of."""

SYMMETRIC, ONE_SIDED, ORACLE, BACKPROP = "symmetric", "one-sided", "oracle", "backprop"


class Instructed(Substrate):
    """A device whose contrast is replaced by a gradient that was computed: all else is the device's own.

    Parameters
    ----------
    device
        It runs the free phases. It stays open when this is closed.
    gradient
        The descent direction, from network, parameters, minibatch and schedule.
    """

    def __init__(self, device: Substrate, gradient: Gradient) -> None:
        self._device, self._gradient = device, gradient
        self._network: Network | None = None
        self._parameters: Parameters | None = None

    @property
    def identity(self) -> Identity:
        """The device's own."""
        return self._device.identity

    def configure(self, network: Network) -> None:
        """Lay out the network on the device."""
        self._network = network
        self._device.configure(network)

    def write(self, parameters: Parameters) -> None:
        """Load parameters onto the device; the gradient is taken at these, unrounded."""
        self._device.write(parameters)
        self._parameters = parameters

    def read(self) -> Parameters:
        """The device's own."""
        return self._device.read()

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """The device's free phase, with the gradient for a contrast unless the schedule has none."""
        result = self._device.run(minibatch, replace(schedule, estimator=Estimator.FREE))
        if schedule.estimator is Estimator.FREE:
            return result
        if self._network is None or self._parameters is None:
            raise DeviceError("An instructed device has no parameters: call configure and write first")
        return replace(result, contrast=self._gradient(self._network, self._parameters, minibatch, schedule))

    def states(self) -> dict[str, Array]:
        """The device's own."""
        return self._device.states()

    def health(self) -> dict[str, int | float]:
        """The device's own."""
        return self._device.health()

    def close(self) -> None:
        """Leave the device open."""


def _by_oracle(network: Network, parameters: Parameters, minibatch: Minibatch, schedule: Schedule) -> Parameters:
    """Implicit differentiation at the equilibrium that the equations relax to."""
    model = FloatModel()
    model.configure(network)
    model.write(parameters)
    model.run(minibatch, Schedule(_SETTLED, 1, estimator=Estimator.FREE))
    return oracle(network, parameters, minibatch, model.states()["free"])


def by_backprop(network: Network, parameters: Parameters, minibatch: Minibatch, schedule: Schedule) -> Parameters:
    """The gradient of the free phase, unrolled."""
    return backprop(network, parameters, minibatch, schedule.free_steps)


def _config(reduced: bool, folder: Path, seed: int, estimator: Estimator) -> TrainConfig:
    """Digits at 8x8; reduced, at 4x4 and fewer of them."""
    steps, side, hidden, rank, levels = (_REDUCED_STEPS, 4, 16, 8, 4) if reduced else (_STEPS, 8, 32, 16, 8)
    data = "digits"
    if reduced:
        data = str(folder / "digits-4x4.npy")
        np.save(data, load_data("digits").train[:360].reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)))
    modules = (
        Module("input", side**2, clamped=True),
        Module("hidden", hidden),
        Module("output", side**2, quartic=0.0),
    )
    pairs = (("input", "hidden"), ("hidden", "output"), ("input", "output"))
    network = Network(modules, tuple(Coupling(a, b, rank) for a, b in pairs), "output", levels=levels)
    return TrainConfig(
        "versus-backprop", data, network, edm=Edm(levels=levels, sigma_min=0.1, sigma_max=5.0),
        steps=steps, batch=16 if reduced else 32, seed=seed, estimator=estimator,
        free_steps=60, nudged_steps=24, beta=1 / 16, learning_rate=2e-2 if reduced else 1e-2, average=0.95,
        evaluate_every=steps, checkpoint_every=steps,
    )  # fmt: skip


def _train(device: Substrate, method: str, reduced: bool, seed: int) -> dict[str, Any]:
    """Train one network, in a folder that is thrown away; errors on held-out data and the losses."""
    estimator = Estimator.ONE_SIDED if method == ONE_SIDED else Estimator.SYMMETRIC
    gradients: dict[str, Gradient] = {ORACLE: _by_oracle, BACKPROP: by_backprop}
    used = Instructed(device, gradients[method]) if method in gradients else device
    with TemporaryDirectory(prefix="equipoise-") as folder:
        config = _config(reduced, Path(folder), seed, estimator)
        run = Run.create(Path(folder) / "run", config)
        summary = train(run, used, Progress())
        if summary["interrupted"]:
            raise KeyboardInterrupt  # the trainer has swallowed it
        losses = [record["loss"] for record in run.metrics() if record["kind"] == "step"]
    return {
        "errors": summary["error"],
        "sigmas": summary["sigmas"],
        "wiener": summary["baselines"]["wiener"],
        "cosine": summary["cosine"],
        "losses": losses,
    }


def run(setting: Setting) -> Findings:
    """Run the study."""
    seeds = 3 if setting.reduced else 5
    try:
        load_torch()
        missing = None
    except ToolError as error:
        missing = str(error)
    methods = [SYMMETRIC, ONE_SIDED, ORACLE, *([] if missing else [BACKPROP])]
    setting.progress.expect(len(methods) * seeds)
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in methods}
    for number in range(seeds):
        for method in methods:
            seed = int(setting.rng("training", number).integers(2**31))
            work = partial(_train, setting.device, method, setting.reduced, seed)
            runs[method].append(setting.measure(f"{method}, seed {number}", work))
    ratios = {
        ("symmetric", "oracle"): _ratio(runs[SYMMETRIC], runs[ORACLE]),
        ("one-sided", "symmetric"): _ratio(runs[ONE_SIDED], runs[SYMMETRIC]),
    }
    if not missing:
        ratios["symmetric", "backprop"] = _ratio(runs[SYMMETRIC], runs[BACKPROP])
    claims = [
        _same_claim(ratios.get((SYMMETRIC, BACKPROP)), BACKPROP, missing),
        _same_claim(ratios[SYMMETRIC, ORACLE], ORACLE),
    ]
    gap = ratios[ONE_SIDED, SYMMETRIC]
    claims.append(
        Claim(
            "one-sided is worse",
            f"a final error more than {_MARGIN:.0%} above that of symmetric",
            f"{gap.show('.3f')} times",
            gap.within(low=1 + _MARGIN),
            gap.numbers(),
        )
    )
    numbers = {
        "errors": {method: [each["errors"] for each in found] for method, found in runs.items()},
        "cosines": {method: [each["cosine"] for each in found] for method, found in runs.items()},
        "sigmas": runs[SYMMETRIC][0]["sigmas"],
        "wiener": runs[SYMMETRIC][0]["wiener"],
        "ratios": {f"{a} / {b}": ratio.numbers() for (a, b), ratio in ratios.items()},
        "left out": missing,
    }
    text = (
        f"One network was trained with {seeds} seeds, each time from the same parameters, on the same minibatches and "
        "with the same optimiser: by symmetric and by one-sided equilibrium propagation on the device, by the oracle "
        "gradient, and by backpropagation through the relaxation. Final denoising error on held-out data, as a ratio "
        f"(geometric mean over noise levels): symmetric to backpropagation {claims[0].measured}; symmetric to oracle "
        f"{claims[1].measured}; one-sided to symmetric {claims[2].measured}."
    )
    return Findings(claims, numbers, {"versus-backprop": _figure(runs)}, text)


def _ratio(runs: list[dict[str, Any]], others: list[dict[str, Any]]) -> Interval:
    """Ratio of errors, paired by seed; geometric means, with the t interval of the logarithm over seeds."""
    logs = [
        float(np.mean(np.log(np.array(a["errors"]) / np.array(b["errors"])))) for a, b in zip(runs, others, strict=True)
    ]
    found = mean(logs)
    return Interval(float(np.exp(found.value)), float(np.exp(found.low)), float(np.exp(found.high)), found.count)


def _same_claim(ratio: Interval | None, other: str, missing: str | None = None) -> Claim:
    name, expected = f"symmetric against {other}", f"the same final error within {_MARGIN:.0%}"
    if ratio is None:
        return Claim(name, expected, f"not measured: {missing}", Verdict.UNDECIDED)
    return Claim(name, expected, f"{ratio.show('.3f')} times", ratio.within(1 - _MARGIN, 1 + _MARGIN), ratio.numbers())


def _figure(runs: dict[str, list[dict[str, Any]]]) -> Figure:
    with draw(WIDE, 3.2) as figure:
        left, right = figure.subplots(1, 2)
        first = next(iter(runs.values()))[0]
        sigmas, wiener = np.array(first["sigmas"]), np.array(first["wiener"])
        for (method, found), line in zip(runs.items(), LINES, strict=False):
            losses = np.mean([each["losses"] for each in found], axis=0)
            smooth = np.convolve(losses, np.ones(_SMOOTHED) / _SMOOTHED, mode="valid")
            at = np.arange(_SMOOTHED, len(losses) + 1)
            left.plot(at, smooth, label=method, **{**line, "marker": ""})
            errors = np.array([each["errors"] for each in found]) / wiener
            low, high = errors.min(axis=0), errors.max(axis=0)
            middle = errors.mean(axis=0)
            right.errorbar(sigmas, middle, [middle - low, high - middle], label=method, capsize=3, **line)
        label(left, "optimiser step", f"loss, mean of {_SMOOTHED} steps and all seeds", "Training")
        right.axhline(1.0, color="black", linewidth=0.8)
        label(right, "noise level sigma", "error / error of the Wiener filter", "Held-out data; bars: all seeds")
        right.set_xscale("log")
        right.set_xticks(sigmas, [f"{sigma:g}" for sigma in sigmas])
        right.set_xticks([], minor=True)
    return figure


STUDY = Study(
    "versus-backprop",
    "Equilibrium propagation against backpropagation",
    "Does a network trained on the device denoise as well as one trained by exact gradients?",
    run,
)
