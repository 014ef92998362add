"""Register file: the ``registers`` space, made from the one definition in :mod:`equipoise.substrate.protocol`."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..substrate.protocol import REGISTERS, SPACES, Access
from .hostport import SpacePort

__all__ = ["Registers"]

_PART_BITS = 3
_PART = 1 << _PART_BITS


class Registers(wiring.Component):
    """All registers.

    Attributes
    ----------
    One port a register, by its name: an output where the host writes, an input where the device does.
    port
        Host access.
    """

    def __init__(self) -> None:
        ports = {
            register.name: Out(register.width) if register.access is Access.READ_WRITE else In(register.width)
            for register in REGISTERS
        }
        super().__init__({**ports, "port": In(SpacePort())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        port = self.port
        row = port.row[: (len(REGISTERS) - 1).bit_length()]
        writing = port.write & (port.space == SPACES["registers"].code)
        parts = []  # of few registers each: which of them is read is known a cycle later
        for first in range(0, len(REGISTERS), _PART):
            parts.append(part := Signal(32, name=f"part_{first}"))
            with m.Switch(row[:_PART_BITS]):
                for number, register in enumerate(REGISTERS[first : first + _PART]):
                    value = getattr(self, register.name)
                    with m.Case(number):
                        m.d.sync += part.eq(value)
                        if register.access is Access.READ_WRITE:
                            with m.If(writing & (row[_PART_BITS:] == first // _PART)):
                                m.d.sync += value.eq(port.write_data)
        number_of_part = Signal.like(row[_PART_BITS:])
        m.d.sync += number_of_part.eq(row[_PART_BITS:])
        with m.Switch(number_of_part):
            for number, part in enumerate(parts):
                with m.Case(number):
                    m.d.sync += port.read_data.eq(part)
        return m
