"""Register file: the ``registers`` space, made from the one definition in :mod:`equipoise.substrate.protocol`."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..substrate.protocol import REGISTERS, SPACES, Access
from .hostport import SpacePort

__all__ = ["Registers"]


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
        with m.Switch(port.row):
            for row, register in enumerate(REGISTERS):
                value = getattr(self, register.name)
                with m.Case(row):
                    m.d.sync += port.read_data.eq(value)
                    if register.access is Access.READ_WRITE:
                        with m.If(port.write & (port.space == SPACES["registers"].code)):
                            m.d.sync += value.eq(port.write_data)
        return m
