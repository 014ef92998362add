"""Rounding and saturation of ``docs/arithmetic.md``, as Amaranth expressions."""

from amaranth.hdl import Const, Mux, Value

from ..substrate.formats import Fixed

__all__ = ["clip", "round_shift", "saturate"]


def round_shift(value: Value, shift: int | Value) -> Value:
    """R(value, shift): divide by 2**shift and round half up."""
    if isinstance(shift, int):
        return (value + Const(1 << shift >> 1)) >> shift
    return (value + (Const(1) << shift >> 1)) >> shift


def clip(value: Value, top: int) -> tuple[Value, Value]:
    """The signed value within +-top, and whether it had to be clipped."""
    width = top.bit_length() + 1
    over = value > top
    under = value < -top
    bounded = Mux(over, Const(top, width), Mux(under, Const(-top, width).as_unsigned(), value[:width]))
    return bounded.as_signed(), over | under


def saturate(value: Value, fixed: Fixed) -> tuple[Value, Value]:
    """S(value, fixed): the value within the range of a format, and whether it saturated."""
    return clip(value, fixed.top)
