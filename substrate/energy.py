"""Energy of a network and its derivatives, in double precision: the reference that everything is tested against.

States are (B, N), all neurons of B samples; levels (B,) their noise levels. With L_p = U[:,p] . s_a and
R_p = V[:,p] . s_b of each coupling,

    E(s) = sum_i (stiffness_i/2 s_i^2 + quartic_i/4 s_i^4 - bias_i s_i) - sum_p gain_p L_p R_p

Neurons of railed modules stay within +-RAIL: one that is pushed against its rail rests there, and moves no more than a
clamped one.

The oracle is the true gradient that equilibrium propagation estimates: B. Scellier, Y. Bengio, "Equilibrium
Propagation", Frontiers in Computational Neuroscience 11:24 (2017), theorem 1 and its appendix.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .errors import DataError, ParameterError
from .network import RAIL, Coupling, Network
from .parameters import Parameters
from .phases import Minibatch

__all__ = ["cost", "energy", "equilibrium", "force", "hessian", "oracle"]

Array = NDArray[np.float64]
Levels = NDArray[np.int64]

DESCENT_STEPS = 4000
"""Most steps of steepest descent before Newton's method."""

DESCENT_GOAL = 1e-3
"""Largest force at which Newton's method takes over: small enough to stay in the valley that descent has found."""

NEWTON_STEPS = 100
"""Most steps of Newton's method. Three are usual; more where descent stopped on a slope that is nearly flat."""

NEWTON_HALVINGS = 40
"""Most halvings of one of its steps."""

SOFTEST = 1e-6
"""Smallest eigenvalue of a Hessian that Newton's method divides by."""

ROUNDING = 1e-13
"""Relative rise of the energy that is taken for rounding."""


def energy(network: Network, parameters: Parameters, states: Array, levels: Levels) -> Array:
    """Energy E of each sample, (B,)."""
    s, bias = states, parameters.bias[levels]
    total: Array = (network.stiffness / 2 * s**2 + network.quartic / 4 * s**4 - bias * s).sum(axis=1)
    for coupling, u, v, gain in _couplings(network, parameters):
        left, right = s[:, network.slices[coupling.a]] @ u, s[:, network.slices[coupling.b]] @ v
        total -= (gain[levels] * left * right).sum(axis=1)
    return total


def force(network: Network, parameters: Parameters, states: Array, levels: Levels) -> Array:
    """Force -dE/ds on each neuron, (B, N), clamped ones included."""
    s = states
    total: Array = parameters.bias[levels] - network.stiffness * s - network.quartic * s**3
    for coupling, u, v, gain in _couplings(network, parameters):
        a, b = network.slices[coupling.a], network.slices[coupling.b]
        total[:, a] += (gain[levels] * (s[:, b] @ v)) @ u.T
        total[:, b] += (gain[levels] * (s[:, a] @ u)) @ v.T
    return total


def hessian(network: Network, parameters: Parameters, states: Array, levels: Levels) -> Array:
    """Second derivatives of E by the states of all neurons, (B, N, N)."""
    used, which = np.unique(levels, return_inverse=True)
    coupled = np.zeros((len(used), network.neurons, network.neurons))
    for coupling, u, v, gain in _couplings(network, parameters):
        a, b = network.slices[coupling.a], network.slices[coupling.b]
        coupled[:, a, b] = (u * gain[used, None]) @ v.T
        coupled[:, b, a] = coupled[:, a, b].swapaxes(1, 2)
    second: Array = -coupled[which]
    diagonal = np.arange(network.neurons)
    second[:, diagonal, diagonal] = network.stiffness + 3 * network.quartic * states**2
    return second


def cost(network: Network, states: Array, target: Array) -> Array:
    """Cost C = 1/2 |s_out - target|^2 of each sample, (B,)."""
    miss = states[:, network.slices[network.output]] - target
    return np.asarray((miss**2).sum(axis=1) / 2)


def equilibrium(network: Network, parameters: Parameters, minibatch: Minibatch, tolerance: float = 1e-10) -> Array:
    """States (B, N) at which no free neuron feels a force, clamped ones holding the samples.

    From zero, where devices start too, steepest descent runs downhill to a small force, then Newton's method to
    within ``tolerance``. The result is a minimum of the energy.

    Parameters
    ----------
    tolerance
        Largest force on a free neuron that is left.

    Raises
    ------
    ParameterError
        If a sample does not get there: the energy has no bottom, or what was found is a saddle.
    """
    levels = minibatch.levels
    states = np.zeros((len(minibatch), network.neurons))
    states[:, network.clamped] = minibatch.clamped
    with np.errstate(over="ignore", invalid="ignore"):  # states that run away are reported below
        states = _newton(network, parameters, _descend(network, parameters, states, levels), levels, tolerance)
        left = np.abs(_motion(network, states, force(network, parameters, states, levels))).max(axis=1)
    settled = left <= tolerance
    if not np.all(settled):
        sample = int(np.argmin(settled))
        raise ParameterError(
            f"Sample {sample} finds no equilibrium, a force of {left[sample]:.3g} is left where {tolerance:g} is "
            "allowed: weaken the couplings, or raise stiffness or quartic"
        )
    _require_minimum(_stiff(network, parameters, states, levels))
    return states


