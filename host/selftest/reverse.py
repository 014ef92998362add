"""Check of the reverse process, against the golden model."""

from __future__ import annotations

import numpy as np

from ...sim.golden import Golden
from ...substrate.parameters import Parameters
from ...substrate.reverse import Draws, Program
from .checks import Bench, Fault
from .networks import step_minibatch, step_network

__all__ = ["check_reverse"]

_ROWS = 6


def check_reverse(bench: Bench) -> str:
    """A reverse process in which every factor acts, warm and with noise in its free phases, bit for bit.

    Raises
    ------
    Fault
        If a sample differs: which, and where.
    """
    device, geometry = bench.device, bench.geometry
    if not device.identity.generates:
        return "the device has none, and says so"
    network = step_network(geometry)
    rng = np.random.default_rng(bench.seed)
    factors = rng.uniform(-0.6, 0.6, (_ROWS, 4))
    factors[0, :3] = factors[1, 2] = 0.0
    program = Program("x", rng.integers(0, network.levels, _ROWS - 1), factors, 4, temperature=1e-4, warm=True)
    count = len(step_minibatch(network, geometry, rng))
    draws = Draws(np.zeros((count, 0)), bench.seed)
    parameters = Parameters.random(network, rng)
    bench.plan(1)
    made = []
    for substrate in (device, Golden()):
        substrate.configure(network)
        substrate.write(parameters)
        made.append(substrate.generate(program, draws).outputs)
    wrong = np.argwhere(made[0] != made[1])
    if len(wrong):
        sample, neuron = (int(index) for index in wrong[0])
        raise Fault(
            f"neuron {neuron} of sample {sample} is {made[0][sample, neuron]:g}, not {made[1][sample, neuron]:g}; "
            f"{len(wrong)} of {made[0].size} differ"
        )
    bench.step()
    return f"{count} samples of {_ROWS} rows: bit for bit as modelled"
