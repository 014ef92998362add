"""Laws of the Langevin dynamics as a device runs it: in steps of dt, from zero, for a number of steps.

A step is s' = s + dt force(s) + sqrt(2 T dt) xi. Its stationary law is not exactly the Boltzmann law exp(-E / T): a
mode of stiffness a has the variance 2 T / (a (2 - a dt)) in place of T / a. Both are given here, so that what a device
is compared with is the law of what it does, and the distance to Boltzmann is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_discrete_lyapunov
from scipy.special import ndtr

from ...substrate.energy import hessian
from ...substrate.network import Network
from ...substrate.parameters import Parameters

__all__ = ["Linear", "Marginal", "boltzmann_marginal", "chain_marginal", "linear_law"]

Array = NDArray[np.float64]

_CELLS = 1201
"""Cells of the grid on which a marginal is kept: half a thousandth of its width each."""


@dataclass(frozen=True, eq=False)
class Linear:
    """Law of the free neurons of a network without quartic, clamped ones at zero: Gaussian with mean zero.

    Attributes
    ----------
    covariance
        After the steps that were asked for, from zero; (F, F).
    stationary
        After infinitely many.
    boltzmann
        T (stiffness - J)^-1: without a step's length.
    keep
        What a step multiplies the states by, 1 - dt (stiffness - J); (F, F).
    """

    covariance: Array
    stationary: Array
    boltzmann: Array
    keep: Array

    def lagged(self, steps: int) -> Array:
        """Covariance of the states with those ``steps`` steps before; (F, F)."""
        return np.asarray(np.linalg.matrix_power(self.keep, steps) @ self.covariance)


def linear_law(network: Network, parameters: Parameters, temperature: float, steps: int) -> Linear:
    """Law of a network without quartic, at noise level 0, after ``steps`` steps from zero."""
    free = ~network.clamped
    zero = np.zeros((1, network.neurons))
    pull = hessian(network, parameters, zero, np.zeros(1, np.int64))[0][np.ix_(free, free)]
    keep = np.eye(len(pull)) - network.dt * pull
    stationary = solve_discrete_lyapunov(keep, 2 * temperature * network.dt * np.eye(len(pull)))
    gone = np.linalg.matrix_power(keep, steps)
    return Linear(stationary - gone @ stationary @ gone.T, stationary, temperature * np.linalg.inv(pull), keep)


@dataclass(frozen=True, eq=False)
class Marginal:
    """Law of one neuron, on a grid.

    Attributes
    ----------
    edges
        (cells + 1,), evenly spaced.
    weights
        Probability of each cell.
    """

    edges: Array
    weights: Array

    @property
    def centres(self) -> Array:
        """Middle of each cell."""
        return np.asarray((self.edges[1:] + self.edges[:-1]) / 2)

    @property
    def density(self) -> Array:
        """Probability density at the centres."""
        return np.asarray(self.weights / np.diff(self.edges))

    @property
    def second_moment(self) -> float:
        """Mean of s^2."""
        return float(self.weights @ self.centres**2)

    def cdf(self, at: Array) -> Array:
        """Cumulative distribution."""
        return np.asarray(np.interp(at, self.edges, np.concatenate([[0.0], np.cumsum(self.weights)])))


def boltzmann_marginal(stiffness: float, quartic: float, temperature: float) -> Marginal:
    """The law exp(-(stiffness/2 s^2 + quartic/4 s^4) / T), by quadrature."""
    edges = _grid(stiffness, quartic, temperature)
    centres = (edges[1:] + edges[:-1]) / 2
    weights = np.exp(-(stiffness / 2 * centres**2 + quartic / 4 * centres**4) / temperature)
    return Marginal(edges, weights / weights.sum())


def chain_marginal(stiffness: float, quartic: float, temperature: float, dt: float, steps: int) -> Marginal:
    """Law of an uncoupled neuron after ``steps`` steps of length ``dt`` from zero.

    The law of a step is Gaussian about s + dt force(s); so from the law before, given on cells, the probability of
    each cell after is a sum of differences of the normal distribution.
    """
    edges = _grid(stiffness, quartic, temperature)
    centres = (edges[1:] + edges[:-1]) / 2
    mean = centres - dt * (stiffness * centres + quartic * centres**3)
    below = ndtr((edges[:, None] - mean) / np.sqrt(2 * temperature * dt))
    move = np.diff(below, axis=0)
    weights = np.zeros(len(centres))
    weights[len(centres) // 2] = 1.0
    for _ in range(steps):
        weights = move @ weights
    return Marginal(edges, weights / weights.sum())


def _grid(stiffness: float, quartic: float, temperature: float) -> Array:
    """Edges as far out as an energy of 30 T: beyond, 1e-13 of the law is left."""
    # stiffness/2 x + quartic/4 x^2 = 30 T, with x = s^2
    far = 30 * temperature
    square = 2 * far / (stiffness / 2 + np.sqrt(stiffness**2 / 4 + quartic * far))
    return np.linspace(-np.sqrt(square), np.sqrt(square), _CELLS + 1)