def oracle(network: Network, parameters: Parameters, minibatch: Minibatch, states: Array | None = None) -> Parameters:
    """Descent direction of the mean cost at equilibrium, -dC/dparameters, by implicit differentiation.

    Where the force stays zero, a change of the parameters moves the states by H^-1 d(force), so with the adjoint
    v = H^-1 (target - s_out), H the Hessian of E on the free neurons, -dC = v . d(force). It is what
    :attr:`Result.contrast <equipoise.substrate.phases.Result.contrast>` of the symmetric estimator
    becomes as beta goes to 0.

    Parameters
    ----------
    states
        Where to differentiate, (B, N); :func:`equilibrium` if None.

    Raises
    ------
    DataError
        If the minibatch has no target.
    ParameterError
        If there is no equilibrium, or it is not a minimum, so that no device would stay there.
    """
    if minibatch.target is None:
        raise DataError("The oracle needs a minibatch with a target, not None")
    s = equilibrium(network, parameters, minibatch) if states is None else states
    levels, free = minibatch.levels, ~network.clamped
    v = np.zeros_like(s)
    v[:, network.slices[network.output]] = minibatch.target - s[:, network.slices[network.output]]
    second = _stiff(network, parameters, s, levels)
    _require_minimum(second)
    v[_held(network, s, force(network, parameters, s, levels))] = 0.0
    v[:, free] = np.linalg.solve(second, v[:, free, None])[..., 0]

    by_level = np.zeros((network.levels, len(s)))
    by_level[levels, np.arange(len(s))] = 1 / len(s)
    U, V, gain = [], [], []
    for coupling, u, w, g in _couplings(network, parameters):
        a, b = network.slices[coupling.a], network.slices[coupling.b]
        weight = g[levels] / len(s)
        U.append(v[:, a].T @ (weight * (s[:, b] @ w)) + s[:, a].T @ (weight * (v[:, b] @ w)))
        V.append(v[:, b].T @ (weight * (s[:, a] @ u)) + s[:, b].T @ (weight * (v[:, a] @ u)))
        gain.append(by_level @ ((v[:, a] @ u) * (s[:, b] @ w) + (s[:, a] @ u) * (v[:, b] @ w)))
    return Parameters(tuple(U), tuple(V), tuple(gain), by_level @ v)


def _couplings(network: Network, parameters: Parameters) -> Iterator[tuple[Coupling, Array, Array, Array]]:
    return zip(network.couplings, parameters.U, parameters.V, parameters.gain, strict=True)


def _descend(network: Network, parameters: Parameters, states: Array, levels: Levels) -> Array:
    """Steepest descent to DESCENT_GOAL. A step that would raise a sample's energy is halved instead of taken."""
    step = np.full((len(states), 1), network.dt)
    height = energy(network, parameters, states, levels)
    for _ in range(DESCENT_STEPS):
        slope = _motion(network, states, force(network, parameters, states, levels))
        if np.abs(slope).max() <= DESCENT_GOAL:
            break
        trial = _within(network, states + step * slope)
        reached = energy(network, parameters, trial, levels)
        down = reached <= height
        states, height = np.where(down[:, None], trial, states), np.where(down, reached, height)
        step[~down] /= 2
    return states


def _newton(network: Network, parameters: Parameters, states: Array, levels: Levels, tolerance: float) -> Array:
    """Newton's method on the energy until the force is within ``tolerance``, never uphill.

    Where the energy is not convex the Hessian is shifted until it is; a step that would raise the energy is halved.
    """
    free = ~network.clamped
    height = energy(network, parameters, states, levels)
    for _ in range(NEWTON_STEPS):
        left = _motion(network, states, force(network, parameters, states, levels))[:, free]
        if not np.all(np.isfinite(left)) or np.abs(left).max() <= tolerance:
            break
        second = _stiff(network, parameters, states, levels)
        softest = np.linalg.eigvalsh(second)[:, 0]
        shift = np.where(softest < SOFTEST, SOFTEST - 2 * np.minimum(softest, 0.0), 0.0)
        step = np.zeros_like(states)
        step[:, free] = np.linalg.solve(second + shift[:, None, None] * np.eye(second.shape[1]), left[..., None])[
            ..., 0
        ]
        for _ in range(NEWTON_HALVINGS):
            moved = _within(network, states + step)
            reached = energy(network, parameters, moved, levels)
            uphill = ~(reached <= height + ROUNDING * (1 + np.abs(height)))
            if not np.any(uphill):
                break
            step[uphill] /= 2
        states, height = moved, reached
    return states


def _held(network: Network, states: Array, pull: Array) -> NDArray[np.bool_]:
    """Neurons that do not move, (B, N): clamped, or pushed against their rail."""
    return network.clamped | (network.railed & (np.abs(states) >= RAIL) & (pull * states > 0))


def _motion(network: Network, states: Array, pull: Array) -> Array:
    """The force, 0 where it moves nothing; (B, N)."""
    return np.where(_held(network, states, pull), 0.0, pull)


def _within(network: Network, states: Array) -> Array:
    """States, those of railed neurons within the rails."""
    return np.where(network.railed, np.clip(states, -RAIL, RAIL), states)


def _stiff(network: Network, parameters: Parameters, states: Array, levels: Levels) -> Array:
    """Hessian on the neurons that are not clamped, (B, F, F); those that a rail holds stand alone in it."""
    free = ~network.clamped
    second: Array = hessian(network, parameters, states, levels)[:, free][:, :, free]
    if network.railed.any():
        held = _held(network, states, force(network, parameters, states, levels))[:, free]
        second = np.where(held[:, :, None] | held[:, None, :], np.eye(second.shape[1]), second)
    return second


def _require_minimum(second: Array) -> None:
    """Raise unless the Hessians are positive definite: no device stays at a saddle."""
    try:
        np.linalg.cholesky(second)
    except np.linalg.LinAlgError:
        raise ParameterError(
            "The equilibrium is not a minimum of the energy: weaken the couplings, or raise stiffness or quartic"
        ) from None
