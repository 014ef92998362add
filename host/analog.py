"""Analog boards by their addresses: opened as a board, to be measured, or as a device, to be trained."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ..drivers.address import SERIAL as FPGA_SERIAL
from ..drivers.address import Scheme, open_serial, parse_address
from ..drivers.analog.board import AnalogBoard
from ..drivers.analog.correction import AsMade, Correction
from ..drivers.analog.device import AnalogDevice
from ..drivers.analog.standard import CHECK_MINUTES, Standard
from ..drivers.serial import SerialTransport
from ..drivers.transport import Transport
from ..substrate.errors import DeviceError
from ..substrate.interface import Identity, Substrate

__all__ = ["SERIAL", "SPICE", "VISA", "calibration_warning", "open_board"]

_BOARDS = {
    "spice": ("..sim.spice.board", "SpiceBoard"),
    "visa": ("..drivers.analog.scpi_board", "open_visa_board"),
    "serial": ("..drivers.analog.scpi_board", "open_serial_board"),
}
"""What opens the board of each scheme: module and name, imported only then."""

_DEVICE = {"averages": int, "order": str, "calibration": str, "check": float}
"""Options of every analog device, see :class:`~..drivers.analog.device.AnalogDevice`.

``check`` is the number of minutes between two checks of the calibration; 0, only when the board is opened.

``calibration`` is ``none``, ``any`` (the newest record, whatever its state) or the beginning of a record's
identifier; if it is not given, the newest record counts, which must be valid.
"""


def open_board(address: str) -> AnalogBoard:
    """Open the board at ``address``, without a network on it.

    Raises
    ------
    DeviceError
        If the address is not an analog board's, or the board cannot be opened.
    """
    parsed = parse_address(address, {scheme.name: scheme for scheme in (SPICE, VISA, SERIAL)})
    options = {name: value for name, value in parsed.options.items() if name not in _DEVICE}
    if parsed.scheme is SERIAL and "profile" not in options:
        raise DeviceError(f"Device address '{address}' needs a profile to be an analog board: add ?profile=FILE")
    return _open(parsed.scheme.name, parsed.target, options)


def calibration_warning(identity: Identity) -> str:
    """What a run records of the calibration that it uses; empty if all is well, or the device is no analog board."""
    if "calibration" not in identity.details:
        return ""
    record, state = identity.details["calibration"], identity.details["calibration_state"]
    if not record:
        return "the board is trained as it was made: it has no calibration (equipoise calibrate --device ADDRESS)"
    if state in {"valid", "expiring"}:
        return ""
    return f"the board is trained with calibration {record} all the same, whose state is '{state}'"


def _open(scheme: str, target: str, options: dict[str, Any]) -> AnalogBoard:
    module, name = _BOARDS[scheme]
    board: AnalogBoard = getattr(import_module(module, __package__), name)(*([target] if target else []), **options)
    return board


def _device(scheme: str, target: str, options: dict[str, Any]) -> Substrate:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    settings = {name: options.pop(name) for name in _DEVICE if name in options}
    choice = settings.pop("calibration", "")
    settings["check_minutes"] = settings.pop("check", CHECK_MINUTES)
    board = _open(scheme, target, options)
    try:
        correction, standard = _correction(board, choice)
        address = f"{scheme}:{target}" + (f"?{query}" if query else "")
        return AnalogDevice(board, correction, address=address, standard=standard, **settings)
    except Exception:
        board.close()
        raise


def _correction(board: AnalogBoard, choice: str) -> tuple[Correction, Standard | None]:
    if choice == "none":
        return AsMade(board.limits.lsb), None
    from .calibrated.correction import correction_for  # noqa: PLC0415 (fitting is not needed to list devices)

    return correction_for(board, prefix="" if choice == "any" else choice, force=choice == "any")


def _open_spice(**options: Any) -> Substrate:
    return _device("spice", "", options)


def _open_visa(resource: str, **options: Any) -> Substrate:
    return _device("visa", resource, options)


def _open_serial(port: str, **options: Any) -> Substrate:
    """Open an analog board if there is a profile for it, else an FPGA board."""
    if "profile" in options:
        return _device("serial", port, options)
    for name in _DEVICE:
        if name in options:
            raise DeviceError(f"Option '{name}' is for analog boards: add &profile=FILE to 'serial:{port}'")
    return open_serial(port, **options)


def _open_serial_wire(port: str, **options: Any) -> Transport:
    """Open the wire to an FPGA board."""
    if wrong := [name for name in options if name != "baud"]:
        raise DeviceError(f"Option '{wrong[0]}' is for analog boards, which have no wire for faults: leave it out")
    return SerialTransport(port, **options)


SPICE = Scheme(
    "spice",
    "an analog board as a circuit in ngspice",
    _open_spice,
    options={
        "neurons": int,
        "channels": int,
        "mismatch": float,
        "seed": int,
        "noise": float,
        "temperature": float,
        **_DEVICE,
    },
)
VISA = Scheme("visa", "an analog board over VISA", _open_visa, target="RESOURCE", options={"profile": Path, **_DEVICE})
SERIAL = replace(
    FPGA_SERIAL,
    summary="an FPGA board at a serial port; with a profile, an analog board",
    opener=_open_serial,
    options={"baud": int, "profile": Path, **_DEVICE},
    wire=_open_serial_wire,
)
