"""Random networks, parameters and minibatches, shared by the tests of golden model and gateware."""

import numpy as np
from hypothesis import strategies as st

from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Estimator, Minibatch, Schedule


@st.composite
def networks(draw: st.DrawFn, most: int = 8) -> Network:
    """Two to eight modules of unequal sizes, ranks up to 20 (several passes on few lanes), some without couplings."""
    count = draw(st.integers(2, most))
    output = draw(st.integers(0, count - 1))
    modules = [
        Module(
            f"m{number}",
            draw(st.integers(1, 9)),
            stiffness=draw(st.sampled_from([0.5, 1.0, 3.0])),
            quartic=draw(st.sampled_from([0.0, 1.0, 3.9])),
            clamped=number != output and draw(st.booleans()),
        )
        for number in range(count)
    ]
    pairs = [(a, b) for a in range(count) for b in range(a) if not (modules[a].clamped and modules[b].clamped)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=8)) if pairs else []
    couplings = []
    for pair in chosen:
        a, b = pair if draw(st.booleans()) else pair[::-1]
        couplings.append(Coupling(f"m{a}", f"m{b}", draw(st.sampled_from([1, 2, 3, 8, 20]))))
    dt = 2.0 ** -draw(st.integers(0, 6))
    return Network(tuple(modules), tuple(couplings), f"m{output}", dt=dt, levels=draw(st.integers(1, 4)))


SCHEDULES = st.builds(
    Schedule,
    free_steps=st.integers(1, 8),
    nudged_steps=st.integers(1, 5),
    beta=st.sampled_from([1 / 1024, 1 / 16, 0.3]),
    estimator=st.sampled_from(Estimator),
    temperature=st.sampled_from([0.0, 1e-3, 0.3]),
    seed=st.integers(0, 2**64 - 1),
)

SIZES = st.sampled_from([0.1, 0.5, 1.5])
"""Standard deviation of the weights: from 0.5 on, saturations of all kinds are common."""


def random_parameters(network: Network, rng: np.random.Generator, size: float) -> Parameters:
    def normal(*shape: int, scale: float, limit: float) -> np.ndarray:
        return np.clip(rng.normal(0, scale, shape), -limit, limit)

    ends = [(network[c.a].size, network[c.b].size, c.rank) for c in network.couplings]
    bias = normal(network.levels, network.neurons, scale=0.5, limit=3.9)
    bias[:, network.clamped] = 0
    return Parameters(
        tuple(normal(a, k, scale=size, limit=1.99) for a, _, k in ends),
        tuple(normal(b, k, scale=size, limit=1.99) for _, b, k in ends),
        tuple(normal(network.levels, k, scale=1.5, limit=7.9) for *_, k in ends),
        bias,
    )


def random_minibatch(network: Network, rng: np.random.Generator, batch: int) -> Minibatch:
    return Minibatch(
        np.clip(rng.normal(0, 1, (batch, network.inputs)), -3.9, 3.9),
        rng.integers(0, network.levels, batch),
        np.clip(rng.normal(0, 1.5, (batch, network.outputs)), -3.9, 3.9),
    )
