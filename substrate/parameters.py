"""Trainable parameters of a network: U, V and gain of each coupling, bias of each neuron."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Parameters"]


@dataclass(frozen=True)
class Parameters:
    """Parameters of a network, or anything of their shape (a contrast, a gradient, an optimiser's moment).

    Attributes
    ----------
    U, V
        For each coupling, in network order: (n_a, k) and (n_b, k).
    gain
        For each coupling: (levels, k).
    bias
        (levels, N); zero for clamped neurons, which no force moves.
    """

    U: tuple[NDArray[np.float64], ...]
    V: tuple[NDArray[np.float64], ...]
    gain: tuple[NDArray[np.float64], ...]
    bias: NDArray[np.float64]
