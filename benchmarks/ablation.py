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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.host.baselines import REPORT_SIGMAS, baseline_errors, noisy_test
from equipoise.host.config import TrainConfig
from equipoise.host.data import Dataset, load_data
from equipoise.host.devices import open_device
from equipoise.host.edm import Edm
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.studies.backprop import load_torch
from equipoise.host.trainer import Progress, train
from equipoise.substrate.files import write_atomically
from equipoise.substrate.network import Coupling, Module, Network

Array = NDArray[np.float64]

RESULTS = Path(__file__).parent.parent / "docs" / "ablation.json"
FULL_MLP = 30000
"""Most steps of the MLP that is trained until its error on set-aside training digits no longer falls."""


def network(
    hidden: int = 256, rank: int = 64, *, quartic: float = 0.0, dt: float = 0.5, railed: bool = True, levels: int = 32
) -> Network:
    return Network(
        (
            Module("input", 64, clamped=True),
            Module("hidden", hidden, quartic=quartic, railed=railed),
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
        Module("hidden", 160, quartic=0.0, railed=True),
        Module("deep", 96, quartic=0.0, railed=True),
        Module("output", 64, quartic=0.0),
    )
    pairs = (("input", "hidden"), ("hidden", "output"), ("input", "output"), ("hidden", "deep"), ("deep", "output"))
    return Network(modules, tuple(Coupling(a, b, 64 if b != "deep" else 48) for a, b in pairs), "output", 0.5, 32)


QUARTIC: dict[str, Any] = {
    "network": network(quartic=0.5, dt=0.125, railed=False), "free_steps": 60, "nudged_steps": 24
}  # fmt: skip

VARIANTS: dict[str, dict[str, Any]] = {
    "the recipe": {},
    "quartic 1/2 for rails, 60 + 24 steps of 1/8": QUARTIC,
    "the same, rate 0.002 (the recipe before)": QUARTIC | {"learning_rate": 2e-3},
    "neither rails nor quartic: linear": {"network": network(railed=False)},
    "rate 0.003": {"learning_rate": 3e-3},
    "rate 0.012": {"learning_rate": 1.2e-2},
    "rate of gains times 3": {"gain_rate": 3.0},
    "no average of parameters": {"average": 0.0},
    "half the batch, twice the steps": {"batch": 64, "steps": 2},
    "384 hidden neurons": {"network": network(384)},
    "128 hidden neurons": {"network": network(128)},
    "rank 32": {"network": network(rank=32)},
    "two hidden modules": {"network": two_modules()},
    "16 noise levels": {"network": network(levels=16), "edm": Edm(levels=16)},
    "more noise in training: mean of ln sigma 0": {"edm": Edm(mean=0.0)},
    "one step of 1 for two of 1/2: 6 + 3": {"network": network(dt=1.0), "free_steps": 6, "nudged_steps": 3},
}
"""What is changed of the recipe; ``steps`` is a factor."""


def trained(variant: dict[str, Any], steps: int, seed: int, address: str) -> dict[str, Any]:
    """Errors on held-out digits after training."""
    steps *= variant.get("steps", 1)
    settings = variant | {"steps": steps, "seed": seed, "evaluate_every": steps, "checkpoint_every": steps}
    with tempfile.TemporaryDirectory() as folder, open_device(address) as device:
        summary = train(Run.create(Path(folder) / "run", recipe("digits", **settings)), device, Progress())
    return {"error": summary["error"]}


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

    def train(self, train_set: Array, steps: int, every: int) -> Iterator[int]:
        """Train with the trainer's schedule and average; every so many steps, the step is handed out."""
        torch, config, edm = self.torch, self.config, self.config.edm
        rng = np.random.default_rng(config.seed)
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=2e-3, weight_decay=0.0)
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
            decay = min(0.995, (step + 1) / (step + 10))
            with torch.no_grad():
                for now, mean in zip(self.model.parameters(), self.average, strict=True):
                    mean.mul_(decay).add_(now, alpha=1 - decay)
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


def converged_mlp(seed: int) -> dict[str, Any]:
    """Where its error on 200 training digits that are set aside was least, of up to :data:`FULL_MLP` steps."""
    data = load_data("digits")
    made = Mlp(data, recipe("digits", seed=seed))
    aside, rest = data.train[:200], data.train[200:]
    noise = np.random.default_rng(seed).normal(size=aside.shape)
    best: dict[str, Any] = {}
    for step in made.train(rest, FULL_MLP, 1000):
        score = float(np.mean(np.log(made.errors(aside, lambda sigma: aside + sigma * noise))))
        if not best or score < best["score"]:
            errors = made.errors(data.test, lambda sigma: noisy_test(data, sigma))
            best = {"error": errors, "at": step, "score": score}
    return best


def posterior_mean() -> list[float]:
    """The mean of the training digits, weighted by how likely each is: the best, were there no others."""
    data, errors = load_data("digits"), []
    for sigma in REPORT_SIGMAS:
        distance = ((noisy_test(data, sigma)[:, None] - data.train[None]) ** 2).sum(axis=2)
        weight = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / (2 * sigma**2))
        guess = weight @ data.train / weight.sum(axis=1, keepdims=True)
        errors.append(float(np.mean((guess - data.test) ** 2)))
    return errors


def table(results: dict[str, Any]) -> str:
    """Means over seeds, and the standard deviation of one seed at sigma 0.6, which stands for the others."""
    heads = " | ".join(f"sigma {sigma:g}" for sigma in REPORT_SIGMAS)
    lines = [f"| | steps | seeds | {heads} | deviation at 0.6 |", "|---|---|---|" + "---|" * (len(REPORT_SIGMAS) + 1)]
    data = load_data("digits")
    for name, errors in (("best linear filter", baseline_errors(data)["wiener"]), ("posterior mean", posterior_mean())):
        lines.append(f"| {name} | | | " + " | ".join(f"{error:.4f}" for error in errors) + " | |")
    for name, by_seed in results.items():
        errors = np.array([result["error"] for result in by_seed.values()])
        spread = f"{errors[:, 1].std(ddof=1):.4f}" if len(errors) > 1 else ""
        what, _, steps = name.rpartition(" @ ")
        cells = " | ".join(f"{error:.4f}" for error in errors.mean(axis=0))
        lines.append(f"| {what} | {steps} | {len(errors)} | {cells} | {spread} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000, help="optimiser steps of every variant")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every variant")
    parser.add_argument("--device", default="float:")
    parser.add_argument("--only", nargs="*", help="variants whose name begins so")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    asked = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    work: dict[str, Callable[[int], dict[str, Any]]] = {
        f"MLP by backpropagation @ {asked.steps}": lambda seed: mlp(asked.steps, seed),
        f"MLP by backpropagation, early stopping @ up to {FULL_MLP}": converged_mlp,
    }
    for name, variant in VARIANTS.items():
        full = f"{name}, {asked.device} @ {asked.steps}"
        work[full] = lambda seed, variant=variant: trained(variant, asked.steps, seed, asked.device)
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
