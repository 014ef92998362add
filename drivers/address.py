"""Device addresses: what ``--device`` takes, such as ``serial:/dev/ttyUSB1?baud=3000000``.

An address is ``SCHEME:TARGET?NAME=VALUE&NAME=VALUE``. This file reads them and opens devices on a wire; which
schemes there are in all, the host says. ``fault+ADDRESS`` is a device behind a bad wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ..substrate.errors import DeviceError
from ..substrate.interface import Substrate
from .faulty import FAULTS, Faults, FaultyTransport, Mischief
from .gateware import GatewareDevice
from .serial import BAUD, SerialTransport
from .session import Session
from .tcp import connect_tcp
from .transport import Transport

__all__ = ["FAULT_FORM", "SERIAL", "TCP", "Address", "Scheme", "open_serial", "open_tcp", "parse_address"]

_FAULT = "fault+"
_FAULT_OPTIONS: dict[str, type] = {**dict.fromkeys(FAULTS, float), "seed": int, "log": Path}

FAULT_FORM = f"{_FAULT}ADDRESS?" + "&".join(f"{name}={name.upper()}" for name in _FAULT_OPTIONS)
"""How an address of a device behind a bad wire is written; all options may be left out."""

_KINDS: dict[type, str] = {int: "an integer", float: "a number", str: "text", Path: "a path"}


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
    wire
        Opens only the wire to such a device, called like ``opener``; None if there is none.
    """

    name: str
    summary: str
    opener: Callable[..., Substrate]
    target: str = ""
    options: Mapping[str, type] = field(default_factory=dict)
    wire: Callable[..., Transport] | None = None

    @property
    def form(self) -> str:
        """How such an address is written."""
        options = "&".join(f"{name}={name.upper()}" for name in self.options)
        return f"{self.name}:{self.target}" + (f"[?{options}]" if options else "")


@dataclass(frozen=True, slots=True)
class Address:
    """An address that was read: its scheme, its target, its options in their types, and what befalls its wire."""

    scheme: Scheme
    target: str
    options: dict[str, Any]
    mischief: Mischief | None = None

    def open(self) -> Substrate:
        """Open the device.

        Raises
        ------
        DeviceError
            If it cannot be opened, or is none of ours.
        """
        target = [self.target] if self.scheme.target else []
        if self.mischief is None:
            return self.scheme.opener(*target, **self.options)
        assert self.scheme.wire is not None  # parse_address has seen to it
        return GatewareDevice(Session(FaultyTransport(self.scheme.wire(*target, **self.options), self.mischief)))


def parse_address(text: str, schemes: Mapping[str, Scheme]) -> Address:
    """Read an address of one of ``schemes``, by name.

    Raises
    ------
    DeviceError
        If it is none, naming the part that is wrong and what is known there.
    """
    text = text.strip()
    if text.startswith(_FAULT):
        return _parse_faulty(text, schemes)
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


def _parse_faulty(text: str, schemes: Mapping[str, Scheme]) -> Address:
    """Read an address with faults: those of its options that are no faults are the device's own."""
    place, _, query = text.removeprefix(_FAULT).partition("?")
    own: list[str] = []
    faults: dict[str, Any] = {}
    for part in query.split("&") if query else []:
        option, _, value = part.partition("=")
        if option not in _FAULT_OPTIONS:
            own.append(part)
        elif option in faults:
            raise DeviceError(f"Option '{option}' of device address '{text}' is given twice")
        else:
            faults[option] = _convert(_FAULT_OPTIONS[option], option, unquote(value), text)
    address = parse_address(f"{place}?{'&'.join(own)}" if own else place, schemes)
    if address.mischief is not None or address.scheme.wire is None:
        wires = ", ".join(f"{scheme.name}:" for scheme in schemes.values() if scheme.wire)
        raise DeviceError(f"Device address '{text}' must have one of {wires} after '{_FAULT}': no other has a wire")
    rates = {name: rate for name, rate in faults.items() if name in FAULTS}
    return replace(address, mischief=Mischief(Faults(**rates), faults.get("seed", 0), faults.get("log")))


def open_tcp(place: str) -> GatewareDevice:
    """Open the device served at ``HOST:PORT`` (an IPv6 address in square brackets)."""
    return GatewareDevice(Session(_connect(place)))


def _connect(place: str) -> Transport:
    host, colon, port = place.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise DeviceError(f"Device address 'tcp:{place}' must have the form {TCP.form}, with a port from 1 to 65535")
    return connect_tcp(host.removeprefix("[").removesuffix("]"), int(port))


SERIAL = Scheme(
    "serial", "an FPGA board at a serial port", open_serial, "PORT", options={"baud": int}, wire=SerialTransport
)
TCP = Scheme("tcp", "a served simulation, or a board on another machine", open_tcp, "HOST:PORT", wire=_connect)


def _convert(kind: type, option: str, value: str, text: str) -> Any:
    try:
        if not value:
            raise ValueError
        return kind(value)
    except ValueError:
        raise DeviceError(
            f"Option '{option}' of device address '{text}' must be {_KINDS[kind]}, not '{value}'"
        ) from None
