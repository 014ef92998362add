"""Lane: one rank channel's multipliers, one for each sample context, and the memories that feed them."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from ..substrate.learning import GUARD_BITS
from ..substrate.protocol import SPACES, Feature, features_of
from .arithmetic import adder_tree, halvings, saturate
from .hostport import SpacePort
from .passes import Beat, Task

__all__ = ["Lane", "contrast_stage"]


def contrast_stage(contexts: int) -> int:
    """Stage of a beat at which a contrast is written back, the last of a lane: after the sum over the contexts."""
    return 6 + len(halvings(contexts))


class Lane(wiring.Component):
    """Rank channel p of every channel group: projects, drives, forces and contrasts (``docs/arithmetic.md``).

    The multiplier of each context sees, in the order of a training step: gain x 1 (load gain), weight x state
    (project), gain x bus (gain), weight x opposite drive (force), state x opposite drive and bus a x bus b (contrast).
    What it has made it finds in the context's operand memory, two words a row for each group:

    ============ ================ =================
    row          left operand     right operand
    ============ ================ =================
    bus, side a  bus a            gain
    bus, side b  gain             bus b
    drive a      0                drive a
    drive b      0                drive b
    ============ ================ =================

    So a pass reads one row for each product. Only the contrast of a gain needs two, one after the other; and a gain is
    loaded twice. Those two passes have two beats for each group.

    Parameters
    ----------
    geometry, formats
        Sizes and number formats.
    number
        Its own: the word that it has of each row.

    Attributes
    ----------
    task
        What the pass asks for.
    beats, valid
        The beat at each stage of the pipeline, and whether there is one, a bit for each stage.
    states
        For each context, the state of the neuron of beat 2.
    products
        For each context, the product of beat 4.
    clips
        For each context, whether a bus saturated.
    port
        Host access; a host reads and writes while ``busy`` is low only.
    answers
        Whether the request of two cycles ago, which ``port.read_data`` answers, was for this lane.
    """

    def __init__(self, geometry: Geometry, formats: Formats, number: int) -> None:
        self._geometry, self._formats, self._number = geometry, formats, number
        self._learns = Feature.LEARN in features_of(geometry)
        contexts = geometry.contexts
        # Of what is accumulated, to a bus and to either contrast. A gain is aligned, if it has room, so that drives are
        # rounded like buses.
        self._bus_shift = formats.weight.fraction + formats.state.fraction - formats.bus.fraction
        self._contrast_shift = formats.state.fraction + formats.bus.fraction - formats.contrast.fraction
        self._gain_contrast_shift = 2 * formats.bus.fraction - formats.gain_contrast.fraction
        aligning = self._bus_shift - formats.gain.fraction
        aligned = formats.gain.width + aligning <= formats.bus.width
        self._aligning, self._gain_shift = (aligning, self._bus_shift) if aligned else (0, formats.gain.fraction)
        super().__init__(
            {
                "task": In(Task(geometry)),
                "beats": In(Beat(geometry)).array(contrast_stage(contexts) + 1),
                "valid": In(contrast_stage(contexts) + 1),
                "states": In(signed(formats.state.width)).array(contexts),
                "products": Out(signed(2 * formats.bus.width)).array(contexts),
                "clips": Out(contexts),
                "port": In(SpacePort()),
                "answers": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, formats, doing, beats = self._geometry, self._formats, self.task.doing, self.beats
        contexts, port, busy = geometry.contexts, self.port, self.port.busy
        self._writes = Signal()
        m.d.comb += self._writes.eq(port.write & (port.word == self._number))
        # Words have guard bits below, which only the host and the updater see.
        guard = GUARD_BITS if self._learns else 0

        m.submodules.weights = weights = Memory(shape=formats.weight.width + guard, depth=geometry.rows, init=[])
        weight_read, weight_write = weights.read_port(), weights.write_port()
        uses_weight = doing.project | doing.force
        # One address for both in a compact device, whose large memories have a single port.
        weight_row = Signal.like(weight_read.addr)
        self._host_write(m, weight_write, "weights", weight_row if geometry.compact else port.row)
        m.d.comb += [
            weight_row.eq(Mux(busy, beats[0].row, port.row)),
            weight_read.addr.eq(weight_row),
            weight_read.en.eq(~busy | uses_weight),
        ]

        depth = geometry.levels * geometry.groups
        m.submodules.gains = gains = Memory(shape=formats.gain.width + guard, depth=depth, init=[])
        gain_read, gain_write = gains.read_port(), gains.write_port()
        self._host_write(m, gain_write, "gains", port.row)
        m.d.comb += [
            gain_read.addr.eq(Mux(busy, Cat(beats[0].group, self.task.level), port.row)),
            gain_read.en.eq(~busy | doing.load_gain),
        ]

        factor = Signal(signed(formats.bus.width))  # of beat 2: a weight or gain, if either is used
        own_weight, own_gain = weight_read.data[guard:].as_signed(), gain_read.data[guard:].as_signed()
        m.d.sync += factor.eq(Mux(uses_weight, own_weight, 0) | Mux(doing.load_gain, own_gain << self._aligning, 0))
        row = self._control(m)
        terms = [self._context(m, context, factor, row) for context in range(contexts)]
        weight_contrast, gain_contrast = self._accumulate(m, terms)

        answers = {
            "weights": own_weight,
            "gains": own_gain,
            "weight_contrast": weight_contrast,
            "gain_contrast": gain_contrast,
        }
        if self._learns:
            answers |= {"fine_weights": weight_read.data, "fine_gains": gain_read.data}
            answers |= {"weight_momentum": weight_contrast, "gain_momentum": gain_contrast}
        self._answer(m, answers)
        return m

    def _answer(self, m: Module, answers: dict) -> None:
        """Choose what was asked for: a request may be followed by another in the next cycle."""
        port, space, mine = self.port, Signal.like(self.port.space), Signal()
        asked = (port.word == self._number) & reduce(or_, (port.space == SPACES[name].code for name in answers))
        m.d.sync += [space.eq(port.space), mine.eq(asked), self.answers.eq(mine)]
        with m.Switch(space):
            for name, answer in answers.items():
                with m.Case(SPACES[name].code):
                    m.d.sync += port.read_data.eq(answer)

    def _host_write(self, m, write, space: str, row) -> None:
        port, writes = self.port, self._writes
        m.d.comb += [
            write.addr.eq(row),
            write.data.eq(port.write_data),
            write.en.eq(writes & (port.space == SPACES[space].code)),
        ]
        if self._learns:
            fine = port.space == SPACES[f"fine_{space}"].code
            m.d.comb += write.data.eq(Mux(fine, port.write_data, port.write_data << GUARD_BITS))
            m.d.comb += write.en.eq(writes & (fine | (port.space == SPACES[space].code)))

    def _control(self, m: Module):
        """What the contexts do in common; returns the row of beat 1 that each reads in its operand memory.

        A force or contrast takes the drive of the side opposite to the neuron's; a pass that reads nothing, the 0 at
        its left.
        """
        doing, beats, valid = self.task.doing, self.beats, self.valid
        drives = ~(doing.gain | doing.contrast_gain)
        self._keeps = Signal()  # of beat 2
        self._starts = Signal(init=1)  # of beat 4
        self._ready = Signal()  # of beat 5
        self._writes_left, self._writes_right = Signal(), Signal()  # of beat 6
        side = beats[5].side
        projected, loaded = beats[5].last & doing.project, doing.load_gain
        m.d.sync += [
            self._keeps.eq(doing.contrast_gain & beats[1].side),
            self._starts.eq(beats[3].first | ~doing.project),
            self._ready.eq(valid[4] & ((beats[4].last & doing.project) | doing.gain)),
            self._writes_left.eq(valid[5] & ((projected & ~side) | (loaded & side))),
            self._writes_right.eq(valid[5] & ((projected & side) | (loaded & ~side) | doing.gain)),
        ]
        return Cat(beats[1].group, beats[1].side ^ drives, drives)

    def _context(self, m: Module, context: int, factor, row) -> Signal:
        """Multiplier and operand memory of one context; returns its term of the contrast, at beat 5."""
        formats, doing, beats = self._formats, self.task.doing, self.beats
        bus, selected, state = formats.bus, self.task.context[context], self.states[context]
        gains = doing.gain | doing.load_gain

        # Stage 1: a row of what is multiplied.
        memory = Memory(shape=2 * bus.width, depth=4 * self._geometry.groups, init=[])
        m.submodules[f"operands_{context}"] = memory
        read, write = memory.read_port(), memory.write_port(granularity=bus.width)
        m.d.comb += read.addr.eq(row)
        held_left, held_right = (read.data.word_select(half, bus.width).as_signed() for half in range(2))

        # Stage 2: operands. A row's left one is 0 where there is a weight, a gain to load or a state. The contrast of a
        # gain keeps bus a while it reads bus b. A context that adds nothing to a contrast multiplies by 0.
        masked = Signal(name=f"masked_{context}")
        m.d.sync += masked.eq((doing.contrast & ~self.task.active[context]) | (doing.contrast_gain & ~selected))
        left = Signal(signed(bus.width), name=f"left_{context}")  # by which the floor plan knows its multiplier
        right = Signal(signed(bus.width), name=f"right_{context}")
        with m.If(masked):
            m.d.sync += left.eq(0)
        with m.Elif(~self._keeps):
            m.d.sync += left.eq(factor | held_left | Mux(doing.contrast, state, 0))
        with m.If(doing.load_gain):
            m.d.sync += right.eq(1 << self._gain_shift)
        with m.Else():
            m.d.sync += right.eq(Mux(doing.project, state, held_right))

        # Stage 3: product. Stage 4: accumulate, from the half that is added for rounding.
        # The product's register may be the multiplier's own, if nothing but the clock governs it.
        register = Signal(signed(2 * bus.width), name=f"product_{context}", reset_less=True)
        product = self.products[context]
        sum_width = formats.weight.width + formats.state.width + self._geometry.neurons.bit_length()
        total = Signal(signed(sum_width), name=f"total_{context}")
        m.d.sync += register.eq(left * right)
        m.d.comb += product.eq(register)
        half = Mux(doing.contrast, 1 << self._contrast_shift >> 1, 1 << self._bus_shift >> 1)
        half = Mux(doing.contrast_gain, Mux(masked, 0, 1 << self._gain_contrast_shift >> 1), half)
        if self._gain_shift != self._bus_shift:
            half = Mux(gains, 1 << self._gain_shift >> 1, half)
        m.d.sync += total.eq(Mux(self._starts, half, total) + product)

        # Stage 5: saturate. Stage 6: what becomes a bus or a drive, or is a gain, is written.
        value, clipped = Signal(signed(bus.width), name=f"value_{context}"), Signal(name=f"clipped_{context}")
        exact = total >> self._bus_shift
        if self._gain_shift != self._bus_shift:
            exact = Mux(gains, total[: len(product) + 1].as_signed() >> self._gain_shift, exact)
        bounded, over = saturate(exact, bus)
        m.d.sync += [value.eq(bounded), clipped.eq(over & self._ready & self.task.active[context])]
        writes = ~doing.load_gain | selected
        m.d.comb += [
            self.clips[context].eq(clipped),
            write.addr.eq(Cat(beats[6].group, beats[6].side, doing.gain)),
            write.data.eq(Cat(value, value)),
            write.en.eq(Cat(self._writes_left & writes, self._writes_right & writes)),
        ]
        return (total >> self._contrast_shift)[: formats.contrast.width].as_signed()

    def _accumulate(self, m: Module, terms: list) -> list:
        """Both contrast memories: read three stages before they are written. Returns what hosts read."""
        geometry, doing, beats = self._geometry, self.task.doing, self.beats
        width = self._formats.contrast.width
        held, result = Signal(signed(width)), Signal(signed(width))
        total = adder_tree(m, terms, halvings(len(terms)), "contrast", width)
        # In a gain's contrast all terms but one are 0, so what is left of its shift can be made up for after their sum.
        total = Mux(doing.contrast_gain, total >> self._gain_contrast_shift - self._contrast_shift, total)
        weight_read = self._contrast_memory(
            m, "weight_contrast", geometry.rows, [beat.row for beat in beats], doing.contrast, doing.contrast, result, 0
        )
        gain_read = self._contrast_memory(
            m,
            "gain_contrast",
            geometry.levels * geometry.groups,
            [Cat(beat.group, self.task.level) for beat in beats],
            doing.contrast_gain,
            doing.contrast_gain & beats[-1].side,
            result,
            doing.clear,
        )
        # To subtract, add to the complement and write the complement of that: one adder serves both signs.
        before = Mux(doing.contrast_gain, gain_read, Mux(self.task.fresh, 0, weight_read))
        m.d.sync += [held.eq(before ^ self.task.negate.replicate(width)), result.eq(held + total)]
        return [weight_read, gain_read]

    def _contrast_memory(self, m, space: str, depth: int, addresses: list, uses, adds, result, clearing):
        m.submodules[space] = memory = Memory(shape=self._formats.contrast.width, depth=depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(Mux(self.port.busy, addresses[-4], self.port.row)),
            read.en.eq(~self.port.busy | uses),
            write.addr.eq(addresses[-1]),
            write.data.eq(Mux(clearing, 0, result ^ self.task.negate.replicate(len(result)))),
            write.en.eq(self.valid[-1] & (adds | clearing)),
        ]
        if self._learns:
            port, momentum = self.port, space.replace("contrast", "momentum")
            with m.If(~port.busy):
                m.d.comb += [
                    write.addr.eq(port.row),
                    write.data.eq(port.write_data),
                    write.en.eq(self._writes & (port.space == SPACES[momentum].code)),
                ]
        return read.data.as_signed()
