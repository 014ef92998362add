"""Core: sequencer, lanes and neuron units around the memories of one network."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
from .hostport import HostPort
from .lane import STAGES, Lane
from .neuron import NeuronUnit, force_stage, tree_radices
from .passes import Beat, Op, Phase
from .registers import Registers
from .samples import SampleBuffer
from .sequencer import Sequencer
from .walker import Walker

__all__ = ["Core"]

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
        super().__init__({"port": In(HostPort()), **{name: In(32) for name in _LINK_COUNTERS}, "saturated": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, formats = self._geometry, self._formats
        m.submodules.registers = registers = Registers()
        m.submodules.sequencer = sequencer = Sequencer(geometry)
        m.submodules.walker = walker = Walker(geometry)
        m.submodules.samples = samples = SampleBuffer(geometry)
        lanes = [Lane(geometry, formats) for _ in range(geometry.lanes)]
        neurons = [NeuronUnit(geometry, formats) for _ in range(geometry.contexts)]
        for number, lane in enumerate(lanes):
            m.submodules[f"lane_{number}"] = lane
        for number, neuron in enumerate(neurons):
            m.submodules[f"neuron_{number}"] = neuron

        beats = self._pipeline(m, walker)
        level = self._sequence(m, registers, sequencer, walker, samples, beats[1])
        site_read, bias_read = self._tables(m, sequencer, level, beats)
        self._lanes(m, lanes, neurons, sequencer, level, beats)
        word = Mux(sequencer.op == Op.LOAD_BIAS, bias_read.data, samples.word)
        for context, neuron in enumerate(neurons):
            self._neuron(m, neuron, context, registers, sequencer, beats)
            m.d.comb += [
                neuron.word.eq(word),
                neuron.stiffness.eq(site_read.data[:16].as_signed()),
                neuron.quartic.eq(site_read.data[16:].as_signed()),
            ]
        self._outputs(m, samples, neurons, sequencer, beats[2])
        bias_contrast = self._bias_contrast(m, neurons, sequencer, level, beats)
        self._count(m, registers, sequencer, lanes, neurons)
        self._answer(m, registers, walker, samples, lanes, neurons, site_read, bias_read, bias_contrast)
        return m

    def _pipeline(self, m: Module, walker) -> list:
        """The beat at each stage, delayed once for everybody.

        A pass drains only as far as the last stage that it uses: what is behind that stage must not be
        taken for beats of the next pass.
        """
        beats = [walker.beat]
        for number in range(1, force_stage(self._geometry.lanes) + 4):
            later = Signal(Beat(self._geometry), name=f"beat_{number}")
            m.d.sync += later.eq(beats[-1])
            with m.If(walker.done):
                m.d.sync += later.valid.eq(0)
            beats.append(later)
        return beats

    def _sequence(self, m, registers, sequencer, walker, samples, beat):
        """Connect sequencer, walker and sample buffer; returns the level that the pass works on."""
        op, valid = sequencer.op, walker.beat.valid
        for name in ("groups", "neurons", "levels", "batch", "mode", "free_steps", "nudged_steps"):
            m.d.comb += getattr(sequencer, name).eq(getattr(registers, name))
        loads = (op == Op.LOAD_LEVEL) | (op == Op.LOAD_STATE) | (op == Op.LOAD_TARGET)
        m.d.comb += [
            sequencer.start.eq(self.port.start),
            sequencer.noisy.eq(registers.amplitude != 0),
            self.port.busy.eq(sequencer.busy),
            walker.go.eq(sequencer.go),
            walker.command.eq(sequencer.command),
            walker.modules.eq(registers.modules),
            sequencer.done.eq(walker.done),
            samples.first.eq(sequencer.first_sample),
            samples.next.eq(sequencer.next_sample),
            samples.record.eq(registers.record),
            samples.take.eq(valid & loads),
        ]
        level = Signal(range(self._geometry.levels))
        m.d.comb += level.eq(sequencer.level)
        for context in range(self._geometry.contexts):
            own = Signal.like(level, name=f"level_{context}")
            with m.If(beat.valid & (op == Op.LOAD_LEVEL) & sequencer.context[context]):
                m.d.sync += own.eq(samples.word)
            with m.If(sequencer.context[context] & (op != Op.CLEAR)):
                m.d.comb += level.eq(own)
        return level

    def _tables(self, m, sequencer, level, beats):
        """Stiffness and quartic of each neuron; biases of each level and neuron. The host writes, passes read."""
        geometry, port = self._geometry, self.port
        m.submodules.sites = sites = Memory(shape=32, depth=geometry.neurons, init=[])
        m.submodules.biases = biases = Memory(shape=16, depth=geometry.levels * geometry.neurons, init=[])
        reads = []
        for memory, space, address, op in (
            (sites, "sites", beats[0].neuron, Op.FORCE),
            (biases, "biases", Cat(beats[0].neuron, level), Op.LOAD_BIAS),
        ):
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.addr.eq(Mux(port.busy, address, port.row)),
                read.en.eq(~port.busy | (sequencer.op == op)),
                write.addr.eq(port.row),
                write.data.eq(port.write_data),
                write.en.eq(port.write & (port.space == SPACES[space].code)),
            ]
            reads.append(read)
        return reads

    def _lanes(self, m, lanes, neurons, sequencer, level, beats) -> None:
        """Feed the lanes; sum their products for each context into its neuron unit."""
        port = self.port
        for number, lane in enumerate(lanes):
            m.d.comb += [
                lane.op.eq(sequencer.op),
                lane.level.eq(level),
                lane.context.eq(sequencer.context),
                lane.active.eq(sequencer.active),
                lane.negate.eq(sequencer.negate),
                lane.fresh.eq(sequencer.fresh),
                lane.port.space.eq(port.space),
                lane.port.row.eq(port.row),
                lane.port.write.eq(port.write & (port.word == number)),
                lane.port.write_data.eq(port.write_data),
                lane.port.busy.eq(port.busy),
            ]
            m.d.comb += [lane.beats[stage].eq(beats[stage]) for stage in range(STAGES)]
            m.d.comb += [lane.states[context].eq(neuron.state) for context, neuron in enumerate(neurons)]
        for context, neuron in enumerate(neurons):
            with m.If(sequencer.op == Op.FORCE):
                width = self._formats.weight.width + self._formats.bus.width
                products = [lane.products[context][:width].as_signed() for lane in lanes]
                total = self._tree(m, products, f"tree_{context}")
            m.d.comb += neuron.products.eq(total)

    def _tree(self, m, values: list, name: str):
        """Adder tree, a register for each level: from beat 4 to three before the force."""
        for stage, radix in enumerate(tree_radices(self._geometry.lanes), start=4):
            sums = []
            for number in range(0, len(values), radix):
                part = values[number : number + radix]
                exact = sum(part[1:], part[0])
                register = Signal(exact.shape(), name=f"{name}_{stage}_{number}")
                m.d.sync += register.eq(exact)
                sums.append(register)
            values = sums
        return values[0]

    def _neuron(self, m, neuron, context: int, registers, sequencer, beats) -> None:
        beta = Signal(signed(self._formats.beta.width), name=f"beta_{context}")
        with m.Switch(sequencer.phase):
            with m.Case(Phase.POSITIVE):
                m.d.comb += beta.eq(registers.beta)
            with m.Case(Phase.NEGATIVE):
                m.d.comb += beta.eq(-registers.beta)
        m.d.comb += [own.eq(beat) for own, beat in zip(neuron.beats, beats, strict=True)]
        m.d.comb += [
            neuron.op.eq(sequencer.op),
            neuron.bank.eq(sequencer.bank),
            neuron.phase.eq(sequencer.phase),
            neuron.selected.eq(sequencer.context[context]),
            neuron.active.eq(sequencer.active[context]),
            neuron.beta.eq(beta),
            neuron.dt_shift.eq(registers.dt_shift),
            neuron.amplitude.eq(registers.amplitude),
            neuron.load_noise.eq(sequencer.load_noise),
            neuron.warm_noise.eq(sequencer.warm_noise),
            neuron.seed.eq(Cat(registers.seed_low, registers.seed_high)),
            neuron.sample.eq(sequencer.sample + context),
            neuron.port.row.eq(self.port.row),
            neuron.port.busy.eq(self.port.busy),
        ]

    def _outputs(self, m, samples, neurons, sequencer, beat) -> None:
        m.d.sync += samples.put.eq(beat.valid & (sequencer.op == Op.OUTPUT))
        for context, neuron in enumerate(neurons):
            with m.If(sequencer.context[context]):
                m.d.sync += samples.output.eq(neuron.state)

    def _bias_contrast(self, m, neurons, sequencer, level, beats):
        """Sums of states: one is chosen at stage 2, added at stage 3, written at stage 4."""
        geometry, port = self._geometry, self.port
        width = self._formats.bias_contrast.width
        m.submodules.bias_contrast = memory = Memory(
            shape=signed(width), depth=geometry.levels * geometry.neurons, init=[]
        )
        read, write = memory.read_port(), memory.write_port()
        state = Signal(signed(self._formats.state.width + 1))
        for context, neuron in enumerate(neurons):
            with m.If(sequencer.context[context]):
                m.d.sync += state.eq(Mux(sequencer.negate, -neuron.state, neuron.state))
        result = Signal(signed(width))
        clearing = sequencer.op == Op.CLEAR
        m.d.sync += result.eq(Mux(clearing, 0, read.data + state))
        m.d.comb += [
            read.addr.eq(Mux(port.busy, Cat(beats[2].neuron, level), port.row)),
            read.en.eq(~port.busy | (sequencer.op == Op.CONTRAST_BIAS)),
            write.addr.eq(Cat(beats[4].neuron, level)),
            write.data.eq(result),
            write.en.eq(beats[4].valid & ((sequencer.op == Op.CONTRAST_BIAS) | clearing)),
        ]
        return read.data

    def _count(self, m, registers, sequencer, lanes, neurons) -> None:
        """Counters of a run."""

        def count(name: str, events, width: int = 32):
            total = Signal(width, name=name)
            with m.If(self.port.start):
                m.d.sync += total.eq(0)
            with m.Else():
                m.d.sync += total.eq(total + events)
            return total

        def registered(value, name: str):
            register = Signal.like(value, name=name)
            m.d.sync += register.eq(value)
            return register

        clips = [sum(lane.clips[context] for lane in lanes) for context in range(len(neurons))]
        clipped = sum(registered(total, f"clips_{context}") for context, total in enumerate(clips))
        free_end = sequencer.last_step & (sequencer.phase == Phase.FREE)
        size = registered(Mux(free_end, sum(neuron.force_size for neuron in neurons), 0), "size")
        force_clips = registered(sum(neuron.force_clips for neuron in neurons), "force_clips")
        state_clips = registered(sum(neuron.state_clip for neuron in neurons), "state_clips")
        with m.If(self.port.start):
            m.d.sync += self.saturated.eq(0)
        with m.Elif((clipped != 0) | (force_clips != 0) | (state_clips != 0)):
            m.d.sync += self.saturated.eq(1)
        residual = count("residual", size, 48)
        m.d.comb += [
            registers.cycles.eq(count("cycles", sequencer.busy)),
            registers.relax_cycles.eq(count("relax_cycles", sequencer.relaxing)),
            registers.relax_steps.eq(count("relax_steps", sequencer.stepped)),
            registers.residual_low.eq(residual[:32]),
            registers.residual_high.eq(residual[32:]),
            registers.bus_saturations.eq(count("bus_saturations", clipped)),
            registers.state_saturations.eq(count("state_saturations", state_clips)),
            registers.force_saturations.eq(count("force_saturations", force_clips)),
        ]
        m.d.comb += [getattr(registers, name).eq(getattr(self, name)) for name in _LINK_COUNTERS]
        with m.If(self.port.start):
            m.d.sync += registers.runs.eq(registers.runs + 1)

    def _answer(self, m, registers, walker, samples, lanes, neurons, site_read, bias_read, bias_contrast) -> None:
        """What the host reads, ``READ_LATENCY`` cycles on: one in each memory, one in its component, one here."""
        port = self.port
        for part in (registers, walker, samples):
            m.d.comb += [
                part.port.space.eq(port.space),
                part.port.row.eq(port.row),
                part.port.word.eq(port.word),
                part.port.write.eq(port.write),
                part.port.write_data.eq(port.write_data),
                part.port.busy.eq(port.busy),
            ]

        def answer(space: str, value) -> None:
            with m.Case(SPACES[space].code):
                m.d.sync += port.read_data.eq(value)

        def of_word(values: list) -> Signal:
            chosen = Signal(signed(32))
            with m.Switch(port.word):
                for number, value in enumerate(values):
                    with m.Case(number):
                        m.d.comb += chosen.eq(value)
            return chosen

        lane_words = of_word([lane.port.read_data for lane in lanes])
        states = of_word([neuron.stored for neuron in neurons])
        free_states = of_word([neuron.stored_free for neuron in neurons])
        with m.Switch(port.space):
            answer("registers", registers.port.read_data)
            for space in ("modules", "ends"):
                answer(space, walker.port.read_data)
            for space in ("samples", "outputs"):
                answer(space, samples.port.read_data)
            for space in ("weights", "gains", "weight_contrast", "gain_contrast"):
                answer(space, lane_words)
            answer("sites", site_read.data)
            answer("biases", bias_read.data.as_signed())
            answer("bias_contrast", bias_contrast)
            answer("states", states)
            answer("free_states", free_states)
