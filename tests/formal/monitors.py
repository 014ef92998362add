"""What properties are made of: the rules of streams, as assertions or assumptions, and a CRC-32 by its definition."""

from functools import reduce
from operator import xor

from amaranth.hdl import Assert, Assume, Cat, Const, Module, Signal, Value

NEVER = Const(0)


def _kept(m: Module, stream, statement: type, name: str, unless: Value) -> None:
    """What is offered stays as it is until it is taken, unless it is called off."""
    payload = Value.cast(stream.payload)
    waiting = Signal(name=f"{name}_waiting")
    offered = Signal.like(payload, name=f"{name}_offered")
    m.d.sync += [waiting.eq(stream.valid & ~stream.ready & ~unless), offered.eq(payload)]
    with m.If(waiting):
        m.d.comb += statement(stream.valid & (payload == offered), f"{name} is kept until it is taken")


def assert_kept(m: Module, stream, name: str, unless: Value = NEVER) -> None:
    """Assert that a component keeps what it offers until it is taken, or until the cycle after ``unless``."""
    _kept(m, stream, Assert, name, unless)


def assume_kept(m: Module, stream, name: str, unless: Value = NEVER) -> None:
    """Assume that the environment does so."""
    _kept(m, stream, Assume, name, unless)


def crc32_step(crc: Value, byte: Value) -> Value:
    """One byte of CRC-32, reflected, polynomial 0xEDB88320.

    A step is linear: each bit of the result is the sum of some bits of ``crc`` and ``byte``; which ones is found by
    running the definition on one bit at a time. (Bit by bit as logic, it would keep the solver for minutes.)
    """
    bits = []
    for place in range(32):
        parts = [crc[bit] for bit in reversed(range(32)) if _crc32_of(1 << bit) >> place & 1]
        parts += [byte[bit] for bit in reversed(range(8)) if _crc32_of(1 << bit) >> place & 1]
        bits.append(reduce(xor, parts))
    return Cat(bits)


def _crc32_of(value: int) -> int:
    """Eight steps of the shift register."""
    for _ in range(8):
        value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value
