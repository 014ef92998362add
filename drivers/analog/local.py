"""Local contrast of states that were read, formed on the host, and how wrong it may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Minibatch

__all__ = ["contrast", "contrast_error"]

Array = NDArray[np.float64]


def contrast(
    network: Network, parameters: Parameters, minibatch: Minibatch, plus: Array, minus: Array, scale: float
) -> Parameters:
    """Local contrast of states ``plus`` and ``minus``, each (B, N), averaged and divided by ``scale``."""
    states = np.concatenate([plus, minus])
    weight = np.repeat([1.0, -1.0], len(minibatch)) / (scale * len(minibatch))
    by_level = np.zeros((network.levels, len(states)))
    by_level[np.tile(minibatch.levels, 2), np.arange(len(states))] = weight
    U, V, gain = [], [], []
    for coupling, u, v, g in zip(network.couplings, parameters.U, parameters.V, parameters.gain, strict=True):
        a, b = states[:, network.slices[coupling.a]], states[:, network.slices[coupling.b]]
        left, right, strength = a @ u, b @ v, weight[:, None] * np.tile(g[minibatch.levels], (2, 1))
        U.append(a.T @ (strength * right))
        V.append(b.T @ (strength * left))
        gain.append(by_level @ (left * right))
    bias = by_level @ states
    bias[:, network.clamped] = 0.0  # exact: plus and minus agree there, but their sums may round
    return Parameters(tuple(U), tuple(V), tuple(gain), bias)


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
