"""A small classifier of the real samples: whether generated ones are of a class, and features to compare them in."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from ..data import Dataset, Labels
from ..studies.statistics import Interval, mean, share

__all__ = ["Classifier"]

Array = NDArray[np.float64]

_HIDDEN = (64, 24)
"""Neurons of its layers; the last ones' activations are the features."""

_EPOCHS = 200
_SURE = 0.9
"""Probability of a class above which a sample counts as recognised."""


class Classifier:
    """Trained on the training samples of a set that has labels."""

    def __init__(self, data: Dataset, seed: int = 0) -> None:
        self._model = MLPClassifier(hidden_layer_sizes=_HIDDEN, alpha=1e-3, max_iter=_EPOCHS, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # as good as it is after so many epochs
            self._model.fit(data.train, data.train_labels)

    def features(self, samples: Array) -> Array:
        """Activations of the last hidden layer, (n, 24)."""
        for weights, bias in zip(self._model.coefs_[:-1], self._model.intercepts_[:-1], strict=True):
            samples = np.maximum(samples @ weights + bias, 0)
        return samples

    def accuracy(self, samples: Array, labels: Labels) -> Interval:
        """Share of the samples that it takes for what they are labelled."""
        return share(int(np.sum(self._model.predict(samples) == labels)), len(labels))

    def confidence(self, samples: Array) -> Interval:
        """Mean probability of the class that it takes a sample for: near 1 where all look like one."""
        return mean(self._model.predict_proba(samples).max(axis=1))

    def recognised(self, samples: Array) -> Interval:
        """Share of the samples that it is more than 0.9 sure of the class of."""
        sure = self._model.predict_proba(samples).max(axis=1) > _SURE
        return share(int(np.sum(sure)), len(samples))
