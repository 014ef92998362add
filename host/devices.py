"""All devices that can be trained: opening one by its address, and listing those of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from serial.tools.list_ports import comports  # type: ignore[import-untyped]

from ..drivers.address import TCP, Scheme, parse_address
from ..drivers.gateware import GatewareDevice
from ..drivers.lucidac.address import LUCIDAC
from ..substrate.interface import Substrate
from .analog import SERIAL, SPICE, VISA
from .supervision import Supervised

__all__ = ["SCHEMES", "ListedDevice", "list_devices", "open_device", "open_steady"]


def _later(module: str, name: str) -> Callable[..., Any]:
    """Return what calls ``name`` of ``module``, importing that only then: the host needs no Amaranth."""

    def opener(**options: Any) -> Any:
        return getattr(import_module(module, __package__), name)(**options)

    return opener


SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            "sim",
            "the gateware itself, simulated in Verilator",
            _later("..sim.device", "open_board"),
            options={"lanes": int, "contexts": int, "compact": int, "trace": Path},
            wire=_later("..sim.device", "open_wire"),
        ),
        Scheme(
            "golden",
            "the bit-exact model of the gateware in NumPy",
            _later("..sim.golden", "Golden"),
            options={"compact": int, "lanes": int},
            wire=_later("..sim.model_device", "open_model_wire"),
        ),
        Scheme("float", "the equations in floating point", _later("..sim.float_model", "FloatModel")),
        SPICE,
        SERIAL,
        TCP,
        VISA,
        LUCIDAC,
    )
}
"""Every kind of address, by name."""


BY_ID = Path("/dev/serial/by-id")
"""Where Linux keeps names of serial ports that stay the same whatever is plugged in first."""


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """A device that may be opened.

    Attributes
    ----------
    address
        What to give as ``--device``.
    summary
        What it is: for a serial port, what the system says of it. Whether a device answers there is not asked.
    """

    address: str
    summary: str


def open_device(address: str) -> Substrate:
    """Open the device at ``address``.

    Raises
    ------
    DeviceError
        If the address is wrong, or the device cannot be opened.
    """
    return parse_address(address, SCHEMES).open()


def open_steady(address: str) -> Substrate:
    """Open the device at ``address``, so that it is opened again whenever its wire fails.

    A device without a wire is opened as it is.

    Raises
    ------
    DeviceError
        If the address is wrong, or the device cannot be opened.
    """
    parsed = parse_address(address, SCHEMES)
    device = parsed.open()
    if not isinstance(device, GatewareDevice):
        return device
    devices: list[Substrate] = [device]  # the first one is open already

    def opener() -> GatewareDevice:
        opened = devices.pop() if devices else parsed.open()
        assert isinstance(opened, GatewareDevice)
        return opened

    return Supervised(opener)


def list_devices() -> list[ListedDevice]:
    """Devices that need no cable, then the serial ports of this machine, by stable names where there are any."""
    devices = [ListedDevice(f"{scheme.name}:", scheme.summary) for scheme in SCHEMES.values() if not scheme.target]
    names = {path.resolve(): path for path in BY_ID.glob("*")}
    for port in sorted(comports()):
        stable = names.get(Path(port.device))
        devices.append(
            ListedDevice(f"serial:by-id/{stable.name}" if stable else f"serial:{port.device}", port.description)
        )
    return devices
