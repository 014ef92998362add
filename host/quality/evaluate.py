"""All that is said of a run's quality: its denoising by noise level, and its samples, beside what they compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ...substrate.errors import DataError
from ...substrate.interface import Substrate
from ...substrate.parameters import Parameters
from ..baselines import PosteriorMean, Wiener, noisy_test
from ..checkpoint import Checkpoint
from ..conditioning import UNLABELLED
from ..config import TrainConfig
from ..data import Dataset, Labels
from ..denoiser import Denoiser
from ..guidance import Beyond
from ..random import device_seed, generator
from ..sampler import Sampler, sample
from ..studies.statistics import LEVEL, Interval
from ..trainer import Progress
from .classifier import Classifier
from .denoisers import Mlp, trained_by_backprop, trained_parameters
from .distances import distance, frechet, maximum_mean_discrepancy, precision, recall, sliced_wasserstein

__all__ = ["GENERATED", "REFERENCE", "SamplePlan", "compare_denoisers", "compare_samples", "evaluate", "levels"]

Array = NDArray[np.float64]

GENERATED, TRAINING, GAUSSIAN, REFERENCE = "generated", "training data", "gaussian", "held-out data"

_LEVELS = 8
_MOST = 1000
"""Samples of each set that are compared: enough, and the kernels of more take long."""


@dataclass(frozen=True)
class SamplePlan:
    """Which samples are looked at.

    Attributes
    ----------
    count, sampler, steps, seed
        How to generate them.
    beyond
        How far beyond the linear filter; None, as the run's configuration says.
    samples, labels
        Samples made already, in the scale of training, (n, d), and their classes, if there are any.
    source
        File that they come from.
    """

    count: int = 1000
    sampler: Sampler = Sampler.HEUN
    steps: int = 18
    seed: int = 0
    beyond: float | None = None
    samples: Array | None = None
    labels: Labels | None = None
    source: str = ""


def evaluate(
    device: Substrate, config: TrainConfig, data: Dataset, checkpoint: Checkpoint, plan: SamplePlan, *,
    backprop: bool = False, say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, Any], dict[str, Array]]:  # fmt: skip
    """Evaluate what a checkpoint denoises and generates.

    Parameters
    ----------
    backprop
        Whether the same network is also trained by backpropagation through its relaxation, to compare with.
    say
        Told what is being done.
    progress
        Told denoiser calls of the sampler, done and to do.

    Returns
    -------
    tuple
        Figures, for JSON, and the samples of each set by its name, in the units of the data.

    Raises
    ------
    EquipoiseError
        If the device fails, or PyTorch is missing that ``backprop`` needs.
    """
    others = {"posterior mean": _known(PosteriorMean(data.train))}
    counts = {"network": trained_parameters(config.network)}
    if checkpoint.step:
        say("training an MLP of as many parameters")
        mlp = Mlp(config, data, checkpoint.step)
        others["MLP"], counts["MLP"] = mlp, mlp.parameters
    trained: Parameters | None = None
    if backprop and checkpoint.step:
        say("training the same network by backpropagation")
        trained = trained_by_backprop(config, device, checkpoint.step, Progress())
    say("denoising")
    device.configure(config.network)
    errors = {}
    for name, parameters in (("backpropagation", trained), ("run", checkpoint.average)):  # the run's stay on the device
        if parameters is not None:
            device.write(parameters)
            errors[name] = _errors(_device(device, config), config, data)
    if config.label and data.test_labels is not None:
        errors["run, told the class"] = _errors(_device(device, config, data.test_labels), config, data)
    errors |= {name: _errors(denoise, config, data) for name, denoise in others.items()}
    figures: dict[str, Any] = {
        "step": checkpoint.step,
        "device": {name: getattr(device.identity, name) for name in ("address", "kind", "uid", "build")},
        "data": {"name": data.name, "train": len(data.train), "test": len(data.test)},
        "parameters": counts,
        "denoising": compare_denoisers(errors, _errors(_known(Wiener(data.train)), config, data), levels(config)),
    }
    samples, labels = plan.samples, plan.labels
    if samples is None:
        say("generating samples")
        beyond = config.beyond if plan.beyond is None else plan.beyond
        labels = np.arange(plan.count) % config.classes if config.classes else None
        samples = sample(
            device, config, plan.count, data.train.shape[1], steps=plan.steps, sampler=plan.sampler, seed=plan.seed,
            labels=labels, beyond=Beyond(data.train, beyond), progress=progress,
        )  # fmt: skip
        figures["sampling"] = {
            "sampler": plan.sampler.value, "steps": plan.steps, "seed": plan.seed, "beyond": beyond
        }  # fmt: skip
    else:
        figures["sampling"] = {"file": plan.source}
    say("comparing samples")
    compared, sets = compare_samples(samples, labels, data, plan.seed)
    return figures | compared, {name: data.original(each) for name, each in sets.items()}


def levels(config: TrainConfig) -> Array:
    """Noise levels that denoising is evaluated at, from sigma_min to sigma_max."""
    return np.array(
        [float(f"{sigma:.3g}") for sigma in np.geomspace(config.edm.sigma_min, config.edm.sigma_max, _LEVELS)]
    )


def compare_denoisers(errors: dict[str, list[Array]], wiener: list[Array], sigmas: Array) -> dict[str, Any]:
    """Mean squared errors by noise level, and their ratios to those of the Wiener filter, with intervals.

    Parameters
    ----------
    errors, wiener
        For each level, the mean squared error of each held-out sample, (m,).
    """
    return {
        "sigmas": sigmas.tolist(),
        "wiener": [float(each.mean()) for each in wiener],
        "errors": {name: [float(each.mean()) for each in rows] for name, rows in errors.items()},
        "ratios": {
            name: [_ratio(each, best).numbers() for each, best in zip(rows, wiener, strict=True)]
            for name, rows in errors.items()
        },
    }


def compare_samples(
    samples: Array, labels: Labels | None, data: Dataset, seed: int = 0
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Distances of samples (n, d) to held-out data, and the same of training data and of the best Gaussian.

    Raises
    ------
    DataError
        If there are fewer than 4 samples.
    """
    if len(samples) < 4:
        raise DataError(f"Samples to compare must be at least 4, not {len(samples)}: give a larger --count")
    rng = generator(seed, "compare")
    count = min(len(samples), len(data.train), _MOST)
    chosen = rng.permutation(len(data.train))[:count]
    shown = rng.permutation(len(samples))[:count]
    factor = np.sqrt(Wiener(data.train).variances) * Wiener(data.train).directions
    gaussian = data.train.mean(axis=0) + rng.normal(size=(count, data.train.shape[1])) @ factor.T
    reference = data.test[:_MOST]
    sets = {GENERATED: samples[shown], TRAINING: data.train[chosen], GAUSSIAN: gaussian}
    measures: dict[str, Callable[[Array], Interval]] = {
        "sliced Wasserstein": partial(distance, sliced_wasserstein, reference=reference),
        "MMD^2": partial(distance, maximum_mean_discrepancy(reference), reference=reference),
        "precision": partial(precision, reference=reference),
        "recall": partial(recall, reference=reference),
    }
    found: dict[str, Any] = {"count": count, "reference": len(reference)}
    if data.train_labels is not None and data.test_labels is not None:
        classifier = Classifier(data)
        seen = classifier.features(reference)
        measures["Fréchet of features"] = lambda each: distance(frechet, classifier.features(each), seen)
        measures["confidence"] = classifier.confidence
        measures["recognised"] = classifier.recognised
        found["classifier"] = {
            "accuracy": classifier.accuracy(data.test, data.test_labels).numbers(),
            "recognised of held-out data": classifier.recognised(data.test).numbers(),
        }
        if labels is not None:
            known = shown[labels[shown] != UNLABELLED]
            accuracy = classifier.accuracy(samples[known], labels[known])
            found["classifier"]["accuracy of generated"] = accuracy.numbers()
    found["samples"] = {
        name: {measure: each(group).numbers() for measure, each in measures.items()} for name, group in sets.items()
    }
    return found, sets | {REFERENCE: reference}


