"""The reverse process: its schedule, and the arithmetic that takes a neuron from one noise level to the next."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import SCHEDULE_ROWS
from ..substrate.protocol import SPACES
from ..substrate.reverse import XI_SHIFT
from .arithmetic import saturate
from .hostport import SpacePort

__all__ = ["NEW_STAGE", "OLD_STAGE", "ReverseUnit"]

OLD_STAGE = 5
"""Stage of a beat at which the state before it is kept."""

NEW_STAGE = 11
"""Stage of a beat at which the new state is written."""

_WORDS = SPACES["schedule"].across
_TERMS = 4


class ReverseUnit(wiring.Component):
    """c' = a c + b out + g h + e xi (``docs/arithmetic.md``, Reverse process), by one multiplier.

    The products follow one another from stage 3 of a beat on, so beats must be ``UPDATE_CYCLES`` apart. A row of the
    schedule takes eight words of its memory, which is one block RAM of an ECP5.

    Parameters
    ----------
    formats
        Number formats.

    Attributes
    ----------
    row
        Of the schedule.
    take
        Strobe at beat 1 of a sampled neuron.
    state
        At beat 3, its state c.
    earlier, output, xi
        From beat 3 on: the state h of the row before, the output out, the noise generator's integer.
    level
        Noise level of the row; any while a neuron is under way.
    value
        What to write: c for :data:`OLD_STAGE`, c' for :data:`NEW_STAGE`, one stage before.
    clipped
        Strobe: c' met the rail.
    port
        Host access to the schedule.
    """

    def __init__(self, formats: Formats) -> None:
        self._formats = formats
        state = signed(formats.state.width)
        super().__init__(
            {
                "row": In(range(SCHEDULE_ROWS)),
                "take": In(1),
                "state": In(state),
                "earlier": In(state),
                "output": In(state),
                "xi": In(signed(12)),
                "level": Out(6),
                "value": Out(state),
                "clipped": Out(1),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        formats, port = self._formats, self.port
        state, factor = formats.state, formats.factor

        m.submodules.schedule = schedule = Memory(shape=signed(factor.width), depth=8 * SCHEDULE_ROWS, init=[])
        read, write = schedule.read_port(), schedule.write_port()
        word = Signal(range(8))  # of the row: its level while there is nothing to do
        m.d.comb += [
            read.addr.eq(Mux(port.busy, Cat(word, self.row), Cat(port.word[:3], port.row[: len(self.row)]))),
            write.addr.eq(Cat(port.word[:3], port.row[: len(self.row)])),
            write.data.eq(port.write_data),
            write.en.eq(port.write & (port.space == SPACES["schedule"].code)),
            self.level.eq(read.data),
        ]
        m.d.sync += port.read_data.eq(read.data.as_unsigned())
        with m.If(self.take):
            m.d.sync += word.eq(1)
        with m.Elif(word != 0):
            m.d.sync += word.eq(Mux(word == _WORDS - 1, 0, word + 1))

        # A term: asked for at its word, its factor there a cycle later, its product two after that, and then added.
        terms = [Signal(name=f"term_{number}") for number in range(_TERMS)]
        m.d.sync += [term.eq(word == number + 1) for number, term in enumerate(terms)]
        left, right = Signal(signed(state.width)), Signal(signed(factor.width))
        product = Signal(signed(state.width + factor.width))
        total = Signal(signed(len(product) + 2))
        with m.If(terms[0]):
            m.d.sync += left.eq(self.state)
        with m.Elif(terms[1]):
            m.d.sync += left.eq(self.output)
        with m.Elif(terms[2]):
            m.d.sync += left.eq(self.earlier)
        with m.Else():
            m.d.sync += left.eq(self.xi << XI_SHIFT)
        begins, ends = Signal(2), Signal(3)  # the first and the last term, on their way to the sum and out of it
        m.d.sync += [
            right.eq(read.data),
            begins.eq(Cat(terms[0], begins[0])),
            product.eq(left * right),
            total.eq(Mux(begins[1], 1 << factor.fraction >> 1, total) + product),
        ]
        bounded, over = saturate(total >> factor.fraction, state)
        m.d.sync += self.value.eq(Mux(terms[0], self.state, bounded))
        m.d.sync += [ends.eq(Cat(terms[-1], ends[:-1])), self.clipped.eq(ends[-1] & over)]
        return m
