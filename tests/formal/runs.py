"""The sequencer always comes back to idle: by a rank that goes down with every pass it has done."""

from amaranth.hdl import Assert, Assume, Cat, Const, Cover, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import flipped

from equipoise.gateware.passes import Phase
from equipoise.gateware.sequencer import WARM_UP, Sequencer
from equipoise.substrate.geometry import SCHEDULE_ROWS, Geometry
from equipoise.substrate.protocol import Mode

from .inside import Inside

_LOADING = ("LOAD LEVEL", "LOAD GAINS", "LOAD BIASES", "LOAD STATES", "LOAD TARGETS")
_STEPPING = ("STEP PROJECT", "STEP GAIN", "STEP FORCE")
_CONTRASTING = ("CONTRAST PROJECT", "CONTRAST DRIVE", "CONTRAST WEIGHTS", "CONTRAST GAINS", "CONTRAST BIASES")
_ONCE = ("CONTRAST PROJECT", "CONTRAST DRIVE", "CONTRAST WEIGHTS")
_ORDER = (
    *("CLEAR", *_LOADING, "CLAMPED PROJECT", "CLAMPED GAIN", "SEED", "WARM UP", *_STEPPING, "OUTPUT", *_ONCE),
    *("CONTRAST GAINS", "CONTRAST BIASES", "UPDATE"),
)
"""States of a run in the order in which a group of samples first comes to them; last, the one of a reverse process."""

_UPDATING = ("SEED", "WARM UP", "UPDATE", _LOADING[1:3], "CLAMPED PROJECT", "CLAMPED GAIN", "OUTPUT")
"""States of an update, and on the way from there to a free phase or to the end."""


