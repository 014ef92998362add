"""The device's side of the link on plain memory, and wires that lead to it."""

import random
import socket
import threading
from collections.abc import Callable

from equipoise.drivers.framing import Frame
from equipoise.drivers.transport import Transport
from equipoise.sim import memory_device
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import Status

GEOMETRY = Geometry(
    lanes=4, contexts=2, modules=8, neurons=64, rows=512, groups=32, levels=4, sample_words=1024, output_words=512
)


class MemoryDevice(memory_device.MemoryDevice):
    """A small one that notes what it was told.

    Attributes
    ----------
    executed
        Operation and payload of each request that was executed.
    largest
        Most bytes that came at once.
    """

    def __init__(
        self,
        geometry: Geometry = GEOMETRY,
        on_run: Callable[[memory_device.MemoryDevice], None] | None = None,
        **options,
    ) -> None:
        super().__init__(geometry, on_run, **options)
        self.executed: list[tuple[int, bytes]] = []
        self.largest = 0

    @property
    def replays(self) -> int:
        return self.register("replays")

    def take(self, data: bytes) -> bytes:
        self.largest = max(self.largest, len(data))
        return super().take(data)

    def _execute(self, frame: Frame, repeated: bool) -> tuple[Status, bytes]:
        if not repeated:
            self.executed.append((frame.operation, frame.payload))
        return super()._execute(frame, repeated)


class Wire(Transport):
    """A wire to ``device`` within this process: what is sent has arrived and is answered at once.

    With a deadline of 0 a session over it needs no time. Each frame, on each way, may be dropped, damaged in a bit,
    doubled, or preceded by noise, with probability ``faults`` each, from a seeded generator. What ``mangle`` returns
    for the n-th frame (from 1, which is HELLO) on its way to the device arrives in its place.
    """

    def __init__(
        self,
        device: MemoryDevice,
        faults: float = 0.0,
        seed: int = 0,
        mangle: Callable[[int, bytes], bytes] | None = None,
    ) -> None:
        self.description = "wire:"
        self.device = device
        self.faults = faults
        self.sent: list[bytes] = []
        self.closed = 0
        self._random = random.Random(seed)
        self._mangle = mangle or (lambda number, frame: frame)
        self._arrived = b""
        self._number = 0

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        assert data.endswith(b"\0")
        for frame in data[:-1].split(b"\0"):
            self._number += bool(frame)
            passed = self._mangle(self._number, frame + b"\0") if frame else b"\0"
            self._arrived += self._pass(self.device.take(self._pass(passed)))

    def receive(self, deadline: float) -> bytes:
        arrived, self._arrived = self._arrived, b""
        return arrived

    def close(self) -> None:
        self.closed += 1

    def _pass(self, data: bytes) -> bytes:
        if not self.faults:
            return data
        passed = b""
        for part in data.split(b"\0")[:-1]:
            frame = bytearray(part + b"\0")
            if self._random.random() < self.faults:
                continue
            if self._random.random() < self.faults:
                frame[self._random.randrange(len(frame))] ^= 1 << self._random.randrange(8)
            if self._random.random() < self.faults:
                frame = self._random.randbytes(self._random.randrange(1, 9)) + frame
            passed += bytes(frame) * (2 if self._random.random() < self.faults else 1)
        return passed


def serve(device: MemoryDevice, connection: socket.socket) -> threading.Thread:
    """Have ``device`` answer on ``connection``, in a thread, until the other side closes it."""

    def work() -> None:
        with connection:
            while data := connection.recv(4096):
                connection.sendall(device.take(data))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
