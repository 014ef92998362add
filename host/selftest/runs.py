"""Checks of what the device computes, against the golden model: each multiplier, the noise, whole training steps."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...sim.golden import Golden
from ...substrate.codes import NOISE_VARIANCE
from ...substrate.formats import FORMATS
from ...substrate.learning import Memory, Rule
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Result, Schedule
from .checks import Bench, Fault
from .networks import (
    lane_minibatch,
    lane_network,
    lane_parameters,
    noise_network,
    step_minibatch,
    step_network,
    unit_noise,
)

__all__ = ["check_multipliers", "check_noise", "check_training_step", "check_update"]

_ROUNDS = 4
"""Sets of known answers for each multiplier."""

_DRAWS = 8192
"""Noise integers, at least, that mean and variance are taken of."""

_SIGMAS = 4.9
"""Half width of the intervals for mean and variance: a good generator is outside once in a million."""

_EXCESS = -0.15
"""Excess kurtosis of the noise: -1.2 of a uniform byte, over eight of them."""

_STEPS = 2
"""Training steps."""


def check_multipliers(bench: Bench) -> str:
    """Run networks in which each output neuron hears through one lane alone.

    Raises
    ------
    Fault
        If an answer differs: lane and context of the first.
    """
    geometry, network = bench.geometry, lane_network(bench.geometry)
    rng = np.random.default_rng(bench.seed)
    firsts = range(0, geometry.lanes, network.outputs)
    bench.plan(_ROUNDS * len(firsts))
    golden = _configured(bench, network)
    schedule = Schedule(free_steps=1, nudged_steps=1, beta=0.25)
    for _ in range(_ROUNDS):
        for first in firsts:
            parameters = lane_parameters(network, first, rng)
            minibatch = lane_minibatch(network, geometry.contexts, rng)
            ran, expected = _run(bench, golden, parameters, minibatch, schedule)
            lanes = min(network.outputs, geometry.lanes - first)
            for neuron in range(lanes):
                _compare_lane(first + neuron, neuron, ran, expected)
            _compare(ran, expected, "a run through single lanes")
            bench.step()
    return (
        f"{geometry.lanes} lanes x {geometry.contexts} contexts multiply, "
        f"{_ROUNDS} known answers each for force and contrast"
    )


def _compare_lane(lane: int, neuron: int, ran: Result, expected: Result) -> None:
    wrong = np.flatnonzero(ran.outputs[:, neuron] != expected.outputs[:, neuron])
    if len(wrong):
        context = int(wrong[0])
        read, wanted = ran.outputs[context, neuron], expected.outputs[context, neuron]
        dead = "answers 0" if read == 0 else f"answers {read:g}"
        others = "every context" if len(wrong) == len(ran.outputs) else f"{len(wrong)} of {len(ran.outputs)} contexts"
        raise Fault(f"lane {lane}, context {context} {dead} where {wanted:g} is right, wrong in {others}")
    assert ran.contrast is not None and expected.contrast is not None
    for side in ("U", "V"):
        read, wanted = getattr(ran.contrast, side)[0][neuron, lane], getattr(expected.contrast, side)[0][neuron, lane]
        if read != wanted:
            raise Fault(f"lane {lane} sums the contrast of {side} to {read:g} where {wanted:g} is right")


def check_noise(bench: Bench) -> str:
    """Let neurons be moved by noise alone: the first values, then mean and variance of many.

    Raises
    ------
    Fault
        If a value differs from the golden model's, or mean or variance are out of their intervals.
    """
    if not bench.device.identity.thermal:
        return "the device has none, and says so"
    geometry, network = bench.geometry, noise_network(bench.geometry)
    contexts = min(geometry.contexts, geometry.sample_words // 2, geometry.output_words)
    runs = -(-_DRAWS // (network.neurons * contexts))
    bench.plan(runs)
    golden = _configured(bench, network)
    parameters = Parameters.zeros(network)
    minibatch = Minibatch(np.zeros((contexts, 0)), np.zeros(contexts, np.int64))
    drawn = []
    for number in range(runs):
        seed = (bench.seed + number * 0x9E3779B97F4A7C15) % 2**64
        schedule = Schedule(free_steps=1, estimator=Estimator.FREE, temperature=unit_noise(network), seed=seed)
        _run(bench, golden, parameters, minibatch, schedule)
        read, wanted = _integers(bench.device.states()["free"]), _integers(golden.states()["free"])
        wrong = np.argwhere(read != wanted)
        if len(wrong):
            context, neuron = (int(index) for index in wrong[0])
            raise Fault(
                f"noise of context {context}: value {neuron} of seed {seed} is {read[context, neuron]}, "
                f"not {wanted[context, neuron]}; {len(wrong)} of {read.size} differ"
            )
        drawn.append(read.ravel())
        bench.step()
    return _statistics(np.concatenate(drawn))


def _statistics(values: NDArray[np.int64]) -> str:
    """Mean and variance, each with the interval that it must be in."""
    count = len(values)
    mean, variance = float(values.mean()), float(values.var())
    mean_width = _SIGMAS * sqrt(NOISE_VARIANCE / count)
    variance_width = _SIGMAS * NOISE_VARIANCE * sqrt((2 + _EXCESS) / count)
    told = (
        f"{count} values: mean {mean:.2f} (0 +- {mean_width:.2f}), "
        f"variance {variance:.0f} ({NOISE_VARIANCE:.0f} +- {variance_width:.0f})"
    )
    if abs(mean) > mean_width or abs(variance - NOISE_VARIANCE) > variance_width:
        raise Fault(f"the noise is not what it should be, of {told}")
    return f"bit for bit as modelled; {told}"


def check_training_step(bench: Bench) -> str:
    """Two training steps, each with all three phases, noise, contrast and update, bit for bit.

    Raises
    ------
    Fault
        If anything differs: what, and where.
    """
    geometry, network = bench.geometry, step_network(bench.geometry)
    rng = np.random.default_rng(bench.seed)
    bench.plan(_STEPS)
    golden = _configured(bench, network)
    minibatch = step_minibatch(network, geometry, rng)
    parameters = Parameters.random(network, rng)
    temperature = 1e-4 if bench.device.identity.thermal else 0.0
    for number in range(_STEPS):
        schedule = Schedule(free_steps=12, nudged_steps=6, temperature=temperature, seed=bench.seed + number)
        ran, expected = _run(bench, golden, parameters, minibatch, schedule)
        _compare(ran, expected, f"training step {number + 1}")
        _compare_states(bench, golden, len(minibatch))
        held, wanted = bench.device.read(), golden.read()
        if not np.array_equal(held.vector(), wanted.vector()):
            raise Fault(f"parameters read back after training step {number + 1} are not those that were written")
        assert ran.contrast is not None
        parameters = held.replace(held.vector() + 0.5 * ran.contrast.vector())
        bench.step()
    return f"{_STEPS} steps of {len(minibatch)} samples, {network.neurons} neurons: bit for bit as modelled"


def check_update(bench: Bench) -> str:
    """Two steps in which the device changes its parameters itself, each parameter and momentum bit for bit.

    Raises
    ------
    Fault
        If anything differs: what, and where.
    """
    if not bench.device.identity.learns:
        return "the device leaves updates to the host, and says so"
    geometry, network = bench.geometry, step_network(bench.geometry)
    rng = np.random.default_rng(bench.seed)
    bench.plan(_STEPS)
    golden = _configured(bench, network)
    minibatch = step_minibatch(network, geometry, rng)
    memory = Memory.of(network, Parameters.random(network, rng))
    rule = Rule((0.01,) * len(network.modules), 0.02, 0.01, 0.01, momentum=2, decay=1e-3)
    for substrate in (bench.device, golden):
        substrate.restore(memory)
    for number in range(_STEPS):
        schedule = Schedule(free_steps=12, nudged_steps=6, seed=bench.seed + number)
        ran, expected = (device.learn(minibatch, schedule, rule) for device in (bench.device, golden))
        held, wanted = bench.device.memory(), golden.memory()
        for name in ("fine", "momentum"):
            what = {"fine": "parameter", "momentum": "contrast sum left"}[name]
            _same(getattr(held, name), getattr(wanted, name), f"update {number + 1}: {what}", ("number",))
        if ran.clips != expected.clips:
            raise Fault(f"update {number + 1}: clips are {ran.clips}, not {expected.clips}")
        bench.step()
    return f"{_STEPS} updates of {len(memory.fine)} parameters: bit for bit as modelled"


def _configured(bench: Bench, network: Network) -> Golden:
    """Lay the network out on the device, and on a golden model."""
    golden = Golden(bench.geometry.compact, bench.geometry.lanes)
    golden.configure(network)
    bench.device.configure(network)
    return golden


def _run(
    bench: Bench, golden: Golden, parameters: Parameters, minibatch: Minibatch, schedule: Schedule
) -> tuple[Result, Result]:
    results = []
    for substrate in (bench.device, golden):
        substrate.write(parameters)
        results.append(substrate.run(minibatch, schedule))
    return results[0], results[1]


def _compare(ran: Result, expected: Result, what: str) -> None:
    """Outputs, contrasts, residual and saturations of a run."""
    wrong = np.argwhere(ran.outputs != expected.outputs)
    if len(wrong):
        sample, neuron = (int(index) for index in wrong[0])
        raise Fault(
            f"{what}: output neuron {neuron} of sample {sample} is {ran.outputs[sample, neuron]:g}, "
            f"not {expected.outputs[sample, neuron]:g}; {len(wrong)} of {ran.outputs.size} differ"
        )
    if ran.contrast is not None and expected.contrast is not None:
        for name in ("U", "V", "gain"):
            for number, (read, wanted) in enumerate(
                zip(getattr(ran.contrast, name), getattr(expected.contrast, name), strict=True)
            ):
                _same(read, wanted, f"{what}: contrast of {name} of coupling {number}", ("row", "channel"))
        _same(ran.contrast.bias, expected.contrast.bias, f"{what}: contrast of the biases", ("level", "neuron"))
    for name in ("residual", "saturations"):
        if getattr(ran, name) != getattr(expected, name):
            raise Fault(f"{what}: {name} is {getattr(ran, name)}, not {getattr(expected, name)}")


def _compare_states(bench: Bench, golden: Golden, batch: int) -> None:
    contexts = bench.geometry.contexts
    last = (batch - 1) // contexts * contexts
    held, modelled = bench.device.states(), golden.states()
    for name in ("free", "last"):
        _same(held[name][: batch - last], modelled[name][last:], f"stored states, {name}", ("context", "neuron"))


def _same(read: NDArray[Any], wanted: NDArray[Any], what: str, axes: tuple[str, ...]) -> None:
    wrong = np.argwhere(read != wanted)
    if len(wrong):
        place = tuple(int(index) for index in wrong[0])
        where = ", ".join(f"{axis} {index}" for axis, index in zip(axes, place, strict=True))
        raise Fault(f"{what} is {read[place]:g} at {where}, not {wanted[place]:g}; {len(wrong)} of {read.size} differ")


def _integers(states: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(states / FORMATS.stored.lsb).astype(np.int64)
