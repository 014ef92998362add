"""Sequencer: takes a minibatch through loading, phases and contrasts, one pass after the other."""

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..substrate.geometry import SCHEDULE_ROWS, Geometry
from ..substrate.protocol import Mode
from .lane import contrast_stage
from .neuron import force_stage
from .passes import UPDATE_CYCLES, Bank, Doing, Op, Order, Phase
from .reverse import NEW_STAGE
from .walker import WalkerCommand, order_bits

__all__ = ["Sequencer"]

# Cycles that a pass goes on after its last step of the walk, until the last beat has left the pipeline: the stage at
# which its kind of beat writes (see core.py and lane.py; for moving neurons, neuron.py).
DRAIN_LOAD = 3
DRAIN_BUS = 6
WARM_UP = 64
"""Steps that mix the noise generator's state before its first word is used."""


class Sequencer(wiring.Component):
    """Runs a minibatch, ``contexts`` samples at a time.

    For each group of samples: load; project and drive the clamped ends; then each phase, and its contrast. A step of a
    phase is a project, a gain and a force pass. In a reverse process, for each of its rows: update the sampled module;
    then all that comes before and in a free phase, but for the last row.

    Parameters
    ----------
    geometry
        Number of contexts, and sizes.

    Attributes
    ----------
    start, busy
        Start a run; high while one is under way.
    groups, neurons, levels, batch, mode, free_steps, nudged_steps, noisy, rows, warm
        Registers of the run; ``noisy`` is whether the noise amplitude is not 0, ``rows`` are those of the schedule.
    accumulates
        At ``start``: the contrast sums go on from what is held.
    go, command, done
        Of the walker.
    doing, bank, phase, negate, fresh
        What the pass under way does: see :mod:`.passes` and :class:`.lane.Lane`.
    level
        Level to be cleared, in a clearing pass.
    context, active
        Context that a pass serves which serves one at a time, one-hot; contexts that hold a sample.
    sample
        Number of the first context's sample in the minibatch.
    sampling, row
        Whether the run is a reverse process; row of the schedule, 0 if it is not.
    first_sample, next_sample
        Strobes: the sample buffer is to be read from the first sample, or the next.
    keep_outputs, rewind_outputs
        Strobes: the outputs of a group are there to stay; they are to be written or read from the first of the group.
    load_noise, warm_noise
        Start the noise streams; mix them.
    last_step
        The step under way is the last of its phase.
    relaxing, stepped
        A relaxation step is under way; strobe at the end of each.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "busy": Out(1),
                "groups": In(13),
                "neurons": In(13),
                "levels": In(7),
                "batch": In(9),
                "mode": In(2),
                "free_steps": In(16),
                "nudged_steps": In(16),
                "noisy": In(1),
                "rows": In(8),
                "warm": In(1),
                "accumulates": In(1),
                "go": Out(1),
                "command": Out(WalkerCommand),
                "done": In(1),
                "doing": Out(Doing),
                "bank": Out(Bank),
                "phase": Out(Phase),
                "negate": Out(1),
                "fresh": Out(1),
                "level": Out(range(geometry.levels)),
                "context": Out(geometry.contexts),
                "active": Out(geometry.contexts),
                "sample": Out(9),
                "sampling": Out(1),
                "row": Out(range(SCHEDULE_ROWS)),
                "first_sample": Out(1),
                "next_sample": Out(1),
                "keep_outputs": Out(1),
                "rewind_outputs": Out(1),
                "load_noise": Out(1),
                "warm_noise": Out(1),
                "last_step": Out(1),
                "relaxing": Out(1),
                "stepped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        contexts, done = self._geometry.contexts, self.done
        # A number has as many bits as the device's sizes ask for.
        sides = self.groups[: self._geometry.groups.bit_length()] << 1  # of all groups: linear passes see both
        neurons = self.neurons[: self._geometry.neurons.bit_length()]
        levels = self.levels[: self._geometry.levels.bit_length()]
        drain_contrast, drain_move = contrast_stage(contexts), force_stage(self._geometry.lanes) + 3
        step = Signal(16)
        warm = Signal(range(WARM_UP))
        remaining = Signal(9)
        m.d.comb += remaining.eq(self.batch - self.sample)
        for context in range(contexts):
            m.d.sync += self.active[context].eq(remaining > context)
        last_context = Signal()
        more_samples = Signal()
        m.d.sync += [
            last_context.eq((self.context << 1)[:contexts] & self.active == 0),
            more_samples.eq(remaining > contexts),
        ]
        next_context = self.context.rotate_left(1)
        sampling = Const(0) if self._geometry.compact else self.sampling
        m.d.sync += self.sampling.eq(self.mode == Mode.SAMPLE)
        updating = sampling & (self.phase == Phase.UPDATE)
        trains = (self.mode != Mode.FREE) & ~sampling
        pace = Signal(range(UPDATE_CYCLES))
        last_row = Signal()
        m.d.sync += last_row.eq(self.row + 1 == self.rows)
        first_step = Signal()
        steps = Mux(self.phase == Phase.FREE, self.free_steps, self.nudged_steps)
        m.d.sync += [first_step.eq(step == 0), self.last_step.eq(step + 1 == steps)]

        # What a pass is, is registered on its way to the datapath; so each begins two cycles after the last is done.
        going, doing, bank = Signal(), Signal(Doing), Signal(Bank)
        command = Signal(WalkerCommand)
        m.d.sync += [self.go.eq(going & ~done), self.doing.eq(doing), self.bank.eq(bank), self.command.eq(command)]

        def walk(kind: Op, order: Order, drain: int, count=None, **modules: int) -> None:
            """Have the walker stream one pass, until ``done``."""
            if count is not None:
                m.d.comb += [command.last.eq(count - 1), command.empty.eq(count == 0)]
            m.d.comb += [going.eq(1), getattr(doing, kind.name.lower()).eq(1), command.drain.eq(drain)]
            m.d.comb += [getattr(command, name).eq(value) for name, value in order_bits(order).items()]
            m.d.comb += [getattr(command, name).eq(value) for name, value in modules.items()]

        def for_each_context(state: str, then) -> None:
            """After a pass of one context: the same for the next, or go on."""
            with m.If(done):
                m.d.sync += self.context.eq(Mux(last_context, 1, next_context))
                with m.If(last_context):
                    then()
                with m.Else():
                    m.next = state

        def begin_phase(phase: Phase) -> None:
            m.d.sync += [self.phase.eq(phase), step.eq(0)]
            with m.If(self.noisy):
                m.next = "SEED"
            with m.Else():
                m.next = "STEP PROJECT"

        def begin_update() -> None:
            m.d.sync += [self.phase.eq(Phase.UPDATE), step.eq(0)]
            m.next = "SEED"

        def finish_group() -> None:
            m.d.sync += [self.sample.eq(self.sample + contexts), self.row.eq(0)]
            m.d.comb += self.keep_outputs.eq(1)
            with m.If(more_samples):
                m.d.comb += self.next_sample.eq(1)
                m.next = "LOAD LEVEL"
            with m.Else():
                m.d.sync += self.busy.eq(0)
                m.next = "IDLE"

        def begin_contrast(negate: int) -> None:
            m.d.sync += self.negate.eq(negate)
            m.next = "CONTRAST PROJECT"

        m.d.comb += bank.eq(Bank.STATE)
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.comb += self.first_sample.eq(1)
                m.d.sync += [self.sample.eq(0), self.context.eq(1), self.level.eq(0), self.fresh.eq(~self.accumulates)]
                m.d.sync += [self.negate.eq(0), self.busy.eq(1), self.row.eq(0)]
                with m.If(trains & ~self.accumulates):
                    m.next = "CLEAR"
                with m.Else():
                    m.next = "LOAD LEVEL"

            with m.State("CLEAR"):
                count = Mux(sides > neurons, sides, neurons)
                walk(Op.CLEAR, Order.LINEAR, drain_contrast, count=count)
                with m.If(done):
                    m.d.sync += self.level.eq(self.level + 1)
                    with m.If(self.level + 1 == levels):
                        m.next = "LOAD LEVEL"

            # Load each context's sample, and the gains and biases of its level. In a reverse process the level is that
            # of a row, and comes later: an empty pass, as a run must begin with a linear one.
            with m.State("LOAD LEVEL"):
                m.d.sync += self.phase.eq(Phase.FREE)
                walk(Op.LOAD_LEVEL, Order.LINEAR, DRAIN_LOAD, count=Mux(sampling, 0, 1))
                with m.If(done):
                    m.next = "LOAD GAINS"
                    with m.If(sampling):
                        m.next = "LOAD STATES"
            with m.State("LOAD GAINS"):
                walk(Op.LOAD_GAIN, Order.LINEAR, DRAIN_BUS, count=sides)
                with m.If(done):
                    m.next = "LOAD BIASES"
            with m.State("LOAD BIASES"):
                walk(Op.LOAD_BIAS, Order.LINEAR, DRAIN_LOAD, count=neurons)

                def levelled() -> None:
                    m.next = "CLAMPED PROJECT"

                with m.If(sampling):
                    for_each_context("LOAD GAINS", levelled)
                with m.Elif(done):
                    m.next = "LOAD STATES"
            with m.State("LOAD STATES"):
                walk(Op.LOAD_STATE, Order.NEURONS, DRAIN_LOAD, clamped=1)
                with m.If(done):
                    m.next = "LOAD TARGETS"
            with m.State("LOAD TARGETS"):
                walk(Op.LOAD_TARGET, Order.NEURONS, DRAIN_LOAD, output=trains)

                def loaded() -> None:
                    m.next = "CLAMPED PROJECT"
                    with m.If(sampling):
                        begin_update()

                with m.If(done & ~last_context):
                    m.d.comb += self.next_sample.eq(1)
                for_each_context("LOAD LEVEL", loaded)

            # What clamped modules project is the same in all steps.
            with m.State("CLAMPED PROJECT"):
                walk(Op.PROJECT, Order.ENDS_NEURONS, DRAIN_BUS, clamped=1, opposite_clamped=1)
                with m.If(done):
                    m.next = "CLAMPED GAIN"
            with m.State("CLAMPED GAIN"):
                walk(Op.GAIN, Order.ENDS, DRAIN_BUS, clamped=1, opposite_clamped=1)
                with m.If(done):
                    begin_phase(Phase.FREE)

            with m.State("SEED"):
                m.d.comb += [self.load_noise.eq(1), self.rewind_outputs.eq(updating)]
                m.next = "WARM UP"
            with m.State("WARM UP"):
                m.d.comb += self.warm_noise.eq(1)
                m.d.sync += warm.eq(warm + 1)
                with m.If(warm == WARM_UP - 1):
                    m.next = "STEP PROJECT"
                    if not self._geometry.compact:
                        with m.If(updating):
                            m.next = "UPDATE"

            if not self._geometry.compact:
                # From one noise level to the next, one context after the other.
                with m.State("UPDATE"):
                    walk(Op.UPDATE, Order.NEURONS, NEW_STAGE, clamped=1)
                    m.d.comb += going.eq(pace == 0)
                    m.d.sync += pace.eq(pace + 1)

                    def updated() -> None:
                        m.d.comb += self.rewind_outputs.eq(1)
                        m.next = "LOAD GAINS"
                        with m.If(last_row):
                            m.next = "OUTPUT"

                    for_each_context("UPDATE", updated)

            # A relaxation step. Its first reads the initial state without a copy.
            begins = Mux(self.warm & (self.row != 0), Bank.STATE, Bank.ZERO)
            initial = Mux(self.phase == Phase.FREE, begins, Bank.FREE)
            source = Mux(first_step, initial, Bank.STATE)
            with m.State("STEP PROJECT"):
                m.d.comb += [self.relaxing.eq(1), bank.eq(source)]
                walk(Op.PROJECT, Order.ENDS_NEURONS, DRAIN_BUS, free=1)
                with m.If(done):
                    m.next = "STEP GAIN"
            with m.State("STEP GAIN"):
                m.d.comb += self.relaxing.eq(1)
                walk(Op.GAIN, Order.ENDS, DRAIN_BUS, free=1)
                with m.If(done):
                    m.next = "STEP FORCE"
            with m.State("STEP FORCE"):
                m.d.comb += [self.relaxing.eq(1), bank.eq(source), self.stepped.eq(done)]
                walk(Op.FORCE, Order.NEURONS_ENDS, drain_move, free=1)
                with m.If(done):
                    m.d.sync += step.eq(step + 1)
                    m.next = "STEP PROJECT"
                    with m.If(self.last_step):
                        with m.Switch(self.phase):
                            with m.Case(Phase.FREE):
                                m.d.comb += self.rewind_outputs.eq(sampling)
                                m.next = "OUTPUT"
                            with m.Case(Phase.POSITIVE):
                                begin_contrast(negate=0)
                            with m.Case(Phase.NEGATIVE):
                                begin_contrast(negate=1)

            with m.State("OUTPUT"):
                walk(Op.OUTPUT, Order.NEURONS, DRAIN_LOAD, output=~updating, clamped=updating)

                def copied() -> None:
                    with m.If(sampling & ~updating):
                        m.d.sync += self.row.eq(self.row + 1)
                        begin_update()
                    with m.Else(), m.Switch(self.mode):
                        with m.Case(Mode.ONE_SIDED):
                            begin_contrast(negate=1)
                        with m.Case(Mode.SYMMETRIC):
                            begin_phase(Phase.POSITIVE)
                        with m.Default():
                            finish_group()

                for_each_context("OUTPUT", copied)

            # Buses and drives of the final states, then the sums.
            with m.State("CONTRAST PROJECT"):
                walk(Op.PROJECT, Order.ENDS_NEURONS, DRAIN_BUS, free=1, opposite_clamped=1)
                with m.If(done):
                    m.next = "CONTRAST DRIVE"
            with m.State("CONTRAST DRIVE"):
                walk(Op.GAIN, Order.ENDS, DRAIN_BUS, free=1, opposite_clamped=1)
                with m.If(done):
                    m.next = "CONTRAST WEIGHTS"
            with m.State("CONTRAST WEIGHTS"):
                walk(Op.CONTRAST, Order.ENDS_NEURONS, drain_contrast, free=1, clamped=1, opposite_clamped=1)
                with m.If(done):
                    m.d.sync += self.fresh.eq(0)
                    m.next = "CONTRAST GAINS"
            with m.State("CONTRAST GAINS"):
                walk(Op.CONTRAST_GAIN, Order.LINEAR, drain_contrast, count=sides)

                def gained() -> None:
                    m.next = "CONTRAST BIASES"

                for_each_context("CONTRAST GAINS", gained)
            with m.State("CONTRAST BIASES"):
                walk(Op.CONTRAST_BIAS, Order.LINEAR, drain_contrast, count=neurons)

                def contrasted() -> None:
                    with m.Switch(self.phase):
                        with m.Case(Phase.FREE):
                            begin_phase(Phase.POSITIVE)
                        with m.Case(Phase.POSITIVE):
                            with m.If(self.mode == Mode.SYMMETRIC):
                                begin_phase(Phase.NEGATIVE)
                            with m.Else():
                                finish_group()
                        with m.Default():
                            finish_group()

                for_each_context("CONTRAST BIASES", contrasted)
        return m
