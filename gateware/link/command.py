"""Command processor: does what requests ask for, each once and in order (``docs/link.md``)."""

from amaranth.hdl import Module, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ...substrate.protocol import (
    MAX_PAYLOAD,
    OLDEST,
    READ_REQUEST,
    VERSION,
    WRITE_REQUEST,
    Feature,
    Hello,
    Operation,
    Status,
)
from ..hostport import HostPort
from .access import SpaceAccess, SpaceTable
from .cobs import FrameByte
from .framing import Answer, Request
from .small import SmallSpaceAccess

__all__ = ["CommandProcessor"]

_NONCE_BYTES = 4


class _Payload(enum.Enum, shape=3):
    """What an answer carries."""

    NOTHING = 0
    GREETING = 1
    ECHO = 2
    EXPECTED = 3
    ROWS = 4
    CHECKSUM = 5


class CommandProcessor(wiring.Component):
    """Executes requests through the host port and answers them.

    It keeps the session: its nonce, and the sequence number that it expects next. A request is judged before anything
    of it is executed, and a repeated one by the same rules, so that what was refused once is refused again, and only
    what was executed is answered REPLAYED.

    Parameters
    ----------
    hello
        What HELLO is answered, and the geometry that addresses are checked against.

    Attributes
    ----------
    request, payload
        Requests, from the frame receiver.
    answer, answer_payload
        Answers, to the frame sender.
    port
        Registers, memories, and the start of a run.
    replays
        Requests recognised as repeated; wraps around.
    """

    def __init__(self, hello: Hello) -> None:
        if not isinstance(hello, Hello):
            raise TypeError(f"Hello of a command processor must be a Hello, not {hello!r}")
        self._hello = hello
        super().__init__(
            {
                "request": In(stream.Signature(Request)),
                "payload": In(stream.Signature(8)),
                "answer": Out(stream.Signature(Answer)),
                "answer_payload": Out(stream.Signature(FrameByte)),
                "port": Out(HostPort()),
                "replays": Out(32),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry = self._hello.geometry
        m.submodules.table = table = SpaceTable(geometry)
        m.submodules.access = access = (SmallSpaceAccess if geometry.compact else SpaceAccess)(geometry)
        port, payload = self.port, self.payload
        header, length = self.request.p.header, self.request.p.length

        # Session.
        running = Signal()
        nonce = Signal(8 * _NONCE_BYTES)
        expected = Signal(16)
        behind = Signal(16)
        m.d.sync += behind.eq(expected - header.sequence)

        # The request at hand.
        repeated = Signal()
        status = Signal(Status)
        content = Signal(_Payload)
        index = Signal(range(MAX_PAYLOAD))  # bytes of the payload taken or sent
        arguments = Signal(8 * READ_REQUEST.size)
        space, row, rows_asked = arguments[:8], arguments[8:24], arguments[24:40]
        count = Signal(16)  # rows
        remaining = Signal(range(MAX_PAYLOAD + 1))  # bytes of rows not yet counted
        past = Signal()  # a row is beyond the last
        m.d.sync += past.eq(row + count > table.rows)

        guarded = Feature.GUARD in self._hello.features
        reads = (Operation.READ, Operation.CHECK) if guarded else (Operation.READ,)
        checking = header.operation == Operation.CHECK
        reading = header.operation == Operation.READ
        crc = None
        if guarded:
            m.submodules.crc = crc = CRC32_ETHERNET(data_width=8).create()
            reading |= checking
        m.d.comb += [
            table.code.eq(space),
            access.first_row.eq(row),
            access.count.eq(count),
            access.writing.eq(~reading),
            access.wide.eq(table.wide),
            access.across.eq(table.across),
            access.source.payload.eq(payload.payload),
            access.read_data.eq(port.read_data),
            port.space.eq(space),
            port.row.eq(access.row),
            port.word.eq(access.word),
            port.write.eq(access.write),
            port.write_data.eq(access.write_data),
            port.read.eq(access.read),
            self.answer.p.header.version.eq(VERSION),
            self.answer.p.header.operation.eq(header.operation),
            self.answer.p.header.sequence.eq(header.sequence),
            self.answer.p.header.status.eq(status),
            self.answer.p.empty.eq(content == _Payload.NOTHING),
        ]

        def answer(code: Status, carried: _Payload = _Payload.NOTHING) -> None:
            m.d.sync += [status.eq(code), content.eq(carried)]
            m.next = "ANSWER"

        def execute_once(state: str) -> None:
            with m.If(repeated):
                answer(Status.REPLAYED)
            with m.Else():
                m.next = state

        with m.FSM():
            # How far the request is behind is known a cycle after it is there.
            with m.State("IDLE"), m.If(self.request.valid):
                m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.sync += index.eq(0)
                with m.If((header.version < OLDEST) | (header.version > VERSION)):
                    answer(Status.BAD_VERSION)
                with m.Elif(header.operation == Operation.HELLO):
                    with m.If(length == _NONCE_BYTES):
                        m.next = "ARGUMENTS"
                    with m.Else():
                        answer(Status.BAD_LENGTH)
                with m.Elif(~running):
                    answer(Status.NO_SESSION)
                with m.Elif(behind[15]):
                    answer(Status.OUT_OF_ORDER, _Payload.EXPECTED)
                with m.Else():
                    m.d.sync += repeated.eq(behind != 0)
                    m.next = "RECORD"
            with m.State("RECORD"):
                with m.If(repeated):
                    m.d.sync += self.replays.eq(self.replays + 1)
                with m.Else():
                    m.d.sync += expected.eq(expected + 1)
                m.next = "DISPATCH"

            with m.State("DISPATCH"), m.Switch(header.operation):
                with m.Case(Operation.ECHO):
                    with m.If(length == 0):
                        answer(Status.OK)
                    with m.Else():
                        answer(Status.OK, _Payload.ECHO)
                with m.Case(*reads):
                    with m.If(length == READ_REQUEST.size):
                        m.next = "ARGUMENTS"
                    with m.Else():
                        answer(Status.BAD_LENGTH)
                with m.Case(Operation.WRITE):
                    with m.If(length >= WRITE_REQUEST.size):
                        m.next = "ARGUMENTS"
                    with m.Else():
                        answer(Status.BAD_LENGTH)
                with m.Case(Operation.RUN):
                    with m.If(length == 0):
                        execute_once("START")
                    with m.Else():
                        answer(Status.BAD_LENGTH)
                with m.Default():
                    answer(Status.BAD_OPERATION)

            with m.State("ARGUMENTS"):
                final = Signal.like(index)
                with m.Switch(header.operation):
                    with m.Case(Operation.HELLO):
                        m.d.comb += final.eq(_NONCE_BYTES - 1)
                    with m.Case(*reads):
                        m.d.comb += final.eq(READ_REQUEST.size - 1)
                    with m.Default():
                        m.d.comb += final.eq(WRITE_REQUEST.size - 1)
                m.d.comb += payload.ready.eq(1)
                with m.If(payload.valid):
                    m.d.sync += [arguments.word_select(index[:3], 8).eq(payload.payload), index.eq(index + 1)]
                    with m.If(index == final):
                        m.next = "LOOK UP"

            # The table's answer is there in the next state.
            with m.State("LOOK UP"), m.Switch(header.operation):
                with m.Case(Operation.HELLO):
                    asked = arguments[: len(nonce)]
                    with m.If(~running | (nonce != asked)):
                        m.d.sync += [running.eq(1), nonce.eq(asked), expected.eq(header.sequence + 1)]
                    answer(Status.OK, _Payload.GREETING)
                with m.Case(*reads):
                    m.d.sync += count.eq(rows_asked)
                    m.next = "ADD ROWS"
                with m.Default():
                    m.d.sync += [count.eq(0), remaining.eq(length - WRITE_REQUEST.size)]
                    m.next = "COUNT ROWS"
            with m.State("COUNT ROWS"):
                with m.If(~table.known | ~table.writable):
                    answer(Status.BAD_ADDRESS)
                with m.Elif(remaining == 0):
                    m.next = "ADD ROWS"
                with m.Elif(remaining < table.row_bytes):
                    answer(Status.BAD_LENGTH)
                with m.Else():
                    m.d.sync += [count.eq(count + 1), remaining.eq(remaining - table.row_bytes)]
            with m.State("ADD ROWS"):
                m.next = "CHECK ROWS"
            with m.State("CHECK ROWS"):
                with m.If(~table.known | past):
                    answer(Status.BAD_ADDRESS)
                if guarded:
                    with m.Elif(checking):
                        m.d.comb += [access.start.eq(count != 0), crc.start.eq(1)]
                        m.next = "CHECKSUM"
                with m.Elif(reading):
                    m.d.comb += access.start.eq(count != 0)
                    answer(Status.OK)
                    with m.If(count != 0):
                        m.d.sync += content.eq(_Payload.ROWS)
                with m.Else():
                    m.d.comb += access.start.eq(~repeated & (count != 0))
                    execute_once("WRITE")

            with m.State("WRITE"):
                m.d.comb += [access.source.valid.eq(payload.valid), payload.ready.eq(access.source.ready)]
                with m.If(~access.busy):
                    answer(Status.OK)

            if guarded:
                with m.State("CHECKSUM"):
                    m.d.comb += [
                        access.sink.ready.eq(1),
                        crc.valid.eq(access.sink.valid),
                        crc.data.eq(access.sink.p.data),
                    ]
                    with m.If((count == 0) | (access.sink.valid & access.sink.p.last)):
                        answer(Status.OK, _Payload.CHECKSUM)

            with m.State("START"):
                m.d.comb += port.start.eq(1)
                m.next = "RUN"
            with m.State("RUN"), m.If(~port.busy):
                with m.If(port.abandoned):
                    answer(Status.ABANDONED)
                with m.Else():
                    answer(Status.OK)

            with m.State("ANSWER"):
                m.d.comb += self.answer.valid.eq(1)
                m.d.sync += index.eq(0)
                with m.If(self.answer.ready):
                    m.next = "PAYLOAD"
                    with m.If(self.answer.p.empty):
                        m.next = "DONE"
            with m.State("PAYLOAD"):
                self._carry(m, content, index, expected, crc.crc if guarded else None, access.sink)
            with m.State("DONE"):
                m.d.comb += self.request.ready.eq(1)
                m.next = "IDLE"
        return m

    def _carry(self, m: Module, content, index, expected, checksum, rows) -> None:
        """Stream the payload of an answer."""
        packed = self._hello.pack()
        m.submodules.greeting = greeting = Memory(shape=8, depth=len(packed), init=packed)
        rom = greeting.read_port(domain="comb")
        m.d.comb += rom.addr.eq(index)
        out, payload = self.answer_payload, self.payload
        with m.Switch(content):
            with m.Case(_Payload.GREETING):
                m.d.comb += [out.valid.eq(1), out.p.data.eq(rom.data), out.p.last.eq(index == len(packed) - 1)]
            with m.Case(_Payload.ECHO):
                m.d.comb += [
                    out.valid.eq(payload.valid),
                    out.p.data.eq(payload.payload),
                    out.p.last.eq(index + 1 == self.request.p.length),
                    payload.ready.eq(out.ready),
                ]
            with m.Case(_Payload.EXPECTED):
                m.d.comb += [out.valid.eq(1), out.p.data.eq(expected.word_select(index[0], 8)), out.p.last.eq(index[0])]
            if checksum is not None:
                with m.Case(_Payload.CHECKSUM):
                    byte = checksum.word_select(index[:2], 8)
                    m.d.comb += [out.valid.eq(1), out.p.data.eq(byte), out.p.last.eq(index == 3)]
            with m.Case(_Payload.ROWS):
                m.d.comb += [out.valid.eq(rows.valid), out.p.eq(rows.p), rows.ready.eq(out.ready)]
        with m.If(out.valid & out.ready):
            m.d.sync += index.eq(index + 1)
            with m.If(out.p.last):
                m.next = "DONE"
