"""The golden codec: any cut of the stream, any damage."""

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.drivers.framing import Decoder, Frame, encode_frame
from equipoise.substrate.protocol import VERSION

LIMIT = 300

frames = st.builds(
    Frame,
    version=st.integers(0, 255),
    operation=st.integers(0, 255),
    sequence=st.integers(0, 65535),
    status=st.integers(0, 255),
    payload=st.one_of(
        st.binary(max_size=20),
        st.binary(min_size=240, max_size=LIMIT),
        st.integers(0, LIMIT).map(bytes),
        st.integers(0, LIMIT).map(lambda size: b"\xff" * size),
    ),
)


def encode(frame: Frame) -> bytes:
    return encode_frame(frame.operation, frame.sequence, frame.payload, frame.status, frame.version)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def test_known_frame() -> None:
    # The CRC is of 01 01 34 12 00 61 62, worked out bit by bit from its polynomial.
    wire = bytes([5, VERSION, 1, 0x34, 0x12, 7]) + b"ab" + bytes([0xAF, 0xDC, 0xAC, 0x81, 0])
    assert encode_frame(1, 0x1234, b"ab") == wire
    assert Decoder().feed(wire) == [Frame(VERSION, 1, 0x1234, 0, b"ab")]


@pytest.mark.parametrize(("operation", "sequence"), [(256, 0), (0, 65536), (-1, 0)])
def test_fields_out_of_range(operation: int, sequence: int) -> None:
    with pytest.raises(struct.error):
        encode_frame(operation, sequence)


def test_limit_negative() -> None:
    with pytest.raises(ValueError, match=r"^Limit of a frame's payload must not be negative, not -1$"):
        Decoder(-1)


@given(st.lists(frames, max_size=5), st.lists(st.integers(0), max_size=8))
def test_any_chunking(sent: list[Frame], places: list[int]) -> None:
    decoder = Decoder(LIMIT)
    data = b"".join(encode(frame) for frame in sent)
    assert [frame for chunk in cut(data, places) for frame in decoder.feed(chunk)] == sent
    assert (decoder.crc_errors, decoder.framing_errors) == (0, 0)


@given(st.lists(st.tuples(frames, st.integers(1, 3)), max_size=5))
def test_empty_frames_are_ignored(sent: list[tuple[Frame, int]]) -> None:
    decoder = Decoder(LIMIT)
    data = b"".join(bytes(zeros) + encode(frame) for frame, zeros in sent)
    assert decoder.feed(data) == [frame for frame, _ in sent]
    assert (decoder.crc_errors, decoder.framing_errors) == (0, 0)


@given(frames, frames, st.data(), st.lists(st.integers(0), max_size=4))
def test_damage_costs_the_frame_and_is_counted(damaged: Frame, good: Frame, data: st.DataObject, places: list) -> None:
    """Up to four bytes of a frame changed in a row: what CRC-32 is good at."""
    wire = encode(damaged)
    start = data.draw(st.integers(0, len(wire) - 2))
    size = data.draw(st.integers(1, min(4, len(wire) - 1 - start)))
    burst = data.draw(st.binary(min_size=size, max_size=size).filter(lambda new: new != wire[start : start + size]))
    wire = wire[:start] + burst + wire[start + size :]
    decoder = Decoder(LIMIT)
    received = [frame for chunk in cut(wire + encode(good), places) for frame in decoder.feed(chunk)]
    assert received == [good]
    pieces = sum(bool(piece) for piece in wire.split(b"\0"))
    assert decoder.crc_errors + decoder.framing_errors == pieces


@given(st.lists(st.tuples(st.one_of(frames, st.binary(max_size=40)), st.floats(0, 1)), max_size=6), frames)
def test_lost_bytes_never_yield_a_wrong_frame(sent: list[tuple[Frame | bytes, float]], good: Frame) -> None:
    """Frames that break off, and noise between them; then a 0x00 and a frame, which must come through."""
    wire = b""
    for item, kept in sent:
        part = item if isinstance(item, bytes) else encode(item)
        wire += part[: int(kept * len(part))]
    decoder = Decoder(LIMIT)
    received = decoder.feed(wire + b"\0" + encode(good))
    assert received[-1] == good
    assert all(frame in [item for item, _ in sent] for frame in received[:-1])


@pytest.mark.parametrize("fill", [0, 0x55])
def test_limit(fill: int) -> None:
    decoder = Decoder(LIMIT)
    longest = encode_frame(1, 2, bytes([fill]) * LIMIT)
    assert decoder.feed(longest) == [Frame(VERSION, 1, 2, 0, bytes([fill]) * LIMIT)]
    assert decoder.feed(encode_frame(1, 2, bytes([fill]) * (LIMIT + 1))) == []
    assert (decoder.crc_errors, decoder.framing_errors) == (0, 1)
    assert len(decoder.feed(longest)) == 1


def test_endless_noise_is_not_kept() -> None:
    decoder = Decoder(LIMIT)
    for _ in range(100):
        assert decoder.feed(b"\x55" * LIMIT) == []
        assert len(decoder._pending) <= LIMIT + 20
    assert decoder.framing_errors == 0
    assert decoder.feed(b"\0" + encode_frame(1, 2)) == [Frame(VERSION, 1, 2, 0, b"")]
    assert decoder.framing_errors == 1


@pytest.mark.parametrize("size", range(1, 9))
def test_too_short(size: int) -> None:
    decoder = Decoder()
    assert decoder.feed(bytes([size + 1]) + b"\x01" * size + b"\0") == []
    assert (decoder.crc_errors, decoder.framing_errors) == (0, 1)
