"""Temperature: coefficients from records at several temperatures, and what they are worth on a board that has moved."""

from dataclasses import fields, replace

import numpy as np
import pytest

from equipoise.calibration.check import check_standard
from equipoise.calibration.history import History
from equipoise.calibration.model import Model, nominal
from equipoise.calibration.plan import make_plan
from equipoise.calibration.record import Record
from equipoise.calibration.run import Settings, calibrate
from equipoise.calibration.thermal import Point, find_thermal
from equipoise.drivers.analog.board import Sensors
from equipoise.host.calibrated import write_calibration_report
from equipoise.sim.virtual_board import VirtualBoard

from .gradients import gradient_error

SEEDS = (31, 32, 33)


def board(seed, temperature=25.0):
    one = VirtualBoard(neurons=6, channels=3, mismatch=0.03, seed=seed)
    one.ambient = temperature
    return one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


@pytest.fixture(scope="module")
def records(folder):
    """Of each board: calibrated at 37 degrees, and then at 25, which is the newest."""
    return {seed: [calibrate(board(seed, at), Settings(folder=folder)) for at in (37.0, 25.0)] for seed in SEEDS}


def point(temperature, seed, sure=0.01):
    rng, base = np.random.default_rng(seed), nominal(board(1).limits)
    drawn = {item.name: rng.standard_normal(getattr(base, item.name).shape) for item in fields(Model)}
    return Point(temperature, Model(**drawn), Model(**{name: np.full(v.shape, sure) for name, v in drawn.items()}))


def test_a_line_goes_through_two_records_and_is_less_sure_beyond_them():
    cold, warm = point(20.0, 1), point(30.0, 2)
    thermal = find_thermal([cold, warm])
    for at, there in ((20.0, cold), (30.0, warm)):
        assert thermal.at(cold, at).model.push_a == pytest.approx(there.model.push_a)
    middle = thermal.at(cold, 25.0)
    assert middle.model.read_offset == pytest.approx((cold.model.read_offset + warm.model.read_offset) / 2)
    assert thermal.uncertainty.read_offset == pytest.approx(0.01 * np.sqrt(2) / 10)
    assert thermal.at(cold, 60.0).uncertainty.nudge_up == pytest.approx(np.hypot(0.01, 40 * 0.01 * np.sqrt(2) / 10))


def test_records_too_near_each_other_tell_nothing():
    assert find_thermal([point(20.0, 1)]) is None
    assert find_thermal([point(20.0, 1), point(22.0, 2)]) is None
    assert find_thermal([point(20.0, 1), point(22.0, 2), point(23.5, 3)]) is not None


def missed(one, model):
    """Steps (rms) by which held-out equilibria are missed."""
    plan, found = make_plan(one.limits, seed=9), []
    for vector in (vector for vector in plan.vectors if vector.stage == "held-out"):
        wiring = plan.wirings[vector.wiring]
        one.wire(wiring)
        found.append(
            one.phase(vector.drive).volts - model.seen(one.limits, model.equilibrium(one.limits, wiring, vector.drive))
        )
    return np.sqrt(np.mean(np.square(found))) / one.limits.lsb


@pytest.mark.parametrize("seed", SEEDS)
def test_equilibria_are_predicted_at_another_temperature(records, seed):
    first, newest = (done.record for done in records[seed])
    assert first.thermal() is None
    assert newest.temperature["records"] == [first.id]
    one = board(seed, 35.0)
    assert missed(board(seed), newest.board_model()) < 1
    assert missed(one, newest.board_model()) > 5
    assert missed(one, newest.board_model(one.sensors().temperature)) < 1


def test_gradients_hold_at_another_temperature(records):
    found = {True: [], False: []}
    for seed in SEEDS:
        record = records[seed][1].record
        blind = replace(record, temperature=record.temperature | {"coefficients": None})
        error, device = gradient_error(board(seed, 35.0), record.correction())
        assert device.health()["temperature"] == pytest.approx(35.0, abs=0.2)
        assert error < 1e-3
        for known, each in ((True, record), (False, blind)):
            found[known].append(gradient_error(board(seed, 35.0), each.correction(), 0.01)[0])
    assert max(found[True]) < 2e-3
    assert np.mean(found[False]) > 3 * np.mean(found[True])


def test_the_check_before_a_run_heeds_temperature(records):
    record = records[SEEDS[0]][1].record
    assert not check_standard(board(SEEDS[0], 35.0), record).reason
    blind = replace(record, temperature=record.temperature | {"coefficients": None})
    reason = check_standard(board(SEEDS[0], 35.0), blind).reason
    assert reason.startswith("channel ")
    assert "the board is at 35.0 degrees Celsius and was calibrated at 25.0" in reason
    assert "not known: a calibration made now tells it" in reason


def test_weights_are_told_anew_once_the_temperature_has_moved(records):
    correction = records[SEEDS[0]][1].record.correction()
    assert not correction.at(None)
    assert not correction.at(25.05)
    assert correction.at(27.0)
    assert not correction.at(27.05)
    assert correction.at(25.0)


def test_coefficients_are_kept_by_a_record_that_cannot_tell_them_anew(records, folder):
    """They are of the board, and age less than values do."""
    newest = records[SEEDS[1]][1].record
    history = History(folder)
    for path in history.paths():  # only the newest record of that board is left, and it no longer holds
        if newest.id not in path.name and path.parent == history.board_folder(board(SEEDS[1]).identity):
            path.unlink()
    done = calibrate(board(SEEDS[1], 26.0), Settings(folder=folder))
    assert done.record.thermal().slope.push_a == pytest.approx(newest.thermal().slope.push_a)
    assert done.record.temperature["records"] == newest.temperature["records"]


def test_the_page_tells_temperature_coefficients_and_supply(records, folder):
    first, newest = records[SEEDS[2]]
    page = write_calibration_report(History(folder), newest.record, newest.path).read_text()
    assert "25.0 degrees Celsius" in page
    assert "ppm/K" in page
    assert "<td>12 V</td>" in page
    assert "not known: needs records" in write_calibration_report(History(folder), first.record, first.path).read_text()


def test_a_board_without_sensors(folder):
    class Bare(VirtualBoard):
        def sensors(self):
            return Sensors()

    record = calibrate(Bare(neurons=4, channels=2, seed=5), Settings(folder=folder)).record
    assert (record.temperature["mean"], record.supply, record.thermal()) == (None, None, None)
    assert Record.from_json(record.to_json(), "it") == record
