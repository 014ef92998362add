"""Walker: streams the beats of one pass out of the module table and the table of coupling ends."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
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
        "drain": 5,
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

    Parameters
    ----------
    geometry
        Sizes of the tables.

    Attributes
    ----------
    go
        Walk ``command``; held until ``done``.
    done
        High for one cycle, when the last beat has left the pipeline.
    modules
        Modules in use.
    beat
        The beats, a cycle behind the walk.
    port
        Host access to the tables.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "go": In(1),
                "done": Out(1),
                "command": In(WalkerCommand),
                "modules": In(6),
                "beat": Out(Beat(geometry)),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, command = self._geometry, self.command

        m.submodules.modules = modules = Memory(shape=ModuleEntry, depth=geometry.modules, init=[])
        m.submodules.ends = ends = Memory(shape=EndEntry, depth=geometry.ends, init=[])
        # Read without a clock: tables are small, and what is looked up here is wanted in the same cycle.
        module_read, end_read = modules.read_port(domain="comb"), ends.read_port(domain="comb")

        # Position: module, end within module, neuron within module (or plain index). Of this module all is at hand in
        # registers, made when the walk got there from the table's next row; its last index and end, not their numbers.
        entry = Signal(ModuleEntry)
        last_of_entry, last_end_of_entry, no_ends = Signal(16), Signal(14), Signal()
        end = Signal(14)
        index = Signal(16)
        place = Signal(16)  # of this end in its table
        next_module = Signal(6)
        following = module_read.data
        here = end_read.data
        m.d.comb += [module_read.addr.eq(next_module), end_read.addr.eq(place)]

        def enter() -> None:
            """Go to the next module."""
            m.d.sync += [
                entry.eq(following),
                last_of_entry.eq(following.count - 1),
                last_end_of_entry.eq(following.ends - 1),
                no_ends.eq(following.ends == 0),
                place.eq(following.first_end),
                end.eq(0),
                index.eq(0),
            ]

        linear, over_ends, neuron_major = command.linear, command.over_ends, command.neuron_major
        wanted = (entry.clamped & command.clamped) | (~entry.clamped & command.free) | (entry.output & command.output)
        skip_module = ~wanted | (over_ends & no_ends)
        skip_end = over_ends & here.opposite_clamped & ~command.opposite_clamped
        last_index = Signal()
        last_end = Signal()
        m.d.comb += [
            last_index.eq(~command.over_neurons | (index == Mux(linear, command.last, last_of_entry))),
            last_end.eq(command.one_end | no_ends | (end == last_end_of_entry)),
        ]

        emit = Signal()
        draining = Signal()
        drain = Signal(5)
        finish = Signal()
        leave = Signal()
        m.d.comb += self.done.eq(draining & (drain == command.drain))
        with m.If(draining):
            # The walk goes back to the first module.
            enter()
            m.d.sync += [drain.eq(drain + 1), next_module.eq(0)]
            with m.If(self.done):
                m.d.sync += [draining.eq(0), drain.eq(0), next_module.eq(1)]
        with m.Elif(self.go):
            with m.If(linear):
                m.d.comb += [emit.eq(~command.empty), finish.eq(last_index | command.empty)]
                m.d.sync += index.eq(index + 1)
            with m.Elif(skip_module):
                m.d.comb += leave.eq(1)
            with m.Elif(skip_end):
                m.d.sync += [end.eq(end + 1), place.eq(place + 1)]
                m.d.comb += leave.eq(last_end)
            with m.Else():
                m.d.comb += [emit.eq(1), leave.eq(last_index & last_end)]
                with m.If(neuron_major):
                    m.d.sync += [
                        end.eq(Mux(last_end, 0, end + 1)),
                        place.eq(Mux(last_end, entry.first_end, place + 1)),
                    ]
                    with m.If(last_end):
                        m.d.sync += index.eq(index + 1)
                with m.Else():
                    m.d.sync += index.eq(Mux(last_index, 0, index + 1))
                    with m.If(last_index):
                        m.d.sync += [end.eq(end + 1), place.eq(place + 1)]
            with m.If(leave):
                enter()
                m.d.sync += next_module.eq(next_module + 1)
                m.d.comb += finish.eq(next_module == self.modules)
            with m.If(finish):
                m.d.sync += draining.eq(1)

        m.d.sync += self.beat.valid.eq(emit)
        # Between beats, what they carry does not matter.
        m.d.sync += [
            self.beat.first.eq(Mux(neuron_major, end == 0, index == 0)),
            self.beat.last.eq(Mux(neuron_major, last_end, last_index)),
            self.beat.empty.eq(neuron_major & no_ends),
            self.beat.output.eq(entry.output),
            self.beat.neuron.eq(Mux(linear, index, entry.base + index)),
            self.beat.row.eq(here.row + index),
            self.beat.group.eq(Mux(linear, index, here.group)),
            self.beat.side.eq(here.side),
        ]

        self._host(m, modules, ends, module_read, end_read, next_module, place)
        return m

    def _host(self, m, modules, ends, module_read, end_read, next_module, place) -> None:
        """Let the host write both tables and read them back, while no walk is on."""
        port = self.port
        at_modules = port.space == SPACES["modules"].code
        at_ends = port.space == SPACES["ends"].code
        # Entries are wider than a word: the first word waits until the second comes.
        low = Signal(32)
        module_write, end_write = modules.write_port(), ends.write_port()
        m.d.comb += [
            module_write.addr.eq(port.row),
            module_write.data.eq(low | (port.write_data << 32)),
            module_write.en.eq(port.write & at_modules & (port.word == 1)),
            end_write.addr.eq(port.row),
            end_write.data.eq(port.write_data),
            end_write.en.eq(port.write & at_ends),
        ]
        with m.If(port.write & at_modules & (port.word == 0)):
            m.d.sync += low.eq(port.write_data)

        # The walk's own addresses serve the host, so that a walk waits for no choice. A run begins with a linear pass,
        # at whose end they are where walks begin.
        with m.If(~port.busy):
            m.d.sync += [next_module.eq(port.row), place.eq(port.row)]
        whole = module_read.data.as_value()
        m.d.sync += port.read_data.eq(Mux(at_ends, end_read.data.as_value(), Mux(port.word[0], whole[32:], whole[:32])))
