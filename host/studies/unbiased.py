"""``unbiased``: the symmetric estimator against the oracle as beta goes to 0."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...sim.float_model import FloatModel
from ...substrate.energy import oracle
from ...substrate.parameters import Parameters, cosine, norm_ratio
from ...substrate.phases import Schedule
from ..bench import bench_network
from .gradients import contrast, random_minibatch, settling_steps, softest
from .statistics import mean
from .study import Claim, Findings, Setting, Study
from .style import LINES, draw, label

__all__ = ["STUDY"]


def run(setting: Setting) -> Findings:
    """Run the study."""
    networks = 3 if setting.reduced else 8
    betas = [2.0**-k for k in range(2, 11, 2)]
    setting.progress.expect(networks)

    def one(number: int) -> dict[str, Any]:
        network = bench_network()
        rng = setting.rng("unbiased", number)
        parameters = Parameters.random(network, rng)
        batch = random_minibatch(network, rng, 8)
        rows = {}
        for name, device in (("device", setting.device), ("float", FloatModel())):
            device.configure(network)
            device.write(parameters)
            truth = oracle(network, device.read(), batch)
            steps = settling_steps(network, softest(network, device.read(), batch), 1e-9)
            found = [contrast(device, batch, Schedule(steps, steps, beta)) for beta in betas]
            rows[name] = [(cosine(f, truth), norm_ratio(f, truth)) for f in found]
        return rows

    rows = [setting.measure(f"network {n}", partial(one, n)) for n in range(networks)]
    cosines = np.array([row["device"] for row in rows])[..., 0]
    best = mean(cosines[:, 1])
    with draw() as figure:
        axes = figure.add_subplot()
        axes.plot(betas, cosines.mean(0), label="device", **LINES[0])
        label(axes, "beta", "cosine to the oracle", log="x")
    claim = Claim("cosine", "above 0.99 at beta 1/16", str(best), best.within(0.99), best.numbers())
    return Findings([claim], {"rows": rows}, {"unbiased": figure}, f"Cosine {best}.")


STUDY = Study("unbiased", "Is the estimator unbiased?", "Does it?", run)
