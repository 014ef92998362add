"""Registers of a compact device: all in one memory, which counts, one counter after the other, what has happened."""

from functools import reduce
from operator import or_

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.protocol import REGISTERS, SPACES, Access
from .hostport import SpacePort

__all__ = ["SETTLE", "CountingRegisters"]

SETTLE = 63
"""Cycles after the last event of a run until every counter is up to date. Each of the 13 takes 3."""

_COUNTERS = [register.name for register in REGISTERS if register.access is Access.READ_ONLY]
_FIRST = next(row for row, register in enumerate(REGISTERS) if register.access is Access.READ_ONLY)
_OF_A_RUN = _COUNTERS.index("runs")
"""Counters before this one start at zero in each run."""


class CountingRegisters(wiring.Component):
    """The ``registers`` space in a block RAM: a small FPGA has no room for registers of all counters.

    What has happened since its last turn waits in a few bits at each counter.

    Parameters
    ----------
    most
        For each counter, by name, how much it can be told to count in one cycle, and in how many cycles it is told so
        once at most. ``residual_high`` has none: it counts the carries of ``residual_low``.

    Attributes
    ----------
    One port a register, by its name: an output where the host writes, an input for what a counter is to count.
    start
        Strobe: the counters of a run start at zero.
    read
        Strobe of the host port.
    port
        Host access. A counter is read as it was at its last turn, at most ``SETTLE`` cycles ago.
    """

    def __init__(self, most: dict[str, tuple[int, int]]) -> None:
        assert set(most) == set(_COUNTERS) - {"residual_high"}
        self._most = most
        values = {register.name: Out(register.width) for register in REGISTERS if register.access is Access.READ_WRITE}
        events = {name: In(largest.bit_length()) for name, (largest, _) in most.items()}
        super().__init__({**values, **events, "start": In(1), "read": In(1), "port": In(SpacePort())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = self.port
        m.submodules.words = words = Memory(shape=32, depth=1 << (len(REGISTERS) - 1).bit_length(), init=[])
        read, write = words.read_port(), words.write_port()

        hosts = port.write & (port.space == SPACES["registers"].code)
        with m.Switch(port.row):
            for row, register in enumerate(REGISTERS[:_FIRST]):
                value = getattr(self, register.name)
                with m.Case(row), m.If(hosts):
                    m.d.sync += value.eq(port.write_data)

        # A turn: look up, add, write. The host goes first; at the start of a run, zeros are written before all else.
        turn = Signal(range(len(_COUNTERS)))
        step = Signal(2)
        row = Signal.like(write.addr)
        clearing, reading, again = Signal(), Signal(), Signal()
        total = Signal(33)
        looking, adding, writing = step == 0, step == 1, step == 2
        m.d.sync += again.eq(self.read)
        m.d.comb += [row.eq(turn + _FIRST), reading.eq(self.read | again)]
        stays = (looking & reading) | (writing & (reading | hosts))
        last = turn == len(_COUNTERS) - 1
        written = writing & ~stays
        with m.If(self.start):
            m.d.sync += [turn.eq(0), step.eq(2), clearing.eq(1)]
        with m.Elif(written):
            m.d.sync += [turn.eq(Mux(last, 0, turn + 1)), step.eq(Mux(clearing & ~last, 2, 0))]
            with m.If(turn == _OF_A_RUN - 1):
                m.d.sync += [clearing.eq(0), step.eq(0)]
        with m.Elif(~stays):
            m.d.sync += step.eq(step + 1)

        waiting = []
        carried = written & (turn == _COUNTERS.index("residual_low")) & total[32]
        for number, name in enumerate(_COUNTERS):
            event = carried if name == "residual_high" else getattr(self, name)
            since, own = Signal(self._bits(name), name=f"since_{name}"), turn == number
            m.d.sync += since.eq(Mux(adding & own, 0, since) + event)
            waiting.append(Mux(own, since, 0))
            if number < _OF_A_RUN:
                with m.If(self.start):
                    m.d.sync += since.eq(0)
        with m.If(adding):
            m.d.sync += total.eq(read.data + reduce(or_, waiting))

        m.d.comb += [
            read.addr.eq(Mux(reading, port.row, row)),
            port.read_data.eq(read.data),
            write.addr.eq(Mux(hosts, port.row, row)),
            write.data.eq(Mux(hosts, port.write_data, Mux(clearing, 0, total))),
            write.en.eq(Mux(hosts, write.addr < _FIRST, written)),
        ]
        return m

    def _bits(self, name: str) -> int:
        """Bits of what can wait until a counter's turn."""
        if name == "residual_high":
            return 1
        largest, every = self._most[name]
        return (largest * -(-(SETTLE + 1) // every)).bit_length()
