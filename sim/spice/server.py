"""The reference board: a board served as an instrument that understands SCPI, on TCP and as a pseudo-terminal.

Parser, error queue and status registers are those of the package scpipy. Commands are those of the shipped profile
``reference``.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...drivers.analog.board import AnalogBoard, Drive, Reading, Trace, Wiring
from ...substrate.errors import CapabilityError, DeviceError, EquipoiseError, ToolError

__all__ = ["serve_board"]

Array = NDArray[np.float64]

LONGEST_MESSAGE = 1 << 20
"""Bytes of a message: the weights of the largest board, several times over."""


def serve_board(
    board: AnalogBoard,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    pty: bool = False,
    announce: Callable[[str], None] = print,
) -> None:
    """Serve ``board`` until interrupted.

    Parameters
    ----------
    board
        What to serve.
    host, port
        Where to listen; port 0 takes a free one. Anybody who reaches the port can use the board.
    pty
        As a pseudo-terminal in place of TCP.
    announce
        Called with the address to be used, such as ``visa:TCPIP::127.0.0.1::40123::SOCKET``.

    Raises
    ------
    ToolError
        If scpipy is not installed.
    DeviceError
        If the port cannot be listened on.
    """
    asyncio.run(_serve(board, host, port, pty, announce))


async def _serve(board: AnalogBoard, host: str, port: int, pty: bool, announce: Callable[[str], None]) -> None:
    front = _FrontPanel(board)
    server = front.server()
    # scpipy's own `run` neither tells which port it took nor knows terminals: the streams are ours, the rest its own.
    if pty:
        await _serve_pty(server, announce)
        return
    try:
        listener = await asyncio.start_server(server._handle_client, host, port, limit=LONGEST_MESSAGE)
    except OSError as error:
        raise DeviceError(
            f"{host}:{port} cannot be listened on ({os.strerror(error.errno or 0)}): choose another"
        ) from error
    async with listener:
        announce("visa:TCPIP::{}::{}::SOCKET".format(*listener.sockets[0].getsockname()[:2]))
        await listener.serve_forever()


async def _serve_pty(server: Any, announce: Callable[[str], None]) -> None:
    ours, theirs = os.openpty()
    loop = asyncio.get_running_loop()
    try:
        tty.setraw(theirs)
        reader = asyncio.StreamReader(limit=LONGEST_MESSAGE)
        protocol = asyncio.StreamReaderProtocol(reader)
        await loop.connect_read_pipe(lambda: protocol, os.fdopen(os.dup(ours), "rb", buffering=0))
        transport, writing = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(os.dup(ours), "wb", buffering=0)
        )
        announce(f"visa:ASRL{os.ttyname(theirs)}::INSTR")
        await server._handle_client(reader, asyncio.StreamWriter(transport, writing, reader, loop))
    finally:
        os.close(ours)
        os.close(theirs)  # open until now, so that the terminal outlives its users


class _FrontPanel:
    """What SCPI commands do to a board."""

    def __init__(self, board: AnalogBoard) -> None:
        self._board = board
        limits = board.limits
        self._weights = {side: np.zeros((limits.neurons, limits.channels)) for side in "ab"}
        self._masks = {name: np.zeros(limits.neurons, dtype=bool) for name in ("clamped", "output")}
        self._volts = {name: np.zeros(limits.neurons) for name in ("bias", "clamp", "target")}
        self._drives = {side: np.zeros(limits.channels) for side in "ab"}
        self._nudge, self._averages, self._restart = 0.0, 1, False
        self._wired = False
        self._running: asyncio.Task[Reading] | None = None
        self._reading: Reading | None = None
        self._thread = ThreadPoolExecutor(1)  # a board belongs to one thread

    def server(self) -> Any:
        """A server of scpipy that knows the board's commands."""
        try:
            from scpipy.server import Server  # noqa: PLC0415
            from scpipy.shared.errors import DefaultScpiErrors, ScpiError  # noqa: PLC0415
        except ImportError:
            raise ToolError("Serving a board needs scpipy: pip install 'equipoise[analog]'") from None
        server = Server("", 0, shared_context=True)
        for command, handler in self._commands().items():
            server._router.add_route(command, handler)

        def told(number: int, what: str) -> Callable[..., Any]:
            return lambda error, _context, _command: ScpiError(number, f"{what};{_quoted(error)}")

        server.add_exception_handler(CapabilityError, told(-222, "Data out of range"))
        server.add_exception_handler(EquipoiseError, told(-240, "Hardware error"))
        server.add_exception_handler(_Wrong, told(-220, "Parameter error"))
        server.add_exception_handler(ValueError, lambda *_: DefaultScpiErrors.DATA_TYPE_ERROR.value)
        return server

    def _commands(self) -> dict[str, Callable[..., Any]]:
        board, limits = self._board, self._board.limits
        identity = board.identity

        def weights(side: str) -> Callable[..., None]:
            def handler(context: Any, channel: str, *values: str) -> None:
                p = int(channel)
                if not 0 <= p < limits.channels:
                    raise _Wrong(f"channel {p} is not from 0 to {limits.channels - 1}")
                self._weights[side][:, p] = _numbers(values, limits.neurons)
                self._wired = False

            return handler

        def masks(name: str) -> Callable[..., None]:
            def handler(context: Any, *values: str) -> None:
                self._masks[name] = _numbers(values, limits.neurons) != 0
                self._wired = False

            return handler

        def lists(table: dict[str, Array], name: str, count: int) -> Callable[..., None]:
            def handler(context: Any, *values: str) -> None:
                table[name] = _numbers(values, count)

            return handler

        def nudge(context: Any, value: str) -> None:
            self._nudge = float(value)

        def averages(context: Any, value: str) -> None:
            self._averages = int(value)

        def restart(context: Any) -> None:
            self._restart = True

        return {
            "*IDN?": lambda context: f"{identity.maker},{identity.model},{identity.serial},{identity.firmware}",
            "SYSTem:SIZE?": lambda context: f"{limits.neurons},{limits.channels}",
            "COUPling:A <channel>": weights("a"),
            "COUPling:B <channel>": weights("b"),
            "SWITch:CLAMp <values>": masks("clamped"),
            "SWITch:OUTPut <values>": masks("output"),
            "VOLTage:BIAS <values>": lists(self._volts, "bias", limits.neurons),
            "VOLTage:CLAMp <values>": lists(self._volts, "clamp", limits.neurons),
            "VOLTage:TARGet <values>": lists(self._volts, "target", limits.neurons),
            "DRIVe:A <values>": lists(self._drives, "a", limits.channels),
            "DRIVe:B <values>": lists(self._drives, "b", limits.channels),
            "NUDGe <value>": nudge,
            "AVERage <value>": averages,
            "RESTart": restart,
            "INITiate": self._initiate,
            "SETTled?": self._settled,
            "FETCh?": self._fetch,
            "OVERload?": self._overload,
            "TEMPerature?": self._temperature,
            "SUPPly?": self._supply,
            "RECord? <samples>,<interval>": self._record,
            "REFerence? <volts>": self._reference,
        }

    def _initiate(self, context: Any) -> None:
        """Start a phase; the board is busy until it has settled, which ``*OPC?`` waits for as well."""
        self._reading = None
        self._running = context.status.start_operation(self._do(self._phase, self._wiring(), self._drive()))

    async def _settled(self, context: Any) -> str:
        if self._running is None:
            raise _Wrong("nothing was initiated")
        self._reading = await self._running
        return str(int(self._reading.settled))

    def _fetch(self, context: Any) -> str:
        return _text(self._read().volts)

    def _overload(self, context: Any) -> str:
        return _text(self._read().overload)

    async def _temperature(self, context: Any) -> str:
        return _sensed((await self._do(self._board.sensors)).temperature)

    async def _supply(self, context: Any) -> str:
        return _sensed((await self._do(self._board.sensors)).supply)

    async def _record(self, context: Any, samples: str, interval: str) -> str:
        count, seconds = int(samples), float(interval)
        trace = await self._do(self._trace, self._wiring(), self._drive(), count, seconds)
        return _text(trace.volts.ravel())

    async def _reference(self, context: Any, volts: str) -> str:
        reading = await self._do(self._board.reference, float(volts), self._averages)
        return _text(np.where(reading.overload, 9.9e37, reading.volts))

    def _phase(self, wiring: Wiring, drive: Drive) -> Reading:
        self._wire(wiring)
        return self._board.phase(drive)

    def _trace(self, wiring: Wiring, drive: Drive, samples: int, interval: float) -> Trace:
        self._wire(wiring)
        return self._board.record(drive, samples, interval)

    def _wire(self, wiring: Wiring) -> None:
        if not self._wired:
            self._board.wire(wiring)
            self._wired = True

    def _wiring(self) -> Wiring:
        return Wiring(
            self._weights["a"].copy(), self._weights["b"].copy(), self._masks["clamped"], self._masks["output"]
        )

    def _read(self) -> Reading:
        if self._reading is None:
            raise _Wrong("no phase has ended")
        return self._reading

    def _drive(self) -> Drive:
        volts, drives = self._volts, self._drives
        restart, self._restart = self._restart, False
        return Drive(
            volts["bias"],
            volts["clamp"],
            volts["target"],
            drives["a"],
            drives["b"],
            self._nudge,
            restart,
            self._averages,
        )

    async def _do(self, function: Callable[..., Any], *arguments: object) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


class _Wrong(Exception):
    """A command came with a wrong value, or at the wrong time."""


def _numbers(words: tuple[str, ...], count: int) -> Array:
    if len(words) != count:
        raise _Wrong(f"{len(words)} values where {count} are due")
    numbers = np.array([float(word) for word in words])
    if not np.all(np.isfinite(numbers)):
        raise _Wrong("a value is not finite")
    return numbers


def _sensed(value: float | None) -> str:
    """A sensor's answer; that of SCPI for "no reading" where there is none."""
    return "9.91E37" if value is None else f"{value:.3f}"


def _text(values: NDArray[np.generic]) -> str:
    return ",".join(f"{float(value):.9g}" for value in values)


def _quoted(error: Exception) -> str:
    """An error's message as it may stand within quotes in an answer, on one line, and without a separator."""
    return " ".join(str(error).replace('"', "'").replace(";", ",").split())[:200]
