"""Updater: changes the parameters, one by one, by what a run has contrasted (``docs/arithmetic.md``, Update)."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from ..substrate.learning import GUARD_BITS, MOMENTUM_LIMIT, ROUNDED_BITS, STREAM, UPDATE_TICKS, VALUE_BITS
from ..substrate.protocol import RULE, SPACES, UPDATE_COUNTERS
from .arithmetic import clip
from .hostport import SpacePort
from .noise import NoiseGenerator
from .sequencer import WARM_UP

__all__ = ["Updater"]

_LAST_TICK = UPDATE_TICKS - 1
"""Of the cycles that a parameter takes, counted from 0: see :meth:`Updater._arithmetic`."""


class _Kind(enum.Enum, shape=2):
    """Of parameters; its value is how far its spaces are from those of the weights."""

    WEIGHT = 0
    GAIN = 1
    BIAS = 2


class Updater(wiring.Component):
    """Reaches the memories by the port of the host, which waits meanwhile. It has one multiplier.

    Parameters
    ----------
    geometry, formats
        Sizes and number formats.

    Attributes
    ----------
    start
        Strobe: a run starts, that ``contrasts`` or not.
    contrasts
        Whether it does.
    accumulates
        At ``start``: the run adds to the contrast sums that are held, and ends with an update.
    running
        The run is under way.
    busy
        High from the cycle after ``start`` until the update is done; low if there is none.
    active
        The memories are the updater's.
    modules, groups, neurons, levels, seed
        Registers of the run.
    space, row, word, write, write_data, read_data
        Those of the host port.
    port
        Host access to rule, rates and counters.
    """

    def __init__(self, geometry: Geometry, formats: Formats) -> None:
        self._geometry, self._formats = geometry, formats
        super().__init__(
            {
                "start": In(1),
                "contrasts": In(1),
                "accumulates": Out(1),
                "running": In(1),
                "busy": Out(1),
                "active": Out(1),
                "modules": In(6),
                "groups": In(13),
                "neurons": In(13),
                "levels": In(7),
                "seed": In(64),
                "space": Out(5),
                "row": Out(16),
                "word": Out(6),
                "write": Out(1),
                "write_data": Out(32),
                "read_data": In(32),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rule = {register.name: Signal(register.width, name=register.name) for register in RULE}
        counters = {register.name: Signal(32, name=register.name) for register in UPDATE_COUNTERS}
        m.submodules.rates = rates = Memory(shape=32, depth=self._geometry.modules, init=[])
        self._host(m, rule, counters, rates)
        m.submodules.noise = noise = NoiseGenerator()
        m.d.comb += [noise.seed.eq(self.seed), noise.phase.eq(STREAM)]

        kind, tick = Signal(_Kind), Signal(range(_LAST_TICK + 1))
        segment, done = self._walk(m, kind, tick, noise, rates)
        m.d.comb += self.accumulates.eq(rule["learn"] & self.contrasts)
        with m.If(self.start):
            m.d.sync += rule["learn"].eq(0)
            m.d.sync += [counter.eq(0) for name, counter in counters.items() if name != "updates"]
        with m.If(done):
            m.d.sync += counters["updates"].eq(counters["updates"] + 1)
        self._arithmetic(m, kind, tick, rule, counters, noise, segment)
        return m

    def _host(self, m: Module, rule, counters, rates) -> None:
        """Let the host reach registers and rates."""
        port = self.port
        read, write = rates.read_port(), rates.write_port()
        m.d.comb += [
            read.addr.eq(port.row),
            write.addr.eq(port.row),
            write.data.eq(port.write_data),
            write.en.eq(port.write & (port.space == SPACES["rates"].code)),
        ]
        registers, counted = Signal(32), Signal(32)
        for values, answer in ((rule, registers), (counters, counted)):
            with m.Switch(port.row):
                for row, value in enumerate(values.values()):
                    with m.Case(row):
                        m.d.sync += answer.eq(value)
        with m.If(port.write & (port.space == SPACES["rule"].code)), m.Switch(port.row):
            for row, value in enumerate(rule.values()):
                with m.Case(row):
                    m.d.sync += value.eq(port.write_data)
        with m.Switch(port.space):
            with m.Case(SPACES["rule"].code):
                m.d.sync += port.read_data.eq(registers)
            with m.Case(SPACES["updates"].code):
                m.d.sync += port.read_data.eq(counted)
            with m.Default():
                m.d.sync += port.read_data.eq(read.data)

    def _walk(self, m: Module, kind, tick, noise, rates) -> tuple:
        """Weights row by row, then gains and biases level by level.

        Returns the entry of the module that the row belongs to, and a strobe at the end.
        """
        geometry = self._geometry
        index, level = Signal(17), Signal(range(geometry.levels + 1))  # row of a weight, group, or neuron; and level
        module, warm, done = Signal(6), Signal(range(WARM_UP)), Signal()
        rate = rates.read_port(domain="comb")
        m.d.comb += rate.addr.eq(module)
        segment = rate.data
        group_bits, neuron_bits = (count.bit_length() - 1 for count in (geometry.groups, geometry.neurons))
        with m.Switch(kind):
            with m.Case(_Kind.WEIGHT):
                m.d.comb += self.row.eq(index)
            with m.Case(_Kind.GAIN):
                m.d.comb += self.row.eq(Cat(index[:group_bits], level))
            with m.Default():
                m.d.comb += self.row.eq(Cat(index[:neuron_bits], level))
        count = Mux(kind == _Kind.GAIN, self.groups, self.neurons)
        last_word = (self.word == geometry.lanes - 1) | (kind == _Kind.BIAS)

        with m.FSM():
            with m.State("IDLE"), m.If(self.start & self.accumulates):
                m.next = "BEGIN"
            with m.State("BEGIN"):  # the run has begun a cycle later
                m.d.comb += self.busy.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += [self.busy.eq(1), noise.load.eq(~self.running)]
                m.d.sync += [kind.eq(_Kind.WEIGHT), index.eq(0), level.eq(0), module.eq(0), self.word.eq(0)]
                with m.If(~self.running):
                    m.next = "WARM UP"
            with m.State("WARM UP"):
                m.d.comb += [self.busy.eq(1), noise.mix.eq(1), noise.step.eq(1)]
                m.d.sync += warm.eq(warm + 1)
                with m.If(warm == WARM_UP - 1):
                    m.next = "ROW"
            with m.State("ROW"):
                m.d.comb += [self.busy.eq(1), self.active.eq(1)]
                with m.If(kind == _Kind.WEIGHT):
                    with m.If(module == self.modules):
                        m.d.sync += [kind.eq(_Kind.GAIN), index.eq(0)]
                    with m.Elif(index == segment[:17]):
                        m.d.sync += module.eq(module + 1)
                    with m.Else():
                        m.next = "PARAMETER"
                with m.Elif(level == self.levels):
                    m.d.sync += [kind.eq(_Kind.BIAS), level.eq(0)]
                    with m.If(kind == _Kind.BIAS):
                        m.d.comb += done.eq(1)
                        m.next = "IDLE"
                with m.Elif(index == count):
                    m.d.sync += [index.eq(0), level.eq(level + 1)]
                with m.Else():
                    m.next = "PARAMETER"
            with m.State("PARAMETER"):
                m.d.comb += [self.busy.eq(1), self.active.eq(1)]
                m.d.sync += tick.eq(tick + 1)
                with m.If(tick == _LAST_TICK):
                    m.d.sync += [tick.eq(0), self.word.eq(self.word + 1)]
                    with m.If(last_word):
                        m.d.sync += [self.word.eq(0), index.eq(index + 1)]
                        m.next = "ROW"
        return segment, done

    def _arithmetic(self, m: Module, kind, tick, rule, counters, noise, segment) -> None:
        """What happens to a parameter at each tick.

        Its contrast sum is asked for until tick 2, so that it is there in tick 5 (also of a device of one lane, which
        answers a cycle sooner), then the parameter.
        """
        rate, decay, shift = Signal(15), Signal(15), Signal(5)
        with m.Switch(kind):
            with m.Case(_Kind.WEIGHT):
                m.d.comb += [shift.eq(rule["weight_shift"]), rate.eq(segment[17:]), decay.eq(rule["decay"])]
            with m.Case(_Kind.GAIN):
                m.d.comb += [shift.eq(rule["gain_shift"]), rate.eq(rule["gain_rate"])]
            with m.Default():
                m.d.comb += [shift.eq(rule["bias_shift"]), rate.eq(rule["bias_rate"])]
        width = self._formats.weight.width + GUARD_BITS
        held, fine = Signal(signed(32)), Signal(signed(width))
        shifted = Signal(signed(32 + VALUE_BITS))
        value, product = Signal(signed(16)), Signal(signed(32))
        total = Signal(signed(33))
        moved, left, bounded = Signal(signed(width)), Signal(signed(33)), Signal(signed(32))

        clipped_value, value_over = clip((shifted + 1) >> 1, 2**15 - 1)
        top = self._formats.weight.top << GUARD_BITS
        clipped_sum, sum_over = clip(fine + (total >> ROUNDED_BITS), top)
        clipped_left, left_over = clip(left, MOMENTUM_LIMIT)
        decaying = tick == 9
        left_factor, right_factor = Signal(signed(16)), Signal(signed(16))
        m.d.comb += [
            left_factor.eq(Mux(decaying, fine >> GUARD_BITS, value)),
            right_factor.eq(Mux(decaying, decay, rate)),
        ]

        def count(name: str, event) -> None:
            m.d.sync += counters[name].eq(counters[name] + event)

        with m.Switch(Mux(self.active, tick, 0)):
            with m.Case(5):
                m.d.sync += held.eq(self.read_data)
            with m.Case(6):
                m.d.sync += shifted.eq((held << VALUE_BITS) >> shift)
                m.d.sync += left.eq(Mux(rule["momentum"] == 0, 0, held - (held >> rule["momentum"])))
            with m.Case(7):
                m.d.comb += noise.step.eq(1)
                m.d.sync += [value.eq(clipped_value), bounded.eq(clipped_left)]
                count("step_clips", value_over)
                count("momentum_clips", left_over)
            with m.Case(8):
                m.d.sync += [fine.eq(self.read_data), product.eq(left_factor * right_factor)]
            with m.Case(9):
                m.d.sync += [total.eq(product + noise.word[-ROUNDED_BITS:]), product.eq(left_factor * right_factor)]
            with m.Case(10):
                m.d.sync += total.eq(total - product)
            with m.Case(11):
                m.d.sync += moved.eq(clipped_sum)
                count("parameter_clips", sum_over)
            with m.Case(12):
                m.d.comb += self.write.eq(1)
            with m.Case(13):
                m.d.comb += self.write.eq(1)
        momentum = (tick < 3) | (tick == 13)
        m.d.comb += [
            self.space.eq(Mux(momentum, SPACES["weight_momentum"].code, SPACES["fine_weights"].code) + kind.as_value()),
            self.write_data.eq(Mux(momentum, bounded, moved)),
        ]
