"""The float model: against plain Euler steps, the oracle, and the laws that relaxation obeys."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from equipoise.sim.float_model import FloatModel
from equipoise.substrate.energy import cost, energy, force, oracle
from equipoise.substrate.errors import CapabilityError, DataError, DeviceError, ParameterError
from equipoise.substrate.network import Module, Network
from equipoise.substrate.parameters import Parameters, cosine, norm_ratio
from equipoise.substrate.phases import Estimator, Minibatch, Result, Schedule

from ..networks import SCHEDULES, networks, random_minibatch, random_parameters
from ..substrate.examples import SMALL, digits_network, exactly, minibatch_for, uneven


def model_of(network: Network, parameters: Parameters) -> FloatModel:
    model = FloatModel()
    model.configure(network)
    model.write(parameters)
    return model


def euler(
    network: Network, parameters: Parameters, minibatch: Minibatch, start: np.ndarray, beta: float, steps: int
) -> tuple[np.ndarray, float]:
    """Relaxation as it is written, with the reference force; states and mean |ds/dt| of the last step."""
    s, free, output = start.copy(), ~network.clamped, network.slices[network.output]
    s[:, network.clamped] = minibatch.clamped
    for _ in range(steps):
        rate = force(network, parameters, s, minibatch.levels)
        rate[:, output] += beta * (minibatch.target - s[:, output])
        s[:, free] += network.dt * rate[:, free]
    return s, float(np.abs(rate[:, free]).mean())


def slopes(network: Network, parameters: Parameters, states: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Mean of -dE/dparameters over the batch; E is linear in each parameter, so differences are exact."""
    vector, result = parameters.vector(), np.zeros(parameters.vector().size)
    base = energy(network, parameters, states, levels).mean()
    for element in range(len(vector)):
        step = np.zeros_like(vector)
        step[element] = 1.0
        result[element] = base - energy(network, parameters.replace(vector + step), states, levels).mean()
    return result


@settings(max_examples=40, deadline=None, derandomize=True)
@given(network=networks(4), schedule=SCHEDULES, seed=st.integers(0, 2**32), batch=st.integers(1, 3))
def test_equals_plain_euler_steps_and_energy_slopes(
    network: Network, schedule: Schedule, seed: int, batch: int
) -> None:
    rng = np.random.default_rng(seed)
    parameters, minibatch = random_parameters(network, rng, 0.2), random_minibatch(network, rng, batch)
    schedule = Schedule(schedule.free_steps, schedule.nudged_steps, schedule.beta, schedule.estimator)
    with np.errstate(over="ignore", invalid="ignore"):
        zeros = np.zeros((batch, network.neurons))
        free, residual = euler(network, parameters, minibatch, zeros, 0.0, schedule.free_steps)
        plus, _ = euler(network, parameters, minibatch, free, schedule.beta, schedule.nudged_steps)
        minus, _ = euler(network, parameters, minibatch, free, -schedule.beta, schedule.nudged_steps)
    assume(np.all(np.abs([free, plus, minus]) < 10))  # not where large steps run away

    model = model_of(network, parameters)
    result, states = model.run(minibatch, schedule), model.states()
    last = {Estimator.FREE: free, Estimator.ONE_SIDED: plus, Estimator.SYMMETRIC: minus}[schedule.estimator]
    np.testing.assert_allclose(states["free"], free, atol=1e-9)
    np.testing.assert_allclose(states["last"], last, atol=1e-9)
    np.testing.assert_allclose(result.outputs, free[:, network.slices[network.output]], atol=1e-9)
    assert result.residual == pytest.approx(residual, abs=1e-9)

    if schedule.estimator is Estimator.FREE:
        assert result.contrast is None
        return
    other, scale = (free, 1) if schedule.estimator is Estimator.ONE_SIDED else (minus, 2)
    contrast = slopes(network, parameters, plus, minibatch.levels) - slopes(
        network, parameters, other, minibatch.levels
    )
    got = result.contrast.vector() * scale * schedule.beta
    np.testing.assert_allclose(got, contrast, atol=1e-8)
    assert not np.any(result.contrast.bias[:, network.clamped])


def test_energy_falls_monotonically_in_every_phase() -> None:
    network, rng = digits_network(levels=2), np.random.default_rng(0)
    parameters, minibatch = uneven(network, rng, 2.0), minibatch_for(network, rng, 8)
    model = model_of(network, parameters)

    def heights(phase: str, beta: float, schedules: list[Schedule]) -> np.ndarray:
        rows = []
        for schedule in schedules:
            model.run(minibatch, schedule)
            states = model.states()[phase]
            height = energy(network, parameters, states, minibatch.levels)
            rows.append(height + beta * cost(network, states, minibatch.target))
        return np.array(rows)

    counts = range(1, 30)
    free = heights("free", 0.0, [Schedule(n, estimator=Estimator.FREE) for n in counts])
    positive = heights("last", 0.25, [Schedule(60, n, 0.25, Estimator.ONE_SIDED) for n in counts])
    negative = heights("last", -0.25, [Schedule(60, n, 0.25, Estimator.SYMMETRIC) for n in counts])
    for rows in (free, positive, negative):
        assert np.all(np.diff(rows, axis=0) < 0)


