"""Arithmetic of the gateware, exhaustively on small widths."""

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from equipoise.gateware.arithmetic import clip


@pytest.mark.parametrize("top", [0b111, 0b1, 0b111_00, 0b1_000])
def test_clip_is_clip(top: int) -> None:
    value, bounded, over = Signal(signed(8)), Signal(signed(8)), Signal()
    m = Module()
    result, clipped = clip(value, top)
    m.d.comb += [bounded.eq(result), over.eq(clipped)]
    simulator = Simulator(m)

    async def bench(ctx) -> None:
        for number in range(-128, 128):
            ctx.set(value, number)
            assert ctx.get(bounded) == max(-top, min(top, number)), number
            assert ctx.get(over) == (abs(number) > top), number

    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("top", [0b101, 0, -7])
def test_a_limit_that_is_not_ones_and_zeros(top: int) -> None:
    with pytest.raises(
        ValueError, match=rf"^Limit of a clipped value must be ones followed by zeros in binary, not {top:b}$"
    ):
        clip(Signal(signed(8)), top)
