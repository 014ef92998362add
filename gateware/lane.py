"""Lane: one rank channel's multipliers, one for each sample context, and the memories that feed them."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
from .arithmetic import saturate
from .hostport import SpacePort
from .passes import Beat, Op

__all__ = ["STAGES", "Lane"]

STAGES = 8
"""Pipeline stages of a lane: beats 0 (addresses of states) to 7 (contrast written back)."""


class Lane(wiring.Component):
    """Rank channel p of every channel group: projects, drives, forces and contrasts (``docs/arithmetic.md``).

    The multiplier of each context sees, in the order of a training step: weight x state (project), gain x bus (gain),
    weight x opposite drive (force), state x opposite drive and bus a x bus b (contrast).

    Parameters
    ----------
    geometry, formats
        Sizes and number formats.

    Attributes
    ----------
    op
        What the pass does.
    beats
        The beat at each stage of the pipeline.
    level
        Noise level of the context that ``context`` selects (for the passes that serve one context at a time).
    context
        That context, one-hot.
    active
        Contexts that hold a sample.
    negate, fresh
        Sign of the contrast, and whether it replaces what the weight contrast held.
    states
        For each context, the state of the neuron of beat 2.
    products
        For each context, the product of beat 4.
    clips
        For each context, whether a bus saturated.
    port
        Host access; a host reads and writes while ``busy`` is low only.
    """

    def __init__(self, geometry: Geometry, formats: Formats) -> None:
        self._geometry, self._formats = geometry, formats
        contexts = geometry.contexts
        super().__init__(
            {
                "op": In(Op),
                "beats": In(Beat(geometry)).array(STAGES),
                "level": In(range(geometry.levels)),
                "context": In(contexts),
                "active": In(contexts),
                "negate": In(1),
                "fresh": In(1),
                "states": In(signed(formats.state.width)).array(contexts),
                "products": Out(signed(2 * formats.bus.width)).array(contexts),
                "clips": Out(contexts),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, formats, op, beats = self._geometry, self._formats, self.op, self.beats
        contexts, port, busy = geometry.contexts, self.port, self.port.busy

        m.submodules.weights = weights = Memory(shape=formats.weight.width, depth=geometry.rows, init=[])
        weight_read, weight_write = weights.read_port(), weights.write_port()
        uses_weight = (op == Op.PROJECT) | (op == Op.FORCE)
        self._host_write(m, weight_write, "weights", port.row)
        m.d.comb += [
            weight_read.addr.eq(Mux(busy, beats[1].row, port.row)),
            weight_read.en.eq(~busy | uses_weight),
        ]

        m.submodules.gains = gains = Memory(shape=formats.gain.width, depth=geometry.levels * geometry.groups, init=[])
        gain_read, gain_write = gains.read_port(), gains.write_port()
        self._host_write(m, gain_write, "gains", port.row)
        m.d.comb += [
            gain_read.addr.eq(Mux(busy, Cat(beats[0].group, self.level), port.row)),
            gain_read.en.eq(~busy | (op == Op.LOAD_GAIN)),
        ]

        terms = [self._context(m, context, weight_read.data, gain_read.data) for context in range(contexts)]
        weight_contrast, gain_contrast = self._accumulate(m, terms)

        answers = {
            "weights": weight_read.data.as_signed(),
            "gains": gain_read.data.as_signed(),
            "weight_contrast": weight_contrast,
            "gain_contrast": gain_contrast,
        }
        with m.Switch(port.space):
            for name, answer in answers.items():
                with m.Case(SPACES[name].code):
                    m.d.sync += port.read_data.eq(answer)
        return m

    def _host_write(self, m, write, space: str, row) -> None:
        m.d.comb += [
            write.addr.eq(row),
            write.data.eq(self.port.write_data),
            write.en.eq(self.port.write & (self.port.space == SPACES[space].code)),
        ]

    def _context(self, m: Module, context: int, weight, gain) -> Signal:
        """Multiplier, buses and gains of one context; returns its term of the contrast, at beat 5."""
        formats, op, beats = self._formats, self.op, self.beats
        groups, bus = self._geometry.groups, formats.bus

        m.submodules[f"gains_{context}"] = own_gains = Memory(shape=formats.gain.width, depth=groups, init=[])
        m.submodules[f"raw_a_{context}"] = raw_a = Memory(shape=bus.width, depth=groups, init=[])
        m.submodules[f"raw_b_{context}"] = raw_b = Memory(shape=bus.width, depth=groups, init=[])
        m.submodules[f"drive_{context}"] = drive = Memory(shape=bus.width, depth=2 * groups, init=[])

        # Stage 1: addresses. A force or contrast takes the drive of the side opposite to the neuron's.
        own_gain = own_gains.read_port()
        bus_a, bus_b = raw_a.read_port(), raw_b.read_port()
        opposite = drive.read_port()
        uses_bus = (op == Op.GAIN) | (op == Op.CONTRAST_GAIN)
        m.d.comb += [
            own_gain.addr.eq(beats[1].group),
            own_gain.en.eq(op == Op.GAIN),
            bus_a.addr.eq(beats[1].group),
            bus_a.en.eq(uses_bus),
            bus_b.addr.eq(beats[1].group),
            bus_b.en.eq(uses_bus),
            opposite.addr.eq(Cat(~beats[1].side, beats[1].group)),
            opposite.en.eq((op == Op.FORCE) | (op == Op.CONTRAST)),
        ]
        own_gain_write = own_gains.write_port()
        m.d.comb += [
            own_gain_write.addr.eq(beats[1].group),
            own_gain_write.data.eq(gain),
            own_gain_write.en.eq(beats[1].valid & (op == Op.LOAD_GAIN) & self.context[context]),
        ]

        # Stage 2: operands; the gain's has room to be aligned, so that drives are rounded like buses. Stage 3: product.
        shift_project = formats.weight.fraction + formats.state.fraction - bus.fraction
        shift_gain = formats.gain.fraction
        left, right = Signal(signed(bus.width)), Signal(signed(bus.width))
        state = self.states[context]
        with m.Switch(op):
            with m.Case(Op.PROJECT):
                m.d.sync += [left.eq(weight.as_signed()), right.eq(state)]
            with m.Case(Op.GAIN):
                m.d.sync += left.eq(own_gain.data.as_signed() << shift_project - shift_gain)
                m.d.sync += right.eq(Mux(beats[2].side, bus_b.data, bus_a.data).as_signed())
            with m.Case(Op.FORCE):
                m.d.sync += [left.eq(weight.as_signed()), right.eq(opposite.data.as_signed())]
            with m.Case(Op.CONTRAST):
                m.d.sync += [left.eq(state), right.eq(opposite.data.as_signed())]
            with m.Case(Op.CONTRAST_GAIN):
                m.d.sync += [left.eq(bus_a.data.as_signed()), right.eq(bus_b.data.as_signed())]
        product = self.products[context]
        m.d.sync += product.eq(left * right)

        # Stage 4: accumulate, from the half that is added for rounding. Stage 5: saturate. Stage 6: onto the bus.
        sum_width = formats.weight.width + formats.state.width + self._geometry.neurons.bit_length()
        total = Signal(signed(sum_width))
        value, clipped = Signal(signed(bus.width)), Signal()
        projecting, driving = op == Op.PROJECT, op == Op.GAIN
        with m.If(projecting | driving):
            half = 1 << shift_project >> 1
            m.d.sync += total.eq(Mux(beats[4].first | driving, half, total) + product)
            bounded, over = saturate(total >> shift_project, bus)
            ready = beats[5].valid & (beats[5].last | driving)
            m.d.sync += [value.eq(bounded), clipped.eq(over & ready & self.active[context])]
        with m.Else():
            m.d.sync += clipped.eq(0)
        m.d.comb += self.clips[context].eq(clipped)
        a_write, b_write, drive_write = raw_a.write_port(), raw_b.write_port(), drive.write_port()
        projected = beats[6].valid & beats[6].last & projecting
        m.d.comb += [
            a_write.addr.eq(beats[6].group),
            a_write.data.eq(value),
            a_write.en.eq(projected & ~beats[6].side),
            b_write.addr.eq(beats[6].group),
            b_write.data.eq(value),
            b_write.en.eq(projected & beats[6].side),
            drive_write.addr.eq(Cat(beats[6].side, beats[6].group)),
            drive_write.data.eq(value),
            drive_write.en.eq(beats[6].valid & driving),
        ]

        # Contrast, stage 4: round, mask contexts without a sample.
        term = Signal(signed(formats.contrast.width))
        shift_weight = formats.state.fraction + bus.fraction - formats.contrast.fraction
        shift_bus = 2 * bus.fraction - formats.gain_contrast.fraction
        with m.If((op == Op.CONTRAST) | (op == Op.CONTRAST_GAIN)):
            alone = op == Op.CONTRAST_GAIN
            exact = product + Mux(alone, 1 << shift_bus >> 1, 1 << shift_weight >> 1)
            counted = self.active[context] & (~alone | self.context[context])
            m.d.sync += term.eq(Mux(counted, Mux(alone, exact >> shift_bus, exact >> shift_weight), 0))
        return term

    def _accumulate(self, m: Module, terms: list) -> list:
        """Both contrast memories: read at stage 4, held at 5, added to at 6, written at 7. Returns what hosts read."""
        geometry, op, beats = self._geometry, self.op, self.beats
        width = self._formats.contrast.width
        total, held, result = (Signal(signed(width), name=name) for name in ("contrast_total", "held", "result"))
        alone = op == Op.CONTRAST_GAIN
        weight_read = self._contrast_memory(
            m, "weight_contrast", geometry.rows, beats[4].row, beats[7].row, op == Op.CONTRAST, result, Const(0)
        )
        gain_read = self._contrast_memory(
            m,
            "gain_contrast",
            geometry.levels * geometry.groups,
            Cat(beats[4].group, self.level),
            Cat(beats[7].group, self.level),
            alone,
            result,
            op == Op.CLEAR,
        )
        m.d.sync += total.eq(sum(terms[1:], terms[0]))
        # To subtract, add to the complement and write the complement of that: one adder serves both signs.
        m.d.sync += held.eq(Mux(alone, gain_read, Mux(self.fresh, 0, weight_read)) ^ self.negate.replicate(width))
        m.d.sync += result.eq(held + total)
        return [weight_read, gain_read]

    def _contrast_memory(self, m, space: str, depth: int, source, target, uses, result, clearing):
        m.submodules[space] = memory = Memory(shape=self._formats.contrast.width, depth=depth, init=[])
        read, write = memory.read_port(), memory.write_port()
        m.d.comb += [
            read.addr.eq(Mux(self.port.busy, source, self.port.row)),
            read.en.eq(~self.port.busy | uses),
            write.addr.eq(target),
            write.data.eq(Mux(clearing, 0, result ^ self.negate.replicate(len(result)))),
            write.en.eq(self.beats[7].valid & (uses | clearing)),
        ]
        return read.data.as_signed()
