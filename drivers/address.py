"""Device addresses: what ``--device`` takes, such as ``serial:/dev/ttyUSB1?baud=3000000``.

An address is ``SCHEME:TARGET?NAME=VALUE&NAME=VALUE``. This file reads them and opens devices on a wire; which
schemes there are in all, the host says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..substrate.errors import DeviceError
from ..substrate.interface import Substrate
from .gateware import GatewareDevice
from .serial import BAUD, SerialTransport
from .session import Session
from .tcp import connect_tcp

__all__ = ["SERIAL", "TCP", "Address", "Scheme", "open_serial", "open_tcp", "parse_address"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of address.

    Attributes
    ----------
    name
        What stands before the colon.
    summary
        What is behind such an address, in a few words.
    opener
        Opens the device: called with the target, if the scheme has one, and the options by name.
    target
        What the target is called in messages, such as ``HOST:PORT``; empty if there is none.
    options
        Names of options, and the type of each: int, float, str or Path.
    """

    name: str
    summary: str
    opener: Callable[..., Substrate]
    target: str = ""
    options: Mapping[str, type] = field(default_factory=dict)

    @property
    def form(self) -> str:
        """How such an address is written."""
        options = "&".join(f"{name}={name.upper()}" for name in self.options)
        return f"{self.name}:{self.target}" + (f"[?{options}]" if options else "")


@dataclass(frozen=True, slots=True)
class Address:
    """An address that was read: its scheme, its target, and its options in their types."""

    scheme: Scheme
    target: str
    options: dict[str, Any]

    def open(self) -> Substrate:
        """Open the device.

        Raises
        ------
        DeviceError
            If it cannot be opened, or is none of ours.
        """
        return self.scheme.opener(*([self.target] if self.scheme.target else []), **self.options)


def parse_address(text: str, schemes: Mapping[str, Scheme]) -> Address:
    """Read an address of one of ``schemes``, by name.

    Raises
    ------
    DeviceError
        If it is none, naming the part that is wrong and what is known there.
    """
    text = text.strip()
    name, colon, rest = text.partition(":")
    if not colon or name not in schemes:
        known = ", ".join(f"{known}:" for known in schemes)
        raise DeviceError(f"Device address '{text}' must begin with one of {known}")
    scheme = schemes[name]
    target, _, query = rest.partition("?")
    if bool(target) != bool(scheme.target):
        raise DeviceError(f"Device address '{text}' must have the form {scheme.form}")
    options: dict[str, Any] = {}
    for part in query.split("&") if query else []:
        option, _, value = part.partition("=")
        if option not in scheme.options:
            known = ", ".join(scheme.options) or "none"
            raise DeviceError(f"Option '{option}' of device address '{text}' is unknown; known are: {known}")
        if option in options:
            raise DeviceError(f"Option '{option}' of device address '{text}' is given twice")
        options[option] = _convert(scheme.options[option], option, unquote(value), text)
    return Address(scheme, target, options)


def open_serial(port: str, baud: int = BAUD) -> GatewareDevice:
    """Open the FPGA board at a serial port."""
    return GatewareDevice(Session(SerialTransport(port, baud)))


def open_tcp(place: str) -> GatewareDevice:
    """Open the device served at ``HOST:PORT`` (an IPv6 address in square brackets)."""
    host, colon, port = place.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise DeviceError(f"Device address 'tcp:{place}' must have the form {TCP.form}, with a port from 1 to 65535")
    return GatewareDevice(Session(connect_tcp(host.removeprefix("[").removesuffix("]"), int(port))))


SERIAL = Scheme("serial", "an FPGA board at a serial port", open_serial, target="PORT", options={"baud": int})
TCP = Scheme("tcp", "a served simulation, or a board on another machine", open_tcp, target="HOST:PORT")


def _convert(kind: type, option: str, value: str, text: str) -> int | float | str | Path:
    try:
        if not value:
            raise ValueError
        if kind in {Path, str}:
            return value if kind is str else Path(value)
        return int(value) if kind is int else float(value)
    except ValueError:
        what = {int: "an integer", float: "a number", Path: "a path"}[kind]
        raise DeviceError(f"Option '{option}' of device address '{text}' must be {what}, not '{value}'") from None