def test_symmetric_contrast_points_along_the_oracle() -> None:
    network, rng = digits_network(), np.random.default_rng(0)
    parameters, minibatch = Parameters.random(network, rng), minibatch_for(network, rng, 32)
    result = model_of(network, parameters).run(minibatch, Schedule(60, 24, 1 / 16))
    truth = oracle(network, parameters, minibatch)
    assert cosine(result.contrast, truth) >= 0.999
    assert norm_ratio(result.contrast, truth) == pytest.approx(1, abs=0.08)  # 24 nudged steps reach 0.95


def test_one_sided_is_worse_where_relaxation_is_slow() -> None:
    network, rng = digits_network(), np.random.default_rng(0)
    parameters, minibatch = Parameters.random(network, rng, 2.0), minibatch_for(network, rng, 32)
    truth, model = oracle(network, parameters, minibatch), model_of(network, parameters)
    symmetric, one_sided = (
        cosine(model.run(minibatch, Schedule(20, 20, 1 / 64, estimator)).contrast, truth)
        for estimator in (Estimator.SYMMETRIC, Estimator.ONE_SIDED)
    )
    assert symmetric > 0.7
    assert one_sided < 0.3


@pytest.mark.parametrize(("estimator", "order"), [(Estimator.SYMMETRIC, 2), (Estimator.ONE_SIDED, 1)])
def test_the_error_falls_with_its_power_of_beta(estimator: Estimator, order: int) -> None:
    network, rng = digits_network(), np.random.default_rng(0)
    parameters, minibatch = Parameters.random(network, rng), minibatch_for(network, rng, 8)
    truth, model = oracle(network, parameters, minibatch), model_of(network, parameters)
    betas = 2.0 ** -np.arange(4, 9)
    errors = [
        np.linalg.norm(model.run(minibatch, Schedule(400, 400, beta, estimator)).contrast.vector() - truth.vector())
        for beta in betas
    ]
    slope = np.polyfit(np.log(betas), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.06)


@pytest.mark.parametrize("dt", [1.0, 0.5, 0.125])
def test_langevin_variance_follows_the_exact_law(dt: float) -> None:
    """A linear neuron of stiffness 1 with step dt settles to variance 2T/(2 - dt), not T (DESIGN section 11)."""
    temperature, size, batch = 0.3, 256, 256
    network = Network((Module("y", size, stiffness=1.0, quartic=0.0),), (), "y", dt=dt)
    model = model_of(network, Parameters.zeros(network))
    minibatch = Minibatch(np.zeros((batch, 0)), np.zeros(batch, dtype=np.int64))
    steps = int(8 / dt)  # leaves e^-16 of the way
    schedule = Schedule(steps, estimator=Estimator.FREE, temperature=temperature, seed=1)
    outputs = model.run(minibatch, schedule).outputs
    count = outputs.size
    low, high = chi2.ppf([0.0005, 0.9995], count) / count  # neurons and samples are independent
    law = 2 * temperature / (2 - dt)
    assert low < np.mean(outputs**2) / law < high
    assert high - 1 < dt / 4  # narrow enough to tell the law from T
    assert abs(np.mean(outputs)) < 4 * np.sqrt(law / count)


NOISY = Schedule(20, 5, temperature=0.1, seed=5)


def noisy(model: FloatModel, minibatch: Minibatch, schedule: Schedule = NOISY) -> dict[str, np.ndarray]:
    model.run(minibatch, schedule)
    return model.states()


def test_a_noisy_run_is_a_function_of_its_seed() -> None:
    rng = np.random.default_rng(0)
    parameters, minibatch = uneven(SMALL, rng), minibatch_for(SMALL, rng, 6)
    model = model_of(SMALL, parameters)
    first = noisy(model, minibatch)
    again, other = noisy(model, minibatch), noisy(model, minibatch, Schedule(20, 5, temperature=0.1, seed=6))
    for phase in ("free", "last"):
        assert np.array_equal(first[phase], again[phase])
        assert not np.any(np.isclose(first[phase], other[phase])[:, ~SMALL.clamped])


def test_noise_of_a_sample_does_not_depend_on_the_rest() -> None:
    rng = np.random.default_rng(0)
    parameters, whole = uneven(SMALL, rng), minibatch_for(SMALL, rng, 6)
    part = Minibatch(whole.clamped[:2], whole.levels[:2], whole.target[:2])
    model = model_of(SMALL, parameters)
    states, fewer = noisy(model, whole), noisy(model, part)
    for phase in ("free", "last"):
        np.testing.assert_allclose(states[phase][:2], fewer[phase], atol=1e-12)


