"""UART against a line drawn by hand, and against itself."""

import pytest
from amaranth.hdl import Module
from amaranth.sim import Simulator

from equipoise.gateware.uart import Uart, bit_cycles

CYCLES = 8


def line_of(data: bytes, cycles: int = CYCLES) -> list[int]:
    """Levels of a line, cycle by cycle: start bit, 8 data bits from the lowest, stop bit."""
    bits = [bit for byte in data for bit in (0, *(byte >> n & 1 for n in range(8)), 1)]
    return [bit for bit in bits for _ in range(cycles)]


def simulate(uart: Uart, bench, *, loop: bool = False) -> None:
    m = Module()
    m.submodules.uart = uart
    if loop:
        m.d.comb += uart.line_in.eq(uart.line_out)
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    for process in bench:
        simulator.add_testbench(process)
    simulator.run()


def collect(uart: Uart, received: list[int], errors: list[str], cycles: int):
    async def run(ctx) -> None:
        ctx.set(uart.received.ready, 1)
        for _ in range(cycles):
            if ctx.get(uart.received.valid):
                received.append(ctx.get(uart.received.payload))
            if ctx.get(uart.framing_error):
                errors.append("framing")
            if ctx.get(uart.overrun):
                errors.append("overrun")
            await ctx.tick()

    return run


def draw(uart: Uart, levels: list[int]):
    async def run(ctx) -> None:
        for level in levels:
            ctx.set(uart.line_in, level)
            await ctx.tick()

    return run


DATA = bytes([0x00, 0xFF, 0x55, 0xAA, 0x01, 0x80, 0x7E])


# A sender may be 3 % fast or slow: of 40 cycles a bit, 39 or 41.
@pytest.mark.parametrize(("own", "theirs"), [(8, 8), (4, 4), (40, 39), (40, 41), (26, 26)])
def test_takes_bytes_from_a_line(own: int, theirs: int) -> None:
    uart = Uart(clock=own, baud=1)
    levels = [1] * 5 + line_of(DATA, theirs) + [1] * 3 * own
    received, errors = [], []
    simulate(uart, [draw(uart, levels), collect(uart, received, errors, len(levels))])
    assert bytes(received) == DATA and not errors


def test_sends_the_line_that_a_byte_has() -> None:
    uart = Uart(clock=CYCLES, baud=1)
    seen: list[int] = []

    async def send(ctx) -> None:
        for byte in DATA:
            ctx.set(uart.to_send.payload, byte)
            ctx.set(uart.to_send.valid, 1)
            await ctx.tick().until(uart.to_send.ready)
        ctx.set(uart.to_send.valid, 0)

    async def watch(ctx) -> None:
        for _ in range(len(DATA) * 10 * (CYCLES + 1)):
            seen.append(ctx.get(uart.line_out))
            await ctx.tick()

    simulate(uart, [send, watch])
    start = seen.index(0)
    for number, byte in enumerate(DATA):
        wanted = line_of(bytes([byte]))
        # Between bytes the stop bit may be longer, by the cycle in which the next is taken.
        assert seen[start : start + len(wanted)] == wanted, number
        start += len(wanted)
        while start < len(seen) and seen[start]:
            start += 1


def test_hears_itself() -> None:
    uart = Uart(clock=13, baud=1)
    received, errors = [], []

    async def send(ctx) -> None:
        for byte in DATA:
            ctx.set(uart.to_send.payload, byte)
            ctx.set(uart.to_send.valid, 1)
            await ctx.tick().until(uart.to_send.ready)
        ctx.set(uart.to_send.valid, 0)

    simulate(uart, [send, collect(uart, received, errors, len(DATA) * 10 * 14 + 200)], loop=True)
    assert bytes(received) == DATA and not errors


def test_drops_a_byte_without_stop_bit_and_takes_the_next() -> None:
    uart = Uart(clock=CYCLES, baud=1)
    broken = line_of(b"\x41")[:-CYCLES] + [0] * CYCLES
    levels = [1] * 5 + broken + [1] * 2 * CYCLES + line_of(b"\x42") + [1] * 3 * CYCLES
    received, errors = [], []
    simulate(uart, [draw(uart, levels), collect(uart, received, errors, len(levels))])
    assert bytes(received) == b"\x42" and errors == ["framing"]


def test_tells_of_a_byte_that_nobody_took() -> None:
    uart = Uart(clock=CYCLES, baud=1)
    levels = [1] * 5 + line_of(b"ab") + [1] * 3 * CYCLES
    lost: list[bool] = []

    async def watch(ctx) -> None:
        for _ in levels:
            lost.append(bool(ctx.get(uart.overrun)))
            await ctx.tick()

    simulate(uart, [draw(uart, levels), watch])
    assert sum(lost) == 1


def test_takes_nothing_while_held() -> None:
    uart = Uart(clock=CYCLES, baud=1)
    levels = [1] * 5 + line_of(b"a") + [1] * 3 * CYCLES
    received, errors = [], []

    async def hold(ctx) -> None:
        ctx.set(uart.hold, 1)

    simulate(uart, [hold, draw(uart, levels), collect(uart, received, errors, len(levels))])
    assert not received and not errors


def test_baud_rates() -> None:
    assert bit_cycles(80e6, 3_000_000) == 27
    assert bit_cycles(24e6, 3_000_000) == 8
    with pytest.raises(
        ValueError, match=r"^Baud rate 3000000 is -3\.7% off at a clock of 2\.6e\+07 Hz \(9 cycles a bit\)"
    ):
        bit_cycles(26e6, 3_000_000)
    with pytest.raises(ValueError, match=r"at most a quarter of the clock, 1e\+06 Hz, not 500000$"):
        bit_cycles(1e6, 500_000)
