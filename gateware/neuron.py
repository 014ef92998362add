"""Neuron unit: the states of one sample context, and the arithmetic that moves a neuron each cycle."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import SCHEDULE_ROWS, Geometry
from ..substrate.protocol import SPACES
from .arithmetic import clip, round_shift, saturate
from .array import sum_stages
from .hostport import SpacePort
from .noise import NoiseGenerator
from .passes import Bank, Beat, Doing, Phase

__all__ = ["NeuronUnit", "force_bits", "force_stage", "neuron_pause", "slope_stage"]


def force_stage(lanes: int) -> int:
    """Stage of a beat at which its neuron's force is known, three after that at which the sum over the lanes arrives.

    The state is written back three stages later.
    """
    return 7 + max(lanes, 2)


def slope_stage(geometry: Geometry) -> int:
    """Stage of a beat at which its neuron's stiffness is read, for the leak to be ready with the sum over the lanes."""
    return 0 if geometry.compact else force_stage(geometry.lanes) - 9


def force_bits(geometry: Geometry, formats: Formats) -> int:
    """Bits of the force's size in steps of the stored state: those of its largest term, and one for what is added."""
    product = formats.weight.width + formats.bus.width + (geometry.lanes - 1).bit_length()
    push = product + _ends(geometry) - (formats.weight.fraction + formats.bus.fraction - formats.stored.fraction)
    return min(43, max(push + 2, formats.state.width + formats.slope.width + 1))


def _ends(geometry: Geometry) -> int:
    """Bits that the ends of a neuron add to a sum over them."""
    return (geometry.groups - 1).bit_length() + 1


