"""Noise levels that samplers go down: the last of each is 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .data import SIGMA_DATA
from .edm import Edm

__all__ = ["cosine_levels", "geometric_levels", "karras_levels"]

Array = NDArray[np.float64]

_RHO = 7.0


def karras_levels(edm: Edm, steps: int) -> Array:
    """From sigma_max to sigma_min evenly in sigma^(1/7) (Karras et al. 2022, eq. 5), then 0; (steps + 1,)."""
    high, low = edm.sigma_max ** (1 / _RHO), edm.sigma_min ** (1 / _RHO)
    return np.append((high + _ramp(steps) * (low - high)) ** _RHO, 0.0)


def cosine_levels(edm: Edm, steps: int) -> Array:
    """Evenly in the time of variance-preserving diffusion with a cosine schedule, then 0; (steps + 1,).

    There the share of the data in a sample is cos(t)^2 and that of the noise sin(t)^2 (Nichol and Dhariwal 2021), so
    that sigma, for data of standard deviation sigma_data, is sigma_data tan(t).
    """
    high, low = np.arctan(edm.sigma_max / SIGMA_DATA), np.arctan(edm.sigma_min / SIGMA_DATA)
    return np.append(SIGMA_DATA * np.tan(high + _ramp(steps) * (low - high)), 0.0)


def geometric_levels(edm: Edm, steps: int) -> Array:
    """Evenly in the logarithm (Song and Ermon 2019), then 0; (steps + 1,)."""
    return np.append(edm.sigma_max * (edm.sigma_min / edm.sigma_max) ** _ramp(steps), 0.0)


def _ramp(steps: int) -> Array:
    return np.linspace(0, 1, steps) if steps > 1 else np.zeros(1)
