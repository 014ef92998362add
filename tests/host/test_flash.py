"""Flashing: which programmer, which FPGA, and the command lines that openFPGALoader is given."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from equipoise.gateware.boards import BOARDS
from equipoise.host import flash, usb
from equipoise.host.flash import (
    board_address,
    detect_command,
    find_loader,
    flash_board,
    load_command,
    pick_device,
    read_idcode,
)
from equipoise.host.usb import UsbDevice, usb_devices
from equipoise.substrate.errors import DeviceError, ToolError

BOARD = BOARDS["ulx3s-85f"]
ONE = UsbDevice(0x0403, 0x6015, "D00123", "3:14")
TWO = UsbDevice(0x0403, 0x6015, "D00456", "3:15")
OTHER = UsbDevice(0x1D50, 0x6018, "77", "1:2")

DETECTED = """\
index 0:
\tidcode 0x{code:08x}
\tmanufacturer lattice
\tfamily ECP5
\tmodel  LFE5U-85
\tirlength 8
"""


@pytest.fixture
def loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for openFPGALoader on PATH: notes its arguments, and says what ``said`` has for each kind of call."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "openFPGALoader"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >> {tmp_path}/calls\n'
        'case "$*" in\n'
        f"*--detect*) cat {tmp_path}/detect ;;\n"
        f"*--write*) cat {tmp_path}/write 2>/dev/null; test ! -e {tmp_path}/write ;;\n"
        "esac\n"
    )
    program.chmod(0o755)
    (tmp_path / "detect").write_text(DETECTED.format(code=BOARD.idcode))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setattr(flash, "usb_devices", lambda: [ONE, OTHER])
    return tmp_path


def calls(loader: Path) -> list[str]:
    return [call for call in (loader / "calls").read_text().splitlines() if call != "--Version"]


@pytest.mark.parametrize(("persist", "option"), [(False, "--write-sram"), (True, "--write-flash")])
def test_flashes_what_it_has_looked_at(loader: Path, persist: bool, option: str) -> None:
    flash_board(BOARD, Path("top.bit"), persist=persist)
    cable = "--board ulx3s --ftdi-serial D00123"
    assert calls(loader) == [f"{cable} --detect", f"{cable} {option} top.bit"]


def test_another_fpga_is_not_written(loader: Path) -> None:
    (loader / "detect").write_text(DETECTED.format(code=0x41111043))
    with pytest.raises(
        DeviceError, match=r"^The FPGA has IDCODE 0x41111043, but ulx3s-85f \(LFE5U-85F\) has 0x41113043"
    ):
        flash_board(BOARD, Path("top.bit"))
    assert len(calls(loader)) == 1


def test_a_chain_of_two_is_not_written(loader: Path) -> None:
    (loader / "detect").write_text(2 * DETECTED.format(code=BOARD.idcode))
    with pytest.raises(DeviceError, match=r"^The JTAG chain has 2 devices \(0x41113043, 0x41113043\)"):
        flash_board(BOARD, Path("top.bit"))
    assert len(calls(loader)) == 1


def test_no_permission(loader: Path) -> None:
    (loader / "detect").write_text("unable to open ftdi device: -4 (usb_open() failed)\nJTAG init failed\n")
    with pytest.raises(DeviceError, match=r"may not be opened by this user: .* 'equipoise doctor --udev FILE'"):
        flash_board(BOARD, Path("top.bit"))


def test_a_failing_loader_is_quoted(loader: Path) -> None:
    (loader / "write").write_text("Loading\nError: Failed to program FPGA\n")
    with pytest.raises(DeviceError, match=r"^openFPGALoader failed on ulx3s-85f \(Error: Failed to program FPGA\)$"):
        flash_board(BOARD, Path("top.bit"))


def test_no_board(loader: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "usb_devices", lambda: [OTHER])
    message = r"^No ulx3s-85f is plugged in \(USB 0403:6015 not found\): connect its USB cable$"
    with pytest.raises(DeviceError, match=message):
        flash_board(BOARD, Path("top.bit"))
    assert calls(loader) == []


def test_a_board_without_volatile_loading(loader: Path) -> None:
    with pytest.raises(DeviceError, match=r"^icebreaker can only be loaded from its flash: add --persist$"):
        flash_board(BOARDS["icebreaker"], Path("top.bin"))


def test_several_boards_are_told_apart_by_serial_number() -> None:
    assert pick_device(BOARD, "D00456", [ONE, TWO]) == TWO
    with pytest.raises(DeviceError, match=r"choose one with --serial: D00123, D00456$"):
        pick_device(BOARD, None, [ONE, TWO])
    with pytest.raises(DeviceError, match=r"^No ulx3s-85f has the serial number 'X' .*plugged in: D00123, D00456\)$"):
        pick_device(BOARD, "X", [ONE, TWO])


def test_a_programmer_that_is_no_ftdi_is_told_by_its_place() -> None:
    device = UsbDevice(0x0D28, 0x0204, "abc", "1:7")
    command = detect_command("loader", BOARDS["colorlight-i5"], device)
    assert command == ["loader", "--board", "colorlight-i5", "--busdev-num", "1:7", "--detect"]


def test_idcode_of_nothing() -> None:
    assert read_idcode("JTAG init failed") is None


def test_usb_devices_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, facts in {
        "3-1": {"idVendor": "0403\n", "idProduct": "6015\n", "serial": "D00123\n", "busnum": "3\n", "devnum": "14\n"},
        "3-1:1.0": {"bInterfaceNumber": "00\n"},
        "1-2": {"idVendor": "1d50\n", "idProduct": "6018\n", "busnum": "1\n", "devnum": "2\n"},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in facts.items():
            (tmp_path / name / file).write_text(text)
    monkeypatch.setattr("equipoise.host.usb.SYSFS", tmp_path)
    assert usb_devices() == [ONE, UsbDevice(0x1D50, 0x6018, "", "1:2")]


@pytest.fixture(scope="module")
def programmer() -> str:
    """The real openFPGALoader."""
    try:
        return find_loader()
    except ToolError as error:
        pytest.skip(str(error))


def test_the_real_loader_knows_every_board(programmer: str) -> None:
    listed = subprocess.run([programmer, "--list-boards"], check=True, capture_output=True, text=True).stdout
    known = {line.split()[0] for line in listed.splitlines() if line.split()}
    assert {board.loader[1] for board in BOARDS.values()} <= known


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
@pytest.mark.parametrize("persist", [False, True])
def test_the_real_loader_takes_every_command_line(programmer: str, board, persist: bool, tmp_path: Path) -> None:
    device = UsbDevice(*board.usb, "no such board", "250:250")
    bitstream = tmp_path / "top.bit"
    bitstream.write_bytes(bytes(64))
    for command in (detect_command(programmer, board, device),
                    load_command(programmer, board, device, bitstream, persist=persist)):  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        said = done.stdout + done.stderr
        assert "does not exist" not in said and "Usage:" not in said and "rror parsing" not in said, said
        assert done.returncode != 0  # there is no such board


def test_progress_is_what_the_loader_shows(loader: Path) -> None:
    (loader / "bin/openFPGALoader").write_text(
        f'#!/bin/sh\ncase "$*" in *--detect*) cat {loader}/detect ;;\n'
        "*--write*) printf 'Loading: [==   ] 40.00%%\\rLoading: [=====] 100.00%%\\nDone\\n' ;; esac\n"
    )
    seen: list[float] = []
    assert flash_board(BOARD, Path("top.bit"), progress=seen.append) == ONE
    assert seen[-1] == 100.0


class Port:
    """A serial port as the system lists it."""

    def __init__(self, device: str, serial_number: str, location: str) -> None:
        self.vid, self.pid, self.device = 0x0403, 0x6015, device
        self.serial_number, self.location = serial_number, location


def test_the_serial_port_is_that_of_the_same_chip_and_of_two_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [Port("tty0", "D00456", "1-1:1.0"), Port("tty1", "D00123", "1-2:1.0"), Port("tty2", "D00123", "1-2:1.1")]
    monkeypatch.setattr(usb, "comports", lambda: ports)
    assert board_address(BOARD, ONE) == "serial:tty2?baud=3000000"
    assert board_address(BOARD, TWO) == "serial:tty0?baud=3000000"


def test_a_board_whose_serial_port_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usb, "comports", list)
    monkeypatch.setattr(flash, "PORT_TIMEOUT", 0.0)
    with pytest.raises(DeviceError, match=r"^ulx3s-85f was flashed, but no serial port of it is there after 0 s: plug"):
        board_address(BOARD, ONE)
    with pytest.raises(DeviceError, match=r"^The serial port of ulx3s-85f is not known .*: give --device$"):
        board_address(BOARD, None)
