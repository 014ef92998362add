"""Lane: one rank channel's multipliers, one for each sample context, and the memories that feed them."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed
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

    The multiplier of each context sees, in the order of a training step: weight x state (project), gain x bus (gain),
    weight x opposite drive (force), state x opposite drive and bus a x bus b (contrast).

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
    states, contrasted
        For each context, the state of the neuron of beat 2, in project passes and in contrast passes; else 0.
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
        super().__init__(
            {
                "task": In(Task(geometry)),
                "beats": In(Beat(geometry)).array(contrast_stage(contexts) + 1),
                "valid": In(contrast_stage(contexts) + 1),
                "states": In(signed(formats.state.width)).array(contexts),
                "contrasted": In(signed(formats.state.width)).array(contexts),
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
        weight = Signal(signed(formats.weight.width))  # of beat 2
        m.d.sync += weight.eq(Mux(uses_weight, weight_read.data[guard:], 0))
        # One address for both in a compact device, whose large memories have a single port.
        row = Signal.like(weight_read.addr)
        self._host_write(m, weight_write, "weights", row if geometry.compact else port.row)
        m.d.comb += [
            row.eq(Mux(busy, beats[0].row, port.row)),
            weight_read.addr.eq(row),
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

        terms = [self._context(m, context, weight, gain_read.data[guard:]) for context in range(contexts)]
        weight_contrast, gain_contrast = self._accumulate(m, terms)

        answers = {
            "weights": weight_read.data[guard:].as_signed(),
            "gains": gain_read.data[guard:].as_signed(),
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

    def _context(self, m: Module, context: int, weight, gain) -> Signal:
        """Multiplier, buses and gains of one context; returns its term of the contrast, at beat 5."""
        formats, doing, beats = self._formats, self.task.doing, self.beats
        groups, bus = self._geometry.groups, formats.bus

        m.submodules[f"gains_{context}"] = own_gains = Memory(shape=formats.gain.width, depth=groups, init=[])
        m.submodules[f"raw_a_{context}"] = raw_a = Memory(shape=bus.width, depth=groups, init=[])
        m.submodules[f"raw_b_{context}"] = raw_b = Memory(shape=bus.width, depth=groups, init=[])
        m.submodules[f"drive_{context}"] = drive = Memory(shape=bus.width, depth=2 * groups, init=[])

        # Stage 1: what the pass does not use is 0, so that operands need no choice but an OR. A force or contrast takes
        # the drive of the side opposite to the neuron's. Bus a is always a left operand and bus b a right one, so that
        # each memory is read at one place; a gain is the other operand.
        gains_a, gains_b = Signal(), Signal()  # at beat 1
        m.d.sync += [gains_a.eq(doing.gain & ~beats[0].side), gains_b.eq(doing.gain & beats[0].side)]
        group, words = beats[1].group, {}
        for memory, address, uses in (
            (own_gains, group, {"left_gain": gains_b, "right_gain": gains_a}),
            (raw_a, group, {"left_bus": gains_a | doing.contrast_gain}),
            (raw_b, group, {"right_bus": gains_b | doing.contrast_gain}),
            (drive, Cat(~beats[1].side, group), {"opposite": doing.force | doing.contrast}),
        ):
            words |= self._masked(m, memory, address, uses, context)
        own_gain_write = own_gains.write_port()
        m.d.comb += [
            own_gain_write.addr.eq(beats[1].group),
            own_gain_write.data.eq(gain),
            own_gain_write.en.eq(self.valid[1] & doing.load_gain & self.task.context[context]),
        ]

        # Stage 2: operands. A gain is aligned, if it has room, so that drives are rounded like buses. Stage 3: product.
        shift_project = formats.weight.fraction + formats.state.fraction - bus.fraction
        shift_gain = formats.gain.fraction
        aligned = formats.gain.width + shift_project - shift_gain <= bus.width
        left = Signal(signed(bus.width), name=f"left_{context}")  # by which the floor plan knows its multiplier
        right = Signal(signed(bus.width), name=f"right_{context}")
        left_gain, right_gain = (
            words[name] << (shift_project - shift_gain if aligned else 0) for name in ("left_gain", "right_gain")
        )
        m.d.sync += [
            left.eq(weight | left_gain | words["left_bus"] | self.contrasted[context]),
            right.eq(self.states[context] | right_gain | words["right_bus"] | words["opposite"]),
        ]
        product = self.products[context]
        m.d.sync += product.eq(left * right)

        # Stage 4: accumulate, from the half that is added for rounding. Stage 5: saturate. Stage 6: onto the bus.
        shift_weight = formats.state.fraction + bus.fraction - formats.contrast.fraction
        shift_bus = 2 * bus.fraction - formats.gain_contrast.fraction
        sum_width = formats.weight.width + formats.state.width + self._geometry.neurons.bit_length()
        total = Signal(signed(sum_width))
        starts = Signal(init=1)  # at beat 4
        m.d.sync += starts.eq(beats[3].first | ~doing.project)
        half = Mux(doing.contrast, 1 << shift_weight >> 1, 1 << shift_project >> 1)
        half = Mux(doing.contrast_gain, 1 << shift_bus >> 1, half)
        if not aligned:
            half = Mux(doing.gain, 1 << shift_gain >> 1, half)
        m.d.sync += total.eq(Mux(starts, half, total) + product)
        value, clipped, ready = Signal(signed(bus.width)), Signal(), Signal()  # ready is at beat 5
        m.d.sync += ready.eq(self.valid[4] & ((beats[4].last & doing.project) | doing.gain))
        exact = total >> shift_project
        if not aligned:
            exact = Mux(doing.gain, total[: len(product) + 1].as_signed() >> shift_gain, exact)
        bounded, over = saturate(exact, bus)
        m.d.sync += [value.eq(bounded), clipped.eq(over & ready & self.task.active[context])]
        m.d.comb += self.clips[context].eq(clipped)
        a_write, b_write, drive_write = raw_a.write_port(), raw_b.write_port(), drive.write_port()
        projected = self.valid[6] & beats[6].last & doing.project
        m.d.comb += [
            a_write.addr.eq(beats[6].group),
            a_write.data.eq(value),
            a_write.en.eq(projected & ~beats[6].side),
            b_write.addr.eq(beats[6].group),
            b_write.data.eq(value),
            b_write.en.eq(projected & beats[6].side),
            drive_write.addr.eq(Cat(beats[6].side, beats[6].group)),
            drive_write.data.eq(value),
            drive_write.en.eq(self.valid[6] & doing.gain),
        ]

        # Contrast, rounded by now; contexts without a sample are masked.
        counts_weight, counts_gain = Signal(), Signal()
        m.d.sync += [
            counts_weight.eq(doing.contrast & self.task.active[context]),
            counts_gain.eq(doing.contrast_gain & self.task.active[context] & self.task.context[context]),
        ]
        term = Mux(counts_weight, total >> shift_weight, 0) | Mux(counts_gain, total >> shift_bus, 0)
        return term[: formats.contrast.width].as_signed()

    def _masked(self, m: Module, memory, address, uses: dict, context: int) -> dict:
        """For each use, the word of a stage's address, in the next stage; or 0 if it is not so used.

        A compact device has these memories in block RAM, and so masks what it has read.
        """
        compact, words = self._geometry.compact, {}
        read = memory.read_port(domain="sync" if compact else "comb")
        m.d.comb += read.addr.eq(address)
        for name, used in uses.items():
            words[name] = word = Signal(signed(Shape.cast(memory.shape).width), name=f"{name}_{context}")
            if compact:
                later = Signal(name=f"{name}_{context}_used")
                m.d.sync += later.eq(used)
                m.d.comb += word.eq(Mux(later, read.data.as_signed(), 0))
            else:
                m.d.sync += word.eq(Mux(used, read.data.as_signed(), 0))
        return words

    def _accumulate(self, m: Module, terms: list) -> list:
        """Both contrast memories: read three stages before they are written. Returns what hosts read."""
        geometry, doing, beats = self._geometry, self.task.doing, self.beats
        width = self._formats.contrast.width
        held, result = Signal(signed(width)), Signal(signed(width))
        total = adder_tree(m, terms, halvings(len(terms)), "contrast", width)
        weight_read = self._contrast_memory(
            m, "weight_contrast", geometry.rows, [beat.row for beat in beats], doing.contrast, result, Const(0)
        )
        gain_read = self._contrast_memory(
            m,
            "gain_contrast",
            geometry.levels * geometry.groups,
            [Cat(beat.group, self.task.level) for beat in beats],
            doing.contrast_gain,
            result,
            doing.clear,
        )
        # To subtract, add to the complement and write the complement of that: one adder serves both signs.
        before = Mux(doing.contrast_gain, gain_read, Mux(self.task.fresh, 0, weight_read))
        m.d.sync += [held.eq(before ^ self.task.negate.replicate(width)), result.eq(held + total)]
        return [weight_read, gain_read]

    def _contrast_memory(self, m, space: str, depth: int, addresses: list, uses, result, clearing):
        m.submodules[space] = memory = Memory(shape=self._formats.contrast.width, depth=depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(Mux(self.port.busy, addresses[-4], self.port.row)),
            read.en.eq(~self.port.busy | uses),
            write.addr.eq(addresses[-1]),
            write.data.eq(Mux(clearing, 0, result ^ self.task.negate.replicate(len(result)))),
            write.en.eq(self.valid[-1] & (uses | clearing)),
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
