"""A million random inputs to the host's decoder and to the link of the simulated gateware: no crash, no hang.

    python benchmarks/fuzz.py [INPUTS] [SEED]

Inputs are of three kinds: noise; good frames with bytes changed, lost, doubled or cut off; good frames with random
contents (which the device must understand or refuse, but never obey wrongly). The decoder may only give frames that
were sent whole. The device must answer HELLO after each thousand inputs, and every request that it executes must
be one that was sent.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from pathlib import Path

from rich.progress import track

from equipoise.drivers.framing import Decoder, encode_frame
from equipoise.sim.board import BoardTransport, SimulatedBoard
from equipoise.sim.build import build_board
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import MAX_PAYLOAD, Operation

BATCH = 1000
LONGEST = 48
"""Bytes of a random payload."""

GEOMETRY = Geometry(lanes=2, contexts=2, neurons=32, rows=256, groups=8, levels=4, sample_words=512, output_words=256)
ANSWER_TIMEOUT = 30.0


def damaged(source: random.Random, frame: bytes) -> bytes:
    """A frame with one thing wrong."""
    data = bytearray(frame)
    place = source.randrange(len(data))
    match source.randrange(5):
        case 0:
            data[place] ^= 1 << source.randrange(8)
        case 1:
            data[place] = source.randrange(256)
        case 2:
            del data[place]
        case 3:
            data.insert(place, data[place])
        case _:
            del data[place:]
    return bytes(data)


def an_input(source: random.Random, operations: tuple[int, ...]) -> tuple[bytes, bytes | None]:
    """Bytes for the wire; and the frame that they are or were made of."""
    kind = source.random()
    if kind < 1 / 3:
        return source.randbytes(source.randrange(1, LONGEST)), None
    operation = source.choice(operations)
    payload = source.randbytes(source.randrange(LONGEST))
    frame = encode_frame(operation, source.randrange(2**16), payload, version=source.choice((1, 1, 1, 0, 2, 255)))
    if kind < 2 / 3:
        return damaged(source, frame), frame
    return b"\0" + frame, frame


def memory(pid: int | str = "self") -> int:
    """Resident memory of a process, in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def fuzz_decoder(inputs: int, seed: int) -> str:
    source, decoder = random.Random(seed), Decoder(MAX_PAYLOAD)
    whole = wrong = 0
    before, began = memory(), time.perf_counter()
    for _ in track(range(inputs // BATCH), "decoder", transient=True):
        sent: set[bytes] = set()
        for _ in range(BATCH):
            data, frame = an_input(source, tuple(range(256)))
            if frame is not None:
                sent.add(frame)
            for got in decoder.feed(data):
                whole += 1
                again = encode_frame(got.operation, got.sequence, got.payload, got.status, got.version)
                wrong += again not in sent
    seconds, grown = time.perf_counter() - began, memory() - before
    dropped = decoder.crc_errors + decoder.framing_errors
    return (
        f"decoder: {inputs:,} inputs in {seconds:.0f} s: {whole:,} whole frames, {wrong} of them never sent; "
        f"{dropped:,} dropped; memory grew by {grown} KiB"
    )


def fuzz_gateware(inputs: int, seed: int) -> str:
    # RUN is left out: what its registers describe may take hours, and is refused by the driver, not by the wire.
    operations = tuple(code for code in range(256) if code != Operation.RUN)
    source = random.Random(seed)
    board = SimulatedBoard(build_board(GEOMETRY))
    transport = BoardTransport(board)
    before = memory(board.pid)
    began = time.perf_counter()
    decoder, answers = Decoder(), 0
    try:
        for number in track(range(inputs // BATCH), "gateware", transient=True):
            for _ in range(BATCH // 50):
                transport.send(b"".join(an_input(source, operations)[0] for _ in range(50)))
            nonce = number.to_bytes(4, "little")
            transport.send(b"\0" + encode_frame(Operation.HELLO, number % 2**16, nonce))
            deadline = time.monotonic() + ANSWER_TIMEOUT
            while True:
                frames = decoder.feed(transport.receive(deadline))
                answers += len(frames)
                if any((f.operation, f.sequence, f.status) == (Operation.HELLO, number % 2**16, 0) for f in frames):
                    break
                if time.monotonic() > deadline:
                    raise SystemExit(f"gateware: no HELLO within {ANSWER_TIMEOUT:g} s after {number * BATCH:,} inputs")
        seconds, grown = time.perf_counter() - began, memory(board.pid) - before
    finally:
        transport.close()
    damaged_answers = decoder.crc_errors + decoder.framing_errors
    return (
        f"gateware: {inputs:,} inputs in {seconds:.0f} s: {answers:,} answers, {damaged_answers} of them damaged; "
        f"HELLO after each {BATCH}; the simulator's memory grew by {grown} KiB"
    )


def main() -> None:
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, resource.getrlimit(resource.RLIMIT_AS)[1]))
    print(fuzz_decoder(inputs, seed))
    print(fuzz_gateware(inputs, seed))


if __name__ == "__main__":
    main()
