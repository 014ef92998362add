"""UART: bytes to and from a serial line, 8 data bits, no parity, 1 stop bit."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["Uart", "bit_cycles"]

_TOLERANCE = 0.02
"""Largest error of the baud rate. A byte is sampled in the middle of its bits; at 5 % the last one would be missed, and
the other side and the edges need their part."""


def bit_cycles(clock: float, baud: int) -> int:
    """Clock cycles of a bit.

    Raises
    ------
    ValueError
        If a bit would be shorter than 4 cycles, or its length is off by more than 2 %.
    """
    if not 0 < baud <= clock / 4:
        raise ValueError(f"Baud rate must be above 0 and at most a quarter of the clock, {clock:g} Hz, not {baud}")
    cycles = round(clock / baud)
    error = clock / cycles / baud - 1
    if abs(error) > _TOLERANCE:
        raise ValueError(
            f"Baud rate {baud} is {error:+.1%} off at a clock of {clock:g} Hz ({cycles} cycles a bit): "
            f"choose one within {_TOLERANCE:.0%}, such as {round(clock / cycles)}"
        )
    return cycles


class Uart(wiring.Component):
    """Both directions of a serial line.

    Parameters
    ----------
    clock
        Frequency of the clock in Hz.
    baud
        Bits a second.

    Attributes
    ----------
    line_in, line_out
        The line; high when idle. ``line_in`` may be asynchronous.
    hold
        Take in nothing: for the time in which the clock is not steady yet.
    received
        Bytes from the line. There is no flow control: one that is not taken before the next is complete, is lost.
    to_send
        Bytes to the line.
    overrun, framing_error
        Strobes: a byte was lost; a byte without its stop bit was dropped.

    Raises
    ------
    ValueError
        As :func:`bit_cycles`.
    """

    line_in: In(1)
    line_out: Out(1, init=1)
    hold: In(1)
    received: Out(stream.Signature(8))
    to_send: In(stream.Signature(8))
    overrun: Out(1)
    framing_error: Out(1)

    def __init__(self, *, clock: float, baud: int) -> None:
        self._cycles = bit_cycles(clock, baud)
        super().__init__()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._receive(m)
        self._send(m)
        return m

    def _receive(self, m: Module) -> None:
        line, before = Signal(init=1), Signal(init=1)
        m.d.sync += before.eq(line)
        m.submodules.synchronizer = FFSynchronizer(self.line_in, line, init=1)
        timer = Signal(range(self._cycles + self._cycles // 2))
        bits = Signal(range(10))  # left, the stop bit among them
        byte = Signal(8)
        received = self.received
        with m.If(received.ready):
            m.d.sync += received.valid.eq(0)
        with m.If(bits == 0):
            # The first sample is in the middle of the bit after the start bit.
            m.d.sync += timer.eq(self._cycles + self._cycles // 2 - 2)
            with m.If(before & ~line & ~self.hold):
                m.d.sync += bits.eq(9)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self._cycles - 1), bits.eq(bits - 1)]
            with m.If(bits != 1):
                m.d.sync += byte.eq(Cat(byte[1:], line))
            with m.Elif(line):
                m.d.sync += [received.valid.eq(1), received.payload.eq(byte)]
                m.d.comb += self.overrun.eq(received.valid & ~received.ready)
            with m.Else():
                m.d.comb += self.framing_error.eq(1)

    def _send(self, m: Module) -> None:
        to_send = self.to_send
        timer = Signal(range(self._cycles))
        bits = Signal(range(11))
        rest = Signal(9, init=0x1FF)  # of the byte, then the stop bit
        m.d.comb += to_send.ready.eq(bits == 0)
        with m.If(to_send.valid & to_send.ready):
            m.d.sync += [
                self.line_out.eq(0),
                rest.eq(Cat(to_send.payload, 1)),
                bits.eq(10),
                timer.eq(self._cycles - 1),
            ]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(bits != 0):
            m.d.sync += [bits.eq(bits - 1), timer.eq(self._cycles - 1)]
            with m.If(bits != 1):
                m.d.sync += [self.line_out.eq(rest[0]), rest.eq(Cat(rest[1:], 1))]
