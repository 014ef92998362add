"""Updater: changes the parameters, one by one, by what a run has contrasted (``docs/arithmetic.md``, Update)."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, enum, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from ..substrate.learning import (
    GUARD_BITS,
    MOMENTUM_LIMIT,
    ROUNDED_BITS,
    STREAM,
    UPDATE_STAGES,
    UPDATE_TICKS,
    VALUE_BITS,
)
from ..substrate.protocol import RULE, SPACES, UPDATE_COUNTERS
from .arithmetic import clip
from .hostport import SpacePort, read_latency
from .noise import NoiseGenerator
from .sequencer import WARM_UP

__all__ = ["Updater"]

_WRITE_TICK = 2
"""Of the cycles of a parameter at the port, counted from 0: the first of its two writes, after its two reads."""

_LAST_TICK = UPDATE_TICKS - 1


class _Place(data.Struct):
    """Where a parameter is in its memory."""

    row: 16
    word: 6


class _Kind(enum.Enum, shape=2):
    """Of parameters; its value is how far its spaces are from those of the weights."""

    WEIGHT = 0
    GAIN = 1
    BIAS = 2


class Updater(wiring.Component):
    """Reaches the memories by the port of the host, which waits meanwhile. It has one multiplier.

    Each parameter has the port for ``UPDATE_TICKS`` cycles: its contrast sum and then it itself are asked for, and both
    are written of one that was asked for some periods ago, however long the answers take. So no word is read in the
    cycle in which it is written, nor between being read and being written: an update reads each word once.

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
        self._latency = read_latency(geometry)
        # The first time for the write at which the results are there; those of the next parameter are not yet.
        ready = self._latency + UPDATE_STAGES
        self._periods = (ready + (_WRITE_TICK - ready) % UPDATE_TICKS) // UPDATE_TICKS
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

        kind, tick, done = Signal(_Kind), Signal(range(UPDATE_TICKS)), Signal()
        place, present = Signal(_Place), Signal()
        flying, places = Signal(self._periods), Signal(data.ArrayLayout(_Place, self._periods))
        with m.If(tick == _LAST_TICK):
            m.d.sync += [flying.eq(Cat(present, flying)), places.eq(Cat(place, places))]
        rate = self._walk(m, kind, tick, noise, rates, place, present, flying, done)
        m.d.comb += self.accumulates.eq(rule["learn"] & self.contrasts)
        with m.If(self.start):
            m.d.sync += rule["learn"].eq(0)
            m.d.sync += [counter.eq(0) for name, counter in counters.items() if name != "updates"]
        with m.If(done):
            m.d.sync += counters["updates"].eq(counters["updates"] + 1)
        moved, left = self._arithmetic(m, kind, tick, rule, counters, noise, rate, Cat(present, flying))
        writes, reached = tick >= _WRITE_TICK, Signal(_Place)
        momentum = (tick == 0) | (tick == _WRITE_TICK)
        m.d.comb += [
            reached.eq(Mux(writes, places[-1], place)),
            self.space.eq(Mux(momentum, SPACES["weight_momentum"].code, SPACES["fine_weights"].code) + kind.as_value()),
            self.row.eq(reached.row),
            self.word.eq(reached.word),
            self.write.eq(writes & flying[-1]),
            self.write_data.eq(Mux(momentum, left, moved)),
        ]
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

    def _walk(self, m: Module, kind, tick, noise, rates, place, present, flying, done) -> Signal:
        """Weights row by row, then gains and biases level by level. Returns the rate of the module at hand.

        A step at the end of each period, to a ``place`` at which a parameter is ``present`` or not. The kind, and the
        module, are the next ones only when nothing is flying: so all that fly have the same rate.
        """
        geometry = self._geometry
        index, level = Signal(17), Signal(range(geometry.levels + 1))  # row of a weight, group, or neuron; and level
        module, word, warm = Signal(6), Signal(6), Signal(range(WARM_UP))
        m.d.comb += place.word.eq(word)
        segment = rates.read_port(domain="comb")
        m.d.comb += segment.addr.eq(module)
        group_bits, neuron_bits = (count.bit_length() - 1 for count in (geometry.groups, geometry.neurons))
        end, over = Signal(17), Signal()
        with m.Switch(kind):
            with m.Case(_Kind.WEIGHT):
                m.d.comb += [place.row.eq(index), end.eq(segment.data[:17]), over.eq(module == self.modules)]
            with m.Case(_Kind.GAIN):
                m.d.comb += [place.row.eq(Cat(index[:group_bits], level)), end.eq(self.groups)]
            with m.Default():
                m.d.comb += [place.row.eq(Cat(index[:neuron_bits], level)), end.eq(self.neurons)]
        with m.If(kind != _Kind.WEIGHT):
            m.d.comb += over.eq(level == self.levels)
        all_done, ended = Signal(), Signal()  # from the second cycle of a period
        m.d.sync += [all_done.eq(over), ended.eq(over | (index == end))]
        m.d.comb += present.eq(self.active & ~ended)
        last_word = (word == geometry.lanes - 1) | (kind == _Kind.BIAS)

        with m.FSM():
            with m.State("IDLE"), m.If(self.start & self.accumulates):
                m.next = "BEGIN"
            with m.State("BEGIN"):  # the run has begun a cycle later
                m.d.comb += self.busy.eq(1)
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += [self.busy.eq(1), noise.load.eq(~self.running)]
                m.d.sync += [kind.eq(_Kind.WEIGHT), index.eq(0), level.eq(0), module.eq(0), word.eq(0)]
                with m.If(~self.running):
                    m.next = "WARM UP"
            with m.State("WARM UP"):
                m.d.comb += [self.busy.eq(1), noise.mix.eq(1), noise.step.eq(1)]
                m.d.sync += warm.eq(warm + 1)
                with m.If(warm == WARM_UP - 1):
                    m.next = "PARAMETERS"
            with m.State("PARAMETERS"):
                m.d.comb += [self.busy.eq(1), self.active.eq(1)]
                m.d.sync += tick.eq(tick + 1)
                with m.If(tick == _LAST_TICK):
                    m.d.sync += tick.eq(0)
                    with m.If(present):
                        m.d.sync += word.eq(word + 1)
                        with m.If(last_word):
                            m.d.sync += [word.eq(0), index.eq(index + 1)]
                    with m.Elif(~all_done & (kind != _Kind.WEIGHT)):
                        m.d.sync += [index.eq(0), level.eq(level + 1)]
                    with m.Elif(~flying.any()):
                        with m.If(~all_done):
                            m.d.sync += module.eq(module + 1)
                        with m.Elif(kind == _Kind.BIAS):
                            m.d.comb += done.eq(1)
                            m.next = "IDLE"
                        with m.Else():
                            m.d.sync += [kind.eq(kind.as_value() + 1), index.eq(0), level.eq(0)]
        return segment.data[17:]

    def _arithmetic(self, m: Module, kind, tick, rule, counters, noise, weight_rate, valid) -> tuple:
        """What a parameter becomes, and its contrast sum, in cycles after the latter's arrival: ``UPDATE_STAGES``.

        Each result stays for a period, and what it is made of for long enough; ``valid`` tells for each period since
        it was asked for whether there is a parameter at all.
        """

        def at(stage: int) -> Value:
            return tick == (self._latency + stage) % UPDATE_TICKS

        def is_valid(stage: int) -> Value:
            return at(stage) & valid[(self._latency + stage) // UPDATE_TICKS]

        def count(name: str, event: Value) -> None:
            counted = Signal(name=f"counted_{name}")
            m.d.sync += counted.eq(event)
            with m.If(counted):
                m.d.sync += counters[name].eq(counters[name] + 1)

        rate, growth, shift = Signal(15), Signal(signed(16)), Signal(5)
        with m.Switch(kind):
            with m.Case(_Kind.WEIGHT):
                m.d.sync += [shift.eq(rule["weight_shift"]), rate.eq(weight_rate), growth.eq(-rule["decay"])]
            with m.Case(_Kind.GAIN):
                m.d.sync += [shift.eq(rule["gain_shift"]), rate.eq(rule["gain_rate"]), growth.eq(0)]
            with m.Default():
                m.d.sync += [shift.eq(rule["bias_shift"]), rate.eq(rule["bias_rate"]), growth.eq(0)]

        # The step, on top of the parameter.
        width = self._formats.weight.width + GUARD_BITS
        held, fine = Signal(signed(32)), Signal(signed(width))
        shifted = Signal(signed(32 + VALUE_BITS))
        left_factor, right_factor, product = Signal(signed(16)), Signal(signed(16)), Signal(signed(32))
        total = Signal(signed(width + ROUNDED_BITS + 1))
        moved = Signal(signed(width))
        value, value_over = clip((shifted + 1) >> 1, 2**15 - 1)
        clipped_sum, sum_over = clip(total >> ROUNDED_BITS, self._formats.weight.top << GUARD_BITS)
        m.d.sync += [shifted.eq((held << VALUE_BITS) >> shift), product.eq(left_factor * right_factor)]
        with m.If(at(0)):
            m.d.sync += held.eq(self.read_data)
        with m.If(at(1)):
            m.d.sync += fine.eq(self.read_data)
        with m.If(at(2)):
            m.d.sync += [left_factor.eq(value), right_factor.eq(rate)]
        with m.If(is_valid(2)):
            m.d.comb += noise.step.eq(1)
        with m.If(at(4)):
            m.d.sync += [left_factor.eq(fine >> GUARD_BITS), right_factor.eq(growth)]
        with m.If(at(4) | at(6)):
            begun = Cat(noise.word[-ROUNDED_BITS:], fine).as_signed()
            m.d.sync += total.eq(Mux(at(4), begun, total) + product)
        with m.If(at(8)):
            m.d.sync += moved.eq(clipped_sum)
        count("step_clips", is_valid(2) & value_over)
        count("parameter_clips", is_valid(8) & sum_over)

        # What is left of the contrast sum: as late as that, so that it is still there when it is written.
        lost, rest, left = Signal(signed(32)), Signal(signed(33)), Signal(signed(32))
        clipped_rest, rest_over = clip(rest, MOMENTUM_LIMIT)
        m.d.sync += lost.eq(held >> rule["momentum"])
        with m.If(at(4)):
            m.d.sync += rest.eq(held - lost)  # 0 without momentum
        with m.If(at(7)):
            m.d.sync += left.eq(clipped_rest)
        count("momentum_clips", is_valid(7) & rest_over)
        return moved, left
