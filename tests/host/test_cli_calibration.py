"""``equipoise calibrate`` and ``equipoise calibration`` on a virtual board."""

import json

import pytest
from typer.testing import CliRunner

from equipoise.host.cli.app import app
from equipoise.sim.virtual_board import Effects, VirtualBoard
from equipoise.substrate.errors import CalibrationError

RUN = CliRunner()


@pytest.fixture
def boards(monkeypatch, tmp_path):
    """Addresses open a virtual board; its effects can be set."""
    effects = {}
    monkeypatch.setenv("EQUIPOISE_CALIBRATIONS", str(tmp_path))
    monkeypatch.setattr(
        "equipoise.host.analog.open_board",
        lambda address: VirtualBoard(neurons=3, channels=1, mismatch=0.03, seed=5, effects=Effects(**effects)),
    )
    return effects


def call(*arguments):
    done = RUN.invoke(app, arguments)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_calibrate_list_show_diff(boards):
    first, second = (
        json.loads(call("calibrate", "--device", "spice:", "--seed", seed, "--valid", "7", "--json"))
        for seed in ("1", "2")
    )
    assert not first["failed"]
    assert first["as_left_lsb"] < 1 < first["as_found_lsb"]
    listed = json.loads(call("calibration", "list", "--json"))["records"]
    assert [(each["id"], each["state"]) for each in listed] == [(first["id"], "valid"), (second["id"], "valid")]
    shown = json.loads(call("calibration", "show", second["id"][:8], "--json"))
    assert shown["parent"] == first["id"]
    moved = json.loads(call("calibration", "diff", first["id"], second["id"], "--json"))["terms"]
    assert moved["target_offset"]["rms"] < 1e-3
    assert first["id"] in call("calibration", "list")
    assert first["id"] in call("calibration", "show", first["id"])
    assert "target_offset" in call("calibration", "diff", first["id"], second["id"])


def test_plan_measures_nothing(boards, tmp_path):
    planned = json.loads(call("calibrate", "--device", "spice:", "--plan", "--json"))
    assert sum(planned["vectors"].values()) == 82
    assert not list(tmp_path.iterdir())


def test_a_rejected_calibration_fails_and_is_kept(boards):
    boards["drift"] = 0.05
    with pytest.raises(CalibrationError, match=r"is rejected: channel \d drifted"):
        call("calibrate", "--device", "spice:")
    assert "failed" in call("calibration", "list")


def test_unknown_record():
    with pytest.raises(CalibrationError, match="There is no record 'ffff'"):
        call("calibration", "show", "ffff")
