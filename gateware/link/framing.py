"""Frames: header, payload and CRC-32, in and out (``docs/link.md``)."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...substrate.protocol import HEADER, MAX_PAYLOAD
from .cobs import DecodedByte, FrameByte

__all__ = ["Answer", "Checksum", "FrameHeader", "FrameReceiver", "FrameSender", "Request"]

FrameHeader = data.StructLayout({"version": 8, "operation": 8, "sequence": 16, "status": 8})
"""The header of a frame, as ``HEADER`` packs it."""

Request = data.StructLayout({"header": FrameHeader, "length": range(MAX_PAYLOAD + 1)})
"""A frame received: its header, and the bytes of its payload."""

Answer = data.StructLayout({"header": FrameHeader, "empty": 1})
"""A frame to send: its header, and whether it is without a payload."""

Checksum = wiring.Signature(
    {"start": Out(1), "data": Out(8), "valid": Out(1), "crc": In(32), "match_detected": In(1)},
)
"""Use of a processor of :mod:`amaranth.lib.crc`, whose names these are, that others use too."""

_CRC_BYTES = 4
_OVERHEAD = HEADER.size + _CRC_BYTES
_ADDRESS = (MAX_PAYLOAD - 1).bit_length()
"""Bits that number the bytes of a payload; MAX_PAYLOAD is a power of two."""


def _checksum(m: Module, component, *, shared: bool):
    """The checksum of a component: its own, or its part in a shared one."""
    if shared:
        return component.checksum
    m.submodules.crc = crc = CRC32_ETHERNET(data_width=8).create()
    return crc


class FrameReceiver(wiring.Component):
    """Hands over whole good frames, one at a time; drops and counts all others.

    While a frame is handed over, the next is taken in, so that a device that keeps up is never waited for; or, with a
    ``single`` buffer, nothing is. All counters wrap around.

    Parameters
    ----------
    single
        Whether to have room for one frame only, not two, and to share the checksum with the sender.

    Attributes
    ----------
    plain
        What the COBS decoder found.
    checksum
        The checksum, if it is shared; not in use while a frame is handed over.
    request
        A good frame; to take it is to be done with it.
    payload
        Its payload from the first byte on. What is left of it when the frame is taken, is dropped.
    frames
        Good frames received.
    crc_errors
        Frames dropped for their CRC.
    framing_errors
        Frames dropped for COBS, or for being too short or too long.
    """

    def __init__(self, *, single: bool = False) -> None:
        self._single = single
        super().__init__(
            {
                "plain": In(stream.Signature(DecodedByte)),
                "request": Out(stream.Signature(Request)),
                "payload": Out(stream.Signature(8)),
                "frames": Out(32),
                "crc_errors": Out(32),
                "framing_errors": Out(32),
                **({"checksum": Out(Checksum)} if single else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        plain, request, payload = self.plain, self.request, self.payload
        crc = _checksum(m, self, shared=self._single)
        m.submodules.buffer = buffer = Memory(shape=8, depth=(1 if self._single else 2) * MAX_PAYLOAD, init=[])
        write, read = buffer.write_port(), buffer.read_port()
        bank = Signal()  # the half of the buffer that is being filled; the frame handed over is in the other
        header = Signal(FrameHeader)
        length = Signal(range(MAX_PAYLOAD + 1))
        waiting = Signal()  # a good frame is in `bank`

        def place(address, half):
            return address if self._single else Cat(address, half)

        # In. The CRC is only known for one when the frame ends: what fits of it goes to the buffer too.
        longest = _OVERHEAD + MAX_PAYLOAD
        count = Signal(range(longest + 2))  # stays at one more than the longest frame has
        in_header = count < HEADER.size
        take = plain.valid & plain.ready
        byte = take & ~plain.p.end
        m.d.comb += [
            plain.ready.eq(~waiting & ~request.valid if self._single else ~waiting),
            crc.data.eq(plain.p.data),
            crc.valid.eq(byte),
            crc.start.eq(take & plain.p.end),
            write.addr.eq(place((count - HEADER.size)[:_ADDRESS], bank)),
            write.data.eq(plain.p.data),
            write.en.eq(byte & ~in_header & (count < HEADER.size + MAX_PAYLOAD)),
        ]
        with m.If(byte):
            with m.If(in_header):
                m.d.sync += header.eq(Cat(header.as_value()[8:], plain.p.data))
            with m.If(count != longest + 1):
                m.d.sync += count.eq(count + 1)
        with m.Elif(take):
            m.d.sync += [count.eq(0), length.eq(count - _OVERHEAD)]
            with m.If(plain.p.error | (count < _OVERHEAD) | (count > longest)):
                m.d.sync += self.framing_errors.eq(self.framing_errors + 1)
            with m.Elif(~crc.match_detected):
                m.d.sync += self.crc_errors.eq(self.crc_errors + 1)
            with m.Else():
                m.d.sync += [self.frames.eq(self.frames + 1), waiting.eq(1)]

        # Out. The memory is read a byte ahead.
        if self._single:
            m.d.comb += [request.p.header.eq(header), request.p.length.eq(length)]
        position = Signal(range(MAX_PAYLOAD + 1))
        following = Signal.like(position)
        more = Signal()  # there is a byte at this position
        turn = waiting & (~request.valid | request.ready)
        m.d.comb += [
            following.eq(position + (payload.valid & payload.ready)),
            payload.valid.eq(request.valid & more),
            payload.payload.eq(read.data),
            read.addr.eq(place(following[:_ADDRESS], ~bank)),
        ]
        m.d.sync += position.eq(following)
        with m.If(payload.valid & payload.ready):
            m.d.sync += more.eq(position + 1 != request.p.length)
        with m.If(turn):
            m.d.comb += [following.eq(0), read.addr.eq(place(Const(0, _ADDRESS), bank))]
            m.d.sync += [request.valid.eq(1), more.eq(length != 0), waiting.eq(0), bank.eq(~bank)]
            if not self._single:
                m.d.sync += [request.p.header.eq(header), request.p.length.eq(length)]
        with m.Elif(request.valid & request.ready):
            m.d.comb += following.eq(0)
            m.d.sync += request.valid.eq(0)
        return m


class FrameSender(wiring.Component):
    """Makes frames of a header and a payload of any length: a byte a cycle, and one cycle between payload and CRC.

    Parameters
    ----------
    single
        Whether to share the checksum with the receiver.

    Attributes
    ----------
    answer
        What to send, taken with the last byte of its header.
    payload
        Its payload, unless ``answer`` says that there is none.
    plain
        Frames, for the COBS encoder.
    busy
        Within a frame, after its first byte.
    checksum
        The checksum, if it is shared; in use while ``busy``.
    """

    def __init__(self, *, single: bool = False) -> None:
        self._single = single
        super().__init__(
            {
                "answer": In(stream.Signature(Answer)),
                "payload": In(stream.Signature(FrameByte)),
                "plain": Out(stream.Signature(FrameByte)),
                "busy": Out(1),
                **({"checksum": Out(Checksum)} if single else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        answer, payload, plain = self.answer, self.payload, self.plain
        crc = _checksum(m, self, shared=self._single)
        sent = plain.valid & plain.ready
        # The CRC follows a byte behind.
        covered = Signal()
        crc_data = Signal(8)
        crc_valid = Signal()
        crc_start = Signal()
        finished = Signal()
        m.d.sync += [crc_data.eq(plain.p.data), crc_valid.eq(sent & covered), crc_start.eq(finished)]
        m.d.comb += [crc.data.eq(crc_data), crc.valid.eq(crc_valid), crc.start.eq(crc_start)]

        index = Signal(range(max(HEADER.size, _CRC_BYTES)))
        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("HEADER"):
                last = index == HEADER.size - 1
                m.d.comb += [
                    plain.valid.eq(answer.valid),
                    plain.p.data.eq(answer.p.header.as_value().word_select(index, 8)),
                    answer.ready.eq(plain.ready & last),
                    covered.eq(1),
                    self.busy.eq(index != 0),
                ]
                with m.If(sent):
                    m.d.sync += index.eq(Mux(last, 0, index + 1))
                    with m.If(last):
                        m.next = "PAYLOAD"
                        with m.If(answer.p.empty):
                            m.next = "CATCH UP"
            with m.State("PAYLOAD"):
                m.d.comb += [
                    plain.valid.eq(payload.valid),
                    plain.p.data.eq(payload.p.data),
                    payload.ready.eq(plain.ready),
                    covered.eq(1),
                ]
                with m.If(sent & payload.p.last):
                    m.next = "CATCH UP"
            with m.State("CATCH UP"):
                m.next = "CRC"
            with m.State("CRC"):
                last = index == _CRC_BYTES - 1
                m.d.comb += [
                    plain.valid.eq(1),
                    plain.p.data.eq(crc.crc.word_select(index, 8)),
                    plain.p.last.eq(last),
                ]
                with m.If(sent):
                    m.d.sync += index.eq(index + 1)
                    with m.If(last):
                        m.d.comb += finished.eq(1)
                        m.d.sync += index.eq(0)
                        m.next = "HEADER"
        return m
