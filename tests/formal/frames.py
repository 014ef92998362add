"""Properties of the framing: nothing with a bad CRC is handed over or sent, and any damage ends with the next 0x00."""

from collections.abc import Callable
from itertools import pairwise

from amaranth.hdl import Array, Assert, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.wiring import In, Out, flipped

from equipoise.gateware.link.cobs import CobsDecoder
from equipoise.gateware.link.framing import FrameReceiver, FrameSender
from equipoise.substrate.protocol import MAX_PAYLOAD

from .inside import Inside
from .monitors import assume_kept, crc32_step

HEADER, CRC = 5, 4
ONES = 0xFFFFFFFF


class StandInCrc(wiring.Component):
    """Has the ports of Amaranth's CRC unit and the one property that framing relies on, but is cheap to reason about.

    The checksum of bytes, followed by the checksum, is always the same. What is proved of the framing is what the unit
    is fed with, when it starts anew, and when its word counts; of the CRC itself see :class:`CrcIsRight`.
    """

    start: In(1)
    data: In(8)
    valid: In(1)
    crc: Out(32)
    match_detected: Out(1)

    @classmethod
    def make(cls, data_width: int) -> "StandInCrc":
        """In the place of ``CRC32_ETHERNET(data_width).create()``."""
        return cls()

    def create(self) -> "StandInCrc":
        return self

    def elaborate(self, platform: object) -> Module:
        m = Module()
        register = Signal(32, init=ONES)
        with m.If(self.start):
            m.d.sync += register.eq(ONES)
        with m.If(self.valid):
            m.d.sync += register.eq(mixed(Mux(self.start, ONES, register), self.data))
        m.d.comb += [self.crc.eq(~register), self.match_detected.eq(register == ONES)]
        return m


def mixed(register: Value, byte: Value) -> Value:
    """One byte of the stand-in checksum."""
    return register.rotate_right(8) ^ Cat(Const(0, 24), byte)


