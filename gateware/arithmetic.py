"""Rounding and saturation of ``docs/arithmetic.md``, as Amaranth expressions."""

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value

from ..substrate.formats import Fixed

__all__ = ["adder_tree", "clip", "halvings", "round_shift", "saturate"]


def halvings(count: int) -> list[int]:
    """Radices of the adder tree over ``count`` values that has the fewest adders; one level at least."""
    return [2] * max((count - 1).bit_length(), 1)


def adder_tree(m: Module, values: list, radices: list[int], name: str, width: int | None = None) -> Signal:
    """Sum of values, as many cycles later as there are radices: each is how many sums a level adds.

    Modulo 2**``width``, if that is given.
    """
    for level, radix in enumerate(radices):
        sums = []
        for number in range(0, len(values), radix):
            part = values[number : number + radix]
            exact = sum(part[1:], part[0])
            shape = exact.shape() if width is None else Shape(width, signed=exact.shape().signed)
            register = Signal(shape, name=f"{name}_{level}_{number}")
            m.d.sync += register.eq(exact)
            sums.append(register)
        values = sums
    (total,) = values
    return total


def round_shift(value: Value, shift: int | Value) -> Value:
    """R(value, shift): divide by 2**shift and round half up."""
    if isinstance(shift, int):
        return (value + Const(1 << shift >> 1)) >> shift
    return (value + (Const(1) << shift >> 1)) >> shift


def clip(value: Value, top: int) -> tuple[Value, Value]:
    """The signed value within +-top, and whether it had to be clipped.

    It looks at bits instead of comparing: a comparison is a carry chain as long as the value.

    Raises
    ------
    ValueError
        If ``top`` is not ones followed by zeros, in binary.
    """
    zeros = (top & -top).bit_length() - 1
    if top <= 0 or (top >> zeros) & ((top >> zeros) + 1):
        raise ValueError(f"Limit of a clipped value must be ones followed by zeros in binary, not {top:b}")
    width = top.bit_length() + 1
    negative, beyond, body = value[-1], value[width - 1 : -1], value[zeros : width - 1]
    # Beyond by its highest bits, or by the bits below the zeros of the top; -top itself is in range.
    past = body.all() & value[:zeros].any() if zeros else Const(0)
    over = ~negative & (beyond.any() | past)
    under = negative & (~beyond.all() | ~body.any())
    bounded = Mux(over, Const(top, width), Mux(under, Const(-top, width).as_unsigned(), value[:width]))
    return bounded.as_signed(), over | under


def saturate(value: Value, fixed: Fixed) -> tuple[Value, Value]:
    """S(value, fixed): the value within the range of a format, and whether it saturated."""
    return clip(value, fixed.top)
