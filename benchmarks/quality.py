"""What docs/generate.md says of samplers, warm starts, labels and import, measured on trained runs.

    python benchmarks/quality.py warm RUN ADDRESS        # what a warm start saves
    python benchmarks/quality.py samplers RUN ADDRESS    # samplers, at about as many denoiser calls
    python benchmarks/quality.py labels RUN ADDRESS      # guidance, on a run trained with labels
    python benchmarks/quality.py beyond RUN ADDRESS      # guidance beyond the linear filter
    python benchmarks/quality.py noisy ADDRESS           # what might lower the error at strong noise
    python benchmarks/quality.py import FILE.npz         # writes the MLP that is imported there

Prints tables in Markdown.
"""

from __future__ import annotations

import sys
import warnings
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neural_network import MLPRegressor

from equipoise.host.baselines import Wiener, noisy_test
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.config import TrainConfig
from equipoise.host.data import load_data
from equipoise.host.denoiser import Denoiser
from equipoise.host.devices import open_device
from equipoise.host.edm import Edm
from equipoise.host.guidance import Beyond
from equipoise.host.quality.classifier import Classifier
from equipoise.host.quality.distances import distance, frechet, precision, recall, sliced_wasserstein
from equipoise.host.quality.evaluate import levels
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.sampler import Sampler, sample
from equipoise.host.studies.statistics import Interval
from equipoise.host.trainer import Progress, train
from equipoise.substrate.interface import Substrate
from equipoise.substrate.network import Network

Array = NDArray[np.float64]

COUNT = 256


class OutputOnly:
    """A device that can give back, and so take, the states of its output module alone: all others begin from zero."""

    def __init__(self, device: Substrate, network: Network) -> None:
        self._device, self._keep = device, np.zeros(network.neurons)
        self._keep[network.slices[network.output]] = 1.0

    def __getattr__(self, name: str) -> object:
        return getattr(self._device, name)

    def states(self) -> dict[str, np.ndarray]:
        return {name: states * self._keep for name, states in self._device.states().items()}


def show(interval: Interval) -> str:
    return f"{interval.value:.3g} ({interval.low:.3g} to {interval.high:.3g})"


def loaded(path: str, device: Substrate) -> TrainConfig:
    run = Run.open(path)
    checkpoint, _ = load_checkpoint(run)
    assert checkpoint is not None
    device.configure(run.config.network)
    device.write(checkpoint.average)
    return run.config


def warm(path: str, address: str) -> None:
    """Samples from short relaxations against those from long ones, with the same noise at the beginning."""
    with open_device(address) as device:
        config = loaded(path, device)
        size = load_data(config.data).train.shape[1]
        draw = partial(sample, config=config, count=COUNT, size=size)
        settled = draw(device, free_steps=300)
        print("| free steps of a call | from zero | output warm | all warm |\n|---|---|---|---|")
        for steps in (2, 4, 8, 12, 16, 24, 32, 48, 60):
            ways = (
                draw(device, free_steps=steps),
                draw(OutputOnly(device, config.network), free_steps=steps, warm=True),
                draw(device, free_steps=steps, warm=True),
            )
            errors = [np.sqrt(np.mean((each - settled) ** 2)) for each in ways]
            print(f"| {steps} | {' | '.join(f'{error:.4f}' for error in errors)} |", flush=True)


def samplers(path: str, address: str) -> None:
    """Each sampler with about 36 denoiser calls, those of langevin of two replicas; langevin with four times that."""
    plans = {Sampler.HEUN: 18, Sampler.EULER: 36, Sampler.DDIM: 36, Sampler.ANCESTRAL: 36, Sampler.LANGEVIN: 9}
    with open_device(address) as device:
        config = loaded(path, device)
        data = load_data(config.data)
        classifier = Classifier(data)
        print("| sampler, levels | beyond | recognised | precision | recall | Fréchet | sliced Wasserstein | seconds |")
        print("|---|---|---|---|---|---|---|---|")
        for sampler, steps, factor in (
            *((sampler, steps, 1.0) for sampler, steps in plans.items()),
            *((sampler, steps, 2.0) for sampler, steps in ((Sampler.HEUN, 18), (Sampler.LANGEVIN, 9))),
            *((Sampler.LANGEVIN, 36, factor) for factor in (1.0, 2.0)),
        ):
            begin = perf_counter()
            drawn = sample(
                device, config, 1000, data.train.shape[1], steps=steps, sampler=sampler,
                beyond=Beyond(data.train, factor),
            )  # fmt: skip
            seconds = perf_counter() - begin
            row = measures(drawn, data.test, classifier)
            print(f"| {sampler}, {steps} | {factor:g} | {' | '.join(map(show, row))} | {seconds:.0f} |", flush=True)


def measures(drawn: Array, reference: Array, classifier: Classifier) -> tuple[Interval, ...]:
    """Recognised, precision, recall, Fréchet and sliced Wasserstein of samples, against held-out ones."""
    return (
        classifier.recognised(drawn),
        precision(drawn, reference),
        recall(drawn, reference),
        distance(frechet, classifier.features(drawn), classifier.features(reference)),
        distance(sliced_wasserstein, drawn, reference),
    )


def labels(path: str, address: str) -> None:
    """How guidance trades variety for class."""
    with open_device(address) as device:
        config = loaded(path, device)
        data = load_data(config.data)
        classifier = Classifier(data)
        told = np.arange(500) % config.classes
        seen = classifier.features(data.test)
        print("| guidance | accuracy | recognised | precision | recall | Fréchet |\n|---|---|---|---|---|---|")
        for guidance in (0.0, 1.0, 1.25, 1.5, 2.0):
            drawn = sample(device, config, len(told), data.train.shape[1], labels=told, guidance=guidance)
            row = (
                classifier.accuracy(drawn, told),
                classifier.recognised(drawn),
                precision(drawn, data.test),
                recall(drawn, data.test),
                distance(frechet, classifier.features(drawn), seen),
            )
            print(f"| {guidance:g} | {' | '.join(map(show, row))} |", flush=True)


