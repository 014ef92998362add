"""``train --beta auto``: what it chooses, when it chooses again, and that a resumed run chooses the same."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from equipoise.host.auto_beta import Tuned, tune
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.data import load_data
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.start import start_parameters
from equipoise.host.trainer import train
from equipoise.sim.golden import Golden
from equipoise.substrate.formats import FORMATS
from equipoise.substrate.network import Coupling, Module, Network


@pytest.fixture
def config(tmp_path):
    rng = np.random.default_rng(1)
    np.save(tmp_path / "data.npy", rng.normal(size=(48, 3, 1)) + rng.normal(size=(48, 1, 3)))
    made = recipe("digits-quick", str(tmp_path / "data.npy"), steps=30, batch=8, auto_beta=True)
    modules = (Module("input", 9, clamped=True), Module("hidden", 8), Module("output", 9, quartic=0.0))
    couplings = (Coupling("input", "hidden", 4), Coupling("hidden", "output", 4), Coupling("input", "output", 4))
    network = Network(modules, couplings, "output", levels=8)
    # So large a rate that the loss halves within the run.
    return replace(made, network=network, learning_rate=0.1, warm_up=1, checkpoint_every=4, evaluate_every=30)


class Quiet:
    def __init__(self, stop_at=None):
        self.stop_at, self.choices = stop_at, []

    def begin(self, total, first): ...
    def evaluation(self, record): ...
    def warning(self, message): ...
    def end(self): ...

    def tuned(self, record):
        self.choices.append(record)
        if self.stop_at == len(self.choices):
            raise KeyboardInterrupt

    def step(self, record):
        pass


def test_due_when_the_loss_has_halved_since_the_choice():
    tuned = Tuned(0.1)
    for _ in range(20):
        assert not tuned.due
        tuned = tuned.after(4.0)
    assert (tuned.reference, tuned.loss) == (4.0, 4.0)
    steps = 0
    while not tuned.due:
        tuned, steps = tuned.after(1.0), steps + 1
    assert steps == 22  # 3 * 0.95^n < 1
    assert tuned.reference == 4.0


def measure(config, device):
    data = load_data(config.data)
    device.configure(config.network)
    device.write(start_parameters(config, data))
    return tune(device, config, data, 0)


def test_a_hotter_device_gets_a_larger_beta(config):
    cold, found = measure(config, Golden())
    hot, _ = measure(replace(config, temperature=1e-4), Golden())
    assert hot.beta > 2 * cold.beta
    assert cold.beta == FORMATS.beta.decode(FORMATS.beta.encode(cold.beta))
    assert found["beta"] == cold.beta
    assert found["low"] <= found["high"]


def test_chooses_uses_and_records_it(config, tmp_path):
    run, quiet = Run.create(tmp_path / "run", config), Quiet()
    train(run, Golden(), quiet)
    records = run.metrics()
    chosen = [record for record in records if record["kind"] == "operating-point"]
    assert chosen == quiet.choices
    assert chosen[0]["step"] == 1
    steps = [record for record in records if record["kind"] == "step"]
    at = {record["step"]: record["beta"] for record in chosen}
    beta = None
    for record in steps:
        beta = at.get(record["step"], beta)
        assert record["beta"] == beta
    assert load_checkpoint(run)[0].tuned.beta == beta


def test_measures_again_and_resumes_bit_for_bit(config, tmp_path, monkeypatch):
    monkeypatch.setattr("equipoise.host.auto_beta._FALL", 0.97)
    monkeypatch.setattr("equipoise.host.auto_beta._SETTLE", 5)
    whole, cut, quiet = Run.create(tmp_path / "a", config), Run.create(tmp_path / "b", config), Quiet()
    train(whole, Golden(), quiet)
    assert len(quiet.choices) >= 2
    assert train(cut, Golden(), Quiet(stop_at=2))["interrupted"]
    train(Run.open(tmp_path / "b"), Golden(), Quiet())
    ends = [load_checkpoint(run)[0] for run in (whole, cut)]
    assert asdict(ends[0].tuned) == asdict(ends[1].tuned)
    assert np.array_equal(ends[0].parameters.vector(), ends[1].parameters.vector())
    choices = [[r for r in run.metrics() if r["kind"] == "operating-point"] for run in (whole, cut)]
    assert choices[0] == choices[1]


def test_without_it_nothing_is_measured(config, tmp_path):
    run, quiet = Run.create(tmp_path / "run", replace(config, auto_beta=False, steps=2)), Quiet()
    train(run, Golden(), quiet)
    assert quiet.choices == []
    assert load_checkpoint(run)[0].tuned is None
