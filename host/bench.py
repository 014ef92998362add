"""Speed of a device on one known network: cycles of a relaxation step, samples a second, where time goes."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from ..substrate.interface import Substrate
from ..substrate.network import Coupling, Module, Network
from ..substrate.parameters import Parameters
from ..substrate.phases import Minibatch, Schedule

__all__ = ["bench_network", "measure", "plain_cycles"]


def bench_network() -> Network:
    """64-32-16-32-64 neurons, rank 8, neighbours plus couplings 0-4 and 1-3, module 0 clamped."""
    sizes = (64, 32, 16, 32, 64)
    modules = tuple(Module(f"m{number}", size, clamped=number == 0) for number, size in enumerate(sizes))
    pairs = ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3))
    return Network(modules, tuple(Coupling(f"m{a}", f"m{b}", 8) for a, b in pairs), "m4")


def plain_cycles(network: Network, lanes: int) -> int:
    """Cycles of a relaxation step by the plain count, with every multiplier busy.

    Two for each free neuron of each coupling end, and one for each free neuron. A coupling of more ranks than there are
    lanes goes through in several groups. A device that leaves out projections that cannot change takes fewer.
    """
    ends = sum(
        network[end].size * -(-coupling.rank // lanes)
        for coupling in network.couplings
        for end in (coupling.a, coupling.b)
        if not network[end].clamped
    )
    return 2 * ends + int((~network.clamped).sum())


def measure(
    device: Substrate, batch: int = 32, runs: int = 3, progress: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Run minibatches, and measure all but the first.

    Returns
    -------
    dict
        ``cycles_per_step``, ``plain_cycles`` and ``cycles_per_second`` are None where the device has no clock;
        ``device_share``, ``link_share`` and ``host_share`` are parts of the wall time and add up to 1.

    Raises
    ------
    EquipoiseError
        If the device fails, or does not take the network or the batch.
    """
    network, schedule = bench_network(), Schedule(seed=1)
    rng = np.random.default_rng(0)
    device.configure(network)
    parameters = Parameters.random(network, rng)
    seconds = {"device": 0.0, "link": 0.0}
    wall = cycles = relax_cycles = relax_steps = 0.0
    for number in range(runs + 1):
        clamped, target = rng.normal(0, 0.5, (batch, network.inputs)), rng.normal(0, 0.5, (batch, network.outputs))
        minibatch = Minibatch(clamped, np.zeros(batch, np.int64), target)
        parameters = parameters.map(lambda leaf: leaf * 0.999)  # as in training, no write repeats the one before
        begin = perf_counter()
        device.write(parameters)
        written = perf_counter()
        result = device.run(minibatch, schedule)
        end = perf_counter()
        progress()
        if number == 0:
            continue
        wall += end - begin
        seconds["device"] += result.seconds.get("device", end - written)
        seconds["link"] += result.seconds["link"] + written - begin if "link" in result.seconds else 0.0
        cycles, relax_cycles = cycles + result.cycles, relax_cycles + result.relax_cycles
        relax_steps += result.relax_steps
    geometry = device.identity.details.get("geometry", {})
    clocked = relax_steps > 0 and relax_cycles > 0
    return {
        "device": device.identity.address,
        "kind": device.identity.kind,
        "lanes": geometry.get("lanes"),
        "contexts": geometry.get("contexts"),
        "batch": batch,
        "runs": runs,
        "samples_per_second": batch * runs / wall,
        "cycles_per_step": relax_cycles / relax_steps if clocked else None,
        "plain_cycles": plain_cycles(network, geometry["lanes"]) if clocked and "lanes" in geometry else None,
        "cycles_per_second": cycles / seconds["device"] if clocked else None,
        "device_share": seconds["device"] / wall,
        "link_share": seconds["link"] / wall,
        "host_share": 1 - (seconds["device"] + seconds["link"]) / wall,
    }
