"""A served board, used from another program by the drivers for TCP and serial ports."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from equipoise.drivers.requests import Request
from equipoise.drivers.serial import SerialTransport
from equipoise.drivers.session import Session
from equipoise.drivers.tcp import TOKEN_VARIABLE, connect_tcp
from equipoise.drivers.transport import Transport
from equipoise.sim.board import SimulatedBoard
from equipoise.sim.door import is_loopback
from equipoise.sim.serve import serve_tcp
from equipoise.substrate.errors import DeviceError
from equipoise.substrate.protocol import Operation

from ..conftest import SMALL
from .processes import DEADLINE, Watch, script, watching

SERVER = f"""
from equipoise.sim.board import SimulatedBoard
from equipoise.sim.build import build_board
from equipoise.sim.serve import serve_pty, serve_tcp
from equipoise.substrate.geometry import Geometry

with SimulatedBoard(build_board({SMALL!r})) as board:
    serve_%s(board, announce=lambda address: print(board.pid, address, flush=True)%s)
"""


@contextlib.contextmanager
def serving(kind: str, **options: str) -> Iterator[tuple[subprocess.Popen[str], Watch, str]]:
    """A program that serves a board: the program, its board's process, and the address it announced."""
    told = "".join(f", {name}={value!r}" for name, value in options.items())
    with script(SERVER % (kind, told)) as server:
        pid, address = server.stdout.readline().split()
        with watching(int(pid)) as board:
            yield server, board, address


def connect(address: str) -> Transport:
    kind, _, rest = address.partition(":")
    if kind == "serial":
        return SerialTransport(rest)
    host, _, port = rest.rpartition(":")
    return connect_tcp(host, int(port))


@pytest.mark.parametrize("kind", ["tcp", "pty"])
def test_one_client_after_another_uses_the_same_board(kind, board_build):
    with serving(kind) as (_, _, address):
        for number in range(3):
            session = Session(connect(address))
            assert session.hello.geometry == SMALL
            assert session.read("registers")[0] == number
            session.write("registers", 0, [number + 1])
            burst = [Request(Operation.ECHO, bytes([number]) * 1000, "ECHO", expects=1000) for _ in range(50)]
            assert [answer.payload for answer in session.burst(burst)] == [request.payload for request in burst]
            assert session.counters["retries"] == 0
            session.close()


def test_a_client_that_vanishes_in_the_middle_leaves_the_board_to_the_next(board_build):
    with serving("tcp") as (_, _, address):
        client = connect(address)
        client.send(b"\x05\x01half a frame" * 2_000)  # no more than a session leaves unanswered
        client.close()
        session = Session(connect(address))
        assert session.hello.geometry == SMALL


def test_a_second_client_is_told_who_uses_the_board(board_build):
    with serving("tcp") as (_, _, address):
        session = Session(connect(address))
        in_use = rf"^{address} turned this host away: in use by 127\.0\.0\.1:\d+ since \d\d:\d\d:\d\d$"
        with pytest.raises(DeviceError, match=in_use):
            Session(connect(address))
        assert session.read("registers")[0] == 0
        session.close()
        assert Session(connect(address)).hello.geometry == SMALL


@pytest.mark.parametrize("shown", [None, "wrong", "", "x" * 1000])
def test_a_client_without_the_token_is_turned_away(shown, board_build, monkeypatch):
    with serving("tcp", token="secret") as (_, _, address):
        monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
        if shown is not None:
            monkeypatch.setenv(TOKEN_VARIABLE, shown)
        with pytest.raises(DeviceError, match=r"turned this host away: it asks for a token, and got none or a wrong"):
            Session(connect(address))
        monkeypatch.setenv(TOKEN_VARIABLE, "secret")
        assert Session(connect(address)).hello.geometry == SMALL


def test_a_token_that_nobody_asks_for_is_noise(board_build, monkeypatch):
    with serving("tcp") as (_, _, address):
        monkeypatch.setenv(TOKEN_VARIABLE, "secret")
        assert Session(connect(address)).hello.geometry == SMALL


@pytest.mark.parametrize(
    ("host", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("lab7", False)]
)
def test_other_machines_need_a_token(host, loopback):
    assert is_loopback(host) == loopback
    if not loopback:
        with pytest.raises(DeviceError, match=rf"^tcp:{host}:0 can be reached from other machines: serve it with a t"):
            serve_tcp(None, host)


@pytest.mark.parametrize("kind", ["tcp", "pty"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_board_ends_with_its_server(kind, end, board_build):
    with serving(kind) as (server, board, address):
        session = Session(connect(address))
        server.send_signal(end)
        assert board.ended()
        with pytest.raises(DeviceError):
            session.read("registers")


@pytest.mark.parametrize("kind", ["tcp", "pty"])
@pytest.mark.parametrize("connected", [False, True])
def test_a_server_says_when_its_board_has_died(kind, connected, board_build):

    with serving(kind) as (server, board, address):
        session = Session(connect(address)) if connected else None
        os.kill(board.pid, signal.SIGKILL)
        last = server.communicate(timeout=DEADLINE)[1].splitlines()[-1]
        assert last == "equipoise.substrate.errors.DeviceError: sim: stopped with exit code -9: " + (
            "it wrote nothing to its log"
        )
        del session


def test_a_port_in_use_is_named(board_build):
    with socket.create_server(("127.0.0.1", 0)) as taken, SimulatedBoard(board_build) as board:
        port = taken.getsockname()[1]
        with pytest.raises(DeviceError) as error:
            serve_tcp(board, port=port)
    assert str(error.value) == f"tcp:127.0.0.1:{port} cannot be served (Address already in use): choose another"
