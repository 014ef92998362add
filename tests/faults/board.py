"""A simulated board with a fault, chosen when it is started: one build for all of them.

The faults are put into the gateware by subclasses of its components, here and only here. Which fault is on, the
simulator reads from its command line (``+fault=N``).
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from unittest import mock

from amaranth.back import verilog
from amaranth.hdl import Instance, Module, ResetInserter, Signal

from equipoise.gateware import array, core, device, neuron
from equipoise.gateware.lane import Lane
from equipoise.gateware.link import link
from equipoise.gateware.link.framing import FrameSender
from equipoise.gateware.neuron import NeuronUnit
from equipoise.gateware.noise import NoiseGenerator
from equipoise.gateware.passes import Phase
from equipoise.gateware.sequencer import Sequencer
from equipoise.sim.build import BOARD_ID, BUFFER, CLOCK, BoardBuild, without_zeros
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import Operation

from ..verilated import build

SELECT = """
module fault_select(output reg [7:0] number);
    initial if (!$value$plusargs("fault=%d", number)) number = 0;
endmodule
"""


class Fault(IntEnum):
    """What is wrong."""

    NONE = 0
    STUCK_BIT = 1
    """Bit 5 of row 37 of lane 1's weights is 0 whatever is written."""
    STUCK_LINE = 2
    """Bit 11 of lane 1's gains is 1 in every row."""
    HALF_THE_ROWS = 3
    """Weight memory has half the rows that HELLO states, as if the bitstream were of another geometry."""
    DEAD_LANE = 4
    """All products of lane 1 are 0."""
    DEAD_MULTIPLIER = 5
    """All products of lane 0 for context 1 are 0."""
    NOISE_BIT = 6
    """The lowest bit of the noise is always 0."""
    PHANTOM_SAMPLES = 7
    """Contexts without a sample take part all the same."""
    WRONG_BYTE = 8
    """A byte 0x5a is echoed as 0x5b, with a good CRC."""
    UPSET_WEIGHT = 9
    """In the middle of the first run, row 2 of lane 0's weights becomes 0x1234, as if particles had struck."""
    UPSET_GAIN = 10
    """In the middle of the first run, row 0 of lane 1's gains becomes 0x1234."""
    UPSET_STATE = 11
    """Bit 20 of the states that are written in a negative phase is 1."""
    RESET = 12
    """In the middle of the first run, the device is reset."""


STRIKE = 1500
"""Cycles into the first run at which it happens."""


def _strike(m: Module, busy) -> Signal:
    """A strobe in the middle of the first run."""
    count = Signal(range(STRIKE + 2))
    with m.If(busy & (count <= STRIKE)):
        m.d.sync += count.eq(count + 1)
    return count == STRIKE


def _chosen(m: Module, fault: Fault):
    number = Signal(8)
    m.submodules += Instance("fault_select", o_number=number)
    return number == fault


class _Lane(Lane):
    def elaborate(self, platform):
        m = super().elaborate(platform)
        weights, gains = m.submodules.weights, m.submodules.gains
        with m.If(_chosen(m, Fault.HALF_THE_ROWS)):
            for port in (*weights.read_ports, *weights.write_ports):
                m.d.comb += port.addr[-1].eq(0)
        if self._number == 0:
            with m.If(_chosen(m, Fault.DEAD_MULTIPLIER)):
                m.d.comb += self.products[1].eq(0)
        if self._number == 1:
            (weight_write,), (gain_write,) = weights.write_ports, gains.write_ports
            with m.If(_chosen(m, Fault.STUCK_BIT) & (weight_write.addr == 37)):
                m.d.comb += weight_write.data[5].eq(0)
            with m.If(_chosen(m, Fault.STUCK_LINE)):
                m.d.comb += gain_write.data[11].eq(1)
            with m.If(_chosen(m, Fault.DEAD_LANE)):
                m.d.comb += [product.eq(0) for product in self.products]
            self._upset(m, Fault.UPSET_GAIN, gain_write, 0)
        if self._number == 0:
            (weight_write,) = weights.write_ports
            self._upset(m, Fault.UPSET_WEIGHT, weight_write, 2)
        return m

    def _upset(self, m, fault: Fault, port, row: int) -> None:
        strike = _strike(m, self.port.busy)
        with m.If(_chosen(m, fault) & strike):
            m.d.comb += [port.addr.eq(row), port.data.eq(0x1234), port.en.eq(1)]


class _Neuron(NeuronUnit):
    def elaborate(self, platform):
        m = super().elaborate(platform)
        (write,) = m.submodules.states.write_ports
        with m.If(_chosen(m, Fault.UPSET_STATE) & (self.phase == Phase.NEGATIVE)):
            m.d.comb += write.data[20].eq(1)
        return m


class _Device(device.Device):
    def elaborate(self, platform):
        inner = super().elaborate(platform)
        m = Module()
        m.submodules.struck = ResetInserter(_chosen(m, Fault.RESET) & _strike(m, self.busy))(inner)
        return m


class _Noise(NoiseGenerator):
    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(_chosen(m, Fault.NOISE_BIT)):
            m.d.sync += self.xi[0].eq(0)
        return m


class _Sequencer(Sequencer):
    def elaborate(self, platform):
        m = super().elaborate(platform)
        with m.If(_chosen(m, Fault.PHANTOM_SAMPLES)):
            m.d.sync += self.active.eq(-1)
        return m


class _Sender(FrameSender):
    def elaborate(self, platform):
        m = super().elaborate(platform)
        echo = self.payload.valid & self.payload.ready & (self.answer.p.header.operation == Operation.ECHO)
        with m.If(_chosen(m, Fault.WRONG_BYTE) & echo & (self.payload.p.data == 0x5A)):
            m.d.comb += self.plain.p.data.eq(0x5B)
        return m


def _verilog(geometry: Geometry) -> str:
    with (
        mock.patch.object(array, "Lane", _Lane),
        mock.patch.object(core, "Sequencer", _Sequencer),
        mock.patch.object(core, "NeuronUnit", _Neuron),
        mock.patch.object(neuron, "NoiseGenerator", _Noise),
        mock.patch.object(link, "FrameSender", _Sender),
    ):
        whole = _Device(geometry, build=b"faulty!!", board=BOARD_ID, clock=CLOCK, buffer=BUFFER)
        return without_zeros(verilog.convert(whole, name="device", emit_src=False, strip_internal_attrs=True)) + SELECT


def faulty_board(geometry: Geometry, fault: Fault, folder: Path) -> BoardBuild:
    """A board with this fault, started by a script in ``folder``."""
    built = build("faulty", geometry, [Path(__file__)], lambda work: _verilog(geometry))
    starter = folder / f"{fault.name.lower()}.sh"
    starter.write_text(f"#!/bin/sh\nexec '{built.executable}' +fault={int(fault)}\n")
    starter.chmod(0o755)
    return BoardBuild(starter, geometry)
