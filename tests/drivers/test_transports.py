"""Transports over real sockets and pseudo-terminals."""

import os
import pty
import socket
import time

import numpy as np
import pytest

from equipoise.drivers.serial import SerialTransport
from equipoise.drivers.session import Session
from equipoise.drivers.socket import SocketTransport
from equipoise.drivers.tcp import connect_tcp
from equipoise.substrate.errors import DeviceError, LinkError

from .peer import MemoryDevice, serve


@pytest.fixture
def terminal():
    """The two ends of a pseudo-terminal: a file descriptor, and the path that a driver opens."""
    far, near = pty.openpty()
    yield far, os.ttyname(near)
    os.close(near)
    os.close(far)


class Terminal:
    """The far end of a pseudo-terminal, as a connection to serve."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def recv(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except OSError:  # the near end was closed
            return b""

    def sendall(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._descriptor, data) :]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


def listen() -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


def past() -> float:
    return time.monotonic() - 1


def test_a_socket_gives_what_is_there_and_nothing_at_the_deadline():
    near, far = socket.socketpair()
    transport = SocketTransport(near, "pair:")
    assert transport.receive(past()) == b""
    assert transport.receive(time.monotonic() + 0.001) == b""
    far.sendall(b"abc")
    assert transport.receive(time.monotonic() + 60) == b"abc"
    transport.send(b"xyz")
    assert far.recv(10) == b"xyz"
    transport.close()
    transport.close()
    far.close()


def test_a_peer_that_is_gone_is_told_on_both_ways():
    near, far = socket.socketpair()
    transport = SocketTransport(near, "pair:")
    far.close()
    with pytest.raises(LinkError) as raised:
        transport.receive(time.monotonic() + 60)
    assert str(raised.value) == ("pair: closed the connection (end of stream): check that it runs, then open it again")
    with pytest.raises(LinkError, match=r"^pair: closed the connection \(.*Broken pipe\): check"):
        transport.send(b"x")
    transport.close()
    with pytest.raises(LinkError, match=r"^pair: closed the connection"):
        transport.receive(past())


def test_a_peer_that_takes_nothing_is_told(monkeypatch):
    monkeypatch.setattr("equipoise.drivers.socket.SEND_TIMEOUT", 0.01)
    near, far = socket.socketpair()
    with pytest.raises(LinkError) as raised:
        SocketTransport(near, "pair:").send(bytes(10**7))
    assert str(raised.value) == "pair: took no bytes for 0.01 s: check that it runs, then open it again"
    near.close()
    far.close()


def test_a_session_over_tcp():
    listener, port = listen()
    transport = connect_tcp("127.0.0.1", port)
    assert transport.description == f"tcp:127.0.0.1:{port}"
    assert transport._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    thread = serve(MemoryDevice(), listener.accept()[0])
    listener.close()
    session = Session(transport)
    session.write("samples", 0, np.arange(1000))
    np.testing.assert_array_equal(session.read("samples", 0, 1000), np.arange(1000))
    session.close()
    thread.join(10)


def test_nobody_listens():
    listener, port = listen()
    listener.close()
    with pytest.raises(DeviceError) as raised:
        connect_tcp("127.0.0.1", port)
    assert str(raised.value) == (
        f"tcp:127.0.0.1:{port} cannot be reached (Connection refused): check host and port, and that it is served"
    )


def test_a_serial_port_gives_what_is_there_and_nothing_at_the_deadline(terminal):
    far, path = terminal
    SerialTransport(path).close()  # makes the line raw
    os.write(far, b"left over")
    transport = SerialTransport(path)
    assert transport.description == f"serial:{path}"
    assert transport.receive(past()) == b""
    os.write(far, b"\0\x11\x13\xff\n\r\x03")
    assert transport.receive(time.monotonic() + 60) == b"\0\x11\x13\xff\n\r\x03", "the line is raw"
    transport.send(b"\x04\n\x00")
    assert os.read(far, 10) == b"\x04\n\x00"
    transport.close()
    transport.close()
    with pytest.raises(LinkError, match=f"^serial:{path} went away"):
        transport.receive(past())


def test_a_session_over_a_pseudo_terminal():
    far, near = pty.openpty()
    transport = SerialTransport(os.ttyname(near))
    os.close(near)
    thread = serve(MemoryDevice(), Terminal(far))
    session = Session(transport)
    session.write("biases", 0, np.arange(64))
    np.testing.assert_array_equal(session.read("biases", 0, 64), np.arange(64))
    session.close()
    thread.join(10)
    assert not thread.is_alive()
    os.close(far)


def test_a_serial_port_serves_one_program(terminal):
    _, path = terminal
    transport = SerialTransport(path)
    with pytest.raises(DeviceError, match=f"^serial:{path} is in use by "):
        SerialTransport(path)
    transport.close()
    SerialTransport(path).close()


def test_a_serial_port_that_is_not_there():
    with pytest.raises(DeviceError) as raised:
        SerialTransport("by-id/usb-nothing", 115200)
    message = str(raised.value)
    assert message.startswith("serial:by-id/usb-nothing cannot be opened at 115200 baud (")
    assert "/dev/serial/by-id/usb-nothing" in message
    assert message.endswith(
        "check that the cable is in, that no other program uses the port, and that you may open it "
        "(on Linux: be in its group, often 'dialout')"
    )


def test_a_serial_port_that_goes_away():
    far, near = pty.openpty()
    path = os.ttyname(near)
    os.close(near)
    transport = SerialTransport(path)
    os.close(far)
    with pytest.raises(LinkError, match=f"^serial:{path} went away"):
        transport.receive(time.monotonic() + 60)
    with pytest.raises(LinkError, match=f"^serial:{path} went away"):
        transport.send(b"x")
    transport.close()
