"""What is found on this machine, and what is said of what is missing."""

from types import SimpleNamespace

import pytest

from equipoise.gateware.boards import BOARDS
from equipoise.host import doctor
from equipoise.host.doctor import Check, check_machine
from equipoise.substrate.errors import ToolError


@pytest.fixture
def checks(monkeypatch, tmp_path):
    """Calls the checks with a cache folder of our own."""
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "comports", list)
    return lambda: {check.name: check for check in check_machine()}


def test_looks_for_what_training_needs(checks):
    assert [name for name, check in checks().items() if check.required] == [
        "python", "g++", "make", "perl", "verilator", "libpython", "amaranth", "cocotb", "cache folder",
    ]  # fmt: skip


def test_finds_python(checks):
    assert checks()["python"].ok


def test_a_missing_tool_comes_with_its_remedy(checks, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = checks()
    assert found["g++"] == Check(
        "g++", "simulated board", "", "install the system package 'g++' (Debian, Ubuntu) or 'gcc-c++' (Fedora)"
    )
    assert found["perl"].remedy == "install the system package 'perl'"
    assert not found["openFPGALoader"].required


def test_a_tool_that_does_not_run_is_missing(checks, monkeypatch, tmp_path):
    broken = tmp_path / "make"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checks()["make"].remedy == "install the system package 'make'"


def test_a_cache_folder_that_cannot_be_made(checks, monkeypatch, tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("EQUIPOISE_CACHE", str(blocker))
    assert checks()["cache folder"].remedy == (
        f"make '{blocker}/boards' writable (Not a directory), or set EQUIPOISE_CACHE to another folder"
    )


@pytest.mark.parametrize(("allowed", "remedy"), [(True, ""), (False, "sudo usermod -aG uucp $USER, then log in again")])
def test_serial_ports(checks, monkeypatch, allowed, remedy):
    monkeypatch.setattr(doctor, "comports", lambda: [SimpleNamespace(device="/dev/ttyUSB7")])
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: allowed)
    monkeypatch.setattr(doctor, "_group", lambda path: "uucp")
    assert checks()["/dev/ttyUSB7"].remedy == remedy


def test_the_udev_rule_covers_every_known_board(tmp_path):
    commands = doctor.write_udev_rule(tmp_path / "my rule")
    rule = (tmp_path / "my rule").read_text()
    for board in BOARDS.values():
        vendor, product = board.usb
        assert f'SUBSYSTEM=="usb", ATTRS{{idVendor}}=="{vendor:04x}", ATTRS{{idProduct}}=="{product:04x}", ' in rule
    assert commands[0] == f"sudo cp '{tmp_path}/my rule' /etc/udev/rules.d/70-equipoise.rules"


def test_a_udev_rule_that_cannot_be_written(tmp_path):
    with pytest.raises(ToolError, match=r"^udev rule '.*' cannot be written \(Is a directory\): give another file$"):
        doctor.write_udev_rule(tmp_path)
