"""Array of lanes: states and requests stream from lane to lane, and so do the sums of what the lanes make of them."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..substrate.formats import Formats
from ..substrate.geometry import Geometry
from .hostport import SpacePort
from .lane import Lane, contrast_stage
from .passes import Beat, Doing

__all__ = ["LaneArray", "array_stages", "sum_stages"]

_RUN = ("doing", "level", "context", "active", "negate", "fresh")
"""What all lanes are told of a run."""

_REQUEST = ("space", "row", "word", "write", "write_data", "busy")


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
    doing, level, context, active, negate, fresh
        Those of the first lane: see :class:`.lane.Lane`.
    states, contrasted
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
        contexts, lanes = geometry.contexts, geometry.lanes
        super().__init__(
            {
                "beats": In(Beat(geometry)).array(array_stages(geometry)),
                "flush": In(1),
                "doing": In(Doing),
                "level": In(range(geometry.levels)),
                "context": In(contexts),
                "active": In(contexts),
                "negate": In(1),
                "fresh": In(1),
                "states": In(signed(formats.state.width)).array(contexts),
                "contrasted": In(signed(formats.state.width)).array(contexts),
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

        def step(values: dict, number: int) -> dict:
            return {name: later(value, f"{name}_{number}") for name, value in values.items()}

        run = {name: getattr(self, name) for name in _RUN} | {"flush": self.flush, "valid": self.beats[0].valid}
        for context in contexts:
            run |= {f"state_{context}": self.states[context], f"contrasted_{context}": self.contrasted[context]}
        request = {name: getattr(self.port, name) for name in _REQUEST}
        sums, clips, answer = [0 for _ in contexts], [0 for _ in contexts], self.head
        for number in range(self._geometry.lanes):
            m.submodules[f"lane_{number}"] = lane = Lane(self._geometry, self._formats, number)
            if number > 0:
                run = step(run, number)
            # In a compact device the host holds its request, so that it may be there a cycle early.
            if number > 0 or not self._geometry.compact:
                request = step(request, number)
            m.d.comb += [getattr(lane, name).eq(run[name]) for name in _RUN]
            m.d.comb += [getattr(lane.port, name).eq(value) for name, value in request.items()]
            self._follow(m, lane, number, run["valid"], run["flush"])
            for context in contexts:
                m.d.comb += [
                    lane.states[context].eq(run[f"state_{context}"]),
                    lane.contrasted[context].eq(run[f"contrasted_{context}"]),
                ]
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

    def _follow(self, m: Module, lane: Lane, number: int, valid, flush) -> None:
        """Give a lane its beats.

        A stage of a lane is a later one of the array. But whether there is a beat is each lane's own to know, as a pass
        ends in each at another time.
        """
        for stage, beat in enumerate(lane.beats):
            if stage > 0:
                register = Signal(name=f"valid_{number}_{stage}")
                m.d.sync += register.eq(valid & ~flush)
                valid = register
            m.d.comb += [beat.eq(self.beats[number + stage]), beat.valid.eq(valid)]


def _width(formats: Formats) -> int:
    """Bits of the products of weights and drives."""
    return formats.weight.width + formats.bus.width
