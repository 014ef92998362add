"""ngspice's shared library: a circuit that runs, stops, is altered, and goes on.

The library keeps one circuit in global variables, and ends the process on some errors. So it is loaded in a process of
its own: see :mod:`.worker`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes.util import find_library

import numpy as np
from numpy.typing import NDArray

from ...substrate.errors import DeviceError, ToolError

__all__ = ["REMEDY", "Ngspice", "find_ngspice"]

REMEDY = "install the system package 'libngspice0' (Debian, Ubuntu), 'libngspice' (Fedora, Homebrew)"
"""How to get the library."""

_NAMES = ("libngspice.so.0", "libngspice.dylib", "ngspice.dll")

_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p)
_EXIT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_bool, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p)
_RUNNING = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_bool, ctypes.c_int, ctypes.c_void_p)

_KEPT = 40
"""Lines of ngspice's output that are kept to explain a failure."""


class _Vector(ctypes.Structure):
    """``vector_info`` of sharedspice.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("flags", ctypes.c_short),
        ("real", ctypes.POINTER(ctypes.c_double)),
        ("complex", ctypes.c_void_p),
        ("length", ctypes.c_int),
    )


def find_ngspice() -> str:
    """Name by which the library loads.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    found = find_library("ngspice")
    for name in (*([found] if found else []), *_NAMES):
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return name
    raise ToolError(f"ngspice's shared library is missing: {REMEDY}")


class Ngspice:
    """The one circuit of this process.

    Parameters
    ----------
    netlist
        Its lines, the first a title.

    Raises
    ------
    ToolError
        If the library is missing.
    DeviceError
        If ngspice refuses the netlist.
    """

    def __init__(self, netlist: Sequence[str]) -> None:
        self._library = ctypes.CDLL(find_ngspice())
        self._library.ngGet_Vec_Info.restype = ctypes.POINTER(_Vector)
        self._said: list[str] = []
        # ngspice keeps these, so Python must.
        self._callbacks = (_PRINT(self._print), _PRINT(_ignore), _EXIT(_ignore), _RUNNING(_ignore))
        written, state, exited, running = self._callbacks
        self._library.ngSpice_Init(written, state, exited, None, None, running, None)
        lines = (ctypes.c_char_p * (len(netlist) + 1))(*(line.encode() for line in netlist), None)
        # It says that it has refused a line, and reports success.
        if self._library.ngSpice_Circ(lines) or any("Error on line" in line for line in self._said):
            raise self._failure("refused the netlist")

    def command(self, text: str) -> None:
        """Have ngspice do one command of its language.

        Raises
        ------
        DeviceError
            If it fails.
        """
        if self._library.ngSpice_Command(text.encode()):
            raise self._failure(f"failed at '{text}'")

    def run(self, duration: float, *, anew: bool) -> None:
        """Run for at least ``duration`` seconds of simulated time: from the start (``anew``), or from where it stands.

        Raises
        ------
        DeviceError
            If the simulation breaks off.
        """
        if anew:
            self.command("destroy all")
        until = duration if anew else float(self.last("time", 1)[-1]) + duration
        self.command("delete all")
        self.command(f"stop when time > {until!r}")
        self._said.clear()
        self.command("run" if anew else "resume")
        if not self.points or self.last("time", 1)[-1] < until:
            raise self._failure("broke off")

    @property
    def points(self) -> int:
        """Points in time since the start."""
        vector = self._library.ngGet_Vec_Info(b"time")
        return int(vector.contents.length) if vector else 0

    def last(self, name: str, count: int) -> NDArray[np.float64]:
        """The last ``count`` values of a vector such as ``time`` or ``v(s0)``."""
        vector = self._library.ngGet_Vec_Info(name.encode())
        if not vector or vector.contents.length < count:
            raise self._failure(f"has no {count} values of '{name}'")
        end = vector.contents.length
        return np.array(vector.contents.real[end - count : end])

    def _print(self, text: bytes, _number: int, _user: int | None) -> int:
        self._said.append(text.decode(errors="replace"))
        del self._said[:-_KEPT]
        return 0

    def _failure(self, what: str) -> DeviceError:
        errors = [line.removeprefix("stderr ").strip() for line in self._said if line.startswith("stderr")]
        first = next((i for i, line in enumerate(errors) if "rror" in line or "too small" in line), -1)
        said = " ".join(errors[first:][:3]) or "nothing"
        return DeviceError(f"ngspice {what} and said: {said}")


def _ignore(*_arguments: object) -> int:
    return 0
