"""Sample buffer: what a minibatch's samples bring, and the outputs they leave."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
from .hostport import SpacePort

__all__ = ["SampleBuffer"]


class SampleBuffer(wiring.Component):
    """Both buffers, read and written in order.

    Parameters
    ----------
    geometry
        Sizes of the buffers.

    Attributes
    ----------
    first, next
        Strobes: go to the first sample (and the first output), to the next sample.
    record
        Words of a sample.
    take
        Take a word of the sample; it is in ``word`` in the next cycle.
    put, output
        Append a word to the outputs.
    keep, rewind
        Strobes: what the outputs hold so far stays; go back to the end of what stays.
    retake, held
        Take the output there, and step past it; it is in ``held`` from the next cycle until the next is taken.
    port
        Host access.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "first": In(1),
                "next": In(1),
                "record": In(16),
                "take": In(1),
                "word": Out(16),
                "put": In(1),
                "output": In(16),
                "keep": In(1),
                "rewind": In(1),
                "retake": In(1),
                "held": Out(16),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = self.port
        m.submodules.samples = samples = Memory(shape=16, depth=self._geometry.sample_words, init=[])
        m.submodules.outputs = outputs = Memory(shape=16, depth=self._geometry.output_words, init=[])
        sample_read, sample_write = samples.read_port(), samples.write_port()
        output_read, output_write = outputs.read_port(), outputs.write_port()

        base, position, filled, kept = Signal(16), Signal(16), Signal(16), Signal(16)
        with m.If(self.first):
            m.d.sync += [base.eq(0), position.eq(0), filled.eq(0), kept.eq(0)]
        with m.Elif(self.next):
            m.d.sync += [base.eq(base + self.record), position.eq(base + self.record)]
        with m.Elif(self.take):
            m.d.sync += position.eq(position + 1)
        with m.If(self.put | self.retake):
            m.d.sync += filled.eq(filled + 1)
        with m.Elif(self.rewind):
            m.d.sync += filled.eq(kept)
        with m.If(self.keep):
            m.d.sync += kept.eq(filled)

        # One address for both in a compact device, whose large memories have a single port.
        row = Signal.like(sample_read.addr)
        m.d.comb += [
            row.eq(Mux(port.busy, position, port.row)),
            sample_read.addr.eq(row),
            sample_read.en.eq(~port.busy | self.take),
            self.word.eq(sample_read.data),
            sample_write.addr.eq(row if self._geometry.compact else port.row),
            sample_write.data.eq(port.write_data),
            sample_write.en.eq(port.write & (port.space == SPACES["samples"].code)),
            output_read.addr.eq(port.row if self._geometry.compact else Mux(port.busy, filled, port.row)),
            output_read.en.eq(~port.busy | self.retake),
            self.held.eq(output_read.data),
            output_write.addr.eq(filled),
            output_write.data.eq(self.output),
            output_write.en.eq(self.put),
        ]
        word = Mux(port.space == SPACES["outputs"].code, output_read.data, sample_read.data)
        m.d.sync += port.read_data.eq(word.as_signed())
        return m
