"""Walker: streams the beats of one pass out of the module table and the table of coupling ends."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..substrate.geometry import Geometry
from ..substrate.protocol import SPACES
from .hostport import SpacePort
from .passes import Beat, Order

__all__ = ["EndEntry", "ModuleEntry", "Walker", "WalkerCommand"]

ModuleEntry = data.StructLayout(
    {"base": 16, "count": 16, "first_end": 16, "ends": 14, "clamped": 1, "output": 1},
)
"""A row of the ``modules`` space."""

EndEntry = data.StructLayout({"row": 16, "group": 14, "side": 1, "opposite_clamped": 1})
"""A row of the ``ends`` space."""

WalkerCommand = data.StructLayout(
    {
        "order": Order,
        "count": 13,
        "clamped": 1,
        "free": 1,
        "output": 1,
        "opposite_clamped": 1,
        "drain": 5,
    }
)
"""What to walk: ``count`` for the linear order, else the modules that are ``clamped``, ``free``, or ``output``
(any that is set), their ends whose opposite module is free or, if ``opposite_clamped``, any; and how many cycles to
wait at the end until the pipeline has drained."""


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
        module_read, end_read = modules.read_port(), ends.read_port()

        # Position: module, end within module, neuron within module (or plain index). Both tables are read ahead: what
        # is at hand is the entry of this module, of the one after it, and of this end.
        module = Signal(6)
        end = Signal(14)
        index = Signal(16)
        entry = Signal(ModuleEntry)
        following = module_read.data
        place = Signal(16)  # of this end in its table
        next_place = Signal(16)

        linear = command.order == Order.LINEAR
        over_ends = Signal()
        over_neurons = Signal()
        m.d.comb += [
            over_ends.eq((command.order == Order.ENDS) | (command.order == Order.ENDS_NEURONS)),
            over_neurons.eq(command.order != Order.ENDS),
        ]
        wanted = (entry.clamped & command.clamped) | (~entry.clamped & command.free) | (entry.output & command.output)
        skip_module = ~wanted | (over_ends & (entry.ends == 0))
        skip_end = over_ends & end_read.data.opposite_clamped & ~command.opposite_clamped
        last_index = Signal()
        last_end = Signal()
        m.d.comb += [
            last_index.eq(~over_neurons | (index + 1 == Mux(linear, command.count, entry.count))),
            last_end.eq((command.order == Order.NEURONS) | (end + 1 >= entry.ends)),
        ]

        emit = Signal()
        draining = Signal()
        drain = Signal(5)
        finish = Signal()
        next_module = Signal()
        m.d.comb += [self.done.eq(draining & (drain == command.drain)), next_place.eq(place)]
        with m.If(draining):
            m.d.sync += drain.eq(drain + 1)
            with m.If(self.done):
                m.d.sync += [draining.eq(0), drain.eq(0)]
        with m.Elif(self.go):
            with m.If(linear):
                m.d.comb += [emit.eq(command.count != 0), finish.eq(last_index | (command.count == 0))]
                m.d.sync += index.eq(index + 1)
            with m.Elif(skip_module):
                m.d.comb += next_module.eq(1)
            with m.Elif(skip_end):
                m.d.sync += end.eq(end + 1)
                m.d.comb += [next_module.eq(last_end), next_place.eq(place + 1)]
            with m.Else():
                m.d.comb += [emit.eq(1), next_module.eq(last_index & last_end)]
                with m.If(command.order == Order.NEURONS_ENDS):
                    m.d.sync += end.eq(Mux(last_end, 0, end + 1))
                    m.d.comb += next_place.eq(Mux(last_end, entry.first_end, place + 1))
                    with m.If(last_end):
                        m.d.sync += index.eq(index + 1)
                with m.Else():
                    m.d.sync += index.eq(Mux(last_index, 0, index + 1))
                    with m.If(last_index):
                        m.d.sync += end.eq(end + 1)
                        m.d.comb += next_place.eq(place + 1)
            with m.If(next_module):
                m.d.sync += [module.eq(module + 1), end.eq(0), index.eq(0), entry.eq(following)]
                m.d.comb += [finish.eq(module + 1 == self.modules), next_place.eq(following.first_end)]
            with m.If(finish):
                m.d.sync += draining.eq(1)

        # While a pass drains, the walk goes back to the first module, whose entry takes a cycle to be read.
        with m.If(draining):
            m.d.sync += [module.eq(0), end.eq(0), index.eq(0), entry.eq(following)]
        with m.If(draining & ~self.done):
            m.d.comb += module_read.addr.eq(0)
        with m.Else():
            m.d.comb += module_read.addr.eq(module + next_module + 1)
        with m.If(draining | ~self.go):
            m.d.comb += next_place.eq(entry.first_end)
        m.d.sync += place.eq(next_place)
        m.d.comb += end_read.addr.eq(next_place)

        neuron_major = command.order == Order.NEURONS_ENDS
        m.d.sync += self.beat.valid.eq(emit)
        with m.If(emit):
            m.d.sync += [
                self.beat.first.eq(Mux(neuron_major, end == 0, index == 0)),
                self.beat.last.eq(Mux(neuron_major, last_end, last_index)),
                self.beat.empty.eq(neuron_major & (entry.ends == 0)),
                self.beat.output.eq(entry.output),
                self.beat.neuron.eq(Mux(linear, index, entry.base + index)),
                self.beat.row.eq(end_read.data.row + index),
                self.beat.group.eq(Mux(linear, index, end_read.data.group)),
                self.beat.side.eq(end_read.data.side),
            ]

        self._host(m, modules, ends, module_read, end_read)
        return m

    def _host(self, m, modules, ends, module_read, end_read) -> None:
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

        with m.If(~port.busy):
            m.d.comb += [module_read.addr.eq(port.row), end_read.addr.eq(port.row)]
        whole = module_read.data.as_value()
        words = Mux(at_ends, end_read.data.as_value(), Mux(port.word[0], whole[32:], whole[:32]))
        m.d.sync += port.read_data.eq(words)
