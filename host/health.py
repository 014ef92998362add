"""How a device and its link are: counters, and how quickly and how surely it answers."""

from __future__ import annotations

from statistics import median
from time import perf_counter
from typing import Any

from ..drivers.gateware import GatewareDevice
from ..drivers.requests import Request
from ..substrate.interface import Substrate
from ..substrate.protocol import Operation

__all__ = ["ECHOES", "check_health"]

ECHOES = 100
"""Frames sent to the device and back."""

_PAYLOAD = bytes(range(256)) * 2
"""Of each: long enough to be struck by what strikes others."""


def check_health(device: Substrate) -> dict[str, Any]:
    """What the device says of itself and has counted; and if it has a link, what became of ``ECHOES`` frames on it.

    Returns
    -------
    dict
        ``device``: address, kind, uid, build. ``link``: frames sent, median round trip in milliseconds; None where
        there is none. ``counters``: as :meth:`Substrate.health`. ``unknown``: what this device cannot tell.

    Raises
    ------
    EquipoiseError
        If the device fails.
    """
    identity = device.identity
    link = _try_link(device) if isinstance(device, GatewareDevice) else None
    counters = device.health()
    kinds = {
        "uptime": "device_uptime",
        "temperature": "device_temperature",
        "memory checks": "host_memory_checks",
    }
    return {
        "device": {name: getattr(identity, name) for name in ("address", "kind", "uid", "build")},
        "link": link,
        "counters": counters,
        "unknown": [what for what, name in kinds.items() if name not in counters],
    }


def _try_link(device: GatewareDevice) -> dict[str, float]:
    request = Request(Operation.ECHO, _PAYLOAD, "ECHO", expects=len(_PAYLOAD))
    trips = []
    for _ in range(ECHOES):
        begin = perf_counter()
        device.session.burst([request])
        trips.append(perf_counter() - begin)
    return {"frames": ECHOES, "round_trip_ms": round(1e3 * median(trips), 3)}
