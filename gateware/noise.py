"""Noise generator of one sample context: xoroshiro128+ and a sum of eight bytes."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..substrate.geometry import SCHEDULE_ROWS

__all__ = ["NoiseGenerator"]


class NoiseGenerator(wiring.Component):
    """Approximately normal integers, a pure function of seed, sample, phase and row (``docs/arithmetic.md``, Noise).

    xoroshiro128+ of Blackman and Vigna (2018), with its parameters (24, 16, 37). The sum of the eight bytes
    of a word, less 1020, has variance 8 (256**2 - 1) / 12 and an excess kurtosis of -0.15.

    Attributes
    ----------
    load
        Strobe: start the stream of ``seed``, ``sample``, ``phase`` and ``row``. The 64 steps that mix it are up to the
        caller.
    mix
        Whether a step mixes: the word goes into the state, which no linear relation between two streams survives.
    step
        Take a word and step on.
    word
        The word taken in the cycle before.
    xi
        The integer of the word taken two cycles earlier, -1020 to 1020.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "load": In(1),
                "seed": In(64),
                "sample": In(16),
                "phase": In(2),
                "row": In(range(SCHEDULE_ROWS)),
                "mix": In(1),
                "step": In(1),
                "word": Out(64),
                "xi": Out(signed(12)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        s0, s1, word = Signal(64), Signal(64), self.word
        mixed, total = s0 ^ s1, (s0 + s1)[:64]
        with m.If(self.load):
            m.d.sync += [
                s0.eq(self.seed),
                s1.eq(Const(0x9E3779B97F4A7C15, 64) ^ Cat(self.phase, Const(0, 6), self.sample, Const(0, 8), self.row)),
            ]
        with m.Elif(self.step):
            m.d.sync += [
                word.eq(total),
                s0.eq(s0.rotate_left(24) ^ mixed ^ (mixed << 16)[:64]),
                s1.eq(mixed.rotate_left(37) ^ Mux(self.mix, total, 0)),
            ]
        stepped = Signal()
        m.d.sync += stepped.eq(self.step)
        with m.If(stepped):
            m.d.sync += self.xi.eq(sum(word.word_select(byte, 8) for byte in range(8)) - 1020)
        return m
