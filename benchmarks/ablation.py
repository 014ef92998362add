"""What makes the digits recipe good: it with one thing changed at a time, beside baselines; a table in Markdown.

    python benchmarks/ablation.py [--steps 1000] [--seeds 3] [--device float:] [--only NAME ...] [--table]

Every result goes into ``docs/ablation.json`` as soon as it is there, and is not computed again: stop it whenever, and
call it again. ``--table`` only prints what is there. The MLP needs PyTorch (``pip install 'equipoise[backprop]'``).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from equipoise.benchmarks.curvature import Annealed, Curved
from equipoise.host.baselines import REPORT_SIGMAS, PosteriorMean, baseline_errors, noisy_test
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.config import TrainConfig
from equipoise.host.data import Dataset, load_data
from equipoise.host.devices import open_device
from equipoise.host.edm import Edm
from equipoise.host.quality.classifier import Classifier
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.sampler import sample
from equipoise.host.studies.backprop import load_torch
from equipoise.host.trainer import Progress, train
from equipoise.substrate.files import write_atomically
from equipoise.substrate.interface import Substrate
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.phases import Estimator

Array = NDArray[np.float64]

RESULTS = Path(__file__).parent.parent / "docs" / "ablation.json"
SAMPLES = 500
"""Generated after each training, to say what share of them is recognised."""

FULL_MLPS = (12000, 24000)
"""Most steps of the MLPs that are trained until their error on set-aside training digits no longer falls."""

DECAYS = (0.0, 0.3)
"""Weight decays of theirs that are tried, of which the one is kept that is better on those."""


def network(
    hidden: int = 256, rank: int = 64, *, stiffness: float = 0.5, quartic: float = 0.0, dt: float = 1.0,
    railed: bool = True, levels: int = 32,
) -> Network:  # fmt: skip
    """That of the recipe, but for what is given."""
    return Network(
        (
            Module("input", 64, clamped=True),
            Module("hidden", hidden, stiffness, quartic, railed=railed),
            Module("output", 64, quartic=0.0),
        ),
        (Coupling("input", "hidden", rank), Coupling("hidden", "output", rank), Coupling("input", "output", 64)),
        "output",
        dt=dt,
        levels=levels,
    )


def two_modules() -> Network:
    """Two hidden modules in a row, each also coupled to the output."""
    modules = (
        Module("input", 64, clamped=True),
        Module("hidden", 160, 0.5, 0.0, railed=True),
        Module("deep", 96, 0.5, 0.0, railed=True),
        Module("output", 64, quartic=0.0),
    )
    pairs = (("input", "hidden"), ("hidden", "output"), ("input", "output"), ("hidden", "deep"), ("deep", "output"))
    return Network(modules, tuple(Coupling(a, b, 64 if b != "deep" else 48) for a, b in pairs), "output", 1.0, 32)


QUARTIC: dict[str, Any] = {
    "network": network(stiffness=1.0, quartic=0.5, dt=0.125, railed=False), "free_steps": 60, "nudged_steps": 24
}  # fmt: skip

SOFT, BENT = {"stiffness": (0.1, 1.5)}, {"quartic": (0.0, 1.5)}
"""Between what a trained stiffness and a trained quartic must stay: a step of the relaxation is stable there."""


def annealed(*stages: tuple[float, float, int]) -> Callable[[TrainConfig], Substrate]:
    """What makes a device whose free phases begin with these stages."""
    return lambda config: Annealed(stages)


VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "neither rails nor quartic: linear": {"network": network(railed=False)},
    "rate 0.003": {"learning_rate": 3e-3},
    "rate 0.012": {"learning_rate": 1.2e-2},
    "one rate for all weights": {"rate_by_size": False},
    "hidden stiffness 1": {"network": network(stiffness=1.0)},
    "random start": {"start": "random"},
    "no average of parameters": {"average": 0.0},
    "digits shifted by up to a pixel": {"shift": 1},
    "128 hidden neurons": {"network": network(128)},
    "384 hidden neurons": {"network": network(384)},
    "rank 32": {"network": network(rank=32)},
    "two hidden modules": {"network": two_modules()},
    "half the batch, twice the steps": {"batch": 64, "steps": 2},
    "rate of gains times 3": {"gain_rate": 3.0},
    "16 noise levels": {"network": network(levels=16), "edm": Edm(levels=16)},
    "more noise in training: mean of ln sigma 0": {"edm": Edm(mean=0.0)},
    "relaxation of 24 + 12 steps": {"free_steps": 24, "nudged_steps": 12},
    "relaxation of 6 + 3 steps": {"free_steps": 6, "nudged_steps": 3},
    "one-sided": {"estimator": Estimator.ONE_SIDED},
    "quartic 1/2 for rails, 60 + 24 steps of 1/8": QUARTIC,
    "trained stiffness": {"device": partial(Curved, bounds=SOFT)},
    "trained stiffness, at a third of the rate": {"device": partial(Curved, bounds=SOFT, factor=1 / 3)},
    "trained quartic, 60 + 24 steps of 1/8": QUARTIC | {"device": partial(Curved, bounds=BENT)},
    "trained stiffness and quartic, 60 + 24 steps of 1/8": QUARTIC | {"device": partial(Curved, bounds=SOFT | BENT)},
    "noise before it settles, T 0.1, 0.03, 0.01": {"device": annealed((1.0, 0.1, 4), (1.0, 0.03, 4), (1.0, 0.01, 4))},
    "steps of 1, then 1/2, then 1/4": {
        "device": annealed((1.0, 0.0, 6), (0.5, 0.0, 6)), "network": network(dt=0.25), "nudged_steps": 24
    },
}  # fmt: skip
"""What is changed of the recipe; ``steps`` is a factor, ``shift`` is of the data, and ``device`` makes one of its own
from the configuration."""


def shifted(name: str) -> Dataset:
    """The data set, with its training images shifted by up to a pixel each way too: nine times as many."""
    data = load_data(name)
    edge = data.train.min()
    wide = np.pad(data.train.reshape(-1, *data.shape), ((0, 0), (1, 1), (1, 1)), constant_values=edge)
    height, width = data.shape
    moved = [wide[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return replace(data, train=np.concatenate(moved).reshape(-1, height * width), train_labels=None, test_labels=None)


def trained(variant: dict[str, Any], steps: int, seed: int, address: str) -> dict[str, Any]:
    """Errors on held-out digits after training."""
    steps *= variant.get("steps", 1)
    settings = variant | {"steps": steps, "seed": seed, "evaluate_every": steps, "checkpoint_every": steps}
    load = shifted if settings.pop("shift", 0) else load_data
    make = settings.pop("device", None)
    config = recipe("digits", **settings)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_device(address) if make is None else make(config) as device,
        patch("equipoise.host.trainer.load_data", load),
        patch("equipoise.host.trainer.gradient_cosine", return_value=float("nan")),  # its runs would train curvature
    ):
        run = Run.create(Path(folder) / "run", config)
        summary = train(run, device, Progress())
        checkpoint, _ = load_checkpoint(run)
        assert checkpoint is not None  # a training that has ended has one
        device.write(checkpoint.average)
        drawn = sample(device, run.config, SAMPLES, 64, seed=seed)
    found = {"error": summary["error"], "recognised": _classifier().recognised(drawn).value}
    if isinstance(device, Curved):  # least, mean and largest: has training moved it at all?
        found["curvature"] = {t: [float(f(v)) for f in (np.min, np.mean, np.max)] for t, v in device.average.items()}
    return found


@cache
def _classifier() -> Classifier:
    return Classifier(load_data("digits"))


class Mlp:
    """Two hidden layers, with as many numbers to train as the network, EDM-preconditioned, told ln sigma; by AdamW."""

    def __init__(self, data: Dataset, config: TrainConfig) -> None:
        self.torch, self.data, self.config = load_torch(), data, config
        self.torch.manual_seed(config.seed)
        nn, width = self.torch.nn, 196  # 67,676 numbers; the network has 65,536
        self.model = nn.Sequential(
            nn.Linear(64 + 8, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 64)
        )
        self.average = [p.detach().clone() for p in self.model.parameters()]

    def _inputs(self, noisy: Array, sigma: Array) -> Any:
        waves = np.log(sigma)[:, None] * np.array([0.5, 1.0, 2.0, 4.0])
        known = np.concatenate([self.config.edm.c_in(sigma[:, None]) * noisy, np.sin(waves), np.cos(waves)], axis=1)
        return self.torch.tensor(known, dtype=self.torch.float32)

    def train(self, train_set: Array, steps: int, every: int, decay: float = 0.0) -> Iterator[int]:
        """Train with the trainer's schedule and average; every so many steps, the step is handed out."""
        torch, config, edm = self.torch, self.config, self.config.edm
        rng = np.random.default_rng(config.seed)
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=2e-3, weight_decay=decay)
        for step in range(steps):
            share = (1 + np.cos(np.pi * step / steps)) / 2
            optimiser.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 20) * (0.01 + 0.99 * share)
            clean = train_set[rng.integers(0, len(train_set), config.batch)]
            sigma = edm.draw(rng, len(clean))
            noisy = clean + sigma[:, None] * rng.normal(size=clean.shape)
            target = edm.minibatch(noisy, sigma, clean)[0].target
            miss = self.model(self._inputs(noisy, sigma)) - torch.tensor(target, dtype=torch.float32)
            optimiser.zero_grad()
            (miss**2).sum(1).mean().backward()
            optimiser.step()
            kept = min(0.995, (step + 1) / (step + 10))
            with torch.no_grad():
                for now, mean in zip(self.model.parameters(), self.average, strict=True):
                    mean.mul_(kept).add_(now, alpha=1 - kept)
            if (step + 1) % every == 0:
                yield step + 1

    def errors(self, clean: Array, noisy_at: Callable[[float], Array]) -> list[float]:
        """Of the averaged weights."""
        result = []
        with self.torch.no_grad():
            kept = [p.detach().clone() for p in self.model.parameters()]
            self._hold(self.average)
            for level in REPORT_SIGMAS:
                noisy, sigma = noisy_at(level), np.full(len(clean), level)
                outputs = self.model(self._inputs(noisy, sigma)).numpy().astype(float)
                result.append(float(np.mean((self.config.edm.denoised(outputs, noisy, sigma) - clean) ** 2)))
            self._hold(kept)
        return result

    def _hold(self, values: list[Any]) -> None:
        for parameter, value in zip(self.model.parameters(), values, strict=True):
            parameter.data.copy_(value)


