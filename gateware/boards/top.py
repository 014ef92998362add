"""Top: the device on a board, between its clock, its serial line and its LEDs."""

from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import connect

from ...substrate.geometry import Geometry
from ..device import Device
from ..uart import Uart
from .board import Board
from .clocks import Clock

__all__ = ["Top"]


class Top(wiring.Component):
    """Everything on the FPGA of a board.

    Parameters
    ----------
    board
        The board.
    geometry
        Sizes.
    build
        Build id, 8 bytes.
    """

    def __init__(self, board: Board, geometry: Geometry, build: bytes) -> None:
        self._board, self._geometry, self._build = board, geometry, build
        super().__init__({})

    def elaborate(self, platform) -> Module:
        m = Module()
        board = self._board
        m.domains.sync = ClockDomain(reset_less=True)  # driven by the clock
        m.submodules.clock = clock = Clock(board.family, board.clock)
        m.submodules.uart = uart = Uart(clock=board.clock, baud=board.baud)
        m.submodules.device = device = Device(
            self._geometry, build=self._build, board=board_id(board.name), clock=board.clock, buffer=board.buffer
        )
        connect(m, uart.received, device.rx)
        connect(m, device.tx, uart.to_send)

        line = _requested(platform, *board.uart)
        m.submodules.rx = rx = io.Buffer("i", line.rx)
        m.submodules.tx = tx = io.Buffer("o", line.tx)
        m.d.comb += [uart.hold.eq(~clock.ready), uart.line_in.eq(rx.i), tx.o.eq(uart.line_out)]
        self._lamps(m, platform, device, uart)
        return m

    def _lamps(self, m: Module, platform, device: Device, uart: Uart) -> None:
        board = self._board
        beat = Signal((board.clock - 1).bit_length())  # wraps around about once a second
        m.d.sync += beat.eq(beat + 1)
        glow = Signal()
        with m.If(device.link_error | uart.overrun | uart.framing_error):
            m.d.sync += glow.eq(1)
        with m.Elif(beat == 0):
            m.d.sync += glow.eq(0)
        levels = {
            "alive": beat[-1],
            "busy": device.busy,
            "saturated": device.saturated,
            "link_error": glow,
        }
        for name, level in levels.items():
            resource = getattr(board.lamps, name)
            if resource is not None:
                m.submodules[f"{name}_lamp"] = lamp = io.Buffer("o", self._lamp(platform, *resource))
                m.d.comb += lamp.o.eq(level)

    @staticmethod
    def _lamp(platform, resource: str, number: int):
        """The pin of an LED: ``rgb_led.r`` is the red of an ``rgb_led``."""
        name, _, colour = resource.partition(".")
        if not colour:
            return platform.request(name, number, dir="-")
        return getattr(_requested(platform, name, number), colour)


def _requested(platform, name: str, number: int):
    """A resource with several pins, requested once for all of them."""
    kept = platform.__dict__.setdefault("equipoise_requested", {})
    if (name, number) not in kept:
        pins = {pin.name: "-" for pin in platform.lookup(name, number).ios}
        kept[name, number] = platform.request(name, number, dir=pins)
    return kept[name, number]


def board_id(name: str) -> bytes:
    """Board id for HELLO: the first 8 letters of the board's name."""
    return name.encode()[:8].ljust(8, b"\0")
