"""Plans: which element of a LUCIDAC does what for a network, and what of a network does not fit.

Each free neuron is an integrator, with a lane for its leak and one for its bias. What acts from one module on
another is either *dense*, a lane for each pair of neurons, or goes over a *bus* for each rank channel: the lanes
of the source add up in an integrator that follows them, or in a multiplier that multiplies by 1; from there a lane
leads to each neuron of the target. A quartic takes two multipliers, the square and the cube.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ...substrate.errors import CapabilityError
from ...substrate.network import Network
from .circuit import INTEGRATORS, LANES, MULTIPLIERS, multiplier

__all__ = ["Action", "Plan", "plan"]

CUBE_LANES = 5
"""Lanes of a quartic: two that square, two that multiply the square by the state, one back."""


@dataclass(frozen=True, slots=True)
class Action:
    """What one end of a coupling does to the other.

    Attributes
    ----------
    coupling
        Its index in the network.
    forward
        Whether module ``a`` acts on ``b``; else ``b`` on ``a``.
    sources, targets
        Integrators of the two modules' neurons.
    buses
        The element (its output's number) of each rank channel; empty if dense.
    """

    coupling: int
    forward: bool
    sources: tuple[int, ...]
    targets: tuple[int, ...]
    buses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A network laid out.

    Attributes
    ----------
    neurons
        Index in the network of the neuron that each of the first integrators is.
    cubes
        Of each quartic: the integrator, and the numbers of its two multipliers.
    actions
        Of one free module on another.
    integrators, lanes
        How many are used.
    """

    neurons: NDArray[np.int64]
    cubes: tuple[tuple[int, int, int], ...]
    actions: tuple[Action, ...]
    integrators: int
    lanes: int


def plan(network: Network) -> Plan:
    """Lay out ``network``: dense as far as lanes go, over as few buses as make the rest fit.

    Raises
    ------
    CapabilityError
        If it does not fit, naming what runs out, how much there is, and how much is needed.
    """
    neurons = np.flatnonzero(~network.clamped)
    quartics = [place for place, neuron in enumerate(neurons) if network.quartic[neuron] > 0]
    if len(neurons) > INTEGRATORS:
        raise CapabilityError(
            f"A LUCIDAC has {INTEGRATORS} integrators, one for each neuron that is not clamped, and this network "
            f"needs {len(neurons)}: use smaller modules"
        )
    if 2 * len(quartics) > MULTIPLIERS:
        raise CapabilityError(
            f"A LUCIDAC has {MULTIPLIERS} multipliers, two for each neuron with a quartic, and this network needs "
            f"{2 * len(quartics)}: set quartic = 0 in all but {MULTIPLIERS // 2} neurons"
        )
    actions = _actions(network, neurons)
    spare = INTEGRATORS - len(neurons) + MULTIPLIERS - 2 * len(quartics)
    needed = 2 * len(neurons) + CUBE_LANES * len(quartics) + sum(_dense(action) for action in actions)
    for buses in range(spare + 1):
        saved, chosen = _save(network, actions, buses)
        if needed - saved <= LANES:
            break
    else:
        raise CapabilityError(
            f"A LUCIDAC has {LANES} lanes, and this network needs {needed - saved}, with {spare} buses of rank "
            "channels: use smaller modules, fewer couplings or lower ranks"
        )
    elements = iter([*range(len(neurons), INTEGRATORS), *map(multiplier, range(2 * len(quartics), MULTIPLIERS))])
    placed = tuple(
        Action(
            action.coupling, action.forward, action.sources, action.targets,
            tuple(next(elements) for _ in range(network.couplings[action.coupling].rank)) if bussed else (),
        )
        for action, bussed in zip(actions, chosen, strict=True)
    )  # fmt: skip
    followers = sum(bus < INTEGRATORS for action in placed for bus in action.buses)
    pairs = count(0, 2)
    cubes = tuple((place, first, first + 1) for place, first in zip(quartics, pairs, strict=False))
    return Plan(neurons, cubes, placed, len(neurons) + followers, needed - saved)


def _actions(network: Network, neurons: NDArray[np.int64]) -> list[Action]:
    place = {int(neuron): integrator for integrator, neuron in enumerate(neurons)}
    actions = []
    for index, coupling in enumerate(network.couplings):
        if network[coupling.a].clamped or network[coupling.b].clamped:
            continue
        a, b = (
            tuple(place[neuron] for neuron in range(network.neurons)[network.slices[end]])
            for end in (coupling.a, coupling.b)
        )
        actions += [Action(index, True, a, b), Action(index, False, b, a)]
    return actions


def _dense(action: Action) -> int:
    return len(action.sources) * len(action.targets)


def _save(network: Network, actions: list[Action], buses: int) -> tuple[int, list[bool]]:
    """Most lanes that at most ``buses`` buses save, and which actions go over them (a 0/1 knapsack)."""
    best: list[tuple[int, list[bool]]] = [(0, [])] * (buses + 1)
    for action in actions:
        rank = network.couplings[action.coupling].rank
        saving = _dense(action) - rank * (len(action.sources) + len(action.targets) + 1)
        best = [
            max(
                (best[room][0], [*best[room][1], False]),
                (best[room - rank][0] + saving, [*best[room - rank][1], True]) if rank <= room else (-1, []),
                key=lambda option: option[0],
            )
            for room in range(buses + 1)
        ]
    return best[buses]
