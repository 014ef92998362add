"""USB devices plugged into this machine: which programmers of boards there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serial.tools.list_ports import comports  # type: ignore[import-untyped]

__all__ = ["UsbDevice", "serial_port", "usb_devices"]

SYSFS = Path("/sys/bus/usb/devices")
"""Where Linux tells of USB devices, also of those without a driver."""


@dataclass(frozen=True, slots=True, order=True)
class UsbDevice:
    """A device on USB.

    Attributes
    ----------
    vendor, product
        Its ids.
    serial
        Its serial number; empty if it has none.
    place
        Bus and device number, as ``3:14``; empty where the system does not tell.
    """

    vendor: int
    product: int
    serial: str = ""
    place: str = ""


def usb_devices() -> list[UsbDevice]:
    """All devices on USB: on Linux from sysfs, elsewhere those that are serial ports."""
    if not SYSFS.is_dir():
        found = {UsbDevice(port.vid, port.pid, port.serial_number or "") for port in comports() if port.vid is not None}
        return sorted(found)
    devices = []
    for folder in SYSFS.iterdir():
        try:
            vendor, product = (int((folder / name).read_text(), 16) for name in ("idVendor", "idProduct"))
            place = ":".join((folder / name).read_text().strip() for name in ("busnum", "devnum"))
        except (OSError, ValueError):
            continue  # an interface of a device, or one just unplugged
        serial = folder / "serial"
        told = serial.read_text().strip() if serial.is_file() else ""
        devices.append(UsbDevice(vendor, product, told, place))
    return sorted(devices)


def serial_port(device: UsbDevice) -> str | None:
    """The serial port of a device on USB; the last, where it has several: the first of two is the programmer's."""
    kind = (device.vendor, device.product, device.serial)
    ports = [port for port in comports() if (port.vid, port.pid, port.serial_number or "") == kind]
    return str(max(ports, key=lambda port: (port.location or "", port.device)).device) if ports else None
