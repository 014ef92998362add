"""Guidance without labels: away from a weaker denoiser of the same data (autoguidance)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import RunError
from .baselines import Wiener

__all__ = ["Beyond"]

Array = NDArray[np.float64]


class Beyond:
    """Moves what a network denoises on, away from the best linear filter: D_linear + factor (D - D_linear).

    What the network does that a linear filter does not is what it has learnt of the data's shape, and it has learnt too
    little of it: a network that is small, or not trained to the end, errs towards the filter it begins at. Going on in
    the same direction sharpens samples without telling a class (Karras et al. 2024, arXiv:2406.02507, where the weaker
    model is a smaller network). With factor 1 nothing is changed.

    Parameters
    ----------
    train
        Training samples, (n, d).
    factor
        Finite, at least 0.

    Raises
    ------
    RunError
        If the factor is out of range.
    """

    def __init__(self, train: Array, factor: float) -> None:
        if not np.isfinite(factor) or factor < 0:
            raise RunError(f"Guidance beyond the linear filter must be finite and at least 0, not {factor}")
        self.factor = factor
        self._linear = Wiener(train)

    def __call__(self, denoised: Array, noisy: Array, sigma: float) -> Array:
        """What to take for the denoised samples (n, d) of noisy ones (n, d) at sigma."""
        if self.factor == 1.0:
            return denoised
        linear = self._linear.denoise(noisy, sigma)
        return np.asarray(linear + self.factor * (denoised - linear))
