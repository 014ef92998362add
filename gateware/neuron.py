"""Neuron unit: the states of one sample context, and the arithmetic that moves a neuron each cycle."""

from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
from .arithmetic import clip, round_shift, saturate
from .hostport import SpacePort
from .noise import NoiseGenerator
from .passes import Bank, Beat, Doing, Phase

__all__ = ["NeuronUnit", "force_stage", "tree_radices"]


def force_stage(lanes: int) -> int:
    """Stage of a beat at which its neuron's force is known, three after that at which the lanes' products arrive.

    The adder tree over the lanes is between. The state is written back three stages later.
    """
    return 7 + len(tree_radices(lanes))


def tree_radices(lanes: int) -> list[int]:
    """How many sums each level of the adder tree adds: few levels for few lanes, else the fewest adders."""
    return [4, 4] if lanes <= 16 else [2] * (lanes - 1).bit_length()


class NeuronUnit(wiring.Component):
    """Bilinear neurons with leak and quartic term, one context's worth (``docs/arithmetic.md``, Force and Move).

    A force pass brings one product sum a cycle; at the last end of a neuron, the neuron moves. Five multipliers:
    square, quartic, leak, nudge, noise.

    Parameters
    ----------
    geometry, formats
        Sizes and number formats.

    Attributes
    ----------
    doing, bank, phase
        What the pass does, where it reads states from, and in which phase it is.
    selected, active
        Whether loads are for this context, and whether it holds a sample.
    beats
        The beat at each stage of the pipeline.
    word
        At beat 2, the word to load: a bias or, from the sample buffer, a clamped state or a target.
    stiffness, quartic
        At beat 1, of that neuron.
    products
        Sum over lanes of weight x drive, at the beat three before :func:`force_stage`.
    beta
        Signed strength of the nudge: 0 in the free phase.
    dt_shift, amplitude
        Step and noise amplitude of the run.
    load_noise, warm_noise, seed, sample
        Start the noise stream of a sample and phase; mix it.
    state
        State of the neuron of beat 2.
    projected, contrasted
        The same in project passes, and in contrast passes; else 0.
    force_size, force_clips
        |F| in state steps, and saturations of its terms, one beat after :func:`force_stage`; 0 where no neuron of an
        active context moves.
    state_clip
        Whether such a neuron meets its rail, three beats after.
    port
        Host access to the stored states.
    """

    def __init__(self, geometry: Geometry, formats: Formats) -> None:
        self._geometry, self._formats = geometry, formats
        self._force = force_stage(geometry.lanes)
        product = formats.weight.width + formats.bus.width + (geometry.lanes - 1).bit_length()
        super().__init__(
            {
                "doing": In(Doing),
                "bank": In(Bank),
                "phase": In(Phase),
                "selected": In(1),
                "active": In(1),
                "beats": In(Beat(geometry)).array(self._force + 4),
                "word": In(16),
                "stiffness": In(signed(formats.site.width)),
                "quartic": In(signed(formats.site.width)),
                "products": In(signed(product)),
                "beta": In(signed(formats.beta.width)),
                "dt_shift": In(4),
                "amplitude": In(formats.amplitude.width - 1),
                "load_noise": In(1),
                "warm_noise": In(1),
                "seed": In(64),
                "sample": In(9),
                "state": Out(signed(formats.state.width)),
                "projected": Out(signed(formats.state.width)),
                "contrasted": Out(signed(formats.state.width)),
                "force_size": Out(40),
                "force_clips": Out(2),
                "state_clip": Out(1),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        formats, beats, doing = self._formats, self.beats, self.doing
        moving = doing.force

        moved, free_read, state_read = self._states(m)
        stored = Signal(signed(formats.stored.width))
        with m.Switch(self.bank):
            with m.Case(Bank.STATE):
                m.d.comb += stored.eq(state_read.data)
            with m.Case(Bank.FREE):
                m.d.comb += stored.eq(free_read.data)
        rounded = Signal.like(self.state)
        m.d.comb += rounded.eq(round_shift(stored, formats.guard))
        m.d.sync += [
            self.state.eq(rounded),
            self.projected.eq(Mux(doing.project, rounded, 0)),
            self.contrasted.eq(Mux(doing.contrast, rounded, 0)),
        ]

        bias, target = self._site(m)

        m.submodules.noise = noise = NoiseGenerator()
        drawn = moving & beats[self._force - 3].valid & beats[self._force - 3].last & (self.amplitude != 0)
        m.d.comb += [
            noise.load.eq(self.load_noise),
            noise.seed.eq(self.seed),
            noise.sample.eq(self.sample),
            noise.phase.eq(self.phase.as_value()),
            noise.mix.eq(self.warm_noise),
            noise.step.eq(drawn | self.warm_noise),
        ]
        with m.If(moving):
            self._move(m, stored, bias, target, noise.xi, moved)
        return m

    def _states(self, m: Module):
        """Both banks of states. A free phase writes both, so that the nudged phases find its end in the second."""
        formats, beats, doing = self._formats, self.beats, self.doing
        depth = self._geometry.neurons
        m.submodules.states = states = Memory(shape=signed(formats.stored.width), depth=depth, init=[])
        m.submodules.free_states = free_states = Memory(shape=signed(formats.stored.width), depth=depth, init=[])
        state_read, free_read = states.read_port(), free_states.read_port()
        for read in (state_read, free_read):
            m.d.comb += [
                read.addr.eq(Mux(self.port.busy, beats[0].neuron, self.port.row)),
                read.en.eq(1),
            ]
        free = self.port.space == SPACES["free_states"].code
        m.d.sync += self.port.read_data.eq(Mux(free, free_read.data, state_read.data))

        moved = Signal(signed(formats.stored.width))
        loading = doing.load_state
        done = beats[self._force + 3]
        move = doing.force & done.valid & done.last
        write = (loading & self.selected & beats[2].valid) | move
        for memory, enabled in ((states, Const(1)), (free_states, loading | (self.phase == Phase.FREE))):
            port = memory.write_port()
            m.d.comb += [
                port.addr.eq(Mux(loading, beats[2].neuron, done.neuron)),
                port.data.eq(Mux(loading, self.word.as_signed() << formats.guard, moved)),
                port.en.eq(write & enabled),
            ]
        return moved, free_read, state_read

    def _site(self, m: Module):
        """Bias of the context's sample at the beat three before the force's, and target at beat 1."""
        formats, beats, depth = self._formats, self.beats, self._geometry.neurons
        values = []
        for name, fixed, loading, stage in (
            ("biases", formats.site, self.doing.load_bias, self._force - 4),
            ("targets", formats.state, self.doing.load_target, 0),
        ):
            m.submodules[name] = memory = Memory(shape=signed(fixed.width), depth=depth, init=[])
            read, write = memory.read_port(), memory.write_port()
            m.d.comb += [
                read.addr.eq(beats[stage].neuron),
                read.en.eq(self.doing.force),
                write.addr.eq(beats[2].neuron),
                write.data.eq(self.word),
                write.en.eq(loading & self.selected & beats[2].valid),
            ]
            values.append(read.data)
        return values

    def _move(self, m: Module, stored, bias, target, xi, moved) -> None:
        """The pipeline from a neuron's state at beat 1 to its next state, three beats after the force's.

        Numbers in names are stages; those of later signals count from the stage of the force, here called f.
        """
        formats, beats, f = self._formats, self.beats, self._force
        fraction = formats.stored.fraction
        state_fraction, site_fraction = formats.state.fraction, formats.site.fraction

        def delay(value, cycles: int, name: str):
            for cycle in range(cycles):
                later = Signal.like(value, name=f"{name}_{cycle}")
                m.d.sync += later.eq(value)
                value = later
            return value

        def stage(shape, name: str, value):
            register = Signal(shape, name=name)
            m.d.sync += register.eq(value)
            return register

        # Stage 1 to 2. The half that rounds the slope is one step of the stiffness.
        state = self.state
        stiffness = stage(signed(formats.site.width), "stiffness_2", self.stiffness)
        quartic = stage(signed(formats.site.width), "quartic_2", self.quartic)
        target = stage(signed(formats.state.width), "target_2", target)

        # Leak: s (stiffness + quartic s^2).
        square_3 = stage(signed(2 * formats.state.width), "square_3", state * state)
        square_4 = stage(
            signed(formats.bus.width), "square_4", round_shift(square_3, 2 * state_fraction - formats.bus.fraction)
        )
        quartic_4 = delay(quartic, 2, "quartic")
        stiffness_5 = stage(signed(formats.site.width + 1), "stiffness_5", delay(stiffness, 2, "stiffness") + 1)
        bend_5 = stage(signed(formats.site.width + formats.bus.width), "bend_5", quartic_4 * square_4)
        shift = site_fraction + formats.bus.fraction - formats.slope.fraction
        assert shift == formats.bus.fraction + 1
        slope, slope_over = saturate((bend_5 + (stiffness_5 << formats.bus.fraction)) >> shift, formats.slope)
        slope_6 = stage(signed(formats.slope.width), "slope_6", slope)
        slope_clip = delay(slope_over, f - 5, "slope_clip")
        leak_7 = stage(signed(formats.state.width + formats.slope.width), "leak_7", delay(state, 4, "state") * slope_6)
        shift = state_fraction + formats.slope.fraction - fraction
        leak_8 = stage(leak_7.shape(), "leak_8", round_shift(leak_7, shift))

        # Nudge: +-beta (target - s).
        miss, miss_over = saturate(target - state, formats.state)
        nudged = beats[2].output & (self.phase != Phase.FREE)
        miss_3 = stage(signed(formats.state.width), "miss_3", Mux(nudged, miss, 0))
        miss_clip = delay(miss_over & nudged, f - 2, "miss_clip")
        nudge_4 = stage(signed(formats.state.width + formats.beta.width), "nudge_4", miss_3 * self.beta)
        shift = state_fraction + formats.beta.fraction - fraction
        nudge_5 = stage(signed(27), "nudge_5", round_shift(nudge_4, shift))

        # Push: over the lanes and the ends, from the half that is added for rounding.
        ends = (self._geometry.groups - 1).bit_length() + 1
        push = Signal(signed(self.products.shape().width + ends))
        taking = beats[f - 3]
        shift = formats.weight.fraction + formats.bus.fraction - fraction
        m.d.sync += push.eq(Mux(taking.first, 1 << shift >> 1, push) + Mux(taking.empty, 0, self.products))
        drawn = stage(signed(28), "drawn", (bias << (fraction - site_fraction)) + delay(nudge_5, f - 8, "nudge"))
        pushed = stage(signed(42), "pushed", (push >> shift) + drawn)

        # Force: the leak, ready at stage 8, waits for the push.
        force = stage(signed(43), "force", pushed - delay(leak_8, f - 9, "leak"))
        last = Signal()  # of f
        m.d.sync += last.eq(beats[f - 1].valid & beats[f - 1].last & self.active)
        m.d.sync += [
            self.force_size.eq(Mux(last, Mux(force < 0, -force, force) >> formats.guard, 0)),
            self.force_clips.eq(Mux(last, slope_clip + miss_clip, 0)),
        ]

        # Noise: the word is taken three stages before.
        noise_0 = stage(signed(xi.shape().width + formats.amplitude.width), "noise_0", xi * self.amplitude)
        noisy = delay(stored, f - 1, "stored") + round_shift(noise_0, formats.amplitude.fraction)
        noisy_1 = stage(signed(28), "noisy_1", noisy)

        # Move. The bit that was shifted out last rounds.
        step = stage(signed(43), "step", force >> self.dt_shift)
        rounds = stage(1, "rounds", ((force << 1) >> self.dt_shift)[0])
        sum_2 = stage(signed(45), "sum_2", noisy_1 + step + rounds)
        bounded, over = clip(sum_2, formats.rail)
        clipped = stage(1, "clipped", over)
        m.d.sync += moved.eq(bounded)
        done = beats[f + 3]
        m.d.comb += self.state_clip.eq(clipped & done.valid & done.last & self.active)
