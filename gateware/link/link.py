"""Link: everything between the bytes of a wire and the host port."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.fifo import SyncFIFO, SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped

from ...substrate.protocol import HEADER, MAX_PAYLOAD, Hello
from ..hostport import HostPort
from .cobs import CobsDecoder, CobsEncoder, FrameByte
from .command import CommandProcessor
from .framing import FrameReceiver, FrameSender
from .small import SmallCobsEncoder

__all__ = ["LONGEST_REQUEST", "Link"]

_BODY = HEADER.size + MAX_PAYLOAD + 4

LONGEST_REQUEST = _BODY + -(-_BODY // 254) + 1
"""Bytes of the longest request on the wire: header, payload, CRC, the codes of COBS, and 0x00."""


class Link(wiring.Component):
    """Serves the protocol of ``docs/link.md``.

    Parameters
    ----------
    hello
        What HELLO is answered. Its ``buffer`` bytes are taken in while requests are executed.

    Attributes
    ----------
    rx, tx
        Bytes from and to the host.
    port
        Registers, memories, and the start of a run.
    frames, crc_errors, framing_errors, replays
        Counters, for the registers of these names; they wrap around.
    """

    def __init__(self, hello: Hello) -> None:
        if not isinstance(hello, Hello):
            raise TypeError(f"Hello of a link must be a Hello, not {hello!r}")
        if hello.buffer < LONGEST_REQUEST:
            raise ValueError(
                f"Buffer of a link must hold the longest request, {LONGEST_REQUEST} bytes, not {hello.buffer}"
            )
        self._hello = hello
        super().__init__(
            {
                "rx": In(stream.Signature(8)),
                "tx": Out(stream.Signature(8)),
                "port": Out(HostPort()),
                "frames": Out(32),
                "crc_errors": Out(32),
                "framing_errors": Out(32),
                "replays": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.buffer = buffer = SyncFIFOBuffered(width=8, depth=self._hello.buffer)
        m.submodules.decoder = decoder = CobsDecoder()
        compact = bool(self._hello.geometry.compact)
        m.submodules.receiver = receiver = FrameReceiver(single=compact)
        m.submodules.processor = processor = CommandProcessor(self._hello)
        m.submodules.sender = sender = FrameSender(single=compact)
        m.submodules.encoder = encoder = SmallCobsEncoder() if compact else CobsEncoder()
        connect(m, flipped(self.rx), buffer.w_stream)
        # The memory is too slow for what the decoder does with its bytes.
        m.d.comb += buffer.r_stream.ready.eq(~decoder.encoded.valid | decoder.encoded.ready)
        encoded = Signal(decoder.encoded.payload.shape())
        encoded_valid = Signal()
        with m.If(buffer.r_stream.ready):
            m.d.sync += [encoded.eq(buffer.r_stream.payload), encoded_valid.eq(buffer.r_stream.valid)]
        m.d.comb += [decoder.encoded.payload.eq(encoded), decoder.encoded.valid.eq(encoded_valid)]
        if compact:
            self._share_checksum(m, decoder, receiver, sender)
        else:
            connect(m, decoder.plain, receiver.plain)
        connect(m, receiver.request, processor.request)
        connect(m, receiver.payload, processor.payload)
        connect(m, processor.answer, sender.answer)
        if compact:
            connect(m, processor.answer_payload, sender.payload)
            connect(m, sender.plain, encoder.plain)
        else:
            # Between the memory of a request and that of the encoder the way is too long for a cycle.
            self._decouple(m, "answer_bytes", processor.answer_payload, sender.payload)
            self._decouple(m, "frame_bytes", sender.plain, encoder.plain)
        connect(m, encoder.encoded, flipped(self.tx))
        connect(m, processor.port, flipped(self.port))
        m.d.comb += [
            self.frames.eq(receiver.frames),
            self.crc_errors.eq(receiver.crc_errors),
            self.framing_errors.eq(receiver.framing_errors),
            self.replays.eq(processor.replays),
        ]
        return m

    @staticmethod
    def _share_checksum(m: Module, decoder, receiver, sender) -> None:
        """One checksum for both directions: nothing is received while a frame is sent."""
        m.submodules.crc = crc = CRC32_ETHERNET(data_width=8).create()
        received, sent = receiver.checksum, sender.checksum
        m.d.comb += [
            receiver.plain.payload.eq(decoder.plain.payload),
            receiver.plain.valid.eq(decoder.plain.valid & ~sender.busy),
            decoder.plain.ready.eq(receiver.plain.ready & ~sender.busy),
            crc.start.eq(received.start | sent.start),
            crc.valid.eq(received.valid | sent.valid),
            crc.data.eq(Mux(sent.valid, sent.data, received.data)),
        ]
        for user in (received, sent):
            m.d.comb += [user.crc.eq(crc.crc), user.match_detected.eq(crc.match_detected)]

    @staticmethod
    def _decouple(m: Module, name: str, source, sink) -> None:
        """Connect two streams of :data:`FrameByte` so that nothing of either reaches the other in the same cycle."""
        m.submodules[name] = fifo = SyncFIFO(width=FrameByte.size, depth=2)
        m.d.comb += [
            fifo.w_data.eq(source.payload),
            fifo.w_en.eq(source.valid),
            source.ready.eq(fifo.w_rdy),
            sink.payload.eq(fifo.r_data),
            sink.valid.eq(fifo.r_rdy),
            fifo.r_en.eq(sink.ready),
        ]
