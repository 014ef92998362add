"""Networks of all shapes for hypothesis, and parameters for them."""

import numpy as np
from hypothesis import strategies as st

from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Two to six small modules in any order of clamped, output and free; ranks of several channel groups."""
    count = draw(st.integers(2, 6))
    output = draw(st.integers(0, count - 1))
    modules = [
        Module(
            f"m{number}",
            draw(st.integers(1, 5)),
            stiffness=draw(st.sampled_from([1.0, 0.5, 3.0])),
            quartic=draw(st.sampled_from([0.0, 1.0])),
            clamped=number != output and draw(st.booleans()),
        )
        for number in range(count)
    ]
    pairs = [(a, b) for a in modules for b in modules if a.name < b.name and not (a.clamped and b.clamped)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=6)) if pairs else []
    couplings = []
    for a, b in chosen:
        names = (a.name, b.name) if draw(st.booleans()) else (b.name, a.name)
        couplings.append(Coupling(*names, draw(st.integers(1, 9))))
    dt, levels = 2.0 ** -draw(st.integers(0, 5)), draw(st.integers(1, 3))
    return Network(tuple(modules), tuple(couplings), f"m{output}", dt, levels)


def whole_parameters(network: Network, rng: np.random.Generator, largest: int = 9) -> Parameters:
    """Parameters that are whole numbers up to ``largest``."""
    zeros = Parameters.zeros(network)
    drawn = zeros.map(lambda leaf: rng.integers(-largest, largest + 1, leaf.shape).astype(float))
    drawn.bias[:, network.clamped] = 0
    return drawn