class CrcIsRight(wiring.Component):
    """The CRC unit takes a byte as CRC-32 is defined, whatever its register holds, and knows a CRC when it sees one."""

    data: In(8)
    valid: In(1)
    start: In(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = unit = CRC32_ETHERNET(data_width=8).create()
        m.d.comb += [unit.data.eq(self.data), unit.valid.eq(self.valid), unit.start.eq(self.start)]
        previous, data, valid, start = (Signal.like(value) for value in (unit.crc, self.data, self.valid, self.start))
        begun = Signal()
        m.d.sync += [previous.eq(unit.crc), data.eq(self.data), valid.eq(self.valid), start.eq(self.start)]
        m.d.sync += begun.eq(1)
        base = Mux(start, ONES, ~previous)
        with m.If(begun):
            m.d.comb += Assert(unit.crc == ~Mux(valid, crc32_step(base, data), base), "a step of CRC-32")
        with m.Else():
            m.d.comb += Assert(unit.crc == 0, "a CRC begins with ones")
        return m


class _Tail:
    """The checksum over all but the last four bytes of a frame, and these four bytes.

    Attributes
    ----------
    last
        The four bytes.
    count
        Bytes of the frame, 2047 at most.
    """

    def __init__(self, m: Module, taken: Value, byte: Value, restart: Value) -> None:
        self.sums = [Signal(32, init=ONES, name=f"sum_{age}") for age in range(CRC + 1)]
        self.last = Signal(8 * CRC)
        self.count = Signal(11)
        with m.If(restart):
            m.d.sync += [*(value.eq(ONES) for value in self.sums), self.count.eq(0)]
        with m.Elif(taken):
            m.d.sync += [self.sums[0].eq(mixed(self.sums[0], byte)), self.last.eq(Cat(self.last[8:], byte))]
            m.d.sync += [later.eq(earlier) for earlier, later in pairwise(self.sums)]
            with m.If(self.count != 2047):
                m.d.sync += self.count.eq(self.count + 1)
        for age, (newer, older) in enumerate(pairwise(self.sums)):
            with m.If(self.count > age):
                chained = mixed(older, self.last.word_select(CRC - 1 - age, 8))
                m.d.comb += Assert(newer == chained, f"invariant: sum {age}")
        self._byte = byte

    def matches(self) -> Value:
        """Whether the four bytes taken last are the checksum of those before."""
        return self.last == ~self.sums[CRC]

    def matches_with(self) -> Value:
        """The same, with the byte that is taken now as the last."""
        return Cat(self.last[8:], self._byte) == ~self.sums[CRC - 1]


class ReceiverHandsOverGoodFrames(wiring.Component):
    """What is handed over are the frames that ended, with the right length and checksum: these, all, and in order.

    Each has the header and the length of the frame, and as much payload is offered as it has. One frame may be handed
    over while the next waits; then nothing more is taken in.
    """

    def __init__(self, receiver: FrameReceiver) -> None:
        self._receiver = receiver
        super().__init__(receiver.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dut = self._receiver
        inside = Inside(dut)
        own_sum = inside.part(32, lambda m: m.submodules.crc.crc)
        own_count, own_position = inside.signal("count", 11), inside.signal("position", 11)
        own_header, own_length = inside.signal("header", 8 * HEADER), inside.signal("length", 11)
        own_waiting = inside.signal("waiting", 1)
        m.submodules.dut = dut
        wiring.connect(m, flipped(self), dut)
        assume_kept(m, dut.plain, "plain")
        taken, done = dut.plain.valid & dut.plain.ready, dut.request.valid & dut.request.ready
        byte, end = taken & ~dut.plain.p.end, taken & dut.plain.p.end
        tail = _Tail(m, byte, dut.plain.p.data, end)

        # The frame that comes in, the good one that waits, and the one that is handed over.
        header, good = Signal(8 * HEADER), Signal()
        fits = (tail.count >= HEADER + CRC) & (tail.count <= HEADER + CRC + MAX_PAYLOAD)
        with m.If(byte & (tail.count < HEADER)):
            m.d.sync += header.eq(Cat(header[8:], dut.plain.p.data))
        m.d.comb += good.eq(end & ~dut.plain.p.error & fits & tail.matches())
        next_length, length = Signal(11), Signal(11)
        waits, offered_header, wanted = Signal(), Signal(8 * HEADER), Signal()
        moves = waits & (~wanted | done)
        with m.If(good):
            m.d.sync += [waits.eq(1), next_length.eq(tail.count - HEADER - CRC)]
        with m.Elif(moves):
            m.d.sync += waits.eq(0)
        with m.If(moves):
            m.d.sync += [wanted.eq(1), offered_header.eq(header), length.eq(next_length)]
        with m.Elif(done):
            m.d.sync += wanted.eq(0)
        m.d.comb += [
            Assert(dut.request.valid == wanted, "a request is valid if and only if a good frame has ended"),
            Assert(~waits | ~taken, "no frame is lost for want of room"),
        ]
        with m.If(dut.request.valid):
            m.d.comb += [
                Assert(dut.request.p.header.as_value() == offered_header, "the header is that of the frame"),
                Assert(dut.request.p.length == length, "the length is that of the frame"),
            ]
        offered = Signal(11)
        with m.If(done | moves):
            m.d.sync += offered.eq(0)
        with m.Elif(dut.payload.valid & dut.payload.ready):
            m.d.sync += offered.eq(offered + 1)
        m.d.comb += Assert(dut.payload.valid == (wanted & (offered != length)), "as much payload as the frame has")

        longest = HEADER + CRC + MAX_PAYLOAD
        m.d.comb += [
            Assert(own_count == Mux(tail.count > longest, longest + 1, tail.count), "invariant: count"),
            Assert(own_sum == ~tail.sums[0], "invariant: the unit is fed with every byte of a frame"),
            Assert(own_header == header, "invariant: header"),
            Assert(own_waiting == waits, "invariant: a frame waits"),
            Assert(~waits | ((own_length == next_length) & (next_length <= MAX_PAYLOAD)), "invariant: its length"),
            Assert(~waits | (tail.count == 0), "invariant: between frames"),
            Assert(own_position == offered, "invariant: position"),
            Assert(Mux(wanted, (offered <= length) & (length <= MAX_PAYLOAD), offered == 0), "invariant: payload"),
        ]
        m.d.comb += Cover(wanted & waits & (length == 2) & (offered == 2), "a whole payload, and a frame behind it")
        return m


class SenderSendsGoodFrames(wiring.Component):
    """Each frame sent ends with the checksum of what was sent before, and begins with the header."""

    def __init__(self, sender: FrameSender) -> None:
        self._sender = sender
        super().__init__(sender.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dut = self._sender
        inside = Inside(dut)
        own_sum = inside.part(32, lambda m: m.submodules.crc.crc)
        index = inside.signal("index", 3)
        states = ("HEADER", "PAYLOAD", "CATCH UP", "CRC")
        in_header, in_payload, catching_up, in_crc = (inside.state(name) for name in states)
        data, valid, start = (
            inside.signal(f"crc_{name}", width) for name, width in (("data", 8), ("valid", 1), ("start", 1))
        )
        m.submodules.dut = dut
        wiring.connect(m, flipped(self), dut)
        assume_kept(m, dut.answer, "answer")
        assume_kept(m, dut.payload, "payload")
        sent = dut.plain.valid & dut.plain.ready
        last = sent & dut.plain.p.last
        tail = _Tail(m, sent, dut.plain.p.data, last)
        with m.If(last):
            m.d.comb += [
                Assert(tail.matches_with(), "a frame ends with its CRC"),
                Assert(tail.count >= HEADER + CRC - 1, "no frame is shorter than header and CRC"),
            ]
        with m.If(sent & (tail.count < HEADER)):
            header = dut.answer.p.header.as_value().word_select(tail.count[:3], 8)
            m.d.comb += Assert(dut.answer.valid & (dut.plain.p.data == header), "a frame begins with the header")

        age = Mux(in_crc, index, 0)
        base = Mux(start, ONES, ~own_sum)
        fed = Mux(valid, mixed(base, data), base)  # once it has the byte that is on its way
        m.d.comb += [
            Assert(in_header | in_payload | catching_up | in_crc, "invariant: a state"),
            Assert(~in_crc | ~(valid | start), "invariant: the unit has caught up"),
            Assert(~(valid & start), "invariant: the unit starts between frames"),
            Assert(~in_header | ((tail.count == index) & (index < HEADER)), "invariant: index of the header"),
            Assert(~in_crc | (index < CRC), "invariant: index of the CRC"),
            Assert(~(in_payload | catching_up) | (index == 0), "invariant: no index in the payload"),
            Assert(in_header | (tail.count >= HEADER + age), "invariant: after the header"),
            Assert(fed == Array(tail.sums)[age], "invariant: the unit is fed with header and payload"),
        ]
        for past in range(1, CRC):
            for byte in range(past):
                with m.If(in_crc & (index == past)):
                    own, seen = own_sum.word_select(byte, 8), tail.last.word_select(CRC - past + byte, 8)
                    m.d.comb += Assert(own == seen, f"invariant: byte {byte} of the CRC, {past} sent")
        m.d.comb += Cover(last & (tail.count == HEADER + CRC + 1), "a frame with a payload of two bytes")
        return m


class DecoderResynchronises(wiring.Component):
    """After a 0x00, a decoder with any past does what one without a past does.

    The first decoder begins in any state whatever (its initial values are taken away when the proof is made). From the
    cycle after it has taken a 0x00, the second gets the same bytes: from then on both say the same.
    """

    def __init__(self, make: Callable[[], CobsDecoder] = CobsDecoder) -> None:
        self._make = make
        super().__init__({"byte": In(8), "offered": In(1), "taken": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        old, new = self._make(), self._make()
        states = [
            (inside.signal("started", 1), inside.signal("left", 8), inside.signal("full", 1))
            for inside in (Inside(old), Inside(new))
        ]
        m.submodules.old, m.submodules.new = old, new
        synchronised, heard = Signal(), Signal()
        accepted = old.encoded.valid & old.encoded.ready
        m.d.comb += [
            old.encoded.valid.eq(self.offered),
            old.encoded.payload.eq(self.byte),
            new.encoded.valid.eq(self.offered & synchronised & old.encoded.ready),
            new.encoded.payload.eq(self.byte),
            old.plain.ready.eq(self.taken),
            new.plain.ready.eq(self.taken),
        ]
        with m.If(accepted & (self.byte == 0)):
            m.d.sync += synchronised.eq(1)
        # What the old one still has to say is of the frame before, until it has taken a byte after the 0x00.
        with m.If(synchronised & accepted):
            m.d.sync += heard.eq(1)
        with m.If(heard):
            m.d.comb += Assert(old.plain.valid == new.plain.valid, "both offer a byte, or none")
            with m.If(old.plain.valid):
                ends = old.plain.p.end & new.plain.p.end & (old.plain.p.error == new.plain.p.error)
                bytes_ = ~old.plain.p.end & ~new.plain.p.end & (old.plain.p.data == new.plain.p.data)
                m.d.comb += Assert(ends | bytes_, "both offer the same byte or end")
        (old_started, old_left, old_full), (new_started, new_left, new_full) = states
        with m.If(synchronised):
            m.d.comb += [
                Assert(old_started == new_started, "invariant: started"),
                Assert(old_left == new_left, "invariant: bytes up to the next code"),
                Assert(~old_started | (old_full == new_full), "invariant: a full block"),
                Assert(heard | ~new.plain.valid, "invariant: the new one has heard nothing"),
            ]
        with m.Else():
            m.d.comb += Assert(~new_started & (new_left == 0) & ~new.plain.valid, "invariant: the new one has no past")
        m.d.comb += Assert(~heard | synchronised, "invariant: heard")
        m.d.comb += Cover(heard & new.plain.valid & new.plain.p.end & ~new.plain.p.error, "a frame after it")
        return m
