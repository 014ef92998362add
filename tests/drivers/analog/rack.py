"""A rack for tests: a QDAC-II and a 34980A, as far as the profile ``rack`` talks to them, around a card of 3 neurons.

Parser, error queue and status registers of both are those of the package scpipy.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scpipy.server import Server

from equipoise.drivers.analog.board import Drive, Wiring
from equipoise.sim.virtual_board import VirtualBoard

DAC_IDN = "QDevil, QDAC-II, A001234, 4-0.9.20"
METER_IDN = "Agilent Technologies,34980A,MY44000001,2.43-2.42-2.07-1.05"
NOISE = 10e-6


class Rack:
    """Voltages of the 24 outputs, and the card that hangs on them.

    ``answers`` replaces what the multimeter says, if it is not None.
    """

    def __init__(self) -> None:
        self.volts = np.zeros(25)  # numbered from 1
        self.card = VirtualBoard(neurons=3, channels=1)
        self.answer: str | None = None
        self.scans = 0
        self._states = np.zeros(3)
        self._rng = np.random.default_rng(0)

    def settle(self) -> np.ndarray:
        out = self.volts
        a, b = 2 * out[1:4, None], 2 * out[4:7, None]
        self.card.wire(Wiring(a, b, out[16:19] > 2, out[19:22] > 2))
        drive = Drive(out[7:10], out[10:13], out[13:16], 2 * out[22:23], 2 * out[23:24], nudge=out[24] / 4)
        self._states = self.card.exact(drive, self._states)
        return self._states

    def servers(self) -> dict[str, Server]:
        def set_volts(context, value, **places):
            number, volts = int(places["n"]), float(value)
            assert 1 <= number <= 24 and abs(volts) <= 10
            self.settle()  # the card follows at once, and the others of a message after it
            self.volts[number] = volts

        def measure(context, span, resolution, channels):
            assert (span, resolution, channels) == ("10", "3E-5", "(@1001:1003)")
            self.scans += 1
            if self.answer is not None:
                return self.answer
            read = self.settle() + NOISE * self._rng.standard_normal(3)
            return ",".join(f"{value:+.8E}" for value in read)

        dac, meter = (Server("", 0, shared_context=True) for _ in range(2))
        dac._router.add_route("*IDN?", lambda context: DAC_IDN)
        dac._router.add_route("SOURce<n>:VOLTage <value>", set_volts)
        meter._router.add_route("*IDN?", lambda context: METER_IDN)
        meter._router.add_route("MEASure:VOLTage:DC? <span>,<resolution>,<channels>", measure)
        return {"dac": dac, "meter": meter}


@contextmanager
def served_rack(rack: Rack) -> Iterator[dict[str, str]]:
    """VISA resources of ``dac`` and ``meter``."""
    resources: dict[str, str] = {}
    ready, running = threading.Event(), []

    async def serve():
        for name, server in rack.servers().items():
            listener = await asyncio.start_server(server._handle_client, "127.0.0.1", 0)
            resources[name] = f"TCPIP::127.0.0.1::{listener.sockets[0].getsockname()[1]}::SOCKET"
        over = asyncio.Event()
        running.extend([asyncio.get_running_loop(), over])
        ready.set()
        await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    yield resources
    loop, over = running
    loop.call_soon_threadsafe(over.set)
    thread.join(5)
