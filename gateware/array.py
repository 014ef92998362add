"""Array of lanes: states and requests stream from lane to lane, and so do the sums of what the lanes make of them."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from .hostport import SpacePort
from .lane import Lane, contrast_stage
from .passes import Beat, Task

__all__ = ["LaneArray", "array_stages", "sum_stages"]

_REQUEST = data.StructLayout({"space": 5, "row": 16, "word": 6, "write": 1, "write_data": 32, "busy": 1})
"""What goes from the port of one lane to that of the next."""


def sum_stages(geometry: Geometry) -> int:
    """Cycles from the first lane's product to the sum over the lanes.

    Two at least, which the neuron unit needs for its own share of a force. A compact device with a single lane has
    none: the neuron unit waits instead.
    """
    return 0 if geometry.compact and geometry.lanes == 1 else max(geometry.lanes, 2)


def array_stages(geometry: Geometry) -> int:
    """Stages of a beat that some lane looks at."""
    return contrast_stage(geometry.contexts) + geometry.lanes


class LaneArray(wiring.Component):
    """Lanes in a chain: each does what the one before it did a cycle ago.

    So no signal has to reach all lanes at once, and no sum is taken of all of them at once: wires go from neighbour to
    neighbour, however many lanes there are. What a lane leaves for itself, like buses and drives, it finds at its own
    time, so only a force pass waits for the chain.

    Parameters
    ----------
    geometry, formats
        Sizes and number formats.

    Attributes
    ----------
    beats
        The beat at each stage of the pipeline.
    flush
        Strobe: a pass has ended, and what is behind its last stage is not to be taken for beats of the next.
    task
        What the pass asks of the first lane.
    states
        Those of the first lane.
    sums
        For each context, the sum of the lanes' products, at beat 4 + :func:`sum_stages`.
    clips
        For each context, how many buses saturated.
    head
        What other parts of the device answer to the request of three cycles ago, or 0 if it was for lanes.
    port
        Host access. Answers to all requests, those from ``head`` too, come 3 + lanes cycles later.
    """

    def __init__(self, geometry: Geometry, formats: Formats) -> None:
        self._geometry, self._formats = geometry, formats
        self._run = data.StructLayout({"task": Task(geometry), "flush": 1, "valid": 1})
        contexts, lanes = geometry.contexts, geometry.lanes
        super().__init__(
            {
                "beats": In(Beat(geometry)).array(array_stages(geometry)),
                "flush": In(1),
                "task": In(Task(geometry)),
                "states": In(signed(formats.state.width)).array(contexts),
                "sums": Out(signed(_width(formats) + (lanes - 1).bit_length())).array(contexts),
                "clips": Out(range(lanes + 1)).array(contexts),
                "head": In(signed(32)),
                "port": In(SpacePort()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        contexts, stages = range(self._geometry.contexts), sum_stages(self._geometry)

        def later(value, name: str, shape=None):
            register = Signal(value.shape() if shape is None else shape, name=name)
            m.d.sync += register.eq(value)
            return register

        # What streams is one signal each: simulators take long for many small ones.
        run, request = Signal(self._run), Signal(_REQUEST)
        m.d.comb += [run.task.eq(self.task), run.flush.eq(self.flush), run.valid.eq(self.beats[0].valid)]
        m.d.comb += [getattr(request, name).eq(getattr(self.port, name)) for name in _REQUEST.members]
        states = list(self.states)
        sums, clips, answer = [0 for _ in contexts], [0 for _ in contexts], self.head
        for number in range(self._geometry.lanes):
            m.submodules[f"lane_{number}"] = lane = Lane(self._geometry, self._formats, number)
            if number > 0:
                run = later(run, f"run_{number}")
                states = [later(state, f"state_{number}_{context}") for context, state in enumerate(states)]
            # In a compact device the host holds its request, so that it may be there a cycle early.
            if number > 0 or not self._geometry.compact:
                request = later(request, f"request_{number}")
            m.d.comb += lane.task.eq(run.task)
            m.d.comb += [getattr(lane.port, name).eq(getattr(request, name)) for name in _REQUEST.members]
            # A stage of a lane is a later one of the array. But whether there is a beat each lane has to know, as a
            # pass ends in each at another time.
            m.d.comb += [beat.eq(self.beats[number + stage]) for stage, beat in enumerate(lane.beats)]
            valid = Signal(len(lane.valid) - 1, name=f"valid_{number}")
            m.d.comb += lane.valid.eq(Cat(run.valid, valid))
            m.d.sync += valid.eq(Mux(run.flush, 0, lane.valid))
            for context in contexts:
                m.d.comb += lane.states[context].eq(states[context])
                product = lane.products[context][: _width(self._formats)].as_signed()
                sums[context] = total = sums[context] + product if number else product
                if stages:
                    shape = signed(len(product) + number.bit_length())
                    sums[context] = later(total, f"sum_{number}_{context}", shape)
                count, name = clips[context] + lane.clips[context], f"clips_{number}_{context}"
                clips[context] = later(count, name, range(number + 2))
            answer = later(Mux(lane.answers, lane.port.read_data, answer), f"answer_{number}", signed(32))

        for number in range(self._geometry.lanes, stages):
            sums = [later(total, f"sum_{number}_{context}") for context, total in enumerate(sums)]
        m.d.comb += [self.sums[context].eq(sums[context]) for context in contexts]
        m.d.comb += [self.clips[context].eq(clips[context]) for context in contexts]
        m.d.comb += self.port.read_data.eq(answer)
        return m


def _width(formats: Formats) -> int:
    """Bits of the products of weights and drives."""
    return formats.weight.width + formats.bus.width
