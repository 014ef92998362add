"""A wire over VISA: sockets, serial ports, USB and GPIB, through pyvisa and whatever VISA library there is.

Where none is installed, pyvisa-py stands in for it. Facts about pyvisa-py 0.8 that this file heeds: opening a socket
that nobody answers at succeeds; several small messages one after the other wait 40 ms for an acknowledgement, because
the socket's own delay is on and its attribute cannot be set; clearing a socket whose other side is gone never returns.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

from ...substrate.errors import DeviceError, LinkError
from .instrument import TimedOut, Wire

if TYPE_CHECKING:
    from pyvisa.resources import MessageBasedResource

__all__ = ["VisaWire"]

OPENING = 5.0
"""Seconds in which a resource must open."""


class VisaWire(Wire):
    """Lines over a VISA resource.

    Parameters
    ----------
    resource
        Its name, such as ``TCPIP::192.168.0.5::5025::SOCKET`` or ``ASRL/dev/ttyUSB0::INSTR``.
    baud
        Of a serial port.
    terminator
        End of a line, both ways; its last character is what VISA waits for.

    Raises
    ------
    DeviceError
        If pyvisa is missing, or the resource cannot be opened.
    """

    def __init__(self, resource: str, baud: int, terminator: str) -> None:
        self.description = f"visa:{resource}"
        self._end = terminator
        self._resource = _open(resource, self.description)
        self._resource.write_termination = ""
        self._resource.read_termination = terminator[-1]
        if resource.upper().startswith("ASRL"):
            self._resource.baud_rate = baud  # type: ignore[attr-defined]
        # Buses keep an answer that nobody read, and refuse the next query (-410); a clear drops it.
        self._clears = not resource.upper().startswith("ASRL") and not resource.upper().endswith("SOCKET")
        _send_at_once(self._resource)

    def send(self, message: str) -> None:
        """Send one message."""
        import pyvisa  # noqa: PLC0415

        try:
            self._resource.write_raw((message + self._end).encode())
        except (pyvisa.Error, OSError) as error:
            raise self._gone(error) from error

    def receive(self, seconds: float) -> str:
        """The next line."""
        import pyvisa  # noqa: PLC0415

        begin = time.monotonic()
        try:
            self._resource.timeout = max(1.0, 1000 * seconds)
            line = self._resource.read()
        except pyvisa.VisaIOError as error:
            if error.error_code == pyvisa.constants.StatusCode.error_timeout:
                raise TimedOut from None
            raise self._gone(error) from error
        except UnicodeDecodeError as error:
            raise LinkError(
                f"{self.description} sends what is not text ({error.object[:16]!r}): check the baud rate"
            ) from None
        except (pyvisa.Error, OSError) as error:
            raise self._gone(error) from error
        if not line and time.monotonic() - begin >= seconds:
            raise TimedOut
        return str(line).strip("\r\n")

    def clear(self) -> None:
        """Clear the session of an instrument on a bus (USB, GPIB, VXI-11, HiSLIP)."""
        import pyvisa  # noqa: PLC0415

        if self._clears:
            with contextlib.suppress(pyvisa.Error, OSError):  # what is wrong then, the next query says
                self._resource.clear()

    def close(self) -> None:
        """Close the resource."""
        import pyvisa  # noqa: PLC0415

        with contextlib.suppress(pyvisa.Error, OSError):
            self._resource.close()

    def _gone(self, error: Exception) -> LinkError:
        return LinkError(f"{self.description} went away ({_line(error)}): check power and cable, then open it again")


def _open(resource: str, description: str) -> MessageBasedResource:
    try:
        from pyvisa.resources import MessageBasedResource  # noqa: PLC0415
    except ImportError:
        raise DeviceError(f"{description} needs pyvisa: pip install 'equipoise[analog]'") from None
    try:
        manager = _manager()
        opened = manager.open_resource(resource, open_timeout=int(1000 * OPENING))
    except Exception as error:  # pyvisa-py raises plain exceptions as well
        raise DeviceError(
            f"{description} cannot be opened ({_line(error)}): check the resource's name, power and cable"
        ) from error
    if not isinstance(opened, MessageBasedResource):
        opened.close()
        raise DeviceError(f"{description} is no instrument that takes messages: give another resource")
    return opened


def _manager() -> Any:
    """The machine's VISA library, or pyvisa-py where there is none."""
    import pyvisa  # noqa: PLC0415

    try:
        return pyvisa.ResourceManager()
    except (OSError, ValueError):
        return pyvisa.ResourceManager("@py")


def _send_at_once(resource: Any) -> None:
    """Turn off a socket's delay."""
    import pyvisa  # noqa: PLC0415

    session = getattr(resource.visalib, "sessions", {}).get(resource.session)  # pyvisa-py's own object
    if isinstance(inner := getattr(session, "interface", None), socket.socket):
        inner.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return
    with contextlib.suppress(pyvisa.Error, AttributeError):  # not a socket
        resource.set_visa_attribute(pyvisa.constants.ResourceAttribute.tcpip_nodelay, True)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
