"""Contrast of two states of a network, in double precision: for devices whose states are read and contrasted here."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .network import Network
from .parameters import Parameters
from .phases import Minibatch

__all__ = ["contrast"]

Array = NDArray[np.float64]


def contrast(
    network: Network, parameters: Parameters, minibatch: Minibatch, plus: Array, minus: Array, scale: float
) -> Parameters:
    """Local contrast of states ``plus`` and ``minus``, each (B, N), averaged over the samples and divided by ``scale``.

    ``scale`` is 2 beta where positive and negative phase are contrasted, beta where one of them is the free phase.
    """
    states, levels = np.concatenate([plus, minus]), np.tile(minibatch.levels, 2)
    weight = np.repeat([1.0, -1.0], len(minibatch)) / (scale * len(minibatch))
    by_level = np.zeros((network.levels, len(levels)))
    by_level[levels, np.arange(len(levels))] = weight
    U, V, gain = [], [], []
    for coupling, u, v, g in zip(network.couplings, parameters.U, parameters.V, parameters.gain, strict=True):
        a, b = states[:, network.slices[coupling.a]], states[:, network.slices[coupling.b]]
        left, right = a @ u, b @ v
        weighted = weight[:, None] * g[levels]
        U.append(a.T @ (weighted * right))
        V.append(b.T @ (weighted * left))
        gain.append(by_level @ (left * right))
    bias = by_level @ states
    bias[:, network.clamped] = 0.0  # exact: plus and minus agree there, but their sums may round
    return Parameters(tuple(U), tuple(V), tuple(gain), bias)
