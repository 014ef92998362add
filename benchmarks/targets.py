"""What README promises of the simulated board, measured on it: start, gradient, cycles, and where wall time goes.

    python benchmarks/targets.py [ADDRESS]

Prints a table in Markdown. The speed of the simulation itself is in ``sim_speed.py``.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from equipoise.host.bench import bench_network, plain_cycles
from equipoise.host.devices import open_device
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.trainer import Progress, train
from equipoise.substrate.energy import oracle
from equipoise.substrate.interface import Substrate
from equipoise.substrate.parameters import Parameters, cosine
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

STEPS = 10


def gradient(device: Substrate) -> dict[str, float]:
    """Cosine of each estimator to the oracle on the network of ``equipoise bench``, and cycles of a step."""
    network, rng = bench_network(), np.random.default_rng(0)
    minibatch = Minibatch(
        rng.normal(0, 0.7, (16, network.inputs)), np.zeros(16, np.int64), rng.normal(0, 0.7, (16, network.outputs))
    )
    device.configure(network)
    device.write(Parameters.random(network, rng))
    truth = oracle(network, device.read(), minibatch)
    measured = {}
    for estimator in (Estimator.SYMMETRIC, Estimator.ONE_SIDED):
        for beta in (1 / 16, 1 / 256):
            result = device.run(minibatch, Schedule(60, 24, beta, estimator))
            assert result.contrast is not None
            measured[f"{estimator.value}, beta 1/{1 / beta:.0f}"] = cosine(result.contrast, truth)
    measured["cycles"] = result.relax_cycles / result.relax_steps
    return measured


def training(device: Substrate) -> dict[str, float]:
    """Shares of wall time in training steps of the quick recipe."""
    config = recipe("digits-quick", steps=STEPS, evaluate_every=STEPS)
    with tempfile.TemporaryDirectory() as folder:
        seconds = train(Run.create(Path(folder) / "run", config), device, Progress())["seconds"]
    total = sum(seconds.values())
    return {part: spent / total for part, spent in seconds.items()} | {"step": total / STEPS}


def main() -> None:
    address = sys.argv[1] if len(sys.argv) > 1 else "sim:"
    open_device(address).close()  # builds the board if need be
    begin = time.perf_counter()
    with open_device(address) as device:
        start = time.perf_counter() - begin
        measured, shares = gradient(device), training(device)
        lanes = device.identity.details["geometry"]["lanes"]
    plain = plain_cycles(bench_network(), lanes)
    print(f"| {address} | measured |\n|---|---|")
    print(f"| start, cached | {start:.2f} s |")
    for name, value in measured.items():
        if name != "cycles":
            print(f"| cosine to the oracle: {name} | {value:.5f} |")
    print(f"| cycles of a relaxation step | {measured['cycles']:.0f}, {measured['cycles'] / plain:.2f} of {plain} |")
    print(f"| training step of the quick recipe | {shares['step']:.2f} s |")
    for part in ("device", "link", "host"):
        print(f"| of that: {part} | {shares[part]:.1%} |")


if __name__ == "__main__":
    main()
