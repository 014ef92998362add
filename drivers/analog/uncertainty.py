"""How wrong a contrast may be that was formed of states known with a known uncertainty."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...substrate.contrast import contrast
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Minibatch

__all__ = ["contrast_doubt", "contrast_error"]

Array = NDArray[np.float64]


def contrast_error(
    network: Network, parameters: Parameters, minibatch: Minibatch, states: Array, error: Array, scale: float
) -> float:
    """Norm that a contrast's error has on average, to first order.

    Parameters
    ----------
    states
        Where the samples are, (B, N).
    error
        One standard deviation (B, N) of the difference of two states; independent from neuron to neuron and from
        sample to sample.
    """
    variance = error**2
    total = float(variance[:, ~network.clamped].sum())  # of the biases
    for coupling, u, v, g in zip(network.couplings, parameters.U, parameters.V, parameters.gain, strict=True):
        at_a, at_b = network.slices[coupling.a], network.slices[coupling.b]
        a, da, b, db = states[:, at_a], variance[:, at_a], states[:, at_b], variance[:, at_b]
        left, right, of_left, of_right = (a @ u) ** 2, (b @ v) ** 2, da @ u**2, db @ v**2
        strength = g[minibatch.levels] ** 2
        total += float((strength * (da.sum(axis=1)[:, None] * right + (a**2).sum(axis=1)[:, None] * of_right)).sum())
        total += float((strength * (db.sum(axis=1)[:, None] * left + (b**2).sum(axis=1)[:, None] * of_left)).sum())
        total += float((right * of_left + left * of_right).sum())
    return float(np.sqrt(total)) / (scale * len(minibatch))


def contrast_doubt(
    network: Network, parameters: Parameters, minibatch: Minibatch, states: Array, draws: Array, scale: float
) -> float:
    """Norm that a contrast's error has on average over draws of errors that all samples share.

    Parameters
    ----------
    states
        Where the samples are, (B, N).
    draws
        Errors (B, D, N) of the difference of two states; 0 draws give 0.
    """
    sizes = [
        float(np.sum(contrast(network, parameters, minibatch, states + off / 2, states - off / 2, scale).vector() ** 2))
        for off in np.moveaxis(draws, 1, 0)
    ]
    return float(np.sqrt(np.mean(sizes))) if sizes else 0.0
