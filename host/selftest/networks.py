"""Networks for the self-test, as large as a device's sizes allow, and what is written to them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ...substrate.codes import ScheduleCodes
from ...substrate.formats import BATCH_LIMIT
from ...substrate.geometry import Geometry
from ...substrate.network import Coupling, Module, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Minibatch
from ...substrate.protocol import Mode

__all__ = ["lane_minibatch", "lane_network", "lane_parameters", "noise_network", "step_minibatch", "step_network"]

_LARGEST = 16
"""Most neurons of a module of :func:`step_network`: more would only take longer."""


def lane_network(geometry: Geometry) -> Network:
    """As many pairs of an input and an output neuron as fit, for at most as many lanes, and every context at once."""
    per_sample = min(geometry.sample_words // geometry.contexts - 1, 2 * geometry.output_words // geometry.contexts)
    pairs = max(1, min(geometry.lanes, geometry.neurons // 2, geometry.rows // 2, per_sample // 2))
    modules = (Module("x", pairs, clamped=True), Module("y", pairs, stiffness=1.0, quartic=0.0))
    return Network(modules, (Coupling("x", "y", geometry.lanes),), "y", dt=1.0)


def lane_parameters(network: Network, first_lane: int, rng: np.random.Generator) -> Parameters:
    """Weights by which output neuron i hears input neuron i through lane ``first_lane`` + i alone.

    Random in every bit, and small enough that nothing saturates: |x| 2, |U| 2, |gain| 1, |V| 0.9 make 3.6 at most.
    """
    parameters = Parameters.zeros(network)
    for pair in range(min(network.outputs, network.couplings[0].rank - first_lane)):
        lane = first_lane + pair
        parameters.U[0][pair, lane] = _away_from_zero(rng, 1.99)
        parameters.V[0][pair, lane] = _away_from_zero(rng, 0.9)
        parameters.gain[0][:, lane] = _away_from_zero(rng, 1.0)
    return parameters


def lane_minibatch(network: Network, contexts: int, rng: np.random.Generator) -> Minibatch:
    """A sample for each context."""
    shape = (contexts, network.inputs)
    clamped = rng.uniform(1.0, 1.99, shape) * rng.choice([-1, 1], shape)
    return Minibatch(clamped, np.zeros(contexts, np.int64), rng.uniform(-1, 1, (contexts, network.outputs)))


def noise_network(geometry: Geometry) -> Network:
    """All neurons, and no force on any of them: what moves them is the noise alone."""
    modules = (
        Module("y", 1, stiffness=0.0, quartic=0.0),
        Module("rest", geometry.neurons - 1, stiffness=0.0, quartic=0.0),
    )
    return Network(modules, (), "y", dt=1.0)


def unit_noise(network: Network) -> float:
    """Temperature at which a step moves a neuron by the generator's integer, in steps of the stored state."""
    shift = -int(np.log2(network.dt))
    return ScheduleCodes(Mode.FREE, beta=1, dt_shift=shift, amplitude=8).effective_temperature


def step_network(geometry: Geometry) -> Network:
    """A small network of three modules (two where no more fit), coupled through every lane, of two noise levels."""
    names = ("x", "h", "y") if min(geometry.modules, geometry.neurons // 2, geometry.rows // 4) >= 3 else ("x", "y")
    couplings = tuple(Coupling(a, b, geometry.lanes) for a, b in pairwise(names))
    size = min(
        _LARGEST,
        geometry.neurons // len(names),
        geometry.rows // (2 * len(couplings)),
        (geometry.sample_words - 1) // 2,
        geometry.output_words,
    )
    modules = tuple(Module(name, size, stiffness=1.0, quartic=0.5, clamped=name == "x") for name in names)
    return Network(modules, couplings, "y", levels=min(2, geometry.levels))


def step_minibatch(network: Network, geometry: Geometry, rng: np.random.Generator) -> Minibatch:
    """Samples that fill every context, and some of them a second time, as far as the sample buffer goes."""
    room = min(
        geometry.sample_words // (1 + network.inputs + network.outputs), geometry.output_words // network.outputs
    )
    batch = min(2 * geometry.contexts + 1, room, BATCH_LIMIT)
    return Minibatch(
        rng.uniform(-1.5, 1.5, (batch, network.inputs)),
        rng.integers(0, network.levels, batch),
        rng.uniform(-1.5, 1.5, (batch, network.outputs)),
    )


def _away_from_zero(rng: np.random.Generator, limit: float) -> float:
    return float(rng.uniform(0.5 * limit, limit) * rng.choice([-1, 1]))
