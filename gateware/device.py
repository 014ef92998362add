"""Device: link and core, between two byte streams."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..substrate.formats import COMPACT, FORMATS
from ..substrate.geometry import Geometry
from ..substrate.protocol import Hello, features_of
from .core import Core
from .link.link import Link

__all__ = ["Device"]


class Device(wiring.Component):
    """A whole device: everything that is the same on all boards and in the simulation.

    Parameters
    ----------
    geometry
        Sizes.
    build, board
        Build id and board id, 8 bytes each, for HELLO.
    clock
        Clock frequency in Hz, for HELLO.
    buffer
        Bytes that the link takes in while the device is busy.

    Attributes
    ----------
    rx, tx
        Bytes from and to the host.
    busy
        High while a run is under way: for a lamp, and for a simulation to know when time may stand still.
    saturated
        High if anything saturated in the last run.
    link_error
        Strobe: a frame was dropped.
    """

    def __init__(self, geometry: Geometry, *, build: bytes, board: bytes, clock: int, buffer: int = 4096) -> None:
        formats = COMPACT if geometry.compact else FORMATS
        self._hello = Hello(build, board, clock, buffer, geometry, formats, features_of(geometry))
        super().__init__(
            {
                "rx": In(stream.Signature(8)),
                "tx": Out(stream.Signature(8)),
                "busy": Out(1),
                "saturated": Out(1),
                "link_error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.link = link = Link(self._hello)
        m.submodules.core = core = Core(self._hello.geometry, self._hello.formats)
        connect(m, flipped(self.rx), link.rx)
        connect(m, link.tx, flipped(self.tx))
        connect(m, link.port, core.port)
        dropped = Signal(2)  # lowest bits of both counters, a cycle ago
        m.d.sync += dropped.eq(Cat(link.crc_errors[0], link.framing_errors[0]))
        m.d.comb += [
            self.busy.eq(core.port.busy),
            self.saturated.eq(core.saturated),
            self.link_error.eq(Cat(link.crc_errors[0], link.framing_errors[0]) != dropped),
            core.frames.eq(link.frames),
            core.crc_errors.eq(link.crc_errors),
            core.framing_errors.eq(link.framing_errors),
            core.replays.eq(link.replays),
        ]
        return m