def neuron_pause(geometry: Geometry) -> int:
    """Cycles that a force pass rests after each neuron.

    In a compact device there is one neuron in the pipeline at a time: what it needs later than it is there, it finds
    where it was, as nothing has come after it, and no registers are needed to delay it.
    """
    return force_stage(geometry.lanes) + 3 if geometry.compact else 0


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
        At the beat after :func:`slope_stage`, of that neuron.
    products
        Sum over lanes of weight x drive, at the beat three before :func:`force_stage`.
    beta
        Signed strength of the nudge: 0 in the free phase.
    dt_shift, amplitude
        Step and noise amplitude of the run.
    load_noise, warm_noise, seed, sample, row
        Start the noise stream of a sample, phase and row of a reverse process; mix it.
    draw, xi
        Strobe: draw the noise of an update; its integer two cycles later.
    keep_old, write_new, updated
        Strobes: in an update, write ``word`` as the state of the row before, or as the state, of that neuron.
    earlier
        At beat 2, the state of the row before.
    state
        State of the neuron of beat 2.
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
        self._force, self._slope = force_stage(geometry.lanes), slope_stage(geometry)
        self._paused = neuron_pause(geometry) > 0
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
                "sample": In(16),
                "row": In(range(SCHEDULE_ROWS)),
                "draw": In(1),
                "xi": Out(signed(12)),
                "keep_old": In(1),
                "write_new": In(1),
                "updated": In(range(geometry.neurons)),
                "earlier": Out(signed(formats.state.width)),
                "state": Out(signed(formats.state.width)),
                "force_size": Out(force_bits(geometry, formats) - formats.guard),
                "force_clips": Out(2),
                "state_clip": Out(1),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        formats, doing = self._formats, self.doing

        moved, state, free_state = self._states(m)
        stored = Signal(signed(formats.stored.width))
        with m.Switch(self.bank):
            with m.Case(Bank.STATE):
                m.d.comb += stored.eq(state)
            with m.Case(Bank.FREE):
                m.d.comb += stored.eq(free_state)
        m.d.sync += self.state.eq(round_shift(stored, formats.guard))

        bias, target = self._site(m)

        xi = None if self._geometry.compact else self._noise(m)
        with m.If(doing.force):
            products = self._move(m, stored, bias, target, xi, moved)
        m.d.sync += products  # always: in an ECP5 these registers are the multipliers' own, and have no enable
        return m

    def _noise(self, m: Module):
        """The noise generator's integer, three stages after it is asked for."""
        m.submodules.noise = noise = NoiseGenerator()
        taking = self.beats[self._force - 3]
        drawn = self.doing.force & taking.valid & taking.last & (self.amplitude != 0)
        m.d.comb += [
            noise.load.eq(self.load_noise),
            noise.seed.eq(self.seed),
            noise.sample.eq(self.sample),
            noise.phase.eq(self.phase.as_value()),
            noise.row.eq(self.row),
            noise.mix.eq(self.warm_noise),
            noise.step.eq(drawn | self.draw | self.warm_noise),
            self.xi.eq(noise.xi),
        ]
        return noise.xi

    def _states(self, m: Module):
        """Both banks of states. A free phase writes both, so that the nudged phases find its end in the second."""
        formats, beats, doing = self._formats, self.beats, self.doing
        width = formats.stored.width
        # Both lie side by side, as they are read and written at the same address.
        m.submodules.states = states = Memory(shape=2 * width, depth=self._geometry.neurons, init=[])
        read, write = states.read_port(), states.write_port(granularity=width)
        m.d.comb += read.addr.eq(Mux(self.port.busy, beats[0].neuron, self.port.row))
        state, free_state = (read.data.word_select(bank, width).as_signed() for bank in range(2))
        free = self.port.space == SPACES["free_states"].code
        m.d.sync += self.port.read_data.eq(Mux(free, free_state, state))

        moved = Signal(signed(width))
        loading = doing.load_state
        done = beats[self._force + 3]
        moved_neuron = beats[0].neuron if self._paused else done.neuron
        move = doing.force & done.valid & done.last
        writes = (loading & self.selected & beats[2].valid & ~beats[2].sampled) | move
        value = Mux(loading | doing.update, self.word.as_signed() << formats.guard, moved)[:width]
        neuron = Mux(loading, beats[2].neuron, Mux(doing.update, self.updated, moved_neuron))
        m.d.comb += [
            write.addr.eq(neuron),
            write.data.eq(Cat(value, value)),
            write.en.eq(
                Cat(
                    writes | (self.selected & self.write_new),
                    (writes & (loading | (self.phase == Phase.FREE))) | (self.selected & self.keep_old),
                )
            ),
        ]
        m.d.sync += self.earlier.eq(free_state >> formats.guard)  # a sampled one has no guard bits
        return moved, state, free_state

    def _site(self, m: Module):
        """Bias and target of the context's sample, at the beat after that of the slope."""
        formats, beats, doing = self._formats, self.beats, self.doing
        # Both lie side by side, as block RAM is scarce.
        width = formats.site.width
        m.submodules.bias_target = memory = Memory(shape=2 * width, depth=self._geometry.neurons, init=[])
        read, write = memory.read_port(), memory.write_port(granularity=width)
        m.d.comb += [
            read.addr.eq(beats[self._slope].neuron),
            read.en.eq(doing.force),
            write.addr.eq(beats[2].neuron),
            write.data.eq(Cat(self.word, self.word)),
            write.en.eq(Cat(doing.load_bias, doing.load_target) & (self.selected & beats[2].valid).replicate(2)),
        ]
        return (read.data.word_select(number, width).as_signed() for number in range(2))

    def _move(self, m: Module, stored, bias, target, xi, moved) -> list:
        """The pipeline from a neuron's state at beat 1 to its next state, three beats after the force's.

        Returns what is to be assigned to the registers of products.

        Numbers in names are stages, of the first signals from that of the slope, of later ones from that of the force,
        here called f.
        """
        formats, beats, f = self._formats, self.beats, self._force
        early = 9  # stages from the slope's to the force's
        fraction = formats.stored.fraction
        state_fraction, site_fraction = formats.state.fraction, formats.site.fraction

        def delay(value, cycles: int, name: str):
            if self._paused:
                return value
            for cycle in range(cycles):
                later = Signal.like(value, name=f"{name}_{cycle}")
                m.d.sync += later.eq(value)
                value = later
            return value

        def stage(shape, name: str, value):
            """A register; of a shape, or of the value's own with at most so many bits."""
            if isinstance(shape, int):
                shape = Shape(min(shape, len(value)), value.shape().signed)
            register = Signal(shape, name=name)
            m.d.sync += register.eq(value)
            return register

        products = []

        def multiply(left, right, name: str):
            product = left * right
            register = Signal(product.shape(), name=name, reset_less=True)
            products.append(register.eq(product))
            return register

        # Stage 1 to 2. The half that rounds the slope is some steps of the stiffness.
        state = self.state
        if self._slope:
            stored = delay(stored, self._slope, "waiting")
            state = stage(state.shape(), "state_2", round_shift(stored, formats.guard))
        stiffness = delay(self.stiffness, 1, "stiffness_2")
        quartic = delay(self.quartic, 1, "quartic_2")
        target = delay(target, 1, "target_2")
        bias = delay(bias, early - 4, "bias")

        # Leak: s (stiffness + quartic s^2).
        square_3 = multiply(state, state, "square_3")
        square_4 = stage(
            signed(formats.bus.width), "square_4", round_shift(square_3, 2 * state_fraction - formats.bus.fraction)
        )
        quartic_4 = delay(quartic, 2, "quartic")
        shift = site_fraction + formats.bus.fraction - formats.slope.fraction
        half = 1 << shift - 1 - formats.bus.fraction
        stiffness_5 = stage(signed(formats.site.width + 1), "stiffness_5", delay(stiffness, 2, "stiffness") + half)
        bend_5 = multiply(quartic_4, square_4, "bend_5")
        slope, slope_over = saturate((bend_5 + (stiffness_5 << formats.bus.fraction)) >> shift, formats.slope)
        slope_6 = stage(signed(formats.slope.width), "slope_6", slope)
        slope_clip = delay(slope_over, early - 5, "slope_clip")
        leak_7 = multiply(delay(state, 4, "state"), slope_6, "leak_7")
        shift = state_fraction + formats.slope.fraction - fraction
        leak_8 = stage(leak_7.shape(), "leak_8", round_shift(leak_7, shift))

        # Nudge: +-beta (target - s).
        miss, miss_over = saturate(target - state, formats.state)
        nudged = beats[self._slope + 2].output & (self.phase != Phase.FREE)
        miss_3 = stage(signed(formats.state.width), "miss_3", Mux(nudged, miss, 0))
        miss_clip = delay(miss_over & nudged, early - 2, "miss_clip")
        nudge_4 = multiply(miss_3, self.beta, "nudge_4")
        shift = state_fraction + formats.beta.fraction - fraction
        nudge_5 = stage(27, "nudge_5", round_shift(nudge_4, shift))

        # Push: over the lanes and the ends, from the half that is added for rounding.
        push = Signal(signed(self.products.shape().width + _ends(self._geometry)))
        taking = beats[4 + sum_stages(self._geometry)]
        shift = formats.weight.fraction + formats.bus.fraction - fraction
        with m.If(taking.valid if self._paused else 1):
            m.d.sync += push.eq(Mux(taking.first, 1 << shift >> 1, push) + Mux(taking.empty, 0, self.products))
        drawn = stage(28, "drawn", (bias << (fraction - site_fraction)) + delay(nudge_5, early - 8, "nudge"))
        pushed = stage(42, "pushed", (push >> shift) + drawn)

        # Force.
        force = stage(43, "force", pushed - leak_8)
        last = Signal()  # of f
        m.d.sync += last.eq(beats[f - 1].valid & beats[f - 1].last & self.active)
        m.d.sync += [
            self.force_size.eq(Mux(last, Mux(force < 0, -force, force) >> formats.guard, 0)),
            self.force_clips.eq(Mux(last, slope_clip + miss_clip, 0)),
        ]

        # Noise, if there is any: the word is taken three stages before.
        noisy_1 = stored
        if xi is not None:
            noise_0 = multiply(xi, self.amplitude, "noise_0")
            noisy = delay(stored, early - 1, "stored") + round_shift(noise_0, formats.amplitude.fraction)
            noisy_1 = stage(28, "noisy_1", noisy)

        # Move. The bit that was shifted out last rounds.
        step = stage(43, "step", force >> self.dt_shift)
        rounds = stage(1, "rounds", ((force << 1) >> self.dt_shift)[0])
        sum_2 = stage(45, "sum_2", noisy_1 + step + rounds)
        bounded, over = clip(sum_2, formats.rail)
        clipped = stage(1, "clipped", over)
        m.d.sync += moved.eq(bounded)
        done = beats[f + 3]
        m.d.comb += self.state_clip.eq(clipped & done.valid & done.last & self.active)
        return products
