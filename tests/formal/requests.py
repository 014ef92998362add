"""Properties of the command processor: what changes something is done once, in order, and only while no run is on."""

from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out, flipped

from equipoise.gateware.hostport import read_latency
from equipoise.gateware.link.command import CommandProcessor
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import OLDEST, READ_REQUEST, VERSION, WRITE_REQUEST, Operation

from .inside import Inside
from .monitors import assert_kept, assume_kept

_NONCE = 4
_ROWS = 4
"""Content of an answer: rows."""


class _Inside:
    """What the processor keeps, and the state it is in."""

    STATES = (
        *("IDLE", "JUDGE", "RECORD", "DISPATCH", "ARGUMENTS", "LOOK UP", "COUNT ROWS", "ADD ROWS", "CHECK ROWS"),
        *("CHECKSUM", "WRITE", "START", "RUN", "ANSWER", "PAYLOAD", "DONE"),
    )

    def __init__(self, processor: CommandProcessor, geometry: Geometry) -> None:
        inside = Inside(processor)
        self.running, self.nonce, self.expected = (
            inside.signal(name, width) for name, width in (("running", 1), ("nonce", 8 * _NONCE), ("expected", 16))
        )
        self.behind = inside.signal("behind", 16)
        self.repeated, self.index = inside.signal("repeated", 1), inside.signal("index", 10)
        self.arguments = inside.signal("arguments", 40)
        self.busy = inside.part(1, lambda m: m.submodules.access.busy)
        self.rows = inside.signal("content", 3)
        self.count = inside.part(16, lambda m: m.submodules.access.count)
        access = inside.inside("access")
        self.byte = access.signal("index", 2)
        latency = read_latency(geometry)
        self.room = latency // 2 + 2
        self.flight, self.asked = access.signal("flight", latency), access.signal("asked", range(self.room + 1))
        self.queued = access.part(len(self.asked), lambda m: m.submodules.queue.level)
        self.bytes_left, self.bytes_last = access.signal("bytes_left", 3), access.signal("bytes_last", 1)
        self.may_be_busy = Signal()
        self.state = {name: inside.state(name) for name in self.STATES}

    def any(self, *names: str) -> Value:
        """Whether the processor is in one of these states."""
        return Cat(self.state[name] for name in names).any()


