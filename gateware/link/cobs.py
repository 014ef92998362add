"""Consistent overhead byte stuffing (Cheshire and Baker, 1999): frames without a zero byte, each ended by one."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

__all__ = ["BLOCK", "CobsDecoder", "CobsEncoder", "DecodedByte", "FrameByte"]

FrameByte = data.StructLayout({"data": 8, "last": 1})
"""A byte of a frame; ``last`` marks its last one."""

DecodedByte = data.StructLayout({"data": 8, "end": 1, "error": 1})
"""A byte of a frame, or, after its last, its ``end`` without a byte: with ``error`` if it broke off within a block."""

_Block = data.StructLayout({"code": 8, "end": 1})
"""A closed block: its code, and whether it ends the frame."""

BLOCK = 254
"""Most bytes in a block; a block of so many stands for no zero after them."""


class CobsDecoder(wiring.Component):
    """Takes the stuffing out: a byte a cycle, one cycle later.

    Nothing comes out for an empty frame (0x00 after 0x00). After any damage it is right again from the next 0x00 on.

    Attributes
    ----------
    encoded
        Bytes from the wire.
    plain
        Bytes of the frames, and their ends.
    """

    encoded: In(stream.Signature(8))
    plain: Out(stream.Signature(DecodedByte))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        encoded, plain = self.encoded, self.plain
        byte = encoded.payload
        started = Signal()  # the frame has begun
        left = Signal(8)  # bytes up to the next code
        full = Signal()  # no zero follows this block

        m.d.comb += encoded.ready.eq(~plain.valid | plain.ready)
        with m.If(encoded.ready):
            m.d.sync += plain.valid.eq(0)
        with m.If(encoded.valid & encoded.ready):
            with m.If(byte == 0):
                m.d.sync += [
                    plain.valid.eq(started),
                    plain.p.end.eq(1),
                    plain.p.error.eq(left != 0),
                    started.eq(0),
                    left.eq(0),
                ]
            with m.Elif(left == 0):
                m.d.sync += [
                    plain.valid.eq(started & ~full),
                    plain.p.data.eq(0),
                    plain.p.end.eq(0),
                    plain.p.error.eq(0),
                    started.eq(1),
                    left.eq(byte - 1),
                    full.eq(byte == BLOCK + 1),
                ]
            with m.Else():
                m.d.sync += [
                    plain.valid.eq(1),
                    plain.p.data.eq(byte),
                    plain.p.end.eq(0),
                    plain.p.error.eq(0),
                    left.eq(left - 1),
                ]
        return m


class CobsEncoder(wiring.Component):
    """Puts the stuffing in and ends each frame with 0x00.

    A block is kept until its length is known; while it goes out, the next comes in, so that a byte a cycle gets
    through whatever the bytes are.

    Attributes
    ----------
    plain
        Frames, of one byte at least.
    encoded
        Bytes to the wire.
    """

    plain: In(stream.Signature(FrameByte))
    encoded: Out(stream.Signature(8))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        plain, encoded = self.plain, self.encoded
        # Room for two blocks: only whole ones go out, so that less would halve the speed.
        m.submodules.bytes = kept = SyncFIFOBuffered(width=8, depth=2 * (BLOCK + 2))
        m.submodules.blocks = blocks = SyncFIFO(width=_Block.size, depth=4)

        # In: nonzero bytes are kept; a zero, a full block, or the end of the frame closes a block.
        run = Signal(8)  # bytes of the open block
        final_zero = Signal()  # the frame ended with a zero: the empty block after it is still to come
        closed = data.View(_Block, blocks.w_data)
        zero = plain.p.data == 0
        closes = zero | plain.p.last | (run == BLOCK - 1)
        take = plain.valid & plain.ready
        room = Signal()  # by levels of a cycle ago, since which either may have grown by one
        m.d.sync += room.eq((kept.level < kept.depth - 1) & (blocks.level < blocks.depth - 1))
        m.d.comb += [
            plain.ready.eq(room & ~final_zero),
            kept.w_data.eq(plain.p.data),
            kept.w_en.eq(take & ~zero),
            blocks.w_en.eq((take & closes) | final_zero),
            closed.code.eq(Mux(final_zero, 1, Mux(zero, run + 1, run + 2))),
            closed.end.eq(final_zero | (plain.p.last & ~zero)),
        ]
        with m.If(take):
            m.d.sync += [run.eq(Mux(closes, 0, run + 1)), final_zero.eq(plain.p.last & zero)]
        with m.Elif(blocks.w_rdy):
            m.d.sync += final_zero.eq(0)

        # Out: the code of a block, its bytes, and after a frame's last block the 0x00.
        block = data.View(_Block, blocks.r_data)
        left = Signal(8)
        end = Signal()
        with m.FSM():
            with m.State("CODE"):
                m.d.comb += [
                    encoded.valid.eq(blocks.r_rdy),
                    encoded.payload.eq(block.code),
                    blocks.r_en.eq(encoded.ready),
                ]
                m.d.sync += [left.eq(block.code - 1), end.eq(block.end)]
                with m.If(blocks.r_rdy & encoded.ready):
                    with m.If(block.code != 1):
                        m.next = "BYTES"
                    with m.Elif(block.end):
                        m.next = "END"
            with m.State("BYTES"):
                m.d.comb += [
                    encoded.valid.eq(kept.r_rdy),
                    encoded.payload.eq(kept.r_data),
                    kept.r_en.eq(encoded.ready),
                ]
                with m.If(kept.r_rdy & encoded.ready):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.next = "CODE"
                        with m.If(end):
                            m.next = "END"
            with m.State("END"):
                m.d.comb += [encoded.valid.eq(1), encoded.payload.eq(0)]
                with m.If(encoded.ready):
                    m.next = "CODE"
        return m