def test_samples_and_phases_have_noise_of_their_own() -> None:
    network = Network((Module("y", 200, quartic=0.0),), (), "y", dt=1.0)  # dt = 1: the state is the last step's noise
    model = model_of(network, Parameters.zeros(network))
    minibatch = Minibatch(np.zeros((2, 0)), np.zeros(2, dtype=np.int64), np.zeros((2, 200)))
    drawn = []
    for estimator in (Estimator.ONE_SIDED, Estimator.SYMMETRIC):
        states = noisy(model, minibatch, Schedule(1, 1, 1e-9, estimator, temperature=0.5, seed=3))
        drawn += [*states["free"], *states["last"]]
    drawn = [*drawn[:4], *drawn[6:]]  # the free phase is the same in both runs
    assert np.array_equal(states["free"], drawn[:2])
    correlation = np.corrcoef(drawn)
    assert np.abs(correlation - np.eye(6)).max() < 4 / np.sqrt(200)


def test_a_free_run_needs_no_target_and_runs_no_nudged_phase() -> None:
    rng = np.random.default_rng(0)
    model, minibatch = model_of(SMALL, uneven(SMALL, rng)), minibatch_for(SMALL, rng, 3)
    bare = Minibatch(minibatch.clamped, minibatch.levels)
    result, states = model.run(bare, Schedule(estimator=Estimator.FREE)), model.states()
    assert np.array_equal(states["free"], states["last"])
    assert np.array_equal(result.outputs, model.run(minibatch, Schedule()).outputs)


def test_states_and_parameters_are_copies() -> None:
    rng = np.random.default_rng(0)
    parameters, minibatch = uneven(SMALL, rng), minibatch_for(SMALL, rng, 3)
    before, model = parameters.vector(), model_of(SMALL, parameters)
    first = model.run(minibatch, Schedule())
    states = model.states()
    parameters.U[0][:] = 0
    model.read().V[0][:] = 0
    model.states()["free"][:] = 0
    first.outputs[:] = 0
    assert np.array_equal(model.read().vector(), before)
    assert np.array_equal(model.states()["free"], states["free"])
    assert np.array_equal(model.run(minibatch, Schedule()).outputs, states["free"][:, SMALL.slices["y"]])


def test_health_counts_and_identity_is_recorded() -> None:
    rng = np.random.default_rng(0)
    model = model_of(SMALL, uneven(SMALL, rng))
    for batch in (3, 4):
        result = model.run(minibatch_for(SMALL, rng, batch), Schedule())
    assert model.health() == {"runs": 2, "samples": 7}
    assert (model.identity.address, model.identity.kind) == ("float:", "float")
    assert isinstance(result, Result)
    assert set(result.seconds) == {"device", "link"}
    assert not result.saturations


def test_order_of_calls_is_enforced() -> None:
    rng = np.random.default_rng(0)
    parameters, minibatch = uneven(SMALL, rng), minibatch_for(SMALL, rng, 2)
    with FloatModel() as model:
        with pytest.raises(DeviceError, match=exactly("The float model has no network: call configure first")):
            model.write(parameters)
        model.configure(SMALL)
        for call in (model.read, lambda: model.run(minibatch, Schedule())):
            with pytest.raises(
                DeviceError, match=exactly("The float model has no parameters: call configure and write first")
            ):
                call()
        model.write(parameters)
        with pytest.raises(DeviceError, match=exactly("The float model has no states: run a minibatch first")):
            model.states()
        model.run(minibatch, Schedule())
        model.configure(SMALL)
        with pytest.raises(DeviceError, match="no states"):
            model.states()
        with pytest.raises(DeviceError, match="no parameters"):
            model.read()
    model.close()
    with pytest.raises(DeviceError, match="no network"):
        model.write(parameters)


def test_what_does_not_fit_is_refused() -> None:
    rng = np.random.default_rng(0)
    parameters, minibatch = uneven(SMALL, rng), minibatch_for(SMALL, rng, 2)
    model = model_of(SMALL, parameters)
    with pytest.raises(ParameterError, match="must have an array for each of 4 couplings, not 6"):
        model.write(Parameters.zeros(digits_network()))
    with pytest.raises(CapabilityError, match="beta 1 must be below the output module's stiffness 1,"):
        model.run(minibatch, Schedule(beta=1.0))
    with pytest.raises(DataError, match="needs a target, not None"):
        model.run(Minibatch(minibatch.clamped, minibatch.levels), Schedule())
    with pytest.raises(CapabilityError, match=exactly("A minibatch must have at most 4096 samples, not 4097")):
        model.run(minibatch_for(SMALL, rng, 4097), Schedule())


def test_states_that_run_away_are_an_error() -> None:
    network = Network((Module("x", 1, clamped=True), Module("y", 1, quartic=3.0)), (), "y", dt=1.0)
    parameters = Parameters.zeros(network)
    model = model_of(network, parameters)
    minibatch = Minibatch(np.zeros((1, 1)), np.zeros(1, dtype=np.int64), np.zeros((1, 1)))
    model.run(minibatch, Schedule(beta=0.1))
    parameters.bias[0, 1] = 50.0
    model.write(parameters)
    with pytest.raises(DeviceError) as error:
        model.run(minibatch, Schedule(beta=0.1))
    assert str(error.value) == (
        "States of the float model grew without bound within 60 steps: "
        "lower the step dt (1) or the strength of the couplings"
    )
    with pytest.raises(DeviceError, match="no states"):
        model.states()
