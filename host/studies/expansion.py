"""Equilibrium as a function of beta: its derivatives, and bounds on them that hold on a whole range (docs/bias.md).

With A(t) = H(s(t)) + t P, H the Hessian of E on the free neurons and P the projection on the outputs,

    A s'   = P (target - s)
    A s''  = -6 q s s'^2 - 2 P s'
    A s''' = -18 q s s' s'' - 6 q s'^3 - 3 P s''

products by neuron. States and derivatives are (B, N), zero where clamped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...substrate.energy import force, hessian
from ...substrate.errors import ParameterError
from .gradients import Problem

__all__ = ["Enclosure", "Expansion", "enclose", "expand", "follow"]

Array = NDArray[np.float64]

_TOLERANCE = 1e-13
"""Largest force that is left on a free neuron."""

_NEWTON_STEPS = 30

_SLACK = 0.25
"""How much the derivatives may grow between two nodes, at most, relative to the largest at any node."""

_MOST_NODES = 1 << 10
"""Most nodes on either side of zero."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """Derivatives of the equilibrium at one beta.

    Attributes
    ----------
    states, first, second
        s, s' and s'', (B, N).
    causes
        The parts of s''': ``nudge`` (3 P s''), ``curvature`` (18 q s s' s'') and ``quartic`` (6 q s'^3).
    softest
        Smallest eigenvalue of A, (B,).
    """

    states: Array
    first: Array
    second: Array
    causes: dict[str, Array]
    softest: Array

    @property
    def third(self) -> Array:
        """s'''."""
        return np.asarray(sum(self.causes.values()))


@dataclass(frozen=True, slots=True)
class Enclosure:
    """Bounds that hold at every beta of a range, each (B,).

    Attributes
    ----------
    path
        On |s'|, |s''| and |s'''|, from their values at the nodes.
    scalars
        On the same, from ``softest``, ``curvature`` and ``slope`` alone.
    softest
        Below the smallest eigenvalue of A.
    curvature
        Above 6 q |s| of every free neuron.
    slope
        Above |P (target - s)|, the norm of the loss gradient.
    modules
        Above the norm of each module's states.
    largest
        Above |s| of every free neuron.
    nodes
        On either side of zero.
    """

    path: tuple[Array, Array, Array]
    scalars: tuple[Array, Array, Array]
    softest: Array
    curvature: Array
    slope: Array
    modules: dict[str, Array]
    largest: Array
    nodes: int


def follow(problem: Problem, states: Array, beta: float) -> Array:
    """Equilibrium at ``beta``, by Newton's method from that at a beta nearby.

    Raises
    ------
    ParameterError
        If it does not converge.
    """
    free, pull, goal = _nudge(problem, beta)
    s = states
    for _ in range(_NEWTON_STEPS):
        left = (force(problem.network, problem.parameters, s, problem.minibatch.levels) + pull * (goal - s))[:, free]
        if np.abs(left).max() <= _TOLERANCE:
            return s
        step = np.zeros_like(s)
        step[:, free] = np.linalg.solve(_stiffness(problem, s, beta), left[..., None])[..., 0]
        s = s + step
    raise ParameterError(f"No equilibrium is found at beta {beta:g}: lower beta, or weaken the couplings")


def expand(problem: Problem, states: Array, beta: float) -> Expansion:
    """Derivatives at the equilibrium ``states`` of ``beta``."""
    free, _, goal = _nudge(problem, beta)
    output, quartic = problem.network.slices[problem.network.output], problem.network.quartic
    matrix = _stiffness(problem, states, beta)

    def solve(right: Array) -> Array:
        answer = np.zeros_like(states)
        answer[:, free] = np.linalg.solve(matrix, right[:, free, None])[..., 0]
        return answer

    def out(values: Array) -> Array:
        kept = np.zeros_like(states)
        kept[:, output] = values[:, output]
        return kept

    first = solve(out(goal - states))
    second = -solve(6 * quartic * states * first**2 + 2 * out(first))
    causes = {
        "nudge": -solve(3 * out(second)),
        "curvature": -solve(18 * quartic * states * first * second),
        "quartic": -solve(6 * quartic * first**3),
    }
    softest = np.linalg.eigvalsh(matrix)[:, 0].astype(np.float64)
    return Expansion(states, first, second, causes, softest)


def enclose(problem: Problem, states: Array, beta: float) -> Enclosure:
    """Bounds over [-beta, beta]. ``states`` are the equilibria at 0.

    Between two nodes the derivatives are held in bounds by the next higher one: as long as |s'|, |s''| and |s'''| are
    within what is assumed, the fourth derivative is bounded, so that they cannot leave it within the step. If it does
    not close, the steps are halved.

    Raises
    ------
    ParameterError
        If it does not close with the smallest steps: beta is too large for the softest mode.
    """
    nodes = 8
    while nodes <= _MOST_NODES:
        found = _try(problem, states, beta, nodes)
        if found is not None:
            return found
        nodes *= 2
    raise ParameterError(f"No bound on the bias is found at beta {beta:g}: lower beta, or weaken the couplings")


def _try(problem: Problem, states: Array, beta: float, nodes: int) -> Enclosure | None:
    """Enclosure with so many nodes; None if it does not close."""
    step = beta / nodes
    path, strides = [expand(problem, states, 0.0)], [np.zeros(len(states))]
    for sign in (1, -1):
        s = states
        for number in range(1, nodes):
            before, s = s, follow(problem, s, sign * number * step)
            path.append(expand(problem, s, sign * number * step))
            if np.any(path[-1].softest <= 0):
                raise ParameterError(
                    f"The network is unstable at beta {sign * number * step:g}: lower beta, or weaken the couplings"
                )
            strides.append(_norm(s - before))
    free = ~problem.network.clamped
    output = problem.network.slices[problem.network.output]
    steepest = 6 * problem.network.quartic[free].max()
    by_order = zip(*((node.first, node.second, node.third) for node in path), strict=True)
    peaks = [np.max([_norm(derivative) for derivative in each], axis=0) for each in by_order]
    r1, r2, r3 = (peak * (1 + _SLACK) for peak in peaks)
    moved = step * r1  # how far the states go within a step
    soft = np.min([node.softest for node in path], axis=0) - step - _curvature(problem, path) * moved
    # Within that reach F is convex, so that a node found within it is on the same branch as the one before.
    if np.any(soft <= 0) or np.any(strides > moved):
        return None
    curved = _curvature(problem, path) + steepest * moved
    fourth = (4 * curved * r1 * r3 + 4 * r3 + 6 * steepest * r1**2 * r2 + 3 * curved * r2**2) / soft
    grown = [step * above for above in (r2, r3, fourth)]
    if any(np.any(each > _SLACK * peak) for each, peak in zip(grown, peaks, strict=True)):
        return None
    r1, r2, r3 = (peak + each for peak, each in zip(peaks, grown, strict=True))
    _, _, goal = _nudge(problem, beta)
    misses = [(node.states - goal)[:, output] for node in path]
    slope = np.max([_norm(miss) for miss in misses], axis=0) + moved
    q1 = slope / soft
    q2 = (curved * q1**2 + 2 * q1) / soft
    q3 = (3 * curved * q1 * q2 + steepest * q1**3 + 3 * q2) / soft
    modules = {
        module.name: np.max([_norm(node.states[:, problem.network.slices[module.name]]) for node in path], axis=0)
        + (0 if module.clamped else moved)
        for module in problem.network
    }
    largest = np.max([np.abs(node.states[:, free]).max(1) for node in path], axis=0) + moved
    return Enclosure((r1, r2, r3), (q1, q2, q3), soft, curved, slope, modules, largest, nodes)


def _curvature(problem: Problem, path: list[Expansion]) -> Array:
    """Largest 6 q |s| of a free neuron at any node, (B,)."""
    free = ~problem.network.clamped
    bent = [6 * problem.network.quartic * np.abs(node.states) for node in path]
    return np.asarray(np.max([each[:, free].max(1) for each in bent], axis=0))


def _norm(values: Array) -> Array:
    return np.asarray(np.linalg.norm(values, axis=1))


def _nudge(problem: Problem, beta: float) -> tuple[NDArray[np.bool_], Array, Array]:
    """Mask of the free neurons, strength of the nudge by neuron (N,), and its goal (B, N)."""
    network, target = problem.network, problem.minibatch.target
    assert target is not None
    pull, goal = np.zeros(network.neurons), np.zeros((len(target), network.neurons))
    pull[network.slices[network.output]] = beta
    goal[:, network.slices[network.output]] = target
    return ~network.clamped, pull, goal


def _stiffness(problem: Problem, states: Array, beta: float) -> Array:
    """A = H + beta P on the free neurons, (B, free, free)."""
    free, pull, _ = _nudge(problem, beta)
    second = hessian(problem.network, problem.parameters, states, problem.minibatch.levels) + np.diag(pull)
    return second[:, free][:, :, free]
