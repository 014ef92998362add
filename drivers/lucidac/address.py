"""Addresses of a LUCIDAC: ``lucidac:HOST:PORT`` on its Ethernet, ``lucidac:/dev/ttyACM0`` on its USB port."""

from __future__ import annotations

from ..address import Scheme
from ..serial import SerialTransport
from ..tcp import connect_tcp
from ..transport import Transport
from .device import LucidacDevice
from .link import JsonLines

__all__ = ["LUCIDAC", "open_lucidac"]

_BAUD = 115_200
"""A USB port has no baud rate, and takes any."""


def open_lucidac(place: str, scale: float = 1.0) -> LucidacDevice:
    """Open the LUCIDAC at ``HOST:PORT`` (an IPv6 address in square brackets), or at a serial port.

    Raises
    ------
    DeviceError
        If nothing is there, or it is no LUCIDAC.
    """
    host, colon, port = place.rpartition(":")
    on_network = bool(colon and host and port.isdecimal() and 0 < int(port) < 2**16)
    transport: Transport
    if on_network:
        transport = connect_tcp(host.removeprefix("[").removesuffix("]"), int(port))
    else:
        transport = SerialTransport(place, _BAUD)
    transport.description = f"lucidac:{place}"
    return LucidacDevice(JsonLines(transport, chatty=not on_network), scale)


LUCIDAC = Scheme(
    "lucidac", "an anabrid LUCIDAC analog computer", open_lucidac, target="HOST:PORT", options={"scale": float}
)
