"""Analog boards by their addresses, and training on one, by the command, as on any other device."""

import json

import numpy as np
import pytest

from equipoise.host import doctor, trainer
from equipoise.host.analog import open_board
from equipoise.host.devices import open_device
from equipoise.sim.spice.ngspice import REMEDY, find_ngspice
from equipoise.substrate.errors import DeviceError, EquipoiseError, ToolError

NETWORK = """
output = "image"
levels = 2

[[module]]
name = "noisy"
size = 2
clamped = true

[[module]]
name = "image"
size = 2

[[coupling]]
a = "noisy"
b = "image"
rank = 2
"""


@pytest.fixture
def ngspice():
    try:
        find_ngspice()
    except ToolError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def records(tmp_path, monkeypatch):
    """A folder of calibrations of its own."""
    monkeypatch.setenv("EQUIPOISE_CALIBRATIONS", str(tmp_path / "calibrations"))
    return tmp_path / "calibrations"


def test_a_calibrated_board_is_opened_with_its_newest_record(ngspice, call):
    """The same board, whatever else its address says; another board has none; an expired record is refused."""
    board = "spice:?neurons=4&channels=2&mismatch=0.03&seed=4"
    with open_device(board) as device:
        assert device.identity.details["calibration"] == ""
        assert device.identity.details["calibration_state"] == "none"
    code, out, err = call("calibrate", "--device", board, "--json")
    assert code == 0, err
    record = json.loads(out)["id"]
    with open_device(f"{board}&averages=4") as device:
        assert device.identity.details["calibration"] == record
        assert device.identity.details["calibration_state"] == "valid"
    with open_device(f"{board}&calibration=none") as device:
        assert device.identity.details["calibration"] == ""
    with open_device("spice:?neurons=4&channels=2&mismatch=0.03&seed=5") as device:
        assert device.identity.details["calibration"] == ""
    code, _, err = call("calibrate", "--device", board, "--valid", "1e-6", "--json")
    assert code == 0, err
    with pytest.raises(EquipoiseError, match=r"^Calibration \w+ expired on .* with the option calibration=any"):
        open_device(board)
    with open_device(f"{board}&calibration=any") as device:
        assert device.identity.details["calibration"] not in ("", record)
        assert device.identity.details["calibration_state"] == "expired"


def test_training_goes_on_the_spice_board(ngspice, call, tmp_path, monkeypatch):
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(12, 1, 2)))
    (tmp_path / "net.toml").write_text(NETWORK)
    monkeypatch.setattr(trainer, "_SHOWN_SAMPLES", {True: 1, False: 1})  # samples take many runs each
    code, _, err = call(
        "train", "--network", "net.toml", "--data", "data.npy", "--steps", 2, "--batch", 2,
        "--device", "spice:?neurons=4&channels=2&averages=16", "--out", "run",
    )  # fmt: skip
    assert code == 0, err
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if record["kind"] == "step"] == [1, 2]
    assert min(record["cosine"] for record in records if record["kind"] == "evaluation") > 0.99
    device = json.loads((tmp_path / "run" / "device.json").read_text())
    assert device["kind"] == "analog"
    assert device["details"]["limits"]["neurons"] == 4


@pytest.mark.parametrize(
    ("name", "board", "message"),
    [
        ("digits-quick", "spice:", "The board has 8 neurons, the network needs 160: take a smaller network"),
        ("points-small", "spice:?neurons=28&channels=14", "All neurons of a board have one quartic, the network's have "
         "0 to 1: give all modules that are not clamped the same quartic"),
        ("digits", "spice:", "Module 'hidden' is to reach its rails, which a board takes for an overload: leave out "
         "railed, and set quartic above 0"),
    ],
)  # fmt: skip
def test_recipes_that_no_board_can_run_are_refused_with_one_that_it_can(ngspice, call, name, board, message):
    assert call("train", "--recipe", name, "--device", board) == (
        1, "", f"equipoise: {message}; recipe points-board fits a board of 8 neurons and 4 channels\n",
    )  # fmt: skip


def test_a_board_without_a_network(ngspice):
    with open_board("spice:?neurons=3&channels=2&mismatch=0.02&seed=5&averages=4") as board:
        assert (board.limits.neurons, board.limits.channels) == (3, 2)
        assert board.identity.serial == "3x2-mismatch0.02-noise0-seed5"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("spice:?averages=0&neurons=1&channels=1", "Readings averaged must be at least 1, not 0"),
        ("spice:?order=-%2B&neurons=1&channels=1", "Order of nudged phases must be one of +-, +--+, not '-+'"),
        ("serial:/dev/none?order=%2B-", "Option 'order' is for analog boards: add &profile=FILE to 'serial:/dev/none'"),
        ("visa:X::Y?profile=none.toml", "Profile 'none.toml' cannot be read (No such file or directory): give a file, "
         "or one of rack, reference"),
    ],
)  # fmt: skip
def test_wrong_options(address, message, request):
    if address.startswith("spice"):
        request.getfixturevalue("ngspice")
    with pytest.raises(EquipoiseError) as raised:
        open_device(address)
    assert str(raised.value) == message


def test_an_fpga_board_is_no_analog_board():
    with pytest.raises(DeviceError, match=r"needs a profile to be an analog board: add \?profile=FILE$"):
        open_board("serial:/dev/ttyUSB0")


def test_the_doctor_says_how_to_get_ngspice(monkeypatch):
    def missing():
        raise ToolError("none")

    monkeypatch.setattr(doctor, "find_ngspice", missing)
    monkeypatch.setattr(doctor, "comports", list)
    check = next(check for check in doctor.check_machine() if check.name == "ngspice")
    assert (check.ok, check.required, check.remedy) == (False, False, REMEDY)


def test_without_ngspice_a_board_does_not_open(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", missing)
    with pytest.raises(ToolError) as raised:
        open_device("spice:")
    assert str(raised.value) == f"ngspice's shared library is missing: {REMEDY}"
