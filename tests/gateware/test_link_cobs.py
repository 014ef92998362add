"""COBS in gateware against the cobs package."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from cobs import cobs

from equipoise.gateware.link.cobs import CobsDecoder, CobsEncoder
from equipoise.gateware.link.small import SmallCobsEncoder

from .streams import Pauses, bursts, never, receive, seldom, send, simulate

PAUSES = [(never, never), (bursts(1), never), (never, bursts(2)), (seldom(3), seldom(4))]


class EncoderBench:
    """Encodes frames.

    Attributes
    ----------
    cycles
        From the first byte in to the last byte out.
    """

    def __init__(
        self, idle: Pauses = never, back_pressure: Pauses = never, encoder: type[CobsEncoder] = CobsEncoder
    ) -> None:
        self.idle, self.back_pressure, self.encoder = idle, back_pressure, encoder
        self.cycles = 0

    def run(self, frames: Sequence[bytes]) -> bytes:
        dut = self.encoder()
        out = bytearray()
        marked = [
            {"data": byte, "last": index == len(frame) - 1} for frame in frames for index, byte in enumerate(frame)
        ]

        async def feed(ctx: Any) -> None:
            await send(ctx, dut.plain, marked, self.idle)

        def take(byte: int) -> bool:
            out.append(byte)
            return out.count(0) == len(frames)

        async def collect(ctx: Any) -> None:
            await receive(ctx, dut.encoded, take, self.back_pressure)

        async def count(ctx: Any) -> None:
            while True:
                await ctx.tick()
                self.cycles += 1

        simulate(dut, feed, collect, background=[count])
        return bytes(out)


class DecoderBench:
    """Decodes a stream; a frame with an error comes out as None."""

    def __init__(self, idle: Pauses = never, back_pressure: Pauses = never) -> None:
        self.idle, self.back_pressure = idle, back_pressure

    def run(self, data: bytes) -> list[bytes | None]:
        dut = CobsDecoder()
        frames: list[bytes | None] = []

        async def feed(ctx: Any) -> None:
            await send(ctx, dut.encoded, data, self.idle)
            await ctx.tick().repeat(50)

        frame = bytearray()

        def take(byte: Any) -> None:
            if byte.end:
                frames.append(None if byte.error else bytes(frame))
                frame.clear()
            else:
                frame.append(byte.data)

        async def collect(ctx: Any) -> None:
            await receive(ctx, dut.plain, take, self.back_pressure)

        simulate(dut, feed, background=[collect])
        return frames


def random_frame(source: random.Random, length: int) -> bytes:
    zeros = source.choice([0, 0.01, 0.5, 1])
    return bytes(0 if source.random() < zeros else source.randrange(1, 256) for _ in range(length))


def frames_of_all_kinds(seed: int) -> list[bytes]:
    source = random.Random(seed)
    lengths = [1, 2, 3, 9, 30, 300]
    around_blocks = [bytes([1]) * length + end for length in (253, 254) for end in (b"", b"\0", b"\0\1")]
    around_blocks.append(bytes([1]) * 508)
    frames = [random_frame(source, length) for length in lengths] + around_blocks
    source.shuffle(frames)
    return frames


def reference_decode(data: bytes) -> list[bytes | None]:
    """What comes out for each 0x00."""
    frames: list[bytes | None] = []
    for part in data.split(b"\0")[:-1]:
        if part:
            try:
                frames.append(cobs.decode(part))
            except cobs.DecodeError:
                frames.append(None)
    return frames


@pytest.mark.parametrize("encoder", [CobsEncoder, SmallCobsEncoder])
@pytest.mark.parametrize(("idle", "back_pressure"), PAUSES)
def test_encoder(idle: Pauses, back_pressure: Pauses, encoder: type[CobsEncoder]) -> None:
    frames = frames_of_all_kinds(1)
    expected = b"".join(cobs.encode(frame) + b"\0" for frame in frames)
    assert EncoderBench(idle, back_pressure, encoder).run(frames) == expected


@pytest.mark.parametrize(("idle", "back_pressure"), PAUSES)
def test_decoder(idle: Pauses, back_pressure: Pauses) -> None:
    frames = frames_of_all_kinds(2)
    data = b"".join(cobs.encode(frame) + b"\0" for frame in frames)
    assert DecoderBench(idle, back_pressure).run(data) == frames


@pytest.mark.parametrize("seed", range(3))
def test_decoder_on_damage(seed: int) -> None:
    """Bytes of good frames lost, changed and inserted, 0x00 among them; and plain noise."""
    source = random.Random(seed)
    data = bytearray()
    for frame in frames_of_all_kinds(seed):
        wire = bytearray(cobs.encode(frame) + b"\0")
        place = source.randrange(len(wire))
        match source.randrange(5):
            case 0:
                del wire[place : place + source.randrange(1, 4)]
            case 1:
                wire[place] = source.choice([0, 1, 255, source.randrange(256)])
            case 2:
                wire[place:place] = source.randbytes(2)
            case 3:
                wire += bytes(source.randrange(3))
        data += wire
    data += bytes(source.choice([0, 1, 2, 3, 5, 200]) for _ in range(300)) + b"\0"
    expected = reference_decode(bytes(data))
    assert None in expected
    assert DecoderBench(seldom(seed), seldom(seed + 1)).run(bytes(data)) == expected


@pytest.mark.parametrize("fill", [0, 1])
def test_encoder_is_as_fast_as_its_output(fill: int) -> None:
    """Bytes without a zero and nothing but zeros: a byte leaves in each cycle, once the first block has come in."""
    bench = EncoderBench()
    encoded = bench.run([bytes([fill]) * 2000])
    assert bench.cycles <= len(encoded) + 254 + 5


def test_pauses_are_pauses() -> None:
    """The generators of these tests do stall, and do not only stall."""
    for make in (bursts(1), seldom(3)):
        pause = make()
        said = [next(pause) for _ in range(1000)]
        assert 100 < sum(said) < 900
        assert any(a != b for a, b in pairwise(said))
