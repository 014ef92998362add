"""Golden model against plain Python integers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.sim.golden import Golden
from equipoise.substrate.codes import Sums as ContrastSums
from equipoise.substrate.codes import decode_contrast, encode_minibatch, encode_parameters, encode_schedule
from equipoise.substrate.energy import oracle
from equipoise.substrate.errors import CapabilityError, DeviceError
from equipoise.substrate.formats import FORMATS
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

from ..networks import SCHEDULES, SIZES, networks, random_minibatch, random_parameters
from .reference import Reference

CLIPS: dict[str, int] = {"state": 0, "bus": 0, "force": 0}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(network=networks(5), schedule=SCHEDULES, size=SIZES, seed=st.integers(0, 2**32), batch=st.integers(1, 3))
def test_equals_plain_integers(network: Network, schedule: Schedule, size: float, seed: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    parameters, minibatch = random_parameters(network, rng, size), random_minibatch(network, rng, batch)
    golden = Golden()
    golden.configure(network)
    golden.write(parameters)
    result = golden.run(minibatch, schedule)

    codes = encode_schedule(network, schedule)
    clamped, target = encode_minibatch(network, minibatch, schedule)
    reference = Reference(
        network, encode_parameters(network, parameters), codes.beta, codes.dt_shift, codes.amplitude, schedule.seed
    )
    steps = (schedule.free_steps, schedule.nudged_steps)
    stored = [
        reference.run(
            sample,
            int(minibatch.levels[sample]),
            clamped[sample].tolist(),
            [] if target is None else target[sample].tolist(),
            int(codes.mode),
            steps,
        )
        for sample in range(batch)
    ]

    states = golden.states()
    np.testing.assert_array_equal(states["free"], FORMATS.stored.decode([free for free, _ in stored]))
    np.testing.assert_array_equal(states["last"], FORMATS.stored.decode([last for _, last in stored]))
    clips = result.saturations
    assert {"state": clips.state, "bus": clips.bus, "force": clips.force} == reference.clips
    free = int((~network.clamped).sum())
    assert result.residual == reference.residual * FORMATS.state.lsb / (free * batch)
    if result.contrast is not None:
        count = range(len(network.couplings))
        sums = ContrastSums(
            tuple(reference.weight_sums[number, 0] for number in count),
            tuple(reference.weight_sums[number, 1] for number in count),
            tuple(reference.gain_sums),
            reference.bias_sums,
        )
        expected = decode_contrast(network, sums, codes, batch)
        np.testing.assert_array_equal(result.contrast.vector(), expected.vector())
    for kind, count_of_kind in reference.clips.items():
        CLIPS[kind] += count_of_kind


def test_the_networks_above_saturate_in_every_way() -> None:
    assert all(count > 0 for count in CLIPS.values()), CLIPS


def chain() -> Network:
    """The 64-32-16-32-64 network of the design page, input clamped."""
    sizes = (64, 32, 16, 32, 64)
    modules = tuple(Module(f"m{n}", size, clamped=n == 0) for n, size in enumerate(sizes))
    pairs = ((0, 1), (1, 2), (2, 3), (3, 4), (0, 4), (1, 3))
    return Network(modules, tuple(Coupling(f"m{a}", f"m{b}", 8) for a, b in pairs), "m4")


def chain_minibatch(rng: np.random.Generator, batch: int = 16) -> Minibatch:
    return Minibatch(rng.normal(0, 0.7, (batch, 64)), np.zeros(batch, np.int64), rng.normal(0, 0.7, (batch, 64)))


def test_symmetric_contrast_is_the_gradient_and_one_sided_never_better() -> None:
    rng = np.random.default_rng(0)
    network = chain()
    golden = Golden()
    golden.configure(network)
    golden.write(Parameters.random(network, rng))
    minibatch = chain_minibatch(rng)
    truth = oracle(network, golden.read(), minibatch)
    cosines = {}
    for estimator in (Estimator.SYMMETRIC, Estimator.ONE_SIDED):
        contrast = golden.run(minibatch, Schedule(60, 24, 1 / 16, estimator)).contrast
        assert contrast is not None
        cosines[estimator] = cosine(contrast, truth)
    assert cosines[Estimator.SYMMETRIC] >= 0.999
    assert cosines[Estimator.ONE_SIDED] <= cosines[Estimator.SYMMETRIC]


def test_errors_say_what_to_do() -> None:
    golden, network = Golden(), chain()
    with pytest.raises(DeviceError, match=r"^golden: has no network: call configure before write$"):
        golden.write(Parameters.zeros(network))
    golden.configure(network)
    with pytest.raises(DeviceError, match=r"^golden: has no parameters: call write before run$"):
        golden.run(chain_minibatch(np.random.default_rng(0)), Schedule())
    golden.write(Parameters.zeros(network))
    with pytest.raises(CapabilityError, match=r"^A minibatch of golden: must have at most 256 samples, not 257$"):
        golden.run(chain_minibatch(np.random.default_rng(0), 257), Schedule())