def mlp(steps: int, seed: int) -> dict[str, Any]:
    """With the same data and steps as the network."""
    data = load_data("digits")
    made = Mlp(data, recipe("digits", seed=seed))
    for _ in made.train(data.train, steps, steps):
        pass
    return {"error": made.errors(data.test, lambda sigma: noisy_test(data, sigma))}


def converged_mlp(seed: int, most: int) -> dict[str, Any]:
    """Trained as long, and with the weight decay, as was best for 200 training digits that were set aside."""
    data, config = load_data("digits"), recipe("digits", seed=seed)
    aside, rest = data.train[:200], data.train[200:]
    noise = np.random.default_rng(seed).normal(size=aside.shape)
    tried = []
    for decay in DECAYS:
        made = Mlp(data, config)
        for step in made.train(rest, most, 500, decay):
            errors = made.errors(aside, lambda sigma: aside + sigma * noise)
            tried.append((float(np.mean(np.log(errors))), step, decay))
    _, best, decay = min(tried)
    made = Mlp(data, config)
    for step in made.train(data.train, most, 500, decay):
        if step == best:
            break
    return {"error": made.errors(data.test, lambda sigma: noisy_test(data, sigma)), "at": best, "decay": decay}


def posterior_mean() -> list[float]:
    """Errors of the mean of the training digits, weighted by how likely each is."""
    data = load_data("digits")
    best = PosteriorMean(data.train)
    return [float(np.mean((best.denoise(noisy_test(data, sigma), sigma) - data.test) ** 2)) for sigma in REPORT_SIGMAS]


