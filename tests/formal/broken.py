"""Designs that are broken on purpose: what holds for the sound ones must be seen to fail for these."""

from collections.abc import Callable

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring

from equipoise.gateware.arithmetic import clip, round_shift


def changed(component: wiring.Component, change: Callable[[Module], None]) -> wiring.Component:
    """``component``, with more statements at the end of its module: they override what is there."""
    inner = component.elaborate

    def elaborate(platform: object) -> Module:
        m = inner(platform)
        change(m)
        return m

    component.elaborate = elaborate
    return component


def held(name: str) -> Callable[[Module], None]:
    """Have the register of this name never change."""

    def change(m: Module) -> None:
        register = _find(m, name)
        m.d.sync += register.eq(register)

    return change


def cleared(name: str) -> Callable[[Module], None]:
    """Have the register of this name always become 0."""

    def change(m: Module) -> None:
        m.d.sync += _find(m, name).eq(0)

    return change


def forgetful_of_zeros(decoder) -> Callable[[Module], None]:
    """Have a COBS decoder stay within its block at a 0x00."""

    def change(m: Module) -> None:
        left = _find(m, "left")
        with m.If(decoder.encoded.payload == 0):
            m.d.sync += left.eq(left)

    return change


def withdrawn(stream) -> Callable[[Module], None]:
    """Have a stream offer nothing in every other cycle."""

    def change(m: Module) -> None:
        odd = Signal()
        m.d.sync += odd.eq(~odd)
        with m.If(odd):
            m.d[m._driving[stream.valid][0]] += stream.valid.eq(0)

    return change


def wrapping_clip(value: Value, top: int) -> tuple[Value, Value]:
    """A clip that forgets the low end."""
    bounded, _ = clip(value, top)
    return Mux(value < -top, value[: len(bounded)].as_signed(), bounded), (value > top) | (value < -top)


def wrapping_round(value: Value, shift: int | Value) -> Value:
    """A rounding shift whose sum has no room for the carry."""
    half = 1 << shift >> 1 if isinstance(shift, int) else (Value.cast(1) << shift >> 1)
    return (value + half)[: len(value)].as_signed() >> shift


def truncating_shift(value: Value, shift: int | Value) -> Value:
    """A shift that does not round."""
    return round_shift(value, 0) >> shift


def _find(m: Module, name: str) -> Signal:
    (found,) = (signal for signal in m._driving if signal.name == name)
    return found