class ExecutesOnce(wiring.Component):
    """A RUN starts, and a WRITE writes, only if its sequence number is expected, and then that is expected no more.

    The monitor keeps the session by the rules of ``docs/link.md``, from requests alone. So within 2**15 requests of a
    session no sequence number is executed twice, and none before its predecessor.

    The environment offers any requests, and payloads of their length; it answers a start by being busy, as long as it
    likes; it takes answers when it likes.
    """

    def __init__(self, processor: CommandProcessor, geometry: Geometry) -> None:
        self._processor, self._geometry = processor, geometry
        super().__init__({"port": Out(processor.signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dut = self._processor
        own = _Inside(dut, self._geometry)
        m.submodules.dut = dut
        wiring.connect(m, flipped(self.port), dut)
        request, payload, port = dut.request, dut.payload, dut.port
        header, length = request.p.header, request.p.length
        assume_kept(m, request, "request")
        done = request.valid & request.ready
        assume_kept(m, payload, "payload", unless=done)
        assert_kept(m, dut.answer, "answer")
        self._environment(m, dut, own)

        # The session, told from the requests: the nonce that came with the last HELLO.
        greeting = header.operation == Operation.HELLO
        taken, nonce = Signal(11), Signal(8 * _NONCE)
        with m.If(done):
            m.d.sync += taken.eq(0)
        with m.Elif(payload.valid & payload.ready):
            m.d.sync += taken.eq(taken + 1)
            with m.If(greeting & (taken < _NONCE)):
                m.d.sync += nonce.word_select(taken[:2], 8).eq(payload.payload)
        m.d.comb += Assume(~payload.valid | (taken < length))
        running, own_nonce, expected = Signal(), Signal(8 * _NONCE), Signal(16)
        served = (header.version >= OLDEST) & (header.version <= VERSION)
        greets = served & greeting & (length == _NONCE)
        in_order = served & ~greeting & running & (header.sequence == expected)
        follows = (expected + 1)[:16]
        with m.If(done & greets & (~running | (nonce != own_nonce))):
            m.d.sync += [running.eq(1), own_nonce.eq(nonce), expected.eq(header.sequence + 1)]
        with m.Elif(done & in_order):
            m.d.sync += expected.eq(follows)

        started = Signal()
        with m.If(done):
            m.d.sync += started.eq(0)
        with m.Elif(port.start):
            m.d.sync += started.eq(1)
        run = (header.operation == Operation.RUN) & (length == 0)
        with m.If(port.start):
            m.d.comb += [
                Assert(request.valid & in_order, "a run starts for the request that is expected, and no other"),
                Assert(run, "a run starts for RUN"),
                Assert(~started, "a request starts one run"),
            ]
        with m.If(port.write):
            m.d.comb += [
                Assert(request.valid & in_order, "words are written for the request that is expected, and no other"),
                Assert(header.operation == Operation.WRITE, "words are written for WRITE"),
            ]
        with m.If(port.write | port.read | port.start):
            m.d.comb += Assert(~port.busy, "the host reaches nothing while a run is on")
        with m.If(done & in_order & run):
            m.d.comb += Assert(started, "a RUN that is expected starts a run")
        m.d.comb += Cover(done & run & running & ((header.sequence + 1)[:16] == expected), "a RUN that is repeated")

        # What holds in each state: the solver is told, and proves it with the rest.
        looks = (header.operation == Operation.READ) | (header.operation == Operation.CHECK)
        rows = ("COUNT ROWS", "ADD ROWS", "CHECK ROWS")
        executing = own.any("DISPATCH", "ARGUMENTS", "LOOK UP", *rows, "CHECKSUM", "WRITE", "START", "RUN")
        answering = own.any("ANSWER", "PAYLOAD", "DONE")
        with m.If(own.state["JUDGE"]):
            behind = (expected - header.sequence)[:16]
            m.d.comb += Assert(request.valid & (own.behind == behind), "invariant: a request, and how far it is behind")
        with m.If(own.state["RECORD"]):
            repeated = own.repeated == ~in_order
            m.d.comb += Assert(request.valid & served & ~greeting & running & repeated, "invariant: repeated or not")
            m.d.comb += Assert(own.index == 0, "invariant: no argument is taken")
        with m.If(own.any("IDLE", "JUDGE", "RECORD")):
            m.d.comb += [
                Assert((own.running == running) & (own.expected == expected), "invariant: the session"),
                Assert(~running | (own.nonce == own_nonce), "invariant: its nonce"),
                Assert((taken == 0) & ~started & ~own.busy, "invariant: nothing of the request is done"),
            ]
        with m.Elif(executing):
            m.d.comb += [
                Assert(request.valid & served, "invariant: a request"),
                Assert((own.running == running) & (~running | (own.nonce == own_nonce)), "invariant: the session"),
                Assert(own.expected == Mux(in_order, follows, expected), "invariant: expected"),
                Assert(greeting | (running & (own.repeated == ~in_order)), "invariant: repeated or not"),
                Assert(~greeting | (greets & own.any("ARGUMENTS", "LOOK UP")), "invariant: a HELLO"),
            ]
        with m.Elif(answering):
            renewed = greets & (~running | (nonce != own_nonce))
            m.d.comb += [
                Assert(request.valid & (~greets | (taken == _NONCE)), "invariant: a request"),
                Assert(own.running == (running | greets), "invariant: the session"),
                Assert(~own.running | (own.nonce == Mux(renewed, nonce, own_nonce)), "invariant: its nonce"),
                Assert(
                    own.expected == Mux(renewed, (header.sequence + 1)[:16], Mux(in_order, follows, expected)),
                    "invariant: expected",
                ),
                Assert(started == (in_order & run), "invariant: what was started"),
            ]
        m.d.comb += Assert(own.any(*own.STATES), "invariant: a state")
        with m.If(own.any("ARGUMENTS", "LOOK UP")):
            m.d.comb += Assert(own.index == taken, "invariant: arguments taken")
            whole = Mux(greeting, _NONCE, Mux(looks, READ_REQUEST.size, WRITE_REQUEST.size))
            m.d.comb += Assert(Mux(own.state["LOOK UP"], taken == whole, taken < whole), "invariant: how many")
            for byte in range(_NONCE):
                with m.If(greeting & (taken > byte)):
                    part = own.arguments.word_select(byte, 8) == nonce.word_select(byte, 8)
                    m.d.comb += Assert(part, f"invariant: byte {byte} of the nonce")
        with m.If(own.state["DISPATCH"]):
            m.d.comb += Assert((taken == 0) & (own.index == 0) & ~started, "invariant: nothing of the request is done")
        with m.If(own.any("ARGUMENTS", "LOOK UP", *rows, "WRITE")):
            reads = own.any("ARGUMENTS", "LOOK UP", "ADD ROWS", "CHECK ROWS") & looks
            m.d.comb += Assert(
                reads | greeting | (header.operation == Operation.WRITE), "invariant: READ, CHECK or WRITE"
            )
            m.d.comb += Assert(~started, "invariant: nothing was started")
        with m.If(own.any(*rows)):
            m.d.comb += Assert(~greeting, "invariant: no HELLO")
        with m.If(own.any("START", "RUN")):
            m.d.comb += Assert(run & in_order & (started == own.state["RUN"]), "invariant: a RUN")
        with m.If(own.state["WRITE"]):
            m.d.comb += Assert(in_order, "invariant: a WRITE")
        pending = (own.asked != 0) | (own.bytes_left != 0)
        with m.If(own.state["CHECKSUM"]):
            m.d.comb += [
                Assert((header.operation == Operation.CHECK) & ~started, "invariant: a CHECK"),
                Assert((own.count != 0) | (~own.busy & ~pending), "invariant: nothing is read of no rows"),
            ]
        answers = own.any("ANSWER", "PAYLOAD") & (header.operation == Operation.READ) & (own.rows == _ROWS)
        reading = answers | own.state["CHECKSUM"]
        with m.If(own.busy):
            m.d.comb += Assert(own.state["WRITE"] | reading, "invariant: what reaches the spaces")
        with m.If(pending):
            m.d.comb += Assert(reading, "invariant: what is read")
        flying = sum((bit for bit in own.flight), start=Const(0))
        m.d.comb += Assert(
            (own.asked <= own.room) & (own.asked == flying + own.queued), "invariant: words on their way"
        )
        with m.If((own.bytes_left != 0) & own.bytes_last):
            m.d.comb += Assert(~own.busy & (own.asked == 0), "invariant: the last word goes out")
        m.d.comb += [
            Assert(~port.write | (own.busy & own.state["WRITE"] & (own.byte == 0)), "invariant: a word is written"),
            Assert(~own.may_be_busy | own.state["RUN"], "invariant: a run is waited for"),
        ]
        return m

    def _environment(self, m: Module, dut: CommandProcessor, own: _Inside) -> None:
        """The device is busy from the cycle after a start, for a time, and never else."""
        may, begun = own.may_be_busy, Signal()
        m.d.sync += begun.eq(dut.port.start)
        with m.If(dut.port.start):
            m.d.sync += may.eq(1)
        with m.Elif(~dut.port.busy):
            m.d.sync += may.eq(0)
        m.d.comb += Assume(~dut.port.busy | may)
        with m.If(begun):
            m.d.comb += Assume(dut.port.busy)
