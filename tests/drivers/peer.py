"""The device's side of the link on plain memory, and wires that lead to it."""

import random
import socket
import threading
from collections.abc import Callable

import numpy as np

from equipoise.drivers.framing import Decoder, Frame, encode_frame
from equipoise.drivers.transport import Transport
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import (
    READ_REQUEST,
    REGISTERS,
    SPACES,
    VERSION,
    WRITE_REQUEST,
    Access,
    Hello,
    Operation,
    Status,
)

GEOMETRY = Geometry(
    lanes=4, contexts=2, modules=8, neurons=64, rows=512, groups=32, levels=4, sample_words=1024, output_words=512
)


class MemoryDevice:
    """Serves registers and memories as ``docs/link.md`` demands; what a RUN does is up to ``on_run``."""

    def __init__(
        self,
        geometry: Geometry = GEOMETRY,
        on_run: Callable[["MemoryDevice"], None] | None = None,
        buffer: int = 4096,
        version: int = VERSION,
    ) -> None:
        self.hello = Hello(b"build 01", b"board 01", 50_000_000, buffer, geometry)
        self.greeting = self.hello.pack()
        self.memory = {
            name: np.zeros((space.rows(geometry), space.words(geometry)), f"<u{space.size}")
            for name, space in SPACES.items()
        }
        self.on_run = on_run
        self.version = version
        self.executed: list[tuple[int, bytes]] = []
        self.replays = 0
        self.largest = 0
        self._decoder = Decoder()
        self._nonce: bytes | None = None
        self._expected = 0

    def reset(self) -> None:
        self._nonce = None

    def register(self, name: str) -> int:
        return int(self.memory["registers"][self._row(name), 0])

    def set_register(self, name: str, value: int) -> None:
        self.memory["registers"][self._row(name), 0] = value

    def take(self, data: bytes) -> bytes:
        """Bytes that come in; returns the answers to whole frames in them."""
        self.largest = max(self.largest, len(data))
        return b"".join(self._answer(frame) for frame in self._decoder.feed(data))

    def _row(self, name: str) -> int:
        return [register.name for register in REGISTERS].index(name)

    def _answer(self, frame: Frame) -> bytes:
        self.set_register("frames", self.register("frames") + 1)
        status, payload = self._serve(frame)
        return encode_frame(frame.operation, frame.sequence, payload, status, self.version)

    def _serve(self, frame: Frame) -> tuple[Status, bytes]:
        if frame.version != self.version:
            return Status.BAD_VERSION, b""
        if frame.operation == Operation.HELLO:
            if len(frame.payload) != 4:
                return Status.BAD_LENGTH, b""
            if frame.payload != self._nonce:
                self._nonce = frame.payload
                self._expected = (frame.sequence + 1) % 2**16
            return Status.OK, self.greeting
        if self._nonce is None:
            return Status.NO_SESSION, b""
        behind = (self._expected - frame.sequence) % 2**16
        if behind >= 2**15:
            return Status.OUT_OF_ORDER, self._expected.to_bytes(2, "little")
        if behind:
            self.replays += 1
        else:
            self._expected = (self._expected + 1) % 2**16
            self.executed.append((frame.operation, frame.payload))
        return self._execute(frame, repeated=behind != 0)

    def _execute(self, frame: Frame, repeated: bool) -> tuple[Status, bytes]:
        match frame.operation:
            case Operation.ECHO:
                return Status.OK, frame.payload
            case Operation.RUN:
                if frame.payload:
                    return Status.BAD_LENGTH, b""
                if repeated:
                    return Status.REPLAYED, b""
                self.set_register("runs", self.register("runs") + 1)
                if self.on_run:
                    self.on_run(self)
                return Status.OK, b""
            case Operation.READ:
                if len(frame.payload) != READ_REQUEST.size:
                    return Status.BAD_LENGTH, b""
                code, row, count = READ_REQUEST.unpack(frame.payload)
                return self._read(code, row, count)
            case Operation.WRITE:
                if len(frame.payload) < WRITE_REQUEST.size:
                    return Status.BAD_LENGTH, b""
                code, row = WRITE_REQUEST.unpack_from(frame.payload)
                return self._write(code, row, frame.payload[WRITE_REQUEST.size :], repeated)
        return Status.BAD_OPERATION, b""

    def _space(self, code: int) -> str | None:
        return next((name for name, space in SPACES.items() if space.code == code), None)

    def _read(self, code: int, row: int, count: int) -> tuple[Status, bytes]:
        name = self._space(code)
        if name is None or row + count > len(self.memory[name]):
            return Status.BAD_ADDRESS, b""
        return Status.OK, self.memory[name][row : row + count].tobytes()

    def _write(self, code: int, row: int, data: bytes, repeated: bool) -> tuple[Status, bytes]:
        name = self._space(code)
        if name is None or SPACES[name].access is Access.READ_ONLY:
            return Status.BAD_ADDRESS, b""
        memory = self.memory[name]
        if len(data) % (memory.itemsize * memory.shape[1]):
            return Status.BAD_LENGTH, b""
        words = np.frombuffer(data, memory.dtype).reshape(-1, memory.shape[1])
        if row + len(words) > len(memory):
            return Status.BAD_ADDRESS, b""
        if repeated:
            return Status.REPLAYED, b""
        for offset, word in enumerate(words):
            if name != "registers":
                memory[row + offset] = word
            elif (register := REGISTERS[row + offset]).access is Access.READ_WRITE:
                memory[row + offset] = word & np.uint32(2**register.width - 1)
        return Status.OK, b""


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
