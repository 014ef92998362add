"""Walker: streams the beats of one pass out of the module table and the table of coupling ends."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES, table_masks
from .hostport import SpacePort
from .passes import Beat, Order

__all__ = ["EndEntry", "ModuleEntry", "Walker", "WalkerCommand", "order_bits"]

ModuleEntry = data.StructLayout(
    {"base": 16, "count": 16, "first_end": 16, "ends": 14, "clamped": 1, "output": 1},
)
"""A row of the ``modules`` space."""

EndEntry = data.StructLayout({"row": 16, "group": 14, "side": 1, "opposite_clamped": 1})
"""A row of the ``ends`` space."""

WalkerCommand = data.StructLayout(
    {
        "linear": 1,
        "over_ends": 1,
        "over_neurons": 1,
        "one_end": 1,
        "neuron_major": 1,
        "last": 13,
        "empty": 1,
        "clamped": 1,
        "free": 1,
        "output": 1,
        "opposite_clamped": 1,
        "drain": 7,
    }
)
"""What to walk, in the order that :func:`order_bits` tells: 0 to ``last`` if linear, or nothing if ``empty``; else
modules that are ``clamped``, ``free``, or ``output`` (any that is set), their ends whose opposite module is free or, if
``opposite_clamped``, any; and how many cycles to wait at the end until the pipeline has drained."""


def order_bits(order: Order) -> dict[str, bool]:
    """An order as the walker looks at it.

    Whether it is linear; whether modules without ends, and ends, are passed over; whether neurons are walked; whether
    ends are not; whether each neuron has its ends walked, and not each end its neurons.
    """
    return {
        "linear": order is Order.LINEAR,
        "over_ends": order in (Order.ENDS, Order.ENDS_NEURONS),
        "over_neurons": order is not Order.ENDS,
        "one_end": order is Order.NEURONS,
        "neuron_major": order is Order.NEURONS_ENDS,
    }


class Walker(wiring.Component):
    """Streams one beat a cycle; a module or end that is passed over costs a cycle.

    With a pause, it streams so only what projects and what drives; in other passes but for force it rests after each
    beat.

    Parameters
    ----------
    geometry
        Sizes of the tables.
    pause
        Cycles to rest after a beat; in the order :attr:`.passes.Order.NEURONS_ENDS`, after the last end of a neuron.

    Attributes
    ----------
    go
        Walk ``command``; held until ``done``.
    done
        High for one cycle, when the last beat has left the pipeline.
    modules
        Modules in use.
    sampling, sampled
        Whether there is a module whose neurons' beats are marked, and its number.
    beat
        The beats, a cycle behind the walk.
    port
        Host access to the tables.
    """

    def __init__(self, geometry: Geometry, pause: int = 0) -> None:
        self._geometry, self._pause = geometry, pause
        super().__init__(
            {
                "go": In(1),
                "done": Out(1),
                "command": In(WalkerCommand),
                "modules": In(6),
                "sampling": In(1),
                "sampled": In(5),
                "beat": Out(Beat(geometry)),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, command = self._geometry, self.command

        m.submodules.modules = modules = Memory(shape=ModuleEntry, depth=geometry.modules, init=[])
        m.submodules.ends = ends = Memory(shape=EndEntry, depth=geometry.ends, init=[])
        # What is looked up here is wanted in the same cycle: tables are small enough to be read without a clock, or,
        # from block RAM, at the address that comes next.
        domain = "sync" if geometry.compact else "comb"
        module_read, end_read = modules.read_port(domain=domain), ends.read_port(domain=domain)

        # Position: module, end within module, neuron within module (or plain index). Of this module all is at hand in
        # registers, made when the walk got there from the table's next row; its last index and end, not their numbers.
        # Numbers have as many bits as the sizes ask for.
        entry = Signal(ModuleEntry)
        sampled = Signal()
        index = Signal(range(max(geometry.neurons, 2 * geometry.groups)))
        end, place = Signal(range(geometry.ends)), Signal(range(geometry.ends))  # within the module; in its table
        last_of_entry, last_end_of_entry, no_ends = Signal.like(index), Signal.like(end), Signal()
        next_module = Signal(6)
        place_then, module_then = Signal.like(place), Signal.like(next_module)
        m.d.comb += [place_then.eq(place), module_then.eq(next_module)]
        m.d.sync += [place.eq(place_then), next_module.eq(module_then)]
        following = module_read.data
        here = end_read.data
        if geometry.compact:
            m.d.comb += [module_read.addr.eq(module_then), end_read.addr.eq(place_then)]
        else:
            m.d.comb += [module_read.addr.eq(next_module), end_read.addr.eq(place)]

        def enter() -> None:
            """Go to the next module."""
            m.d.sync += [
                entry.eq(following),
                sampled.eq(self.sampling & (next_module == self.sampled)),
                last_of_entry.eq(following.count - 1),
                last_end_of_entry.eq(following.ends - 1),
                no_ends.eq(following.ends == 0),
                end.eq(0),
                index.eq(0),
            ]
            m.d.comb += place_then.eq(following.first_end)

        linear, over_ends, neuron_major = command.linear, command.over_ends, command.neuron_major
        wanted = (entry.clamped & command.clamped) | (~entry.clamped & command.free) | (entry.output & command.output)
        skip_module = ~wanted | (over_ends & no_ends)
        skip_end = over_ends & here.opposite_clamped & ~command.opposite_clamped
        last_index = Signal()
        last_end = Signal()
        m.d.comb += [
            last_index.eq(~command.over_neurons | (index == Mux(linear, command.last, last_of_entry)[: len(index)])),
            last_end.eq(command.one_end | no_ends | (end == last_end_of_entry)),
        ]

        emit = Signal()
        draining = Signal()
        drain = Signal(range(geometry.lanes + 16))  # a move's is the longest
        finish = Signal()
        leave = Signal()
        rest = Signal(range(max(self._pause, 1) + 1))
        m.d.comb += self.done.eq(draining & (drain == command.drain))
        with m.If(draining):
            # The walk goes back to the first module.
            enter()
            m.d.sync += drain.eq(drain + 1)
            m.d.comb += module_then.eq(0)
            with m.If(self.done):
                m.d.sync += [draining.eq(0), drain.eq(0)]
                m.d.comb += module_then.eq(1)
        with m.Elif(rest != 0):
            m.d.sync += rest.eq(rest - 1)
        with m.Elif(self.go):
            with m.If(linear):
                m.d.comb += [emit.eq(~command.empty), finish.eq(last_index | command.empty)]
                m.d.sync += index.eq(index + 1)
            with m.Elif(skip_module):
                m.d.comb += leave.eq(1)
            with m.Elif(skip_end):
                m.d.sync += end.eq(end + 1)
                m.d.comb += [place_then.eq(place + 1), leave.eq(last_end)]
            with m.Else():
                m.d.comb += [emit.eq(1), leave.eq(last_index & last_end)]
                with m.If(neuron_major):
                    m.d.sync += end.eq(Mux(last_end, 0, end + 1))
                    m.d.comb += place_then.eq(Mux(last_end, entry.first_end, place + 1))
                    with m.If(last_end):
                        m.d.sync += index.eq(index + 1)
                with m.Else():
                    m.d.sync += index.eq(Mux(last_index, 0, index + 1))
                    with m.If(last_index):
                        m.d.sync += end.eq(end + 1)
                        m.d.comb += place_then.eq(place + 1)
            with m.If(leave):
                enter()
                m.d.comb += module_then.eq(next_module + 1)
                m.d.comb += finish.eq(next_module == self.modules)
            if self._pause:
                # Only contrasts walk clamped and free modules.
                alone = linear | command.one_end | (command.clamped & command.free)
                with m.If(emit & (alone | (neuron_major & last_end))):
                    m.d.sync += rest.eq(self._pause)
            with m.If(finish):
                m.d.sync += [draining.eq(1), rest.eq(0)]

        m.d.sync += self.beat.valid.eq(emit)
        # Between beats, what they carry does not matter; but in a pause it is held.
        fields = [
            self.beat.first.eq(Mux(neuron_major, end == 0, index == 0)),
            self.beat.last.eq(Mux(neuron_major, last_end, last_index)),
            self.beat.empty.eq(neuron_major & no_ends),
            self.beat.output.eq(entry.output),
            self.beat.sampled.eq(sampled),
            self.beat.neuron.eq(Mux(linear, index, entry.base + index)),
            self.beat.row.eq(here.row + index),
            self.beat.group.eq(Mux(linear, index >> 1, here.group)),
            self.beat.side.eq(Mux(linear, index[0], here.side)),
        ]
        if self._pause:
            with m.If(emit):
                m.d.sync += fields
        else:
            m.d.sync += fields

        self._host(m, modules, ends, module_read, end_read, module_then, place_then)
        return m

    def _host(self, m, modules, ends, module_read, end_read, module_then, place_then) -> None:
        """Let the host write both tables and read them back, while no walk is on."""
        port = self.port
        at_modules = port.space == SPACES["modules"].code
        at_ends = port.space == SPACES["ends"].code
        # Entries are wider than a word: the first word waits until the second comes.
        low = Signal(32)
        masks = table_masks(self._geometry)
        low_mask, high_mask = masks["modules"]
        module_write, end_write = modules.write_port(), ends.write_port()
        m.d.comb += [
            module_write.addr.eq(port.row),
            module_write.data.eq((low & low_mask) | ((port.write_data & high_mask) << 32)),
            module_write.en.eq(port.write & at_modules & (port.word == 1)),
            end_write.addr.eq(port.row),
            end_write.data.eq(port.write_data & masks["ends"][0]),
            end_write.en.eq(port.write & at_ends),
        ]
        with m.If(port.write & at_modules & (port.word == 0)):
            m.d.sync += low.eq(port.write_data)

        # The walk's own addresses serve the host, so that a walk waits for no choice. A run begins with a linear pass,
        # at whose end they are where walks begin.
        with m.If(~port.busy):
            m.d.comb += [module_then.eq(port.row), place_then.eq(port.row)]
        whole, second = module_read.data.as_value(), Signal()
        m.d.sync += [
            second.eq(port.word[0]),
            port.read_data.eq(Mux(at_ends, end_read.data.as_value(), Mux(second, whole[32:], whole[:32]))),
        ]
