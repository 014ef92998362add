"""Frame receiver and sender, with their COBS, against the golden codec."""

import random
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from cobs import cobs

from equipoise.drivers.framing import Decoder, Frame, encode_frame
from equipoise.gateware.link.cobs import CobsDecoder, CobsEncoder
from equipoise.gateware.link.framing import FrameHeader, FrameReceiver, FrameSender
from equipoise.substrate.protocol import HEADER, MAX_PAYLOAD

from .streams import Pauses, bursts, never, receive, seldom, send, simulate

PAUSES = [(never, never), (bursts(1), never), (never, bursts(2)), (seldom(3), seldom(4))]


class ReceiverBench:
    """Receives frames; takes ``share`` of each payload, then the frame.

    Attributes
    ----------
    frames, crc_errors, framing_errors
        The counters at the end.
    """

    def __init__(self, idle: Pauses = never, share: float = 1.0) -> None:
        self.idle, self.share = idle, share
        self.frames = self.crc_errors = self.framing_errors = 0

    def run(self, data: bytes) -> list[Frame]:
        m = Module()
        m.submodules.decoder = decoder = CobsDecoder()
        m.submodules.receiver = dut = FrameReceiver()
        wiring.connect(m, decoder.plain, dut.plain)
        received = []

        async def feed(ctx: Any) -> None:
            await send(ctx, decoder.encoded, data, self.idle)
            await ctx.tick().repeat(MAX_PAYLOAD + 50)
            self.frames = ctx.get(dut.frames)
            self.crc_errors = ctx.get(dut.crc_errors)
            self.framing_errors = ctx.get(dut.framing_errors)

        async def collect(ctx: Any) -> None:
            while True:
                *_, valid, request = await ctx.tick().sample(dut.request.valid, dut.request.payload)
                if not valid:
                    continue
                payload = bytearray()
                wanted = int(self.share * request.length)

                def take(byte: int, payload: bytearray = payload, wanted: int = wanted) -> bool:
                    payload.append(byte)
                    return len(payload) == wanted

                if wanted:
                    await receive(ctx, dut.payload, take)
                assert ctx.get(dut.payload.valid) == (wanted < request.length)
                header = request.header
                received.append(Frame(header.version, header.operation, header.sequence, header.status, bytes(payload)))
                ctx.set(dut.request.ready, 1)
                await ctx.tick()
                ctx.set(dut.request.ready, 0)

        simulate(m, feed, background=[collect])
        return received


class SenderBench:
    """Sends frames."""

    def __init__(self, idle: Pauses = never, back_pressure: Pauses = never) -> None:
        self.idle, self.back_pressure = idle, back_pressure

    def run(self, frames: Sequence[Frame]) -> bytes:
        m = Module()
        m.submodules.sender = dut = FrameSender()
        m.submodules.encoder = encoder = CobsEncoder()
        wiring.connect(m, dut.plain, encoder.plain)
        out = bytearray()

        async def feed(ctx: Any) -> None:
            for frame in frames:
                header = {name: getattr(frame, name) for name in ("version", "operation", "sequence", "status")}
                await send(ctx, dut.answer, [{"header": header, "empty": not frame.payload}], self.idle)
                last = len(frame.payload) - 1
                marked = [{"data": byte, "last": index == last} for index, byte in enumerate(frame.payload)]
                await send(ctx, dut.payload, marked, self.idle)

        def take(byte: int) -> bool:
            out.append(byte)
            return out.count(0) == len(frames)

        async def collect(ctx: Any) -> None:
            await receive(ctx, encoder.encoded, take, self.back_pressure)

        simulate(m, feed, collect)
        return bytes(out)


def random_frame(source: random.Random, length: int) -> Frame:
    zeros = source.choice([0, 0.1, 1])
    payload = bytes(0 if source.random() < zeros else source.randrange(256) for _ in range(length))
    return Frame(source.randrange(256), source.randrange(256), source.randrange(65536), source.randrange(256), payload)


def random_frames(seed: int) -> list[Frame]:
    source = random.Random(seed)
    return [random_frame(source, length) for length in (0, 1, 2, 3, 0, 7, 40, 300, 0, 5)]


def encode(frame: Frame) -> bytes:
    return encode_frame(frame.operation, frame.sequence, frame.payload, frame.status, frame.version)


def damaged(source: random.Random, wire: bytes) -> bytes:
    """A frame on the wire with, mostly, some damage."""
    changed = bytearray(wire)
    place = source.randrange(len(wire) - 1)
    match source.randrange(6):
        case 0:
            changed[place] ^= 1 << source.randrange(8)
        case 1:
            del changed[place]
        case 2:
            changed.insert(place, source.randrange(256))
        case 3:
            del changed[place:-1]
        case 4:
            changed[:0] = source.randbytes(source.randrange(1, 12))
    return bytes(changed)


