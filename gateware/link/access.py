"""Access to the spaces: what the map says of each, and how rows of words become bytes and bytes become rows."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ...substrate.geometry import Geometry
from ...substrate.protocol import SPACES, Access, features_of
from ..hostport import read_latency
from .cobs import FrameByte

__all__ = ["SpaceAccess", "SpaceTable"]

_ROWS = 2**16
"""Rows that a request can name."""


class SpaceTable(wiring.Component):
    """What the map says of a space, one cycle after its code.

    Parameters
    ----------
    geometry
        Sizes of the spaces.

    Attributes
    ----------
    code
        Number of the space; any.
    known
        Whether there is such a space.
    writable
        Whether the host may write it.
    wide
        Whether its words have 4 bytes, not 2.
    across
        Words of a row.
    row_bytes
        Bytes of a row.
    rows
        Rows that can be named.
    """

    def __init__(self, geometry: Geometry) -> None:
        if not isinstance(geometry, Geometry):
            raise TypeError(f"Geometry of a space table must be a Geometry, not {geometry!r}")
        self._geometry = geometry
        super().__init__(
            {
                "code": In(8),
                "known": Out(1),
                "writable": Out(1),
                "wide": Out(1),
                "across": Out(7),
                "row_bytes": Out(9),
                "rows": Out(17),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        features = features_of(self._geometry)
        with m.Switch(self.code):
            for space in SPACES.values():
                if space.feature is not None and space.feature not in features:
                    continue
                with m.Case(space.code):
                    m.d.sync += [
                        self.known.eq(1),
                        self.writable.eq(space.access is Access.READ_WRITE),
                        self.wide.eq(space.size == 4),
                        self.across.eq(space.words(self._geometry)),
                        self.row_bytes.eq(space.row_bytes(self._geometry)),
                        self.rows.eq(min(space.rows(self._geometry), _ROWS)),
                    ]
            with m.Default():
                # The rest does not matter; told so, no register needs to know whether to hold.
                m.d.sync += [getattr(self, name).eq(0) for name in ("known", "writable", "wide")]
                m.d.sync += [getattr(self, name).eq(0) for name in ("across", "row_bytes", "rows")]
        return m


class SpaceAccess(wiring.Component):
    """Walks through the words of some rows, reading them into bytes, or writing bytes into them.

    A cycle a byte, either way. As a word is a while on its way, the next ones are asked for meanwhile: as many as there
    is room for if their bytes have to wait.

    Parameters
    ----------
    geometry
        Sizes, and so the latency of a read.

    Attributes
    ----------
    start
        Strobe, while not ``busy``: begin at ``first_row``, for ``count`` rows (1 at least) of ``across`` words.
    first_row, count
        Sampled at ``start``.
    writing, wide, across
        Whether to write, whether words have 4 bytes, and words of a row; held while ``busy``.
    busy
        High from the cycle after ``start`` until the last word is written, or asked for.
    source
        Bytes to write: as many as the rows have.
    sink
        Bytes that were read. The last is marked.
    row, word, write, write_data, read, read_data
        Those of the host port.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._latency = read_latency(geometry)
        super().__init__(
            {
                "start": In(1),
                "first_row": In(16),
                "count": In(16),
                "writing": In(1),
                "wide": In(1),
                "across": In(7),
                "busy": Out(1),
                "source": In(stream.Signature(8)),
                "sink": Out(stream.Signature(FrameByte)),
                "row": Out(16),
                "word": Out(6),
                "write": Out(1),
                "write_data": Out(32),
                "read": Out(1),
                "read_data": In(32),
            }
        )

    def _walk(self, m: Module) -> tuple[Signal, Signal]:
        """The walk, by a ``step`` that is to be driven, over words of which the ``last`` is told."""
        left = Signal(16)  # rows
        step, last = Signal(), Signal()
        last_of_row = self.word + 1 == self.across
        m.d.comb += last.eq(last_of_row & (left == 1))
        with m.If(self.start):
            m.d.sync += [self.busy.eq(1), self.row.eq(self.first_row), self.word.eq(0), left.eq(self.count)]
        with m.Elif(step):
            m.d.sync += [self.busy.eq(~last), self.word.eq(self.word + 1)]
            with m.If(last_of_row):
                m.d.sync += [self.row.eq(self.row + 1), self.word.eq(0), left.eq(left - 1)]
        return step, last

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source, sink = self.source, self.sink
        last_byte = Mux(self.wide, 3, 1)
        step, _ = self._walk(m)

        # Write: a word is complete with its last byte, is written in the next cycle, and then stepped over.
        index = Signal(2)
        m.d.comb += [source.ready.eq(self.busy & self.writing), step.eq(self.write | self.read)]
        m.d.sync += self.write.eq(0)
        with m.If(source.valid & source.ready):
            m.d.sync += [
                self.write_data.word_select(index, 8).eq(source.payload),
                index.eq(Mux(index == last_byte, 0, index + 1)),
                self.write.eq(index == last_byte),
            ]

        # Read: a word that is asked for has its place in the queue, behind the one whose bytes go out. There are so
        # many places that one can be asked for every second cycle, as words of two bytes are sent.
        m.submodules.queue = queue = SyncFIFO(width=32, depth=self._latency // 2 + 2)
        flight = Signal(self._latency)  # the cycles since `read`
        asked = Signal(range(queue.depth + 1))  # words that fly or are in the queue
        bytes_left = Signal(3)
        bytes_out, bytes_last = Signal(32), Signal()
        sent = sink.valid & sink.ready
        m.d.comb += [
            self.read.eq(self.busy & ~self.writing & (asked != queue.depth)),
            queue.w_en.eq(flight[-1]),
            queue.w_data.eq(self.read_data),
            queue.r_en.eq(queue.r_rdy & ((bytes_left == 0) | ((bytes_left == 1) & sent))),
            sink.valid.eq(bytes_left != 0),
            sink.p.data.eq(bytes_out[:8]),
            sink.p.last.eq(bytes_last & (bytes_left == 1)),
        ]
        m.d.sync += [flight.eq(Cat(self.read, flight[:-1])), asked.eq(asked + self.read - queue.r_en)]
        with m.If(queue.r_en):
            m.d.sync += [
                bytes_left.eq(last_byte + 1),
                bytes_out.eq(queue.r_data),
                bytes_last.eq((asked == 1) & ~self.busy),
            ]
        with m.Elif(sent):
            m.d.sync += [bytes_left.eq(bytes_left - 1), bytes_out.eq(bytes_out >> 8)]
        return m
