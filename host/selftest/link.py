"""Check of the link: every byte value, long frames, and the lengths at which COBS changes its mind."""

from __future__ import annotations

from time import monotonic

import numpy as np

from ...drivers.requests import Request
from ...substrate.protocol import MAX_PAYLOAD, REGISTERS, Operation
from .checks import Bench, Fault

__all__ = ["check_echo"]

_COUNTERS = ("crc_errors", "framing_errors")
_ROWS = {register.name: row for row, register in enumerate(REGISTERS)}
_LONG_FRAMES = 64


def check_echo(bench: Bench) -> str:
    """Have payloads echoed, and count what was damaged on the way.

    Raises
    ------
    Fault
        If an echo differs, or a frame had to be repeated.
    """
    payloads = _payloads(bench.seed)
    bursts = [payloads[start : start + 128] for start in range(0, len(payloads), 128)]
    bench.plan(len(bursts))
    damaged, retried = _damaged(bench), bench.session.counters["retries"]
    moved, began = bench.session.counters["bytes_sent"] + bench.session.counters["bytes_received"], monotonic()
    for burst in bursts:
        requests = [
            Request(Operation.ECHO, payload, f"ECHO of {len(payload)} bytes", len(payload)) for payload in burst
        ]
        for payload, answer in zip(burst, bench.session.burst(requests), strict=True):
            if answer.payload != payload:
                index = next(place for place, byte in enumerate(payload) if answer.payload[place] != byte)
                raise Fault(
                    f"byte {index} of an echo of {len(payload)} bytes came back as {answer.payload[index]:#04x}, "
                    f"not {payload[index]:#04x}"
                )
        bench.step()
    seconds = monotonic() - began
    counters = bench.session.counters
    rate = (counters["bytes_sent"] + counters["bytes_received"] - moved) / seconds
    repeated, damaged = counters["retries"] - retried, _damaged(bench) - damaged
    if repeated or damaged:
        raise Fault(
            f"{repeated} of {len(payloads)} frames had to be repeated and {damaged} were damaged: lower the baud rate, "
            "or change the cable"
        )
    return f"{len(payloads)} frames of 0 to {MAX_PAYLOAD} bytes, all byte values, none damaged, {rate / 1e3:.0f} kB/s"


def _payloads(seed: int) -> list[bytes]:
    """Each byte alone; all of them; runs around the length of a block of COBS; long frames."""
    source = np.random.default_rng(seed)
    edges = [fill * length for fill in (b"\0", b"\1", b"\xff") for length in (0, 1, 253, 254, 255, 508, MAX_PAYLOAD)]
    return [
        *(bytes([value]) for value in range(256)),
        bytes(range(256)) * (MAX_PAYLOAD // 256),
        bytes(reversed(range(256))) * (MAX_PAYLOAD // 256),
        *edges,
        *(source.bytes(MAX_PAYLOAD) for _ in range(_LONG_FRAMES)),
    ]


def _damaged(bench: Bench) -> int:
    """Frames that arrived damaged at either end."""
    registers = bench.session.read("registers", 0, len(REGISTERS))
    host = bench.session.counters
    return sum(int(registers[_ROWS[name]]) + host[name] for name in _COUNTERS)