def table(results: dict[str, Any]) -> str:
    """Means over seeds and, behind +-, the standard deviation of one seed."""
    heads = " | ".join(f"sigma {sigma:g}" for sigma in REPORT_SIGMAS)
    lines = [
        f"| | steps | {heads} | of the recipe's error | recognised |",
        "|---|---|" + "---|" * (len(REPORT_SIGMAS) + 2),
    ]
    data = load_data("digits")
    for name, errors in (("best linear filter", baseline_errors(data)["wiener"]), ("posterior mean", posterior_mean())):
        lines.append(f"| {name} | | " + " | ".join(f"{error:.4f}" for error in errors) + " | | |")
    for name, by_seed in results.items():
        what, _, steps = name.rpartition(" @ ")
        cells = [_spread(column, 4) for column in zip(*(result["error"] for result in by_seed.values()), strict=True)]
        device = what.rpartition(", ")[2] if what.endswith(":") else "float:"
        cells.append(_spread(shares(by_seed, results.get(f"the recipe, {device} @ {steps}", {})), 3))
        found = [100 * result["recognised"] for result in by_seed.values() if "recognised" in result]
        cells.append(f"{_spread(found, 1)} %" if found else "")
        seeds = "" if len(by_seed) == 3 else f" ({len(by_seed)} of 3 seeds)"
        lines.append(f"| {what}{seeds} | {steps} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shares(by_seed: dict[str, Any], others: dict[str, Any]) -> list[float]:
    """For each seed that both have, the geometric mean over noise levels of the ratio of errors."""
    both = [(by_seed[seed]["error"], others[seed]["error"]) for seed in by_seed if seed in others]
    return [float(np.exp(np.mean(np.log(np.divide(*pair))))) for pair in both]


def _spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    spread = f" +- {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000, help="optimiser steps of every variant")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every variant")
    parser.add_argument("--device", default="float:")
    parser.add_argument("--only", nargs="*", help="variants whose name begins so")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    asked = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    work: dict[str, Callable[[int], dict[str, Any]]] = {}
    for name, variant in VARIANTS.items():
        full = f"{name}, {asked.device} @ {asked.steps}"
        work[full] = lambda seed, variant=variant: trained(variant, asked.steps, seed, asked.device)
    work[f"MLP by backpropagation @ {asked.steps}"] = lambda seed: mlp(asked.steps, seed)
    for most in FULL_MLPS:
        work[f"MLP by backpropagation, early stopping @ up to {most}"] = partial(converged_mlp, most=most)
    if asked.only:
        work = {name: run for name, run in work.items() if name.startswith(tuple(asked.only))}
    for seed in range(0 if asked.table else asked.seeds):
        for name, run in work.items():
            if str(seed) in results.get(name, {}):
                continue
            begin = time.process_time()
            found = run(seed) | {"cpu_seconds": round(time.process_time() - begin, 1)}
            results.setdefault(name, {})[str(seed)] = found
            write_atomically(RESULTS, json.dumps(results, indent=1).encode())
            print(f"{name}, seed {seed}: {[round(e, 4) for e in found['error']]}, {found['cpu_seconds']} s", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
