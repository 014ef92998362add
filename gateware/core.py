"""Core: sequencer, lanes and neuron units around the memories of one network."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from ..substrate.learning import GUARD_BITS
from ..substrate.protocol import HEADER, SPACES, Feature, Mode, features_of
from .arithmetic import adder_tree, halvings
from .array import LaneArray, array_stages
from .counters import SETTLE, CountingRegisters
from .hostport import HostPort, SpacePort
from .learning import Updater
from .neuron import NeuronUnit, force_bits, force_stage, neuron_pause, slope_stage
from .passes import Beat, Phase
from .registers import Registers
from .reverse import NEW_STAGE, OLD_STAGE, ReverseUnit
from .samples import SampleBuffer
from .sequencer import DRAIN_BUS, Sequencer
from .walker import Walker

__all__ = ["Core"]

_UPDATER_REGISTERS = ("modules", "groups", "neurons", "levels")

_LINK_COUNTERS = ("frames", "crc_errors", "framing_errors", "replays")


class Core(wiring.Component):
    """Everything behind the host port.

    Parameters
    ----------
    geometry, formats
        Sizes and number formats.

    Attributes
    ----------
    port
        Host access to all spaces, and the start of a run.
    frames, crc_errors, framing_errors, replays
        Counters of the link, for the host to read.
    saturated
        Whether anything saturated in the last run, for a lamp.
    """

    def __init__(self, geometry: Geometry, formats: Formats) -> None:
        self._geometry, self._formats = geometry, formats
        self._learns = Feature.LEARN in features_of(geometry)
        super().__init__({"port": In(HostPort()), **{name: In(32) for name in _LINK_COUNTERS}, "saturated": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, formats = self._geometry, self._formats
        m.submodules.registers = registers = self._registers()
        sequencer, walker = Sequencer(geometry), Walker(geometry, neuron_pause(geometry))
        abandon = self._limit(m, registers)
        m.submodules.sequencer = ResetInserter(abandon)(sequencer)
        m.submodules.walker = ResetInserter(abandon)(walker)
        m.submodules.samples = samples = SampleBuffer(geometry)
        m.submodules.lanes = lanes = LaneArray(geometry, formats)
        neurons = [NeuronUnit(geometry, formats) for _ in range(geometry.contexts)]
        for number, neuron in enumerate(neurons):
            m.submodules[f"neuron_{number}"] = neuron

        self._inner = inner = SpacePort().create(path=("inner",))
        updater = self._updater(m, registers, sequencer, abandon) if self._learns else None
        self._reach(m, inner, sequencer, updater)
        beats = self._pipeline(m, walker, abandon)
        reverse = None
        if not geometry.compact:
            m.submodules.reverse = reverse = ReverseUnit(formats)
        level = self._sequence(m, registers, sequencer, walker, samples, reverse, beats[1])
        site_read, bias_read = self._tables(m, sequencer, level, beats)
        self._lanes(m, lanes, neurons, sequencer, level, beats, walker.done | abandon)
        word = Signal(16)  # of beat 2
        loaded = samples.word if reverse is None else Mux(sequencer.doing.update, reverse.value, samples.word)
        bias = bias_read.data[-self._formats.site.width :]  # without guard bits
        m.d.sync += word.eq(Mux(sequencer.doing.load_bias, bias, loaded))
        streams = (sequencer.load_noise, sequencer.warm_noise)
        for context, neuron in enumerate(neurons):
            streams = self._streams(m, neuron, context, streams)
            self._neuron(m, neuron, context, registers, sequencer, beats)
            m.d.comb += [
                neuron.word.eq(word),
                neuron.stiffness.eq(site_read.data[:16].as_signed()),
                neuron.quartic.eq(site_read.data[16:].as_signed()),
            ]
        state = self._chosen_state(m, neurons, sequencer)
        m.d.sync += samples.put.eq(beats[2].valid & sequencer.doing.output & (beats[2].output | beats[2].sampled))
        m.d.comb += samples.output.eq(state)
        if reverse is not None:
            self._reverse(m, reverse, neurons, samples, sequencer, state, beats)
        bias_contrast = self._bias_contrast(m, state, sequencer, level, beats)
        self._count(m, registers, sequencer, lanes, neurons, reverse)
        self._answer(
            m, registers, walker, samples, reverse, updater, lanes, neurons, site_read, bias_read, bias_contrast
        )
        return m

    def _updater(self, m: Module, registers, sequencer, abandon):
        """What changes the parameters at the end of a run."""
        m.submodules.updater = updater = ResetInserter(abandon)(Updater(self._geometry, self._formats))
        m.d.comb += [
            updater.start.eq(self.port.start),
            updater.contrasts.eq((registers.mode == Mode.ONE_SIDED) | (registers.mode == Mode.SYMMETRIC)),
            updater.running.eq(sequencer.busy),
            updater.seed.eq(Cat(registers.seed_low, registers.seed_high)),
            updater.read_data.eq(self.port.read_data),
            sequencer.accumulates.eq(updater.accumulates),
        ]
        m.d.comb += [getattr(updater, name).eq(getattr(registers, name)) for name in _UPDATER_REGISTERS]
        return updater

    def _reach(self, m: Module, inner, sequencer, updater) -> None:
        """Who reaches the memories: the host, or, a cycle later if there is a choice, the updater when it is on."""
        for name in ("space", "row", "word", "write", "write_data"):
            reached, host = getattr(inner, name), getattr(self.port, name)
            if updater is None:
                m.d.comb += reached.eq(host)
            else:
                m.d.sync += reached.eq(Mux(updater.active, getattr(updater, name), host))
        busy = self._busy(m, sequencer)
        m.d.comb += [inner.busy.eq(busy), self.port.busy.eq(busy if updater is None else busy | updater.busy)]

    def _registers(self):
        geometry = self._geometry
        if not geometry.compact:
            return Registers()
        contexts, move = geometry.contexts, neuron_pause(geometry) + 1
        size, frame = force_bits(geometry, self._formats) - self._formats.guard, HEADER.size
        return CountingRegisters(
            {
                "cycles": (1, 1),
                "relax_cycles": (1, 1),
                "relax_steps": (1, move),
                "residual_low": (contexts * ((1 << size) - 1), move),
                "state_saturations": (contexts, move),
                "bus_saturations": (geometry.lanes * contexts, 1),
                "force_saturations": (2 * contexts, move),
                "runs": (1, frame),
                **dict.fromkeys(_LINK_COUNTERS, (1, frame)),
            }
        )

    def _limit(self, m: Module, registers) -> Signal:
        """A strobe when a run has taken the cycles that it may: no registers or tables hold the device for good."""
        left, abandon = Signal(32), Signal()
        if self._geometry.compact:  # no room for it
            return abandon
        with m.If(self.port.start):
            m.d.sync += [left.eq(registers.limit), self.port.abandoned.eq(0)]
        with m.Elif(self.port.busy):
            m.d.sync += left.eq(Mux(left == 0, 0, left - 1))
        with m.If(abandon):
            m.d.sync += self.port.abandoned.eq(1)
        m.d.sync += abandon.eq(self.port.busy & (left == 1) & ~abandon)
        return abandon

    def _pipeline(self, m: Module, walker, abandon) -> list:
        """The beat at each stage, delayed once for everybody.

        A pass drains only as far as the last stage that it uses: what is behind that stage must not be
        taken for beats of the next pass. In a compact device, what is not asked for at later stages while beats follow
        one another is taken from the first: by then the walker rests.
        """
        first = walker.beat
        beats = [first]
        lanes = self._geometry.lanes
        for number in range(1, max(force_stage(lanes) + 4, array_stages(self._geometry))):
            later = Signal(Beat(self._geometry), name=f"beat_{number}")
            m.d.sync += later.eq(beats[-1])
            with m.If(walker.done | abandon):
                m.d.sync += later.valid.eq(0)
            if self._geometry.compact:
                delayed, later = later, Signal(Beat(self._geometry), name=f"held_beat_{number}")
                m.d.comb += later.eq(delayed)
                held = ["neuron", "output", *(["row"] if number >= lanes else [])]
                for name in [*held, *(["group"] if number >= lanes + DRAIN_BUS else [])]:
                    m.d.comb += later[name].eq(first[name])
            beats.append(later)
        return beats

    def _sequence(self, m, registers, sequencer, walker, samples, reverse, beat):
        """Connect sequencer, walker and sample buffer; returns the level that the pass works on."""
        doing, valid = sequencer.doing, walker.beat.valid
        for name in ("groups", "neurons", "levels", "batch", "mode", "free_steps", "nudged_steps"):
            m.d.comb += getattr(sequencer, name).eq(getattr(registers, name))
        loads = doing.load_level | doing.load_state | doing.load_target
        m.d.comb += [
            sequencer.start.eq(self.port.start),
            sequencer.noisy.eq(0 if self._geometry.compact else registers.amplitude != 0),
            walker.go.eq(sequencer.go),
            walker.command.eq(sequencer.command),
            walker.modules.eq(registers.modules),
            walker.sampling.eq(0 if reverse is None else sequencer.sampling),
            walker.sampled.eq(registers.sampled),
            sequencer.rows.eq(registers.schedule_rows),
            sequencer.warm.eq(registers.warm),
            sequencer.done.eq(walker.done),
            samples.record.eq(registers.record),
            samples.take.eq(valid & loads & ~walker.beat.sampled),
        ]
        m.d.sync += [
            samples.first.eq(sequencer.first_sample),
            samples.next.eq(sequencer.next_sample),
            samples.keep.eq(sequencer.keep_outputs),
            samples.rewind.eq(sequencer.rewind_outputs),
        ]
        # Registered: it changes between passes only.
        level = Signal(range(self._geometry.levels))
        choices = [Mux(doing.clear, sequencer.level, 0)]
        for context in range(self._geometry.contexts):
            own = Signal.like(level, name=f"level_{context}")
            with m.If(beat.valid & doing.load_level & sequencer.context[context]):
                m.d.sync += own.eq(samples.word)
            if reverse is not None:
                with m.If(doing.update):  # of the schedule's row; at the end of the pass it is there
                    m.d.sync += own.eq(reverse.level)
            choices.append(Mux(sequencer.context[context] & ~doing.clear, own, 0))
        m.d.sync += level.eq(reduce(or_, choices))
        return level

    def _busy(self, m, sequencer):
        """Whether a run is on, or its counters are not up to date yet."""
        if not self._geometry.compact:
            return sequencer.busy
        settle = Signal(range(SETTLE + 1))
        with m.If(sequencer.busy):
            m.d.sync += settle.eq(SETTLE)
        with m.Elif(settle != 0):
            m.d.sync += settle.eq(settle - 1)
        return sequencer.busy | (settle != 0)

    def _tables(self, m, sequencer, level, beats):
        """Stiffness and quartic of each neuron; biases of each level and neuron. The host writes, passes read."""
        geometry, port = self._geometry, self._inner
        guard = GUARD_BITS if self._learns else 0
        m.submodules.sites = sites = Memory(shape=32, depth=geometry.neurons, init=[])
        m.submodules.biases = biases = Memory(shape=16 + guard, depth=geometry.levels * geometry.neurons, init=[])
        fine = port.space == SPACES["fine_biases"].code
        reads = []
        for memory, space, address, used in (
            (sites, "sites", beats[slope_stage(geometry)].neuron, sequencer.doing.force),
            (biases, "biases", Cat(beats[0].neuron, level), sequencer.doing.load_bias),
        ):
            read, write = memory.read_port(), memory.write_port()
            # One address for both in a compact device, whose large memories have a single port.
            row = Signal.like(read.addr, name=f"{space}_row")
            m.d.comb += [
                row.eq(Mux(port.busy, address, port.row)),
                read.addr.eq(row),
                read.en.eq(~port.busy | used),
                write.addr.eq(row if geometry.compact else port.row),
                write.data.eq(port.write_data),
                write.en.eq(port.write & (port.space == SPACES[space].code)),
            ]
            if space == "biases" and guard:
                m.d.comb += [
                    write.data.eq(Mux(fine, port.write_data, port.write_data << guard)),
                    write.en.eq(port.write & (fine | (port.space == SPACES[space].code))),
                ]
            reads.append(read)
        return reads

    def _lanes(self, m, lanes, neurons, sequencer, level, beats, flush) -> None:
        """Feed the lanes, and the sum of their products for each context into its neuron unit."""
        for name in ("doing", "context", "active", "negate", "fresh"):
            m.d.comb += getattr(lanes.task, name).eq(getattr(sequencer, name))
        for name in ("space", "row", "word", "write", "write_data", "busy"):
            m.d.comb += getattr(lanes.port, name).eq(getattr(self._inner, name))
        m.d.comb += [lanes.task.level.eq(level), lanes.flush.eq(flush)]
        m.d.comb += [own.eq(beat) for own, beat in zip(lanes.beats, beats, strict=False)]
        for context, neuron in enumerate(neurons):
            m.d.comb += [
                lanes.states[context].eq(neuron.state),
                neuron.products.eq(lanes.sums[context]),
            ]

    def _streams(self, m, neuron, context: int, strobes):
        """Start and mix a context's noise, a cycle after that of the context before; no wire leads to all of them.

        All are done long before the first noise is drawn.
        """
        load, warm = Signal(name=f"load_noise_{context}"), Signal(name=f"warm_noise_{context}")
        m.d.sync += [load.eq(strobes[0]), warm.eq(strobes[1])]
        m.d.comb += [neuron.load_noise.eq(load), neuron.warm_noise.eq(warm)]
        return load, warm

    def _neuron(self, m, neuron, context: int, registers, sequencer, beats) -> None:
        # Registered: it changes between phases only, and the nudge's multiplier may be far from the registers.
        beta = Signal(signed(self._formats.beta.width), name=f"beta_{context}")
        with m.Switch(sequencer.phase):
            with m.Case(Phase.POSITIVE):
                m.d.sync += beta.eq(registers.beta)
            with m.Case(Phase.NEGATIVE):
                m.d.sync += beta.eq(-registers.beta)
            with m.Default():
                m.d.sync += beta.eq(0)
        # So is the sample's number, which changes long before a stream of noise is started.
        sample = Signal.like(neuron.sample, name=f"sample_{context}")
        m.d.sync += sample.eq(sequencer.sample + context + Mux(sequencer.sampling, registers.first_sample, 0))
        m.d.comb += [own.eq(beat) for own, beat in zip(neuron.beats, beats, strict=False)]
        m.d.comb += [
            neuron.doing.eq(sequencer.doing),
            neuron.bank.eq(sequencer.bank),
            neuron.phase.eq(sequencer.phase),
            neuron.selected.eq(sequencer.context[context]),
            neuron.active.eq(sequencer.active[context]),
            neuron.beta.eq(beta),
            neuron.dt_shift.eq(registers.dt_shift),
            neuron.amplitude.eq(registers.amplitude),
            neuron.seed.eq(Cat(registers.seed_low, registers.seed_high)),
            neuron.sample.eq(sample),
            neuron.row.eq(sequencer.row),
            neuron.port.space.eq(self._inner.space),
            neuron.port.row.eq(self._inner.row),
            neuron.port.busy.eq(self._inner.busy),
        ]

    def _chosen_state(self, m, neurons, sequencer):
        """State of the neuron of beat 3 in the context that a pass serves."""
        state = Signal(signed(self._formats.state.width), name="chosen_state")
        choices = [Mux(sequencer.context[context], neuron.state, 0) for context, neuron in enumerate(neurons)]
        m.d.sync += state.eq(reduce(or_, choices))
        return state

    def _reverse(self, m, reverse, neurons, samples, sequencer, state, beats) -> None:
        """Feed the reverse unit from the context that a pass serves, and write back what it makes."""
        updating = sequencer.doing.update
        neuron = Signal.like(beats[0].neuron, name="updated")
        earlier, xi = Signal.like(reverse.earlier, name="earlier"), Signal.like(reverse.xi, name="xi")
        chosen = [sequencer.context[context].replicate(len(earlier)) for context in range(len(neurons))]
        with m.If(beats[2].valid & updating):
            m.d.sync += earlier.eq(reduce(or_, (own.earlier & mask for own, mask in zip(neurons, chosen, strict=True))))
        with m.If(beats[OLD_STAGE - 1].valid & updating):
            m.d.sync += neuron.eq(beats[OLD_STAGE - 1].neuron)
        m.d.sync += xi.eq(reduce(or_, (own.xi & mask[: len(xi)] for own, mask in zip(neurons, chosen, strict=True))))
        take, old, new = (beats[stage].valid & beats[stage].sampled & updating for stage in (1, OLD_STAGE, NEW_STAGE))
        m.d.comb += [
            reverse.row.eq(sequencer.row),
            reverse.take.eq(take),
            samples.retake.eq(take),
            reverse.state.eq(state),
            reverse.earlier.eq(earlier),
            reverse.output.eq(samples.held),
            reverse.xi.eq(xi),
        ]
        for context, own in enumerate(neurons):
            m.d.comb += [
                own.draw.eq(take & sequencer.context[context]),
                own.keep_old.eq(old),
                own.write_new.eq(new),
                own.updated.eq(neuron),
            ]

    def _bias_contrast(self, m, state, sequencer, level, beats):
        """Sums of states: read at stage 2, added to at stage 3, written at stage 4."""
        geometry, port, doing = self._geometry, self._inner, sequencer.doing
        width = self._formats.bias_contrast.width
        m.submodules.bias_contrast = memory = Memory(
            shape=signed(width), depth=geometry.levels * geometry.neurons, init=[]
        )
        read, write = memory.read_port(), memory.write_port()
        # To subtract, add to the complement and write the complement of that. Runs begin with an addition.
        negate = sequencer.negate.replicate(width)
        result = Signal(signed(width))
        m.d.sync += result.eq(Mux(doing.clear, 0, (read.data ^ negate).as_signed() + state))
        m.d.comb += [
            read.addr.eq(Mux(port.busy, Cat(beats[2].neuron, level), port.row)),
            read.en.eq(~port.busy | doing.contrast_bias),
            write.addr.eq(Cat(beats[4].neuron, level)),
            write.data.eq(result ^ negate),
            write.en.eq(beats[4].valid & (doing.contrast_bias | doing.clear)),
        ]
        if self._learns:
            with m.If(~port.busy):
                m.d.comb += [
                    write.addr.eq(port.row),
                    write.data.eq(port.write_data),
                    write.en.eq(port.write & (port.space == SPACES["bias_momentum"].code)),
                ]
        return read.data

    def _count(self, m, registers, sequencer, lanes, neurons, reverse) -> None:
        """Counters of a run."""

        def changed(value, name: str):
            """Whether the lowest bit of a counter of the link has changed."""
            before = Signal(name=f"{name}_before")
            m.d.sync += before.eq(value[0])
            return value[0] ^ before

        def count(name: str, events, width: int = 32):
            total = Signal(width, name=name)
            with m.If(self.port.start):
                m.d.sync += total.eq(0)
            with m.Else():
                m.d.sync += total.eq(total + events)
            return total

        levels = [] if self._geometry.compact and len(neurons) == 1 else halvings(len(neurons))

        def total(values, name: str):
            return adder_tree(m, list(values), levels, name)

        clipped = total(lanes.clips, "clips")
        free_end = sequencer.last_step & (sequencer.phase == Phase.FREE)
        for number in range(len(levels)):  # as late as the sum that it lets pass
            later = Signal(name=f"free_end_{number}")
            m.d.sync += later.eq(free_end)
            free_end = later
        size = total((neuron.force_size for neuron in neurons), "size")
        force_clips = total((neuron.force_clips for neuron in neurons), "force_clips")
        state_clips = total((neuron.state_clip for neuron in neurons), "state_clips")
        with m.If(self.port.start):
            m.d.sync += self.saturated.eq(0)
        sampled_clip = 0 if reverse is None else reverse.clipped
        with m.Elif((clipped != 0) | (force_clips != 0) | (state_clips != 0) | sampled_clip):
            m.d.sync += self.saturated.eq(1)
        size = Mux(free_end, size, 0)
        if self._geometry.compact:
            m.d.comb += [
                registers.start.eq(self.port.start),
                registers.read.eq(self.port.read),
                registers.cycles.eq(sequencer.busy),
                registers.relax_cycles.eq(sequencer.relaxing),
                registers.relax_steps.eq(sequencer.stepped),
                registers.residual_low.eq(size),
                registers.bus_saturations.eq(clipped),
                registers.state_saturations.eq(state_clips),
                registers.force_saturations.eq(force_clips),
                registers.runs.eq(self.port.start),
            ]
            m.d.comb += [getattr(registers, name).eq(changed(getattr(self, name), name)) for name in _LINK_COUNTERS]
            return
        residual = count("residual", size, 48)
        m.d.comb += [
            registers.cycles.eq(count("cycles", self.port.busy)),
            registers.relax_cycles.eq(count("relax_cycles", sequencer.relaxing)),
            registers.relax_steps.eq(count("relax_steps", sequencer.stepped)),
            registers.residual_low.eq(residual[:32]),
            registers.residual_high.eq(residual[32:]),
            registers.bus_saturations.eq(count("bus_saturations", clipped)),
            registers.state_saturations.eq(count("state_saturations", state_clips + reverse.clipped)),
            registers.force_saturations.eq(count("force_saturations", force_clips)),
        ]
        m.d.comb += [getattr(registers, name).eq(getattr(self, name)) for name in _LINK_COUNTERS]
        with m.If(self.port.start):
            m.d.sync += registers.runs.eq(registers.runs + 1)

    def _answer(
        self, m, registers, walker, samples, reverse, updater, lanes, neurons, site_read, bias_read, bias_contrast
    ) -> None:
        """What the host reads: at the head of the lanes' chain what is no lane's, three cycles after the request."""
        port = self._inner
        for part in (registers, walker, samples, *(part for part in (reverse, updater) if part is not None)):
            m.d.comb += [
                part.port.space.eq(port.space),
                part.port.row.eq(port.row),
                part.port.word.eq(port.word),
                part.port.write.eq(port.write),
                part.port.write_data.eq(port.write_data),
                part.port.busy.eq(port.busy),
            ]

        cycles = 1 if self._geometry.compact else 2  # in a compact device the host is alone, and holds its request

        def asked(space: str, cycles: int, word: int | None = None) -> Signal:
            """Whether so many cycles ago a space was asked for, or a word of it."""
            flag = port.space == SPACES[space].code
            if word is not None:
                flag &= port.word == word
            for cycle in range(cycles):
                later = Signal(name=f"asked_{space}_{word or 0}_{cycle}")
                m.d.sync += later.eq(flag)
                flag = later
            return flag

        def chosen(values: list, name: str) -> Signal:
            answer = Signal(signed(32), name=name)
            m.d.sync += answer.eq(reduce(or_, (Mux(flag, value, 0) for flag, value in values)))
            return answer

        tables = {
            "sites": site_read.data.as_signed(),
            "biases": bias_read.data[-self._formats.site.width :].as_signed(),
            "bias_contrast": bias_contrast,
        }
        if updater is not None:
            tables |= {"fine_biases": bias_read.data, "bias_momentum": bias_contrast}
        table = chosen([(asked(space, 1), value) for space, value in tables.items()], "table")
        others = {
            "registers": registers.port.read_data,
            **dict.fromkeys(("modules", "ends"), walker.port.read_data),
            **dict.fromkeys(("samples", "outputs"), samples.port.read_data),
            **dict.fromkeys(tables, table),
        }
        if reverse is not None:
            others["schedule"] = reverse.port.read_data
        if updater is not None:
            others |= dict.fromkeys(("rule", "rates", "updates"), updater.port.read_data)
        answers = [(asked(space, cycles), value) for space, value in others.items()]
        for space in ("states", "free_states"):
            words = [None] if len(neurons) == 1 else range(len(neurons))
            pairs = zip(words, neurons, strict=True)
            answers += [(asked(space, cycles, word), neuron.port.read_data) for word, neuron in pairs]
        m.d.comb += [lanes.head.eq(chosen(answers, "head")), self.port.read_data.eq(lanes.port.read_data)]
