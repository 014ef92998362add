"""The simulated board as a process: started on demand, gone with its host."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from ..drivers.socket import SocketTransport
from ..drivers.transport import Transport
from ..substrate.closing import Closing
from ..substrate.errors import DeviceError, LinkError
from .build import BoardBuild
from .handover import READY, SOCKET_VARIABLE
from .tools import find_libpython

__all__ = ["BoardTransport", "SimulatedBoard"]

_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0
_DESCRIPTION = "sim:"


class SimulatedBoard(Closing):
    """A simulator process and the byte stream to its device.

    The process ends when its end of the stream does: on :meth:`close`, and whatever way this process ends. It has a
    session of its own, so that Ctrl-C in a terminal leaves it to its host. Use it as a context manager.

    Parameters
    ----------
    build
        What to start.
    trace
        File for waveforms (VCD), complete after :meth:`close`; ``build`` must be one that can write them.

    Attributes
    ----------
    connection
        Socket with the raw bytes from and to the device.
    pid
        Process id of the simulator.
    traced
        Whether it writes waveforms.

    Raises
    ------
    ToolError
        If Python's shared library is missing.
    DeviceError
        If the trace file cannot be written, or the simulator does not start.
    """

    def __init__(self, build: BoardBuild, *, trace: Path | None = None) -> None:
        self._arguments = [str(build.executable)]
        self.traced = trace is not None
        if trace is not None:
            self._arguments.append(str(_writable(trace)))
        self._start()

    def _start(self) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close; without a name, nothing is left behind)
        self.connection, board_end = socket.socketpair()
        with board_end:
            self._process = subprocess.Popen(
                self._arguments,
                env=_environment(board_end.fileno()),
                pass_fds=[board_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise

    def _await_ready(self) -> None:
        self.connection.settimeout(_START_TIMEOUT)
        try:
            ready = self.connection.recv(len(READY))
        except TimeoutError:
            raise DeviceError(
                f"{_DESCRIPTION} did not start within {_START_TIMEOUT:g} s: {self._last_words()}"
            ) from None
        if ready != READY:
            raise self.failure()
        self.connection.settimeout(None)

    @property
    def running(self) -> bool:
        """Whether the simulator runs."""
        return self._process.poll() is None

    def failure(self) -> DeviceError:
        """Say why the simulator stopped, from its exit code and log."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT)
        return DeviceError(f"{_DESCRIPTION} stopped with exit code {self._process.poll()}: {self._last_words()}")

    def _last_words(self) -> str:
        """The simulator's log, if it is short; else where it was written, and its last error."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        if not lines:
            return "it wrote nothing to its log"
        file, name = tempfile.mkstemp(prefix="equipoise-board-", suffix=".log", text=True)
        with open(file, "w") as copy:
            copy.write("\n".join(lines))
        errors = [line for line in lines if "Error" in line or "ERROR" in line]
        return f"{(errors or lines)[-1]} (see {name})"

    def restart(self) -> None:
        """Stop the simulator and start it again: the device as it is after power-up, with a connection of its own."""
        self.close()
        self._start()

    def close(self) -> None:
        """Stop the simulator and wait for its end. May be called twice."""
        self.connection.close()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class BoardTransport(Transport):
    """The byte stream of ``board``, which it owns from here on.

    When the stream ends, errors say why the simulator stopped.
    """

    def __init__(self, board: SimulatedBoard) -> None:
        self.description = _DESCRIPTION
        self._board = board
        self._stream = SocketTransport(board.connection, _DESCRIPTION)

    def send(self, data: bytes) -> None:  # noqa: D102 (as in Transport)
        try:
            self._stream.send(data)
        except LinkError as error:
            raise self._explain(error) from error

    def receive(self, deadline: float) -> bytes:  # noqa: D102
        try:
            return self._stream.receive(deadline)
        except LinkError as error:
            raise self._explain(error) from error

    def reset(self) -> None:  # noqa: D102
        if self._board.traced:
            raise DeviceError(f"{_DESCRIPTION} would lose its waveforms at a reset: leave out 'trace' or the fault")
        self._board.restart()
        self._stream = SocketTransport(self._board.connection, _DESCRIPTION)

    def close(self) -> None:  # noqa: D102
        self._board.close()

    def _explain(self, error: LinkError) -> DeviceError:
        return error if self._board.running else self._board.failure()


def _writable(trace: Path) -> Path:
    """The absolute path of a file for waveforms, which is made now so that a bad path is found now."""
    try:
        trace.open("wb").close()
    except OSError as error:
        raise DeviceError(f"Trace file {trace} cannot be written ({error.strerror}): choose another") from error
    return trace.resolve()


def _environment(socket_number: int) -> dict[str, str]:
    """What cocotb needs to know when it starts inside the simulator."""
    libpython = find_libpython()
    from cocotb_tools import config  # noqa: PLC0415 (the host imports this module without cocotb)

    return os.environ | {
        "GPI_USERS": f"{libpython};{config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TOPLEVEL": "board",
        "COCOTB_TEST_MODULES": f"{__package__}.bench",
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        "COCOTB_RESULTS_FILE": os.devnull,
        "COCOTB_RANDOM_SEED": "0",
        "COCOTB_LOG_LEVEL": "WARNING",
        "GPI_LOG_LEVEL": "WARNING",
        SOCKET_VARIABLE: str(socket_number),
    }
