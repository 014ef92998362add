"""Rounding and saturation against arithmetic that is wide enough for anything: what they say is never wrapped."""

from amaranth.hdl import Assert, Const, Cover, Module, Mux, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from equipoise.gateware import arithmetic


class ClipIsRight(wiring.Component):
    """``clip`` of a value of any width: the value where it is within the range, else the nearer end, and says so.

    The result is of its own width, so that nothing can be lost behind it.
    """

    def __init__(self, width: int, top: int) -> None:
        self._top = top
        super().__init__({"x": In(signed(width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        x, top = self.x, self._top
        value, clipped = arithmetic.clip(x, top)
        low, high = x < -top, x > top
        m.d.comb += [
            Assert(value == Mux(high, top, Mux(low, -top, x)), "the nearest value in the range"),
            Assert(clipped == (low | high), "every clip is told, and nothing else"),
            Assert((value <= top) & (value >= -top), "within the range"),
            Cover(clipped & (value == -top), "clipped at the low end"),
            Cover(clipped & (value == top), "clipped at the high end"),
        ]
        return m


class RoundIsRight(wiring.Component):
    """``round_shift`` of any value: r with r 2^k <= x + 2^(k-1) < (r + 1) 2^k, which says that nothing wraps.

    With ``variable``, the shift is an input of so many bits.
    """

    def __init__(self, width: int, shift: int = 0, variable: int = 0) -> None:
        self._shift, self._variable = shift, variable
        super().__init__({"x": In(signed(width)), "shift": In(max(1, variable))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shift = self.shift if self._variable else self._shift
        rounded = arithmetic.round_shift(self.x, shift)
        # The same in whole numbers: floor of (2 x + 2^k) / 2^(k+1).
        exact = ((self.x << 1) + (Const(1) << shift)) >> (shift + 1)
        m.d.comb += Assert(rounded == exact, "rounded half up, whatever the value")
        m.d.comb += Cover(rounded < 0, "a negative result")
        return m