class ReturnsToIdle(wiring.Component):
    """While a run is on, each cycle either lowers the rank, or waits for the walker to be done with a pass.

    So a run ends after finitely many passes. Assumed: registers hold what ``docs/registers.md`` allows and do not
    change during a run (:class:`.requests.ExecutesOnce` shows that the host reaches nothing), and a walk ends, but not
    before it has begun.

    The rank is, from its high to its low digits: samples left; rows of the reverse process left; phases left; the place
    in the order of a phase, where loops over contexts, levels, steps count as one place; how much of that loop is left;
    the place within the loop.
    """

    def __init__(self, sequencer: Sequencer, geometry: Geometry) -> None:
        self._sequencer, self._geometry = sequencer, geometry
        super().__init__(sequencer.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dut, geometry = self._sequencer, self._geometry
        inside = Inside(dut)
        state = {name: inside.state(name) for name in ("IDLE", *_ORDER)}
        step, warm = inside.signal("step", 16), inside.signal("warm", 6)
        last_context, more_samples = inside.signal("last_context", 1), inside.signal("more_samples", 1)
        last_row = inside.signal("last_row", 1)
        m.submodules.dut = dut
        wiring.connect(m, flipped(self), dut)

        def any_of(*names: str) -> Value:
            return Cat(state[name] for name in names).any()

        # The environment. An update goes by fits and starts.
        walked = Signal()
        walking = dut.go | walked
        m.d.comb += [
            Assume((dut.levels >= 1) & (dut.levels <= geometry.levels)),
            Assume((dut.free_steps >= 1) & (dut.nudged_steps >= 1)),
            Assume((dut.batch >= 1) & (dut.batch <= 256)),
            Assume((dut.rows >= 2) & (dut.rows <= SCHEDULE_ROWS)),
            Assume(~dut.done | walking),
        ]
        m.d.sync += walked.eq(walking & ~dut.done)
        registers = Cat(
            dut.mode, dut.levels, dut.free_steps, dut.nudged_steps, dut.batch, dut.noisy, dut.rows, dut.warm
        )  # fmt: skip
        held, busy = Signal(len(registers)), Signal()
        m.d.sync += [held.eq(registers), busy.eq(dut.busy)]
        with m.If(dut.busy | dut.start):
            m.d.comb += Assume(registers == held)
        reverse = dut.mode == Mode.SAMPLE
        updating = reverse & (dut.phase == Phase.UPDATE) & ~state["LOAD LEVEL"]

        # The rank.
        steps = Mux(dut.phase == Phase.FREE, dut.free_steps, dut.nudged_steps)
        contexts_left = Signal(5)
        for number in range(geometry.contexts):
            with m.If(dut.context[number]):
                m.d.comb += contexts_left.eq(geometry.contexts - number)
        in_phase = any_of(*_ORDER[_ORDER.index("SEED") :])
        phases_left = Mux(in_phase, 3 - dut.phase.as_value(), 4)
        phases_left = Mux(reverse, Mux(updating, 3, Mux(in_phase, 2, 4)), phases_left)
        rows_left = Mux(reverse, (dut.rows - dut.row)[:8], 0)
        place, left, within = Signal(4), Signal(17), Signal(3)
        loops = (
            (("CLEAR",), (dut.levels - dut.level)[:17]),
            (_LOADING, contexts_left),
            (("CLAMPED PROJECT",), Const(0)),
            (("CLAMPED GAIN",), Const(0)),
            (("SEED",), Const(0)),
            (("WARM UP",), (WARM_UP - warm)[:17]),
            (_STEPPING, (steps - step)[:17]),
            (("OUTPUT",), contexts_left),
            *(((name,), Const(0)) for name in _ONCE),
            (("CONTRAST GAINS",), contexts_left),
            (("CONTRAST BIASES",), contexts_left),
        )
        for number, (names, of_loop) in enumerate(loops):
            with m.If(any_of(*names)):
                m.d.comb += [place.eq(len(loops) - number), left.eq(of_loop)]
            for position, name in enumerate(names):
                with m.If(state[name]):
                    m.d.comb += within.eq(len(names) - position)
        for number, names in enumerate(_UPDATING):
            of_loop = Mux(state["WARM UP"], WARM_UP - warm, Mux(any_of("SEED", *_UPDATING[4:6]), 0, contexts_left))
            with m.If(updating & any_of(*([names] if isinstance(names, str) else names))):
                m.d.comb += [place.eq(len(_UPDATING) - number), left.eq(of_loop)]
        samples_left = (dut.batch - dut.sample)[:9]
        rank = Signal(9 + 8 + 3 + 4 + 17 + 3)
        m.d.comb += rank.eq(Cat(within, left, place, phases_left[:3], rows_left, samples_left))

        former, waited = Signal.like(rank), Signal()
        m.d.sync += [former.eq(rank), waited.eq(~any_of("SEED", "WARM UP") & ~dut.done)]
        with m.If(busy & dut.busy):
            m.d.comb += Assert((rank < former) | ((rank == former) & waited), "every pass done lowers the rank")

        free = dut.phase == Phase.FREE
        one_hot = (dut.context != 0) & ((dut.context & (dut.context - 1)) == 0)
        m.d.comb += [
            Assert(dut.busy == ~state["IDLE"], "busy while not idle"),
            Assert(any_of("IDLE", *_ORDER), "invariant: a state"),
            Assert(~dut.busy | one_hot, "invariant: one context"),
            Assert(~dut.busy | (dut.sample < dut.batch), "invariant: samples are left"),
            Assert(~state["CLEAR"] | (dut.level < dut.levels), "invariant: levels are left"),
            Assert(~any_of(*_STEPPING) | (step < steps), "invariant: steps are left"),
            Assert(~any_of("SEED", "WARM UP") | (step == 0), "invariant: no step is done"),
            Assert(state["WARM UP"] | (warm == 0), "invariant: the warm-up is over"),
            Assert(~any_of(*_STEPPING, *_CONTRASTING) | (dut.phase.as_value() != 3), "invariant: a phase"),
            Assert(reverse | ~any_of("SEED", "WARM UP") | (dut.phase.as_value() != 3), "invariant: a phase begins"),
            Assert(reverse | ~any_of("OUTPUT", *_LOADING[1:]) | free, "invariant: the free phase"),
            Assert(reverse | ~any_of("CLAMPED PROJECT", "CLAMPED GAIN") | free, "invariant: not yet nudged"),
            Assert(~walking | dut.busy, "no pass without a run"),
            Assert(~walking | ~any_of("SEED", "WARM UP"), "invariant: no pass while noise is mixed"),
            Assert(~walked | dut.go | state["UPDATE"], "invariant: other passes go on"),
            Assert(dut.sampling == (held[: len(dut.mode)] == Mode.SAMPLE), "invariant: the mode"),
            Assert(~(dut.busy & reverse) | (dut.row < dut.rows), "invariant: rows are left"),
            Assert(~reverse | ~any_of("CLEAR", *_CONTRASTING), "invariant: a reverse process contrasts nothing"),
            Assert(reverse | ~state["UPDATE"], "invariant: only a reverse process updates"),
            Assert(
                ~(reverse & any_of(*_LOADING[3:], *_STEPPING)) | free, "invariant: a free phase, or before the first"
            ),
            Assert(
                ~(reverse & any_of(*_UPDATING[2:3], *_UPDATING[3], *_UPDATING[4:6])) | updating, "invariant: an update"
            ),
            Assert(~(reverse & any_of("SEED", "WARM UP", "OUTPUT")) | free | updating, "invariant: either"),
            Assert(~(walking & state["UPDATE"]) | (last_row == (dut.row + 1 == dut.rows)), "invariant: the last row"),
            Assert(~(updating & state["OUTPUT"]) | (dut.row + 1 == dut.rows), "invariant: the end"),
            Assert(~(reverse & in_phase & free) | (dut.row + 1 < dut.rows), "invariant: a row is to come"),
            Assert(
                ~(updating & any_of(*_UPDATING[3], *_UPDATING[4:6])) | (dut.row + 1 < dut.rows),
                "invariant: and so here",
            ),
        ]
        # What is known a cycle late is known while a walk is on.
        remaining = (dut.batch - dut.sample)[:9]
        active = Cat(remaining > number for number in range(geometry.contexts))
        last = ((dut.context << 1)[: geometry.contexts] & active) == 0
        loaded = any_of(*_ORDER[2:])
        m.d.comb += [
            Assert(~(walking | loaded) | (dut.active == active), "invariant: contexts with a sample"),
            Assert(~(walking & loaded) | (last_context == last), "invariant: the last of them"),
            Assert(~walking | (more_samples == (remaining > geometry.contexts)), "invariant: whether samples are left"),
            Assert(~(dut.go & any_of(*_STEPPING)) | (dut.last_step == (step + 1 == steps)), "invariant: the last step"),
        ]
        m.d.comb += Cover(
            busy & ~dut.busy & (dut.batch == 3) & (dut.mode == Mode.FREE) & ~dut.noisy,
            "a run of several groups comes to its end",
        )
        return m
