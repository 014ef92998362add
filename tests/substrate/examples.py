"""Networks that the tests of substrate and float model share."""

import re

import numpy as np

from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch

SMALL = Network(
    (
        Module("x", 3, clamped=True),
        Module("h", 4, stiffness=(1.0, 1.5, 0.8, 1.2), quartic=0.5),
        Module("c", 2, clamped=True),
        Module("y", 3, quartic=(0.0, 1.0, 2.0)),
    ),
    (Coupling("x", "h", 2), Coupling("y", "h", 3), Coupling("c", "y", 1), Coupling("x", "y", 1)),
    output="y",
    levels=2,
)
"""Two levels, unequal constants, a clamped module between free ones, couplings in either direction."""


def digits_network(levels: int = 1, dt: float = 0.125) -> Network:
    """64-32-16-32-64, rank 8, neighbours plus couplings 0-4 and 1-3, module 0 clamped (DESIGN section 2)."""
    modules = [Module(f"m{number}", size, clamped=number == 0) for number, size in enumerate((64, 32, 16, 32, 64))]
    pairs = ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3))
    couplings = [Coupling(f"m{a}", f"m{b}", 8) for a, b in pairs]
    return Network(tuple(modules), tuple(couplings), output="m4", dt=dt, levels=levels)


def uneven(network: Network, rng: np.random.Generator, radius: float = 0.46) -> Parameters:
    """Random parameters whose gains and biases differ from level to level."""
    drawn = Parameters.random(network, rng, radius)
    gain = tuple(gain * rng.uniform(0.6, 1.2, gain.shape) for gain in drawn.gain)
    bias = np.where(network.clamped, 0.0, 0.2 * rng.standard_normal(drawn.bias.shape))
    return Parameters(drawn.U, drawn.V, gain, bias)


def minibatch_for(network: Network, rng: np.random.Generator, batch: int) -> Minibatch:
    """Normal samples and targets at random levels."""
    return Minibatch(
        rng.standard_normal((batch, network.inputs)),
        rng.integers(0, network.levels, batch),
        rng.standard_normal((batch, network.outputs)),
    )


def exactly(message: str) -> str:
    """Pattern for ``pytest.raises(match=...)`` that takes this message and no other."""
    return f"^{re.escape(message)}$"