def _device(device: Substrate, config: TrainConfig, labels: Labels | None = None) -> Callable[[Array, Array], Array]:
    denoiser = Denoiser(device, config)
    return lambda noisy, sigma: denoiser(noisy, sigma, device_seed(config.seed, "quality", 0), labels)


def _known(best: Wiener | PosteriorMean) -> Callable[[Array, Array], Array]:
    """A denoiser of samples that all have the same noise."""
    return lambda noisy, sigma: best.denoise(noisy, float(sigma[0]))


def _errors(denoise: Callable[[Array, Array], Array], config: TrainConfig, data: Dataset) -> list[Array]:
    """Mean squared error of each held-out sample, for each noise level."""
    errors = []
    for sigma in levels(config).tolist():
        denoised = denoise(noisy_test(data, sigma), np.full(len(data.test), sigma))
        errors.append(np.asarray(np.mean((denoised - data.test) ** 2, axis=1)))
    return errors


def _ratio(errors: Array, others: Array) -> Interval:
    """Ratio of mean errors of the same samples, with its bootstrap interval over samples."""
    value = float(errors.mean() / others.mean())
    if len(errors) < 8:
        return Interval(value, -np.inf, np.inf, len(errors))

    def ratio(a: Array, b: Array, axis: int = -1) -> Array:
        return np.asarray(np.mean(a, axis=axis) / np.mean(b, axis=axis))

    found = stats.bootstrap(
        (errors, others), ratio, paired=True, vectorized=True, n_resamples=999, confidence_level=LEVEL,
        method="percentile", rng=np.random.default_rng(0),
    )  # fmt: skip
    low, high = found.confidence_interval
    return Interval(value, float(low), float(high), len(errors))
