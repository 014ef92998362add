"""Access to the spaces: what is read comes in order, whatever the latency, and as fast as it can be sent."""

from typing import Any

import pytest
from amaranth.hdl import Module

from equipoise.drivers.requests import word_cycles
from equipoise.gateware.hostport import read_latency
from equipoise.gateware.link.access import SpaceAccess
from equipoise.gateware.link.small import SmallSpaceAccess
from equipoise.substrate.geometry import Geometry

from .streams import Pauses, bursts, never, receive, seldom, simulate

ROWS, ACROSS, FIRST = 9, 5, 1000


def word(row: int, number: int) -> int:
    """What the space answers."""
    return (row << 16 | number << 8 | (row * 7 + number) % 251) & 0xFFFFFFFF


class Bench:
    """Reads rows of a space that answers after the latency of the geometry.

    Attributes
    ----------
    cycles
        From the start to the last byte.
    """

    def __init__(self, geometry: Geometry, wide: bool) -> None:
        self._geometry, self._wide = geometry, wide
        self.cycles = 0

    def read(self, pauses: Pauses = never) -> bytes:
        m = Module()
        kind = SmallSpaceAccess if self._geometry.compact else SpaceAccess
        m.submodules.dut = dut = kind(self._geometry)
        received, done = bytearray(), []

        async def answer(ctx: Any) -> None:
            flight: list[int] = [0xDEADBEEF] * (read_latency(self._geometry) - 1)
            while True:
                *_, row, number = await ctx.tick().sample(dut.row, dut.word)
                flight.append(word(row, number))
                ctx.set(dut.read_data, flight.pop(0))

        async def start(ctx: Any) -> None:
            for port, value in (("wide", self._wide), ("across", ACROSS), ("first_row", FIRST), ("count", ROWS)):
                ctx.set(getattr(dut, port), value)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            while not done:
                await ctx.tick()
                self.cycles += 1

        async def collect(ctx: Any) -> None:
            def take(byte: Any) -> bool:
                received.append(byte.data)
                return bool(byte.last)

            await receive(ctx, dut.sink, take, pauses)
            done.append(True)
            await ctx.tick().repeat(3 * read_latency(self._geometry))
            assert not ctx.get(dut.sink.valid)
            assert not ctx.get(dut.busy)

        simulate(m, start, collect, background=[answer])
        return bytes(received)


@pytest.mark.parametrize("pauses", [never, seldom(1), bursts(2)])
@pytest.mark.parametrize("wide", [False, True], ids=["2-byte", "4-byte"])
@pytest.mark.parametrize("geometry", [Geometry(lanes=1), Geometry(lanes=8), Geometry(lanes=1, compact=1)], ids=str)
def test_words_are_read_in_order(geometry, wide, pauses) -> None:
    expected = b"".join(
        word(row, number).to_bytes(4, "little")[: 4 if wide else 2]
        for row in range(FIRST, FIRST + ROWS)
        for number in range(ACROSS)
    )
    assert Bench(geometry, wide).read(pauses) == expected


@pytest.mark.parametrize("wide", [False, True], ids=["2-byte", "4-byte"])
@pytest.mark.parametrize("lanes", [1, 2, 7, 8, 64])
def test_a_read_takes_a_cycle_for_each_byte(lanes, wide) -> None:
    bench = Bench(Geometry(lanes=lanes), wide)
    sent = len(bench.read())
    assert bench.cycles <= sent + read_latency(Geometry(lanes=lanes)) + 4


@pytest.mark.parametrize("geometry", [Geometry(lanes=8), Geometry(lanes=1, compact=1)], ids=str)
def test_a_word_takes_as_many_cycles_as_the_driver_counts_on(geometry) -> None:
    bench = Bench(geometry, wide=True)
    bench.read()
    words = ROWS * ACROSS
    assert (
        words * (word_cycles(geometry) - 1) < bench.cycles <= words * word_cycles(geometry) + read_latency(geometry) + 4
    )
