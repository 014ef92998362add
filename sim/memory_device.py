"""A device of plain memory: serves the link as ``docs/link.md`` demands, within this process."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drivers.framing import Decoder, Frame, encode_frame
from ..substrate.formats import COMPACT, FORMATS
from ..substrate.geometry import Geometry
from ..substrate.learning import GUARD_BITS
from ..substrate.protocol import (
    MAX_PAYLOAD,
    READ_REQUEST,
    REGISTERS,
    RULE,
    SPACES,
    VERSION,
    WRITE_REQUEST,
    Access,
    Feature,
    Hello,
    Operation,
    Status,
    features_of,
    table_masks,
)

__all__ = ["Abandoned", "MemoryDevice"]

_ROWS = {register.name: row for row, register in enumerate(REGISTERS)}
_NAMES = {space.code: name for name, space in SPACES.items()}


class Abandoned(Exception):
    """A RUN that tables describe which are no network: gateware would run until its limit of cycles."""


class MemoryDevice:
    """Registers and memories behind the link; what a RUN does is up to ``on_run``.

    Parameters
    ----------
    geometry
        Sizes of the memories.
    on_run
        Called with the device for each RUN that is executed: leaves its results in registers and memories.
    build, board
        What it says of itself, 8 bytes each.
    buffer
        What it says it can take in while it is busy, in bytes.
    version
        Protocol version that it serves.

    Attributes
    ----------
    memory
        Unsigned words of each space, (rows, words of a row).
    greeting
        Payload of its answer to HELLO.
    """

    def __init__(
        self,
        geometry: Geometry,
        on_run: Callable[[MemoryDevice], None] | None = None,
        *,
        build: bytes = b"build 01",
        board: bytes = b"board 01",
        buffer: int = 4096,
        version: int = VERSION,
    ) -> None:
        formats = COMPACT if geometry.compact else FORMATS
        self.hello = Hello(build, board, 50_000_000, buffer, geometry, formats, features_of(geometry))
        self.greeting = self.hello.pack()
        self.memory: dict[str, NDArray[Any]] = {
            name: np.zeros((space.rows(geometry), space.words(geometry)), f"<u{space.size}")
            for name, space in SPACES.items()
            if space.feature is None or space.feature in self.hello.features
        }
        for name in ("weight", "gain", "bias"):
            if f"{name}_momentum" in self.memory:  # the same memory
                self.memory[f"{name}_momentum"] = self.memory[f"{name}_contrast"]
        self._masks = {name: np.array(masks, np.uint32) for name, masks in table_masks(geometry).items()}
        self.on_run = on_run
        self.version = version
        self._junk = random.Random(0)
        self._boot()

    def _boot(self) -> None:
        self._decoder = Decoder(MAX_PAYLOAD)
        self._nonce: bytes | None = None
        self._expected = 0
        for name in ("registers", "rule", "updates"):
            if name in self.memory:
                self.memory[name][:] = 0

    def reset(self) -> None:
        """Lose power for a moment: session, registers and half a frame are gone, and memories hold anything."""
        for memory in self.memory.values():
            memory[:] = np.frombuffer(self._junk.randbytes(memory.nbytes), memory.dtype).reshape(memory.shape)
        for name in [name for name in self.memory if name.startswith("fine_")]:
            self.memory[name] &= self._masks[name]
            self._see(name, slice(None))
        self._boot()

    def register(self, name: str) -> int:
        """Value of a register."""
        return int(self.memory["registers"][_ROWS[name], 0])

    def set_register(self, name: str, value: int) -> None:
        """Set a register, a read-only one too."""
        self.memory["registers"][_ROWS[name], 0] = value

    def take(self, data: bytes) -> bytes:
        """Bytes that come in; returns the answers to whole frames in them."""
        answers = b"".join(self._answer(frame) for frame in self._decoder.feed(data))
        self.set_register("crc_errors", self._decoder.crc_errors)
        self.set_register("framing_errors", self._decoder.framing_errors)
        return answers

    def _count(self, name: str) -> None:
        self.set_register(name, (self.register(name) + 1) % 2**32)

    def _answer(self, frame: Frame) -> bytes:
        self._count("frames")
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
            self._count("replays")
        else:
            self._expected = (self._expected + 1) % 2**16
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
                self._count("runs")
                try:
                    if self.on_run:
                        self.on_run(self)
                except Abandoned:
                    return Status.ABANDONED, b""
                return Status.OK, b""
            case Operation.READ:
                return self._read(frame.payload)
            case Operation.CHECK if Feature.GUARD in self.hello.features:
                status, words = self._read(frame.payload)
                return status, zlib.crc32(words).to_bytes(4, "little") if status is Status.OK else b""
            case Operation.WRITE:
                if len(frame.payload) < WRITE_REQUEST.size:
                    return Status.BAD_LENGTH, b""
                code, row = WRITE_REQUEST.unpack_from(frame.payload)
                return self._write(code, row, frame.payload[WRITE_REQUEST.size :], repeated)
        return Status.BAD_OPERATION, b""

    def _read(self, payload: bytes) -> tuple[Status, bytes]:
        if len(payload) != READ_REQUEST.size:
            return Status.BAD_LENGTH, b""
        code, row, count = READ_REQUEST.unpack(payload)
        name = _NAMES.get(code, "")
        if name not in self.memory or row + count > len(self.memory[name]):
            return Status.BAD_ADDRESS, b""
        return Status.OK, self.memory[name][row : row + count].tobytes()

    def _write(self, code: int, row: int, data: bytes, repeated: bool) -> tuple[Status, bytes]:
        name = _NAMES.get(code, "")
        if name not in self.memory or SPACES[name].access is Access.READ_ONLY:
            return Status.BAD_ADDRESS, b""
        memory = self.memory[name]
        if len(data) % (memory.itemsize * memory.shape[1]):
            return Status.BAD_LENGTH, b""
        words = np.frombuffer(data, memory.dtype).reshape(-1, memory.shape[1])
        if row + len(words) > len(memory):
            return Status.BAD_ADDRESS, b""
        if repeated:
            return Status.REPLAYED, b""
        if name == "rule":
            words = words & np.array([[2**register.width - 1] for register in RULE[row : row + len(words)]], np.uint32)
        for offset, word in enumerate(words):
            if name != "registers":
                memory[row + offset] = word & self._masks.get(name, np.uint32(2**32 - 1)).astype(memory.dtype)
                self._see(name, row + offset)
            elif (register := REGISTERS[row + offset]).access is Access.READ_WRITE:
                memory[row + offset] = word & np.uint32(2**register.width - 1)
        return Status.OK, b""

    def _see(self, name: str, row: int | slice) -> None:
        """Keep parameters and the same with guard bits at one."""
        fine = f"fine_{name}"
        if fine in self.memory:
            self.memory[fine][row] = self.memory[name][row].astype(np.uint32) << GUARD_BITS
        elif name.startswith("fine_"):
            self.memory[name.removeprefix("fine_")][row] = self.memory[name][row] >> GUARD_BITS
