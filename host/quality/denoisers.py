"""Other denoisers to compare with: an MLP trained by backpropagation, and the same network trained so."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from ...substrate.interface import Substrate
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ..checkpoint import load_checkpoint
from ..config import TrainConfig
from ..data import Dataset
from ..edm import Edm
from ..random import generator
from ..run import Run
from ..studies.backprop import load_torch
from ..studies.versus_backprop import Instructed, by_backprop
from ..trainer import Progress, train

__all__ = ["Mlp", "trained_by_backprop", "trained_parameters"]

Array = NDArray[np.float64]

_RATES = (1e-3, 3e-3)
"""Learning rates tried, of which the one is kept that is better on a tenth of the training data."""

_STAGES = 20
"""Parts of the training, each with a learning rate further down a cosine."""


def trained_parameters(network: Network) -> int:
    """Numbers that training changes: U, V, gains, and the biases of free neurons."""
    couplings = sum(c.rank * (network[c.a].size + network[c.b].size + network.levels) for c in network.couplings)
    return couplings + network.levels * (network.neurons - network.inputs)


class Mlp:
    """A multilayer perceptron (scikit-learn's, two hidden layers of ReLU) as the network of the same preconditioning.

    It has as many parameters as the run's network, sees as many samples, drawn in the same way, in minibatches
    as large, and knows the noise level as that does, by its number: an input for each level, which is a table of
    biases.

    Attributes
    ----------
    parameters
        How many it has.
    rate
        Learning rate that was better.
    """

    def __init__(self, config: TrainConfig, data: Dataset, steps: int) -> None:
        self._edm = config.edm
        size = data.train.shape[1]
        width = _width(trained_parameters(config.network), size + config.edm.levels, size)
        kept = max(1, len(data.train) // 10)
        tried = []
        for rate in _RATES:
            model = _fit(config, data.train[kept:], steps, rate, width)
            inputs, targets = _examples(config.edm, data.train[:kept], 20 * kept, generator(config.seed, "mlp choice"))
            tried.append((float(np.mean((model.predict(inputs) - targets) ** 2)), rate))
        self.rate = min(tried)[1]
        self._model = _fit(config, data.train, steps, self.rate, width)
        self.parameters = sum(leaf.size for leaf in (*self._model.coefs_, *self._model.intercepts_))

    def __call__(self, noisy: Array, sigma: Array) -> Array:
        """Denoise samples (n, d) at sigma (n,)."""
        return self._edm.denoised(self._model.predict(_inputs(self._edm, noisy, sigma)), noisy, sigma)


def _width(parameters: int, inputs: int, outputs: int) -> int:
    """Neurons w of both hidden layers, so that inputs w + w + w^2 + w + w outputs + outputs is about ``parameters``."""
    linear = inputs + outputs + 2
    return max(1, int((-linear + np.sqrt(linear**2 + 4 * max(0, parameters - outputs))) / 2 + 0.5))


def _fit(config: TrainConfig, train: Array, steps: int, rate: float, width: int) -> MLPRegressor:
    rng = generator(config.seed, "mlp")
    model = MLPRegressor(
        hidden_layer_sizes=(width, width), alpha=0.0, batch_size=config.batch, max_iter=1, warm_start=True,
        shuffle=False, random_state=config.seed % 2**32,
    )  # fmt: skip
    stages = min(_STAGES, steps)
    for stage in range(stages):
        count = config.batch * ((stage + 1) * steps // stages - stage * steps // stages)
        model.set_params(learning_rate_init=rate * (0.01 + 0.99 * np.cos(np.pi / 2 * stage / stages) ** 2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # one pass at a time is meant
            model.fit(*_examples(config.edm, train, count, rng))
    return model


def _examples(edm: Edm, train: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    clean = train[rng.integers(len(train), size=count)]
    sigma = edm.draw(rng, count)
    noisy = clean + sigma[:, None] * rng.normal(size=clean.shape)
    column = sigma[:, None]
    return _inputs(edm, noisy, sigma), (clean - edm.c_skip(column) * noisy) / edm.c_out(column)


def _inputs(edm: Edm, noisy: Array, sigma: Array) -> Array:
    return np.concatenate([edm.c_in(sigma[:, None]) * noisy, np.eye(edm.levels)[edm.level(sigma)]], axis=1)


def trained_by_backprop(config: TrainConfig, device: Substrate, steps: int, progress: Progress) -> Parameters:
    """The run's network trained once more, alike in all but the gradient: backpropagation through the relaxation.

    Raises
    ------
    ToolError
        If PyTorch is not installed.
    """
    load_torch()
    again = replace(config, steps=steps, auto_beta=False, evaluate_every=steps, checkpoint_every=steps)
    with TemporaryDirectory(prefix="equipoise-") as folder:
        run = Run.create(Path(folder) / "run", again)
        if train(run, Instructed(device, by_backprop), progress)["interrupted"]:
            raise KeyboardInterrupt  # the trainer has swallowed it
        checkpoint, _ = load_checkpoint(run)
    assert checkpoint is not None  # a training that has ended has one
    return checkpoint.average
