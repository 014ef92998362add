"""Labels: how a network is told the class of a sample, and how it learns to do without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import RunError
from ..substrate.phases import Minibatch
from .config import TrainConfig
from .data import Labels
from .random import generator

__all__ = ["UNLABELLED", "check_label", "drop_labels", "told_labels", "with_labels"]

UNLABELLED = -1
"""Label of a sample whose class is not told."""


def check_label(config: TrainConfig, label: int) -> None:
    """Raise :class:`RunError` if samples of class ``label`` cannot be asked for."""
    if not config.classes:
        raise RunError(f"label {label} cannot be asked for: this run was trained without labels (recipe digits-labels)")
    if not 0 <= label < config.classes:
        raise RunError(f"label must be from 0 to {config.classes - 1}, not {label}")


def with_labels(config: TrainConfig, minibatch: Minibatch, labels: Labels | None = None) -> Minibatch:
    """The minibatch with its labels on the clamped module that takes them.

    Parameters
    ----------
    labels
        (B,), from 0; :data:`UNLABELLED` for a sample whose class is not told, None for all of them. The neuron of
        the class is clamped to 1 and the others to 0; without a class all are 0.
    """
    if not config.label:
        return minibatch
    told = told_labels(config, np.full(len(minibatch), UNLABELLED) if labels is None else labels)
    columns, start = [], 0
    for module in config.network:
        if module.clamped and module.name == config.label:
            columns.append(told)
        elif module.clamped:
            columns.append(minibatch.clamped[:, start : start + module.size])
            start += module.size
    return replace(minibatch, clamped=np.concatenate(columns, axis=1))


def told_labels(config: TrainConfig, labels: Labels) -> NDArray[np.float64]:
    """States of the module that takes labels (B,); (B, classes), which are none where a run has no labels."""
    told = np.zeros((len(labels), config.classes))
    if config.classes:
        known = np.flatnonzero(labels != UNLABELLED)
        told[known, labels[known]] = 1.0
    return told


def drop_labels(config: TrainConfig, labels: Labels | None, step: int) -> Labels | None:
    """Labels of a training step, some of them left out."""
    if labels is None or not config.label:
        return None
    dropped = generator(config.seed, "label", step).random(len(labels)) < config.label_drop
    return np.where(dropped, UNLABELLED, labels)
