"""The classifier, and the denoisers that a run is compared with."""

import numpy as np
import pytest

from equipoise.host.data import load_data
from equipoise.host.quality.classifier import Classifier
from equipoise.host.quality.denoisers import Mlp, trained_by_backprop, trained_parameters
from equipoise.host.quality.distances import frechet
from equipoise.host.trainer import Progress
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.errors import ToolError

from ..runs import small_config


def test_the_classifier_knows_digits():
    data = load_data("digits")
    classifier = Classifier(data)
    assert classifier.accuracy(data.test, data.test_labels).low > 0.9
    noise = 0.5 * np.random.default_rng(0).normal(size=data.test.shape)
    assert classifier.accuracy(noise, data.test_labels).value < 0.3
    assert classifier.confidence(data.test).low > classifier.confidence(noise).high
    assert classifier.recognised(data.test).low > 0.9
    assert classifier.recognised(0.2 * data.test).high < 0.5
    seen = classifier.features(data.test)
    assert seen.shape == (297, 24)
    half = [classifier.features(data.train[data.train_labels < 5])[:297], classifier.features(data.train)[:297]]
    assert frechet(half[0], seen) > 5 * frechet(half[1], seen)


def test_the_mlp_has_as_many_parameters_and_denoises(tmp_path):
    config = small_config(tmp_path, (4,), batch=16)
    data = load_data(config.data)
    mlp = Mlp(config, data, 200)
    assert mlp.parameters == pytest.approx(trained_parameters(config.network), rel=0.1)
    noisy = data.test + np.random.default_rng(0).normal(size=data.test.shape)
    denoised = mlp(noisy, np.ones(len(noisy)))
    assert np.mean((denoised - data.test) ** 2) < 0.5 * np.mean((noisy - data.test) ** 2)
    assert np.array_equal(Mlp(config, data, 200)(noisy, np.ones(len(noisy))), denoised)


def test_what_is_trained_is_counted(tmp_path):
    """U, V and gains of couplings 12-32 (8), 32-12 (8) and 12-12 (32), and biases of 44 neurons, at 8 levels."""
    expected = 2 * 8 * (12 + 32 + 8) + 32 * (12 + 12 + 8) + 8 * 44
    assert trained_parameters(small_config(tmp_path).network) == expected


def test_backpropagation_needs_torch_or_trains(tmp_path):
    config = small_config(tmp_path)
    try:
        import torch  # noqa: F401
    except ImportError:
        with pytest.raises(ToolError, match="PyTorch is not installed"):
            trained_by_backprop(config, FloatModel(), 2, Progress())
        return
    parameters = trained_by_backprop(config, FloatModel(), 2, Progress())
    parameters.check(config.network)