def beyond(path: str, address: str) -> None:
    """How guidance beyond the linear filter trades variety for samples that are recognised."""
    with open_device(address) as device:
        config = loaded(path, device)
        data = load_data(config.data)
        classifier = Classifier(data)
        told = np.arange(1000) % config.classes if config.classes else None
        print("| sampler, levels | beyond | recognised | precision | recall | Fréchet | sliced Wasserstein |")
        print("|---|---|---|---|---|---|---|")
        factors = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)
        for sampler, steps, factor in (
            *((Sampler.HEUN, 18, factor) for factor in factors),
            *((Sampler.ANCESTRAL, 36, factor) for factor in (1.0, 1.5, 2.0)),
        ):
            drawn = sample(
                device, config, 1000, data.train.shape[1], steps=steps, sampler=sampler, labels=told,
                beyond=Beyond(data.train, factor),
            )  # fmt: skip
            row = measures(drawn, data.test, classifier)
            print(f"| {sampler}, {steps} | {factor:g} | {' | '.join(map(show, row))} |", flush=True)


def noisy(address: str) -> None:
    """The recipe with more to learn from at strong noise: errors over the Wiener filter's, at eight levels."""
    variants: dict[str, dict[str, Any]] = {
        "the recipe": {},
        "average over 1,000 steps for 200": {"average": 0.999},
        "gains three times as fast": {"gain_rate": 3.0},
        "gains and biases three times as fast": {"gain_rate": 3.0, "bias_rate": 3.0},
        "gains three times as fast, deviation of ln sigma 1.3": {"gain_rate": 3.0, "edm": Edm(deviation=1.3)},
    }
    data = load_data("digits")
    wiener = Wiener(data.train)
    for name, settings in variants.items():
        config = recipe("digits", **{"steps": 4000, "evaluate_every": 4000} | settings)
        with TemporaryDirectory() as folder, open_device(address) as device:
            run = Run.create(Path(folder) / "run", config)
            train(run, device, Progress())
            checkpoint, _ = load_checkpoint(run)
            assert checkpoint is not None  # a training that has ended has one
            device.write(checkpoint.average)
            denoiser = Denoiser(device, config)
            row = []
            for sigma in levels(config):
                given = noisy_test(data, sigma)
                denoised = denoiser(given, np.full(len(given), sigma))
                row.append(
                    np.mean((denoised - data.test) ** 2) / np.mean((wiener.denoise(given, sigma) - data.test) ** 2)
                )
        print(f"| {name} | {' | '.join(f'{ratio:.4f}' for ratio in row)} |", flush=True)


def model(path: str) -> None:
    """A denoiser of digits to import: one hidden layer of 128 tanh, a linear skip, and biases by noise level."""
    config, data = recipe("digits"), load_data("digits")
    edm, rng = config.edm, np.random.default_rng(0)
    mlp = MLPRegressor(
        hidden_layer_sizes=(128,), activation="tanh", alpha=1e-3, batch_size=128, max_iter=1, warm_start=True,
        random_state=0,
    )  # fmt: skip
    warnings.simplefilter("ignore")
    count = 12800
    for stage in range(20):
        clean = data.train[rng.integers(len(data.train), size=count)]
        sigma = edm.draw(rng, count)
        noisy = clean + sigma[:, None] * rng.normal(size=clean.shape)
        column = sigma[:, None]
        given = np.concatenate([edm.c_in(column) * noisy, np.eye(edm.levels)[edm.level(sigma)]], axis=1)
        target = (clean - edm.c_skip(column) * noisy) / edm.c_out(column)
        if stage == 0:
            skip = np.linalg.lstsq(given, target, rcond=None)[0]
        mlp.set_params(learning_rate_init=3e-3 * np.cos(np.pi / 2 * stage / 20) ** 2 + 3e-5)
        mlp.fit(given, target - given @ skip)
    size = clean.shape[1]
    np.savez(
        path,
        **{
            "weight.input-hidden": mlp.coefs_[0][:size],
            "weight.hidden-output": mlp.coefs_[1],
            "weight.input-output": skip[:size],
            "bias.hidden": mlp.intercepts_[0] + mlp.coefs_[0][size:],
            "bias.output": mlp.intercepts_[1] + skip[size:],
        },
    )
    for sigma in (0.3, 0.6, 1.0, 2.0):
        noisy = data.test + sigma * np.random.default_rng(1).normal(size=data.test.shape)
        one = np.tile(np.eye(edm.levels)[edm.level(np.array([sigma]))], (len(noisy), 1))
        given = np.concatenate([edm.c_in(np.array([[sigma]])) * noisy, one], axis=1)
        denoised = edm.denoised(mlp.predict(given) + given @ skip, noisy, np.full(len(noisy), sigma))
        print(f"model itself, sigma {sigma:g}: {np.mean((denoised - data.test) ** 2):.4f}")


def main() -> None:
    commands = {"warm": warm, "samplers": samplers, "labels": labels, "beyond": beyond, "noisy": noisy, "import": model}
    if len(sys.argv) < 3 or sys.argv[1] not in commands:
        sys.exit(f"{Path(__file__).name}: say one of {', '.join(commands)}, and what of; see its first lines")
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
