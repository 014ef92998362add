"""Training on a calibrated analog board that drifts while it is trained."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from equipoise.calibration.history import History
from equipoise.calibration.record import State
from equipoise.calibration.run import Settings, calibrate
from equipoise.drivers.analog.device import AnalogDevice
from equipoise.host import trainer
from equipoise.host.calibrated import correction_for
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.data import load_data
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.start import start_parameters
from equipoise.host.trainer import train
from equipoise.sim.float_model import FloatModel
from equipoise.sim.virtual_board import Effects, VirtualBoard
from equipoise.substrate.errors import CalibrationError
from equipoise.substrate.network import Coupling, Module, Network

from .runs import Silent

NETWORK = Network((Module("noisy", 2, clamped=True), Module("image", 2)), (Coupling("noisy", "image", 2),), "image")


def board(**effects):
    return VirtualBoard(neurons=4, channels=2, mismatch=0.03, seed=11, effects=Effects(**effects))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A folder with the calibration of a board that did not drift then."""
    folder = tmp_path_factory.mktemp("records")
    return folder, calibrate(board(), Settings(folder=folder)).record


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_SHOWN_SAMPLES", {True: 1, False: 1})  # samples take many runs each
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(12, 1, 2)))
    config = recipe("points", str(tmp_path / "data.npy"), steps=4, batch=2, evaluate_every=4, auto_beta=False, beta=0.1)
    config = replace(config, network=NETWORK, edm=replace(config.edm, levels=1), start="random")
    return Run.create(tmp_path / "run", config)


def begin(run, records, *, force=False, **effects):
    folder, _ = records
    one = board(**effects)
    correction, standard = correction_for(one, folder, force=force)
    device = AnalogDevice(one, correction, address="test:", averages=16, standard=standard, check_minutes=1e-9)
    progress = Silent()
    with device:
        train(run, device, progress)
    return device.health(), progress.warnings


def of_kind(run, kind):
    return [record for record in run.metrics() if record["kind"] == kind]


def test_the_recipe_for_boards_learns_on_a_calibrated_one_what_the_float_model_learns(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "_ANALOG_SAMPLES", 1)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "data.npy", rng.normal(size=(60, 1)) * [1.0, 0.6] + 0.1 * rng.normal(size=(60, 2)))
    one = VirtualBoard(mismatch=0.05, seed=3)
    correction = calibrate(one, Settings(folder=tmp_path / "records")).correction()
    config = recipe("points-board", str(tmp_path / "data.npy"), steps=12, batch=6, evaluate_every=12)
    ends = []
    for device in (AnalogDevice(one, correction, address="test:", averages=16), FloatModel()):
        run = Run.create(tmp_path / device.identity.kind, config)
        with device:
            train(run, device, Silent())
        checkpoint, _ = load_checkpoint(run)
        ends.append(checkpoint.parameters)
    begin = start_parameters(config, load_data(config.data))
    moved, right = (end.vector() - begin.vector() for end in ends)
    assert moved @ right / np.linalg.norm(moved) / np.linalg.norm(right) > 0.95
    health = of_kind(Run.open(tmp_path / "analog"), "health")[-1]
    assert 0 < health["correction_uncertainty"] < health["gradient_uncertainty"] < 0.1
    assert health["held_targets"] == 0


def test_a_board_that_does_not_drift_is_trained_to_the_end(records, run):
    health, warnings = begin(run, records)
    assert not warnings
    assert len(of_kind(run, "finished")) == 1
    assert of_kind(run, "health")[-1]["checks"] == health["checks"] > 4
    assert run.device()["details"]["check_minutes"] == pytest.approx(1e-9)


def test_a_board_that_drifts_ends_the_run_and_its_record_says_so(records, run):
    folder, record = records
    with pytest.raises(CalibrationError, match=r"^The board has drifted: channel \d reads"):
        begin(run, records, drift=0.01)
    assert of_kind(run, "warning")[-1]["message"].startswith("training ended: The board has drifted: channel")
    assert not of_kind(run, "finished")
    assert History(folder).state(record, datetime.now(UTC)) is State.DRIFTED


def test_a_run_records_that_its_calibration_had_expired(run, tmp_path):
    record = calibrate(board(), Settings(folder=tmp_path / "records", valid_days=1e-9)).record
    _, warnings = begin(run, (tmp_path / "records", record), force=True)
    told = f"the board is trained with calibration {record.id} all the same, whose state is 'expired'"
    assert warnings[0] == of_kind(run, "warning")[0]["message"] == told
    assert run.device()["details"]["calibration_state"] == "expired"


def test_one_that_is_used_all_the_same_is_warned_of(records, run):
    _, warnings = begin(run, records, force=True, drift=0.01)
    assert any(message.startswith("the board has drifted, and is used all the same: channel") for message in warnings)
    assert len(of_kind(run, "finished")) == 1
