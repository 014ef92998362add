"""Parts of the link of a compact device: the same to their neighbours, slower where a serial line does not notice."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib.memory import Memory

from .access import SpaceAccess
from .cobs import BLOCK, CobsEncoder

__all__ = ["SmallCobsEncoder", "SmallSpaceAccess"]


class SmallCobsEncoder(CobsEncoder):
    """A :class:`.cobs.CobsEncoder` with room for one block: while it goes out, nothing comes in."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        plain, encoded = self.plain, self.encoded
        m.submodules.bytes = kept = Memory(shape=8, depth=256, init=[])
        write, read = kept.write_port(), kept.read_port()
        run = Signal(8)  # bytes of the block, or those still to go out
        position = Signal(8)  # of the byte that goes out
        end, final_zero = Signal(), Signal()  # the block ends the frame; the empty block after it does
        zero = plain.p.data == 0
        m.d.comb += [write.addr.eq(run), write.data.eq(plain.p.data), read.addr.eq(position)]

        def sent() -> None:
            """After a block: the 0x00, the empty block of a frame that ends with a zero, or the next."""
            m.d.sync += [end.eq(final_zero), final_zero.eq(0)]
            with m.If(end):
                m.next = "END"
            with m.Elif(final_zero):
                m.next = "CODE"
            with m.Else():
                m.next = "TAKE"

        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += [plain.ready.eq(1), write.en.eq(plain.valid & ~zero)]
                m.d.sync += [end.eq(plain.p.last & ~zero), final_zero.eq(plain.p.last & zero)]
                with m.If(plain.valid):
                    m.d.sync += run.eq(run + ~zero)
                    with m.If(zero | plain.p.last | (run == BLOCK - 1)):
                        m.next = "CODE"
            with m.State("CODE"):
                m.d.comb += [encoded.valid.eq(1), encoded.payload.eq(run + 1)]
                m.d.sync += position.eq(0)
                with m.If(encoded.ready):
                    with m.If(run != 0):
                        m.next = "FETCH"
                    with m.Else():
                        sent()
            with m.State("FETCH"):
                m.next = "BYTES"
            with m.State("BYTES"):
                m.d.comb += [encoded.valid.eq(1), encoded.payload.eq(read.data)]
                with m.If(encoded.ready):
                    m.d.sync += [run.eq(run - 1), position.eq(position + 1)]
                    m.next = "FETCH"
                    with m.If(run == 1):
                        sent()
            with m.State("END"):
                m.d.comb += [encoded.valid.eq(1), encoded.payload.eq(0)]
                with m.If(encoded.ready):
                    m.next = "TAKE"
        return m


class SmallSpaceAccess(SpaceAccess):
    """A :class:`.access.SpaceAccess` with one register for the word that is read or written.

    It is ``busy`` until the last word is read.
    """

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source, sink = self.source, self.sink
        last_byte = Mux(self.wide, 3, 1)
        step, last = self._walk(m)

        # Bytes come in at the end of the word and go out at its beginning.
        word, index = Signal(32), Signal(2)
        flight = Signal(self._latency)  # the cycles since `read`
        arrived, taken = flight[-1], source.valid & source.ready
        bytes_left, bytes_last = Signal(3), Signal()
        sent = sink.valid & sink.ready
        m.d.comb += [
            step.eq(self.write | arrived),
            source.ready.eq(self.busy & self.writing),
            self.write_data.eq(word),
            self.read.eq(self.busy & ~self.writing & ~flight.any() & (bytes_left == 0)),
            sink.valid.eq(bytes_left != 0),
            sink.p.data.eq(word[:8]),
            sink.p.last.eq(bytes_last & (bytes_left == 1)),
        ]
        m.d.sync += [flight.eq(Cat(self.read, flight[:-1])), self.write.eq(taken & (index == last_byte))]
        with m.If(arrived):
            m.d.sync += [word.eq(self.read_data), bytes_left.eq(last_byte + 1), bytes_last.eq(last)]
        with m.Elif(taken | sent):
            byte = source.payload
            m.d.sync += word.eq(Cat(word[8:16], Mux(self.wide, word[16:24], byte), word[24:], byte))
        with m.If(taken):
            m.d.sync += index.eq(Mux(index == last_byte, 0, index + 1))
        with m.If(sent):
            m.d.sync += bytes_left.eq(bytes_left - 1)
        return m
