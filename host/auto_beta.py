"""``train --beta auto``: the best beta for the network, the parameters and the data as they are now.

It is measured before the first step, and again whenever the loss has fallen by half: errors shrink as training goes on,
the noise does not, so the best beta moves. What is chosen depends on what a checkpoint holds and on nothing else,
so a resumed run chooses the same.

Only the direction of the gradient counts, for the learning rate takes up any factor: short nudged phases, which make
it too small, are no reason for a beta that makes it too large.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from ..substrate.formats import FORMATS
from ..substrate.interface import Substrate
from ..substrate.phases import Schedule
from .conditioning import with_labels
from .config import TrainConfig
from .data import Dataset
from .operating_point import Errors, beta_grid, errors_at, truths_of
from .random import device_seed, generator

__all__ = ["Tuned", "tune"]

_SMALLEST = 2.0**-8
_MINIBATCHES, _SAMPLES = 8, 8
_FALL = 0.5
"""Part of the loss left at which beta is measured again."""

_SETTLE = 20
"""Steps after a choice whose mean loss is what later losses are compared with, and of the moving average."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The beta in use, and what decides when it is measured again.

    Attributes
    ----------
    beta
        In use.
    age
        Steps since it was chosen.
    loss
        Moving average of the loss; over the first steps, their mean.
    reference
        What it was soon after the choice; 0 until then.
    """

    beta: float
    age: int = 0
    loss: float = 0.0
    reference: float = 0.0

    @property
    def due(self) -> bool:
        """Whether the loss has fallen so far that beta should be measured again."""
        return self.loss < _FALL * self.reference

    def after(self, loss: float) -> Self:
        """After one more step, with this loss."""
        age = self.age + 1
        average = self.loss + (loss - self.loss) / min(age, _SETTLE)
        return replace(self, age=age, loss=average, reference=average if age == _SETTLE else self.reference)


def tune(device: Substrate, config: TrainConfig, data: Dataset, step: int) -> tuple[Tuned, dict[str, Any]]:
    """Measure the best beta with the parameters that the device holds, for minibatches as large as the run's.

    Returns
    -------
    tuple
        The choice, rounded to the device's format, and what was measured, for the metrics.

    Raises
    ------
    EquipoiseError
        If the device fails, or the network has no equilibrium for a sample.
    """
    rng = generator(config.seed, "operating point", step)
    minibatches = []
    for _ in range(_MINIBATCHES):
        chosen = rng.integers(len(data.train), size=min(_SAMPLES, config.batch))
        clean = data.train[chosen]
        sigma = config.edm.draw(rng, len(clean))
        noisy = clean + sigma[:, None] * rng.normal(size=clean.shape)
        labels = None if data.train_labels is None else data.train_labels[chosen]
        minibatches.append(with_labels(config, config.edm.minibatch(noisy, sigma, clean)[0], labels))
    betas = beta_grid(config.network, _SMALLEST)
    truths = truths_of(device, config.network, minibatches)
    seeds = [device_seed(config.seed, f"operating point {number}", step) for number in range(_MINIBATCHES)]
    schedule: Schedule = config.schedule(0)
    products = [
        errors_at(device, minibatches, truths, replace(schedule, beta=float(beta)), seeds, scaled=True)
        for beta in betas
    ]
    errors = Errors(betas, np.array(products), len(minibatches[0]))
    best = errors.best(config.batch, config.seed)
    beta = float(FORMATS.beta.decode(FORMATS.beta.encode(best.beta)))
    measured = {"betas": betas.tolist(), "error": np.sqrt(errors.mean_squared(config.batch)).tolist()}
    return Tuned(beta), {**asdict(best), "beta": beta, "measured": measured}
