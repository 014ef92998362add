"""How fast a device of some geometry is, by counting the cycles of its passes."""

from __future__ import annotations

from dataclasses import dataclass

from ...substrate.network import Network

__all__ = ["EndCount", "Speed", "link_bytes", "step_cycles"]

_PASS = 2
"""Cycles of a pass besides its walk and its drain: its command is registered, and its end is seen."""


@dataclass(frozen=True, slots=True)
class EndCount:
    """Coupling ends of a module: channel groups that it takes, with a free module opposite and with a clamped one."""

    acting: int
    idle: int


@dataclass(frozen=True, slots=True)
class Speed:
    """What a build should reach: projected, not measured.

    Attributes
    ----------
    cycles_per_step
        Clock cycles of a relaxation step, one for all contexts at once.
    steps_per_second
        Relaxation steps a second.
    samples_per_second
        Samples a second, all contexts busy, counting relaxation only.
    link_samples_per_second
        Samples a second that the serial line can bring and take, weights and sums among them.
    """

    cycles_per_step: int
    steps_per_second: float
    samples_per_second: float
    link_samples_per_second: float


def _ends(network: Network, lanes: int) -> list[EndCount]:
    counts = []
    for module in network.modules:
        acting = idle = 0
        for coupling in network.couplings:
            groups = -(-coupling.rank // lanes)
            for own, opposite in ((coupling.a, coupling.b), (coupling.b, coupling.a)):
                if own == module.name:
                    acting += groups * (not network[opposite].clamped)
                    idle += groups * network[opposite].clamped
        counts.append(EndCount(acting, idle))
    return counts


def step_cycles(network: Network, lanes: int, drains: tuple[int, int, int], pause: int = 0) -> int:
    """Clock cycles of a relaxation step, as the sequencer and the walker take them.

    Parameters
    ----------
    network
        The network.
    lanes
        Rank channels worked on at once.
    drains
        Cycles that the project, gain and force pass drain for.
    pause
        Cycles that a force pass rests after each neuron, but for one that ends the walk.
    """
    walks = [0, 0, 0]
    for module, ends in zip(network.modules, _ends(network, lanes), strict=True):
        every = ends.acting + ends.idle
        if module.clamped:  # passed over in each pass
            walks = [walk + 1 for walk in walks]
            continue
        walks[0] += ends.acting * module.size + ends.idle if every else 1
        walks[1] += every or 1
        walks[2] += module.size * (max(every, 1) + pause)
    if not network.modules[-1].clamped:
        walks[2] -= pause
    return sum(walk + _PASS + drain for walk, drain in zip(walks, drains, strict=True))


def link_bytes(network: Network, lanes: int, batch: int) -> tuple[float, float]:
    """Bytes to the device and back for each sample of a training minibatch, without headers: they are few."""
    rows = sum(
        (network[coupling.a].size + network[coupling.b].size) * -(-coupling.rank // lanes)
        for coupling in network.couplings
    )
    groups = sum(-(-coupling.rank // lanes) for coupling in network.couplings)
    words = (rows + groups) * lanes + network.neurons  # weights, gains and biases of one level
    there = 2 * words / batch + 2 * (1 + network.inputs + network.outputs)
    back = 4 * words / batch + 2 * network.outputs
    return there, back
