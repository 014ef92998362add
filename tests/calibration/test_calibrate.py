"""Whole calibrations of virtual boards: what they find, what they refuse, what is kept."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from equipoise.calibration.check import check_standard
from equipoise.calibration.history import History
from equipoise.calibration.record import Record, State
from equipoise.calibration.run import Settings, calibrate
from equipoise.drivers.analog.correction import AsMade
from equipoise.host.calibrated import correction_for, write_calibration_report
from equipoise.sim.virtual_board import Effects, VirtualBoard
from equipoise.substrate.errors import CalibrationError, DeviceError


def board(seed=11, mismatch=0.03, **effects):
    return VirtualBoard(neurons=4, channels=2, mismatch=mismatch, seed=seed, effects=Effects(**effects))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return calibrate(board(), Settings(folder=tmp_path_factory.mktemp("records")))


def test_finds_what_was_hidden_within_its_uncertainty(done):
    parts, record = board()._parts, done.record
    assert not record.failed
    assert record.verification["as_left_lsb"] < 1 < record.verification["as_found_lsb"]
    model = record.board_model()
    for term, truth in (
        (model.read_gain, parts.read_gain - 1),
        (model.read_offset, parts.read_offset),
        (model.before, parts.before),
        (model.target_offset, parts.target_offset),
        (model.clamp_offset, parts.clamp_offset),
        (model.bias_offset, parts.bias_offset * np.exp(model.bias_gain) / parts.bias_gain),
    ):
        assert np.abs(term - truth).max() < 5e-4
    # Up and down are pushed by the same neuron, so their ratio is free of the gauge.
    assert model.nudge_up - model.nudge_down == pytest.approx(np.log(parts.nudge_up / parts.nudge_down), abs=5e-3)
    assert np.array(record.dynamics["time_constant"]) / 10e-6 * np.exp(-model.bias_gain) == pytest.approx(
        parts.time_constant / parts.bias_gain, rel=0.02
    )


def test_gauges_are_fixed(done):
    model = done.record.board_model()
    for term in (model.sense_a, model.sense_b, model.push_a, model.push_b):
        assert term.mean(axis=0) == pytest.approx(0, abs=1e-9)
    balance = model.push_a + model.push_b - model.sense_a - model.sense_b
    assert balance.sum(axis=1) == pytest.approx(0, abs=1e-9)


def test_uncertainties_agree_with_repeats(tmp_path):
    found = [calibrate(board(), Settings(folder=tmp_path, seed=seed)).record for seed in range(4)]
    for term in ("target_offset", "sense_a", "nudge_up"):
        values = np.array([record.values[term]["value"] for record in found])
        said = np.mean([record.values[term]["uncertainty"] for record in found])
        assert 0.3 < np.sqrt(values.var(axis=0, ddof=1).mean()) / said < 3, term


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        ({"stuck": 3}, "Channel 3 of the readout is stuck"),
        ({"clipped": 2}, "Channel 2 of the readout saturates"),
    ],
)
def test_broken_channels_are_refused_by_name(tmp_path, effects, message):
    with pytest.raises(DeviceError, match=f"{message}.* is kept in .*refused.jsonl"):
        calibrate(board(**effects), Settings(folder=tmp_path))
    # Once it has been mended, nothing of what was read before counts.
    taken = []
    assert not calibrate(board(), Settings(folder=tmp_path), resumed=taken.append).record.failed
    assert not taken


@pytest.mark.parametrize(("effects", "message"), [({"slow": 0.03}, "still moves"), ({"drift": 0.02}, "drifted")])
def test_boards_outside_the_model_are_rejected_with_the_channel_and_kept(tmp_path, effects, message):
    one = board(**effects)
    record = calibrate(one, Settings(folder=tmp_path)).record
    assert message in record.failed
    assert "channel" in record.failed
    with pytest.raises(CalibrationError, match="failed"):
        correction_for(one, tmp_path)
    assert correction_for(one, tmp_path, force=True)[0].record == record.id


@pytest.mark.parametrize("effects", [{"outliers": 0.03}, {"late": 0.03}, {"fourth": 0.03}])
def test_bad_readings_and_bent_multipliers_are_handled(tmp_path, effects):
    record = calibrate(board(**effects), Settings(folder=tmp_path)).record
    assert not record.failed
    assert record.verification["as_left_lsb"] < 1


def test_goes_on_after_the_board_failed(tmp_path):
    with pytest.raises(DeviceError, match=r"stopped at vector \d+ of 86 .* does not answer.* is kept in .*journal"):
        calibrate(board(fails=150), Settings(folder=tmp_path))
    taken, stages = [], []
    done = calibrate(board(), Settings(folder=tmp_path), resumed=taken.append, advance=stages.append)
    assert taken[0] > 20
    assert len(stages) == 86
    assert not done.record.failed
    assert not list(tmp_path.glob("*/journal.jsonl"))


def test_goes_on_after_the_board_failed_at_its_records_in_time(tmp_path):
    class Mute(VirtualBoard):
        def record(self, drive, samples, interval):
            raise DeviceError("no answer")

    one = Mute(neurons=4, channels=2, mismatch=0.03, seed=11)
    with pytest.raises(DeviceError, match=r"stopped at its records in time.*no answer.* is kept in .*journal"):
        calibrate(one, Settings(folder=tmp_path))
    taken = []
    calibrate(board(), Settings(folder=tmp_path), resumed=taken.append)
    assert taken == [86]


def test_a_torn_journal_loses_one_vector(tmp_path):
    with pytest.raises(DeviceError):
        calibrate(board(fails=150), Settings(folder=tmp_path))
    (path,) = tmp_path.glob("*/journal.jsonl")
    lines = path.read_bytes().splitlines()
    path.write_bytes(path.read_bytes()[:-5])
    taken = []
    calibrate(board(), Settings(folder=tmp_path), resumed=taken.append)
    assert taken == [len(lines) - 2]


def test_states(done):
    record, one = done.record, board()
    begin = datetime.fromisoformat(record.created)
    assert record.state(begin) is State.VALID
    assert record.state(begin + timedelta(days=28)) is State.EXPIRING
    assert record.state(begin + timedelta(days=31)) is State.EXPIRED
    assert record.state(begin, one.identity, one.limits) is State.VALID
    assert record.state(begin, board(seed=12).identity) is State.FOREIGN
    assert record.state(begin, one.identity, replace(one.limits, lsb=1e-3)) is State.FOREIGN
    assert replace(record, failed="why").state(begin) is State.FAILED


def test_records_cannot_be_altered_unseen(done):
    data = json.loads(done.path.read_text())
    assert Record.from_json(done.path.read_bytes(), "it") == done.record
    data["valid_until"] = "2099-01-01T00:00:00+00:00"
    with pytest.raises(CalibrationError, match="was altered"):
        Record.from_json(json.dumps(data).encode(), "it")
    with pytest.raises(CalibrationError, match="is not a calibration record"):
        Record.from_json(b"{}", "it")


def test_records_are_never_replaced(done):
    with pytest.raises(CalibrationError, match="is there already"):
        History(done.path.parent.parent).add(done.record, b"")


def test_expired_and_foreign_records_are_refused(done, tmp_path):
    history, one = History(done.path.parent.parent), board()
    later = datetime.now(UTC) + timedelta(days=40)
    with pytest.raises(CalibrationError, match="expired on"):
        history.usable(one, later)
    assert history.usable(one, later, force=True) == done.record
    other = board(seed=12)
    assert history.usable(other, datetime.now(UTC)) is None
    with pytest.raises(CalibrationError, match="is of another board"):
        history.usable(other, datetime.now(UTC), prefix=done.record.id)
    one._limits = replace(one.limits, lsb=1e-3)
    with pytest.raises(CalibrationError, match="is of this board when it had other limits"):
        history.usable(one, datetime.now(UTC))


def test_check_standard_notices_drift(done):
    assert not check_standard(board(), done.record).reason
    moved = board()
    moved._parts.read_offset[2] += 5e-3
    assert check_standard(moved, done.record).reason.startswith("channel 2 reads")
    history = History(done.path.parent.parent)
    late = datetime.now(UTC) + timedelta(days=40)
    assert history.state(done.record, late, moved) is State.EXPIRED
    assert history.state(done.record, late, board(seed=12)) is State.FOREIGN
    with pytest.raises(CalibrationError, match="has drifted: channel 2"):
        correction_for(moved, history.folder)
    now = datetime.now(UTC)
    assert history.state(done.record, now) is State.DRIFTED
    page = write_calibration_report(history, done.record, done.path).read_text()
    assert "<td>drifted</td><td>channel 2 reads" in page
    correction_for(board(), history.folder)  # another check decides anew
    assert history.state(done.record, now) is State.VALID
    assert [bool(check["reason"]) for check in history.checks(done.record)] == [True, False]


def test_a_board_never_calibrated_is_as_made(tmp_path):
    correction, standard = correction_for(board(), tmp_path)
    assert isinstance(correction, AsMade)
    assert standard is None


def test_report_is_one_file_and_notices_altered_readings(done):
    history = History(done.path.parent.parent)
    page = write_calibration_report(history, done.record, done.path).read_text()
    assert "passed" in page
    record = replace(done.record, valid_until=datetime.now(UTC).isoformat())
    history.add(record, b"")
    page = write_calibration_report(history, done.record, done.path).read_text()
    assert f"<td>expired</td><td>valid until {record.valid_until[:19]}</td>" in page
    history.find(record.id)[1].unlink()
    assert "http://" not in page.replace("http://www.w3.org", "")
    source = done.path.with_suffix(".npz")
    data = source.read_bytes()
    source.write_bytes(data + b" ")
    with pytest.raises(CalibrationError, match="were altered"):
        write_calibration_report(history, done.record, done.path)
    source.write_bytes(data)