def test_header_is_that_of_the_protocol() -> None:
    packed = HEADER.pack(0x12, 0x34, 0x5678, 0x9A)
    header = FrameHeader.const({"version": 0x12, "operation": 0x34, "sequence": 0x5678, "status": 0x9A})
    assert FrameHeader.size == 8 * HEADER.size
    assert header.as_bits() == int.from_bytes(packed, "little")


@pytest.mark.parametrize(("idle", "back_pressure"), PAUSES)
def test_sender(idle: Pauses, back_pressure: Pauses) -> None:
    frames = random_frames(1)
    assert SenderBench(idle, back_pressure).run(frames) == b"".join(map(encode, frames))


@pytest.mark.parametrize("idle", [never, bursts(1), seldom(2)])
def test_receiver(idle: Pauses) -> None:
    frames = random_frames(2)
    bench = ReceiverBench(idle)
    assert bench.run(b"\0".join(map(encode, frames))) == frames
    assert (bench.frames, bench.crc_errors, bench.framing_errors) == (len(frames), 0, 0)


def test_receiver_drops_what_is_left_of_a_payload() -> None:
    frames = random_frames(3)
    received = ReceiverBench(share=0.4).run(b"".join(map(encode, frames)))
    assert [frame.payload for frame in received] == [frame.payload[: int(0.4 * len(frame.payload))] for frame in frames]


def test_receiver_takes_in_the_next_frame_while_one_is_handed_over() -> None:
    """Two frames, the longest there are, arrive whole while nobody takes the first; a third waits."""
    m = Module()
    m.submodules.decoder = decoder = CobsDecoder()
    m.submodules.receiver = dut = FrameReceiver()
    wiring.connect(m, decoder.plain, dut.plain)
    frames = [random_frame(random.Random(seed), MAX_PAYLOAD) for seed in range(3)]

    async def feed(ctx: Any) -> None:
        await send(ctx, decoder.encoded, encode(frames[0]) + encode(frames[1]))
        await ctx.tick().repeat(4)
        assert ctx.get(dut.frames) == 2
        ctx.set(decoder.encoded.valid, 1)
        ctx.set(decoder.encoded.payload, encode(frames[2])[0])
        await ctx.tick().repeat(4)
        assert not ctx.get(decoder.encoded.ready)
        for frame in frames[:2]:
            assert ctx.get(dut.request.valid)
            assert ctx.get(dut.request.payload.header.sequence) == frame.sequence
            payload = bytearray()
            await receive(ctx, dut.payload, lambda byte, kept=payload: kept.append(byte) or len(kept) == MAX_PAYLOAD)
            assert payload == frame.payload
            ctx.set(dut.request.ready, 1)
            await ctx.tick()
            ctx.set(dut.request.ready, 0)
        assert not ctx.get(dut.request.valid)

    simulate(m, feed)


@pytest.mark.parametrize("seed", range(4))
def test_receiver_on_damage(seed: int) -> None:
    """The same frames and the same counts as the golden codec."""
    source = random.Random(seed)
    data = b"".join(damaged(source, encode(random_frame(source, source.randrange(60)))) for _ in range(40))
    golden = Decoder(MAX_PAYLOAD)
    expected = golden.feed(data + b"\0")
    assert golden.crc_errors and golden.framing_errors and expected
    bench = ReceiverBench(seldom(seed))
    assert bench.run(data + b"\0") == expected
    assert bench.frames == len(expected)
    assert (bench.crc_errors, bench.framing_errors) == (golden.crc_errors, golden.framing_errors)


def test_receiver_on_the_longest_and_longer() -> None:
    """One more byte than fits, twice as many, and so many that a count without an end would come round."""
    payloads = [bytes([fill]) * length for fill, length in ((1, 1024), (2, 1025), (3, 0), (4, 2048), (5, 3072), (6, 2))]
    bench = ReceiverBench()
    received = bench.run(b"".join(encode_frame(1, length, payload) for length, payload in enumerate(payloads)))
    assert [frame.payload for frame in received] == [payloads[0], payloads[2], payloads[5]]
    assert (bench.frames, bench.crc_errors, bench.framing_errors) == (3, 0, 3)


def test_receiver_on_too_short() -> None:
    """Shorter than header and CRC, though its CRC is good."""
    body = bytes([1, 2, 3, 4])
    wire = cobs.encode(body + zlib.crc32(body).to_bytes(4, "little")) + b"\0"
    bench = ReceiverBench()
    assert bench.run(wire) == []
    assert (bench.crc_errors, bench.framing_errors) == (0, 1)
