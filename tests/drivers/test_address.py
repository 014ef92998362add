"""Device addresses: read, refused with a remedy, opened."""

import os
import pty
import socket
from pathlib import Path

import pytest

from equipoise.drivers.address import SERIAL, TCP, Scheme, open_tcp, parse_address
from equipoise.substrate.errors import DeviceError

from .peer import MemoryDevice, serve
from .test_transports import Terminal

SCHEMES = {
    scheme.name: scheme
    for scheme in (
        SERIAL,
        TCP,
        Scheme("plain", "no target, no options", lambda: "plain device"),
        Scheme("made", "no target", lambda **options: options, options={"lanes": int, "trace": Path}),
        Scheme("scaled", "a number", lambda **options: options, options={"scale": float}),
    )
}


@pytest.mark.parametrize(
    ("text", "name", "target", "options"),
    [
        ("serial:/dev/ttyUSB1?baud=3000000", "serial", "/dev/ttyUSB1", {"baud": 3000000}),
        ("serial:by-id/usb-FTDI_1-if01", "serial", "by-id/usb-FTDI_1-if01", {}),
        ("serial:COM3", "serial", "COM3", {}),
        ("tcp:[::1]:7000", "tcp", "[::1]:7000", {}),
        ("made:", "made", "", {}),
        ("scaled:?scale=2.5", "scaled", "", {"scale": 2.5}),
        (" made: ", "made", "", {}),
        ("made:?lanes=4&trace=/a/b%26c", "made", "", {"lanes": 4, "trace": Path("/a/b&c")}),
    ],
)
def test_addresses(text, name, target, options):
    address = parse_address(text, SCHEMES)
    assert (address.scheme.name, address.target, address.options) == (name, target, options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Device address '' must begin with one of serial:, tcp:, plain:, made:, scaled:"),
        ("made", "Device address 'made' must begin with one of serial:, tcp:, plain:, made:, scaled:"),
        ("visa:X", "Device address 'visa:X' must begin with one of serial:, tcp:, plain:, made:, scaled:"),
        ("serial:", "Device address 'serial:' must have the form serial:PORT[?baud=BAUD]"),
        ("serial:?baud=1", "Device address 'serial:?baud=1' must have the form serial:PORT[?baud=BAUD]"),
        ("plain:here", "Device address 'plain:here' must have the form plain:"),
        ("made:here", "Device address 'made:here' must have the form made:[?lanes=LANES&trace=TRACE]"),
        ("serial:x?baut=1", "Option 'baut' of device address 'serial:x?baut=1' is unknown; known are: baud"),
        ("plain:?a=1", "Option 'a' of device address 'plain:?a=1' is unknown; known are: none"),
        ("serial:x?baud=1&baud=2", "Option 'baud' of device address 'serial:x?baud=1&baud=2' is given twice"),
        ("serial:x?baud=fast", "Option 'baud' of device address 'serial:x?baud=fast' must be an integer, not 'fast'"),
        ("serial:x?baud", "Option 'baud' of device address 'serial:x?baud' must be an integer, not ''"),
        ("scaled:?scale=x", "Option 'scale' of device address 'scaled:?scale=x' must be a number, not 'x'"),
        ("made:?trace=", "Option 'trace' of device address 'made:?trace=' must be a path, not ''"),
    ],
)
def test_addresses_that_are_none(text, message):
    with pytest.raises(DeviceError) as raised:
        parse_address(text, SCHEMES)
    assert str(raised.value) == message


def test_opening_passes_options_on():
    assert parse_address("made:?lanes=4", SCHEMES).open() == {"lanes": 4}
    assert parse_address("plain:", SCHEMES).open() == "plain device"


@pytest.mark.parametrize("place", ["host", ":1", "host:", "host:x", "host:0", "host:65536", "host:-1"])
def test_tcp_needs_host_and_port(place):
    with pytest.raises(DeviceError) as raised:
        open_tcp(place)
    assert str(raised.value) == (
        f"Device address 'tcp:{place}' must have the form tcp:HOST:PORT, with a port from 1 to 65535"
    )


def test_opens_a_device_over_tcp():
    listener = socket.create_server(("127.0.0.1", 0))
    place = f"127.0.0.1:{listener.getsockname()[1]}"

    class Accepting:
        """A connection that is accepted when it is first read."""

        def __enter__(self):
            self.connection, _ = listener.accept()

        def recv(self, size):
            return self.connection.recv(size)

        def sendall(self, data):
            self.connection.sendall(data)

        def __exit__(self, *error):
            self.connection.close()

    thread = serve(MemoryDevice(), Accepting())
    with parse_address(f"tcp:{place}", SCHEMES).open() as device:
        assert device.identity.address == f"tcp:{place}"
        assert device.identity.uid == b"board 01".hex()
    thread.join(10)
    listener.close()


def test_opens_a_device_at_a_serial_port():
    far, near = pty.openpty()
    path = os.ttyname(near)
    thread = serve(MemoryDevice(), Terminal(far))
    with parse_address(f"serial:{path}?baud=115200", SCHEMES).open() as device:
        assert device.identity.address == f"serial:{path}"
        os.close(near)
    thread.join(10)
    os.close(far)
