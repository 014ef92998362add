"""Boards that go away and come back, on a pseudo-terminal and on TCP, and boards that are taken."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import tty
from pathlib import Path
from types import SimpleNamespace

import pytest

from equipoise.drivers.address import open_serial, open_tcp
from equipoise.drivers.serial import SerialTransport
from equipoise.host import supervision
from equipoise.host.supervision import Supervised
from equipoise.sim.memory_device import MemoryDevice
from equipoise.substrate.errors import DeviceError, LinkError, MismatchError

from .wires import Training, clean, new_device


class Pty:
    """A board's serial port: a name that leads to another terminal each time it is plugged in."""

    def __init__(self, folder, board: MemoryDevice) -> None:
        self.path = folder / "ttyBOARD"
        self.address = str(self.path)
        self.plug(board)

    def plug(self, board: MemoryDevice) -> None:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        self.path.symlink_to(os.ttyname(self._theirs))
        self._thread = threading.Thread(target=self._serve, args=(board, self._ours), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._theirs)

    def _serve(self, board: MemoryDevice, ours: int) -> None:
        with contextlib.suppress(OSError):
            while board.plugged:
                os.write(ours, board.take(os.read(ours, 4096)))
        os.close(ours)

    def open(self):
        return open_serial(self.address)


class Tcp:
    """A board behind a TCP port."""

    def __init__(self, folder, board: MemoryDevice) -> None:
        self.port = 0
        self.plug(board)

    def plug(self, board: MemoryDevice) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, args=(board, self._listener), daemon=True).start()

    def unplug(self) -> None:
        self._listener.close()

    def _serve(self, board: MemoryDevice, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                while board.plugged and (data := connection.recv(4096)):
                    connection.sendall(board.take(data))

    def open(self):
        return open_tcp(self.address)


def pull_out_at(board: MemoryDevice, frames: int) -> None:
    """Have the plug pulled when so many frames have come: what comes then is not answered."""
    board.plugged, take = True, board.take

    def taking(data: bytes) -> bytes:
        answers = take(data)
        if board.register("frames") >= frames:
            board.plugged = False
            return b""
        return answers

    board.take = taking


@pytest.fixture(params=[Pty, Tcp])
def port(request, tmp_path):
    board = new_device()
    pull_out_at(board, 40)
    return request.param(tmp_path, board)


@pytest.fixture
def on_pause(monkeypatch):
    """Does something in the pauses between attempts, which last no time."""

    def do(*work) -> list:
        left = list(work)
        ticks = iter(range(10**6))
        sleeping = lambda seconds: left.pop(0)() if left else None  # noqa: E731
        monkeypatch.setattr(supervision, "time", SimpleNamespace(monotonic=lambda: next(ticks), sleep=sleeping))
        return left

    return do


def replug(port, **options):
    board = new_device(**options)
    board.plugged = True
    port.plug(board)


def test_a_board_that_is_plugged_in_again_goes_on(port, on_pause):
    perfect, training, heard = Training(), Training(), []
    perfect.go_on(clean(new_device()))
    left = on_pause(port.unplug, lambda: None, lambda: replug(port))
    with Supervised(port.open) as device:
        device.listener = heard.append
        training.go_on(device)
        assert device.reconnects == 1
        assert device.health()["host_reconnects"] == 1
        assert device.health()["device_runs"] < training.steps
    assert training.same(perfect)
    assert not left
    assert len(heard) == 2 and heard[1].endswith(" s") and "is back after" in heard[1]


def test_a_board_that_stays_away_is_one_line(port, on_pause):
    on_pause(port.unplug)
    with Supervised(port.open) as device, pytest.raises(LinkError) as raised:
        Training().go_on(device)
    told = str(raised.value)
    assert "could not be used for 60 s: " in told and "; at last: " in told and "\n" not in told


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"board": b"board 02"}, "board 626f617264203032 instead of 6d6f64656c000000"),
        ({"build": b"build 02"}, "build 6275696c64203032 instead of "),
    ],
)
def test_another_board_or_bitstream_is_refused(port, other, message, on_pause):
    on_pause(port.unplug, lambda: replug(port, **other))
    with Supervised(port.open) as device, pytest.raises(MismatchError, match="came back as another device, " + message):
        Training().go_on(device)


def test_a_serial_port_in_use_names_who_uses_it(tmp_path):
    board = new_device()
    board.plugged = True
    port = Pty(tmp_path, board)
    with port.open():
        with pytest.raises(DeviceError) as raised:
            SerialTransport(port.address)
        assert str(raised.value).startswith(f"serial:{port.address} is in use by ")
        if f" {os.getpid()} " in Path("/proc/locks").read_text():  # not where another kernel's numbers are shown
            assert f"in use by process {os.getpid()} (" in str(raised.value)
    port.unplug()
