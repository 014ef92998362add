"""The host port: how the command processor reaches registers and memories, and starts a run."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..substrate.geometry import read_latency

__all__ = ["HostPort", "SpacePort", "read_latency"]


class HostPort(wiring.Signature):
    """Access to the spaces of :mod:`equipoise.substrate.protocol`, from the side of the command processor.

    The initiator checks addresses; a target may do anything on one out of range. Memories are reached only
    while ``busy`` is low. A read of a space may be followed by another of the same a cycle later, but in a compact
    device, where there is one at a time, and the address is held until the data is taken.

    Attributes
    ----------
    space, row, word
        Code of the space, row, and word within the row.
    write, write_data
        Strobe for one cycle; 2-byte spaces take the low 16 bits.
    read, read_data
        Strobe for one cycle; the data is valid, for one cycle at least, ``read_latency(geometry)`` cycles later.
        2-byte spaces answer in the low 16 bits.
    start
        Strobe for one cycle: start the run that the registers describe.
    busy
        High from the cycle after ``start`` until the run is done.
    abandoned
        Whether the last run was given up, for taking longer than it was allowed.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "space": Out(5),
                "row": Out(16),
                "word": Out(6),
                "write": Out(1),
                "write_data": Out(32),
                "read": Out(1),
                "read_data": In(32),
                "start": Out(1),
                "busy": In(1),
                "abandoned": In(1),
            }
        )


class SpacePort(wiring.Signature):
    """What a part of the device sees of the host port: the same, less what concerns runs.

    Attributes
    ----------
    space, row, word, write, write_data, read_data
        As in :class:`HostPort`.
    busy
        A run is under way: the memories belong to it, not to the host.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "space": Out(5),
                "row": Out(16),
                "word": Out(6),
                "write": Out(1),
                "write_data": Out(32),
                "read_data": In(32),
                "busy": Out(1),
            }
        )
