"""Golden model: the gateware's arithmetic in NumPy, bit for bit, all samples of a minibatch at once.

Follows ``docs/arithmetic.md``. Integers are kept in float64: every product and sum below stays under 2**53, so BLAS
computes it exactly. A rounding shift R(x, k) is floor(x * 2**-k + 1/2), and the power of two, which scales exactly, is
put into whichever factor does not change from step to step.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..drivers.layout import Layout
from ..substrate.codes import (
    Codes,
    ScheduleCodes,
    Sums,
    decode_contrast,
    decode_parameters,
    decode_residual,
    encode_initial,
    encode_minibatch,
    encode_parameters,
    encode_schedule,
)
from ..substrate.errors import CapabilityError, DeviceError
from ..substrate.formats import BATCH_LIMIT, COMPACT, FORMATS, Formats
from ..substrate.geometry import Geometry
from ..substrate.interface import Identity, Substrate
from ..substrate.learning import GUARD_BITS, Learnt, Memory, Rule, encode_rule, flattened, shaped
from ..substrate.network import Network
from ..substrate.parameters import Parameters
from ..substrate.phases import Minibatch, Result, Saturations, Schedule
from ..substrate.protocol import Mode
from ..substrate.reverse import Draws, Program, encode_program
from .golden_contrast import contrast_sums
from .golden_learning import Held, update
from .golden_sampling import reverse_run
from .noise import NoiseStream

__all__ = ["Golden", "GoldenRun", "Model"]

Array = NDArray[np.float64]

_LARGEST = Geometry(
    neurons=4096, rows=65536, groups=4096, modules=32, levels=64, sample_words=65536, output_words=65536
)
"""Sizes of a device that has room for any network; but for its lanes."""

_NOISE_CHUNK = 1 << 20
"""Noise integers made at once."""


@dataclass
class GoldenRun:
    """What a run leaves, as integers (in float64 where they are many).

    Attributes
    ----------
    free, last
        Stored states at the end of the free and of the last phase, (B, N).
    sums
        Contrast sums; None after a free run.
    residual
        Sum of |F| in state steps, in the last step of the free phase.
    clips
        Saturations by kind.
    """

    free: Array
    last: Array
    sums: Sums | None = None
    residual: int = 0
    clips: dict[str, int] = field(default_factory=lambda: {"state": 0, "bus": 0, "force": 0})


class Golden(Substrate):
    """``golden:``: the bit-exact model of the gateware, without its clock.

    Parameters
    ----------
    compact
        1 to be a compact device, which has other formats inside, no noise, and does not learn.
    lanes
        Rank channels that the device it is a model of works on at once: in what order an update takes the parameters,
        and so which random bits round which.
    """

    def __init__(self, compact: int = 0, lanes: int = 8) -> None:
        self._lanes = lanes
        self._formats = COMPACT if compact else FORMATS
        self._thermal = self._samples_itself = not compact
        self._layout: Layout | None = None
        self._memory: tuple[Held, Held] | None = None
        self._network: Network | None = None
        self._codes: Codes | None = None
        self._model: Model | None = None
        self._run: GoldenRun | None = None
        self._runs = 0
        self._samples = 0

    @property
    def identity(self) -> Identity:
        """Identity of the model; its build is the hash of the number formats and the version."""
        build = hashlib.sha256(repr((__version__, self._formats, self._thermal)).encode()).hexdigest()[:16]
        formats = {name: str(fixed) for name, fixed in self._formats.pairs()}
        details = {"formats": formats}
        return Identity(
            "golden:", "golden", "golden", build, BATCH_LIMIT, thermal=self._thermal, warm_start=True,
            learns=self._thermal, generates=self._samples_itself, details=details,
        )  # fmt: skip

    def configure(self, network: Network) -> None:
        """Take a network of any size."""
        self._network, self._codes, self._model, self._run = network, None, None, None
        self._layout = self._memory = None

    def write(self, parameters: Parameters) -> None:
        """Round parameters to the device's formats."""
        if self._network is None:
            raise DeviceError("golden: has no network: call configure before write")
        self._codes = encode_parameters(self._network, parameters, self._formats)
        self._memory = None
        self._model = Model(self._network, self._codes, self._formats)

    def read(self) -> Parameters:
        """Parameters as rounded."""
        if self._codes is None:
            raise DeviceError("golden: has no parameters: call write before read")
        return decode_parameters(self._codes, self._formats)

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """Run a minibatch."""
        run, codes = self._relax(minibatch, schedule)
        network = self._network
        assert network is not None
        if run.sums is not None:
            self._memory = None
        return Result(
            outputs=self._outputs(run),
            contrast=None
            if run.sums is None
            else decode_contrast(network, run.sums, codes, len(minibatch), self._formats),
            residual=decode_residual(network, run.residual, len(minibatch), self._formats),
            saturations=Saturations(**run.clips),
            relax_steps=_relax_steps(schedule, codes, len(minibatch)),
        )

    def learn(self, minibatch: Minibatch, schedule: Schedule, rule: Rule, *, outputs: bool = True) -> Learnt:
        """Run a minibatch, and change the parameters by what it contrasts."""
        if not self._thermal:
            raise self.cannot_learn()
        if self._memory is None or self._network is None or self._codes is None:
            raise DeviceError("golden: has no momentum: call restore before learn")
        network, layout = self._network, self._placed()
        fine, momentum = self._memory
        schedule_codes = encode_schedule(network, schedule, self._formats)
        rule_codes = encode_rule(network, rule, schedule_codes, len(minibatch), self._formats)
        run, _ = self._relax(minibatch, schedule)
        if run.sums is None:
            raise CapabilityError("A run that learns must contrast: estimator symmetric or one-sided, not free")
        sums = momentum.plus(Held(*layout.arranged(run.sums)))
        fine, left, clips = update(fine, sums, rule_codes, layout.row_ends(), schedule.seed, self._formats)
        self._hold(fine, left)
        return Learnt(
            self._outputs(run) if outputs else None,
            decode_residual(network, run.residual, len(minibatch), self._formats),
            Saturations(**run.clips),
            clips,
            relax_steps=_relax_steps(schedule, schedule_codes, len(minibatch)),
        )

    def memory(self) -> Memory:
        """What it has learned."""
        if not self._thermal:
            raise self.cannot_learn()
        if self._memory is None:
            raise DeviceError("golden: has no momentum: call restore before memory")
        layout = self._placed()
        fine, momentum = (flattened(layout.collected(*held.parts)) for held in self._memory)
        return Memory(fine, momentum)

    def restore(self, memory: Memory) -> None:
        """Load what a device had learned."""
        if not self._thermal:
            raise self.cannot_learn()
        if self._network is None:
            raise DeviceError("golden: has no network: call configure before restore")
        if self._codes is None:
            self._codes = encode_parameters(self._network, Parameters.zeros(self._network), self._formats)
        layout = self._placed()
        parts = (Held(*layout.arranged(shaped(self._network, part))) for part in (memory.fine, memory.momentum))
        self._hold(*parts)

    def _hold(self, fine: Held, momentum: Held) -> None:
        """Have the multipliers see the parameters without their guard bits."""
        assert self._network is not None and self._codes is not None
        seen = self._placed().collected(*(part >> GUARD_BITS for part in fine.parts))
        self._codes = replace(self._codes, U=seen.U, V=seen.V, gain=seen.gain, bias=seen.bias)
        self._model = Model(self._network, self._codes, self._formats)
        self._memory = fine, momentum

    def holds(self, memory: Memory) -> bool:
        """Whether it has learned exactly this."""
        held = self.memory()
        return bool(np.array_equal(held.fine, memory.fine) and np.array_equal(held.momentum, memory.momentum))

    def _placed(self) -> Layout:
        """Where the network lives on a device of so many lanes."""
        if self._layout is None:
            assert self._network is not None
            self._layout = Layout(self._network, replace(_LARGEST, lanes=self._lanes))
        return self._layout

    def _outputs(self, run: GoldenRun) -> Array:
        assert self._network is not None
        return self._formats.state.decode(_see(run.free[:, self._network.slices[self._network.output]], self._formats))

    def _relax(self, minibatch: Minibatch, schedule: Schedule) -> tuple[GoldenRun, ScheduleCodes]:
        """All phases of a minibatch."""
        if self._network is None or self._model is None:
            raise DeviceError("golden: has no parameters: call write before run")
        if len(minibatch) > BATCH_LIMIT:
            raise CapabilityError(
                f"A minibatch of golden: must have at most {BATCH_LIMIT} samples, not {len(minibatch)}"
            )
        network = self._network
        codes = encode_schedule(network, schedule, self._formats)
        clamped, target = encode_minibatch(network, minibatch, schedule, self._formats)
        initial = encode_initial(minibatch, self._formats)
        if codes.amplitude and not self._thermal:
            raise CapabilityError(
                f"A compact golden: has no thermal noise, so temperature must be 0, not {schedule.temperature:g}: "
                "lower it, or use golden:"
            )
        run = self._model.run(clamped, minibatch.levels, target, initial, schedule, codes)
        self._run, self._runs, self._samples = run, self._runs + 1, self._samples + len(minibatch)
        return run, codes

    def generate(self, program: Program, draws: Draws) -> Result:
        """Run a reverse process."""
        if self._network is None or self._model is None:
            raise DeviceError("golden: has no parameters: call write before generate")
        if not self._samples_itself:
            return super().generate(program, draws)
        if len(draws) > BATCH_LIMIT:
            raise CapabilityError(f"golden: must be asked for at most {BATCH_LIMIT} samples, not {len(draws)}")
        network = self._network
        codes, clamped = encode_program(network, program, draws, self._formats)
        run = reverse_run(self._model, codes, clamped, program.free_steps, draws.seed, draws.first, program.warm)
        self._run, self._runs, self._samples = run, self._runs + 1, self._samples + len(draws)
        phases = len(program.levels)
        return Result(
            outputs=self._formats.state.decode(self._model.see(run.last[:, network.slices[program.sampled]])),
            contrast=None,
            residual=decode_residual(network, run.residual, len(draws) * phases, self._formats),
            saturations=Saturations(**run.clips),
            relax_steps=len(draws) * phases * program.free_steps,
        )

    def states(self) -> dict[str, Array]:
        """Stored states of all samples of the last run, (B, N)."""
        if self._run is None:
            raise DeviceError("golden: has no states: call run before states")
        decode = self._formats.stored.decode
        return {"free": decode(self._run.free), "last": decode(self._run.last)}

    def health(self) -> dict[str, int | float]:
        """Runs and samples since it was made."""
        return {"runs": self._runs, "samples": self._samples}

    def close(self) -> None:
        """Nothing to release."""


def _relax_steps(schedule: Schedule, codes: ScheduleCodes, batch: int) -> int:
    return batch * (schedule.free_steps + schedule.nudged_steps * codes.mode)


def _see(stored: Array, formats: Formats) -> Array:
    """State as multipliers see it."""
    return np.asarray(np.floor(stored * 2.0**-formats.guard + 0.5))


class Model:
    """A network's codes, arranged for relaxation.

    Neurons are in network order; ``free`` selects those that move. For each free module, the weights of all its ends
    stand side by side, so that a pass over a module is one matrix product.
    """

    def __init__(self, network: Network, codes: Codes, formats: Formats) -> None:
        self.network, self.codes, self.formats = network, codes, formats
        self.free = free = np.flatnonzero(~network.clamped)
        self.ends = ends = [
            _End(network, codes, formats, number, side, own, other)
            for number, coupling in enumerate(network.couplings)
            for side, (own, other) in enumerate(((coupling.a, coupling.b), (coupling.b, coupling.a)))
        ]
        self.modules = [_FreeModule(network, name, ends) for name in network.slices if not network[name].clamped]
        shift = formats.site.fraction + formats.bus.fraction - formats.slope.fraction
        self.stiffness = codes.stiffness[free] * 2.0 ** (formats.bus.fraction - shift) + 0.5
        self.quartic = codes.quartic[free] * 2.0**-shift
        output = network.slices[network.output]
        start = int(np.searchsorted(free, output.start))
        self.output = slice(start, start + network.outputs)

    def run(
        self, clamped: NDArray[np.int64], levels: NDArray[np.int64], target: NDArray[np.int64] | None,
        initial: NDArray[np.int64] | None, schedule: Schedule, codes: ScheduleCodes,
    ) -> GoldenRun:  # fmt: skip
        """All phases of a minibatch."""
        run = self.rest(len(levels), initial)
        relax, drives, raws = self._begin(run, clamped, levels, codes)

        def stream(phases: list[int]) -> list[NoiseStream]:
            return _streams(codes, schedule.seed, np.arange(len(levels)), phases)

        run.free = relax.phase(run.free, schedule.free_steps, stream([0]), residual=True)
        run.last = run.free
        contrasted: list[tuple[int, Array]] = []
        if codes.mode is Mode.ONE_SIDED and target is not None:
            run.last = relax.phase(run.free, schedule.nudged_steps, stream([1]), target, (codes.beta,))
            contrasted = [(-1, run.free), (1, run.last)]
        elif codes.mode is Mode.SYMMETRIC and target is not None:
            both = relax.phase(run.free, schedule.nudged_steps, stream([1, 2]), target, (codes.beta, -codes.beta))
            run.last = both[len(levels) :]
            contrasted = [(1, both[: len(levels)]), (-1, run.last)]
        if contrasted:
            run.sums = self._contrast(contrasted, levels, drives, raws, run)
        return run

    def free_phase(
        self, clamped: NDArray[np.int64] | Array, levels: NDArray[np.int64], initial: NDArray[np.int64] | Array | None,
        steps: int, codes: ScheduleCodes, seed: int, *, samples: NDArray[np.int64], row: int,
    ) -> GoldenRun:  # fmt: skip
        """The free phase after a row of a reverse process, of samples with these numbers."""
        run = self.rest(len(levels), initial)
        relax, _, _ = self._begin(run, clamped, levels, codes)
        run.free = run.last = relax.phase(run.free, steps, _streams(codes, seed, samples, [0], row), residual=True)
        return run

    def rest(self, batch: int, initial: NDArray[np.int64] | Array | None = None) -> GoldenRun:
        """A run that has not begun: all states at zero, or at ``initial``."""
        stored = np.zeros((batch, self.network.neurons)) if initial is None else initial.astype(float)
        return GoldenRun(stored, stored)

    def see(self, stored: Array) -> Array:
        """States as multipliers see them."""
        return _see(stored, self.formats)

    def _begin(
        self, run: GoldenRun, clamped: NDArray[np.int64] | Array, levels: NDArray[np.int64], codes: ScheduleCodes
    ):
        """Clamp, and project what is clamped: what comes before the first phase."""
        run.free[:, self.network.clamped] = clamped * 2.0**self.formats.guard
        drives, raws = self._clamped_drives(_see(run.free, self.formats), levels, run)
        return _Relaxation(self, levels, drives, codes, run), drives, raws

    def _clamped_drives(self, states: Array, levels: NDArray[np.int64], run: GoldenRun):
        """Buses and drives of the ends of clamped modules: once a sample."""
        drives: dict[tuple[int, int], Array] = {}
        raws: dict[tuple[int, int], Array] = {}
        for end in self.ends:
            if self.network[end.own].clamped:
                raws[end.key], drives[end.key] = self._project(end, states, levels, run)
        return drives, raws

    def _project(self, end: _End, states: Array, levels: NDArray[np.int64], run: GoldenRun) -> tuple[Array, Array]:
        """Bus and drive of an end."""
        top = self.formats.bus.top
        raw = _bounded(np.floor(states[:, end.neurons] @ end.project + 0.5), top, run, "bus")
        return raw, _drive(raw, end.gain[levels], top, run)

    def _contrast(self, contrasted, levels, drives, raws, run: GoldenRun) -> Sums:
        """Project and drive all ends of the final states, and add up."""
        parts = []
        for sign, stored in contrasted:
            states = _see(stored, self.formats)
            all_drives, all_raws = dict(drives), dict(raws)
            for end in self.ends:
                if not self.network[end.own].clamped:
                    all_raws[end.key], all_drives[end.key] = self._project(end, states, levels, run)
            parts.append((sign, states, all_raws, all_drives))
        return contrast_sums(self.network, levels, parts, self.formats)


class _End:
    """One side of a coupling.

    Attributes
    ----------
    key, opposite
        (coupling, side) of this end and of the other.
    neurons
        Slice of the module's neurons.
    project
        Weights scaled for projection, (n, k).
    push
        Weights scaled for the force, (k, n).
    gain
        Gains scaled for the drive, (levels, k).
    """

    def __init__(
        self, network: Network, codes: Codes, formats: Formats, number: int, side: int, own: str, other: str
    ) -> None:
        self.key, self.opposite = (number, side), (number, 1 - side)
        self.own, self.other = own, other
        self.neurons = network.slices[own]
        weights = (codes.U, codes.V)[side][number].astype(float)
        self.project = weights * 2.0 ** -(formats.weight.fraction + formats.state.fraction - formats.bus.fraction)
        self.push = weights.T * 2.0 ** -(formats.weight.fraction + formats.bus.fraction - formats.stored.fraction)
        self.gain = codes.gain[number] * 2.0**-formats.gain.fraction


class _FreeModule:
    """A free module's ends side by side.

    Attributes
    ----------
    inner
        Ends whose opposite module is free, the ones that a step projects.
    project
        Their weights, (n, sum of ranks).
    edges
        Where each of them begins and ends in that sum.
    push
        Weights for the drives opposite to them, (sum of ranks, n).
    outer
        Ends whose opposite module is clamped: their push is constant.
    """

    def __init__(self, network: Network, name: str, ends: list[_End]) -> None:
        own = [end for end in ends if end.own == name]
        self.neurons = network.slices[name]
        self.inner = [end for end in own if not network[end.other].clamped]
        self.outer = [end for end in own if network[end.other].clamped]
        size = network[name].size
        self.project = np.hstack([end.project for end in self.inner] or [np.zeros((size, 0))])
        self.push = np.vstack([end.push for end in self.inner] or [np.zeros((0, size))])
        self.edges = list(pairwise(np.cumsum([0] + [end.project.shape[1] for end in self.inner]).tolist()))


class _Relaxation:
    """Phases of one minibatch."""

    def __init__(self, model: Model, levels, drives, codes: ScheduleCodes, run: GoldenRun) -> None:
        self._model, self._levels, self._codes, self._run = model, levels, codes, run
        network, formats = model.network, model.formats
        # What does not change from step to step: bias, and the push of clamped modules.
        bias = model.codes.bias[levels] * 2.0 ** (formats.stored.fraction - formats.site.fraction)
        push = np.zeros((len(levels), network.neurons))
        for module in model.modules:
            for end in module.outer:
                push[:, module.neurons] += drives[end.opposite] @ end.push
        self._bias, self._push = bias[:, model.free], push[:, model.free] + 0.5

    def phase(
        self, start: Array, steps: int, noise: list[NoiseStream],
        target: NDArray[np.int64] | None = None, betas: tuple[int, ...] = (), residual: bool = False,
    ) -> Array:  # fmt: skip
        """Relax from ``start``, once for each of ``betas`` (once without nudge if there are none); (R B, N)."""
        model, formats, runs = self._model, self._model.formats, max(len(betas), 1)
        levels = np.tile(self._levels, runs)
        gains = {end.key: end.gain[levels] for module in model.modules for end in module.inner}
        bias, push = np.tile(self._bias, (runs, 1)), np.tile(self._push, (runs, 1))
        full = np.tile(start, (runs, 1))
        stored = full[:, model.free]
        if target is not None:
            nudge = np.repeat(betas, len(start))[:, None] * 2.0 ** -(
                formats.state.fraction + formats.beta.fraction - formats.stored.fraction
            )
            goal = np.tile(target, (runs, 1)).astype(float)
        draws = _draw(noise, steps, stored.shape, self._codes.amplitude * 2.0**-formats.amplitude.fraction)
        scale = 2.0**-self._codes.dt_shift
        for step in range(steps):
            states = _see(stored, formats)
            force = self._push_of(states, gains, push)
            np.floor(force, out=force)
            force += bias
            force -= self._leak(states)
            if target is not None:
                miss = _bounded(goal - states[:, model.output], formats.state.top, self._run, "force")
                miss *= nudge
                miss += 0.5
                force[:, model.output] += np.floor(miss, out=miss)
            if residual and step == steps - 1:
                self._run.residual += int(np.floor(np.abs(force) * 2.0**-formats.guard).sum())
            force *= scale
            force += 0.5
            stored += np.floor(force, out=force)
            if self._codes.amplitude:
                stored += next(draws)
            stored = _bounded(stored, formats.rail, self._run, "state")
        full[:, model.free] = stored
        return full

    def _push_of(self, states: Array, gains: dict[tuple[int, int], Array], constant: Array) -> Array:
        """Push on each free neuron, plus 1/2, before it is rounded down."""
        model, top = self._model, self._model.formats.bus.top
        drives: dict[tuple[int, int], Array] = {}
        start = 0
        for module in model.modules:
            stop = start + module.project.shape[0]
            raw = states[:, start:stop] @ module.project
            raw += 0.5
            raw = _bounded(np.floor(raw, out=raw), top, self._run, "bus")
            for end, (low, high) in zip(module.inner, module.edges, strict=True):
                drives[end.key] = _drive(raw[:, low:high], gains[end.key], top, self._run)
            start = stop
        force = constant.copy()
        start = 0
        for module in model.modules:
            stop = start + module.project.shape[0]
            if module.inner:
                opposite = [drives[end.opposite] for end in module.inner]
                stacked = opposite[0] if len(opposite) == 1 else np.hstack(opposite)
                force[:, start:stop] += stacked @ module.push
            start = stop
        return force

    def _leak(self, states: Array) -> Array:
        """s (stiffness + quartic s^2)."""
        model, formats = self._model, self._model.formats
        slope = states * states
        slope *= 2.0 ** -(2 * formats.state.fraction - formats.bus.fraction)
        slope += 0.5
        np.floor(slope, out=slope)
        slope *= model.quartic
        slope += model.stiffness
        slope = _bounded(np.floor(slope, out=slope), formats.slope.top, self._run, "force")
        slope *= states
        slope *= 2.0 ** -(formats.state.fraction + formats.slope.fraction - formats.stored.fraction)
        slope += 0.5
        return np.floor(slope, out=slope)


def _drive(raw: Array, gain: Array, top: int, run: GoldenRun) -> Array:
    drive = raw * gain
    drive += 0.5
    return _bounded(np.floor(drive, out=drive), top, run, "bus")


def _bounded(values: Array, top: int, run: GoldenRun, kind: str) -> Array:
    """Saturate, and count it. (Most of the time there is nothing to do.)"""
    if values.size and (values.max() > top or values.min() < -top):
        run.clips[kind] += int(np.count_nonzero(np.abs(values) > top))
        np.clip(values, -top, top, out=values)
    return values


def _streams(
    codes: ScheduleCodes, seed: int, samples: NDArray[np.int64], phases: list[int], row: int = 0
) -> list[NoiseStream]:
    """Noise of the samples in each phase; none if there is no noise."""
    return [NoiseStream(seed, samples, phase, row) for phase in phases] if codes.amplitude else []


def _draw(streams: list[NoiseStream], steps: int, shape: tuple[int, ...], amplitude: float):
    """Noise of each step, (rows, free neurons), made some steps at a time."""
    if not streams:
        return
    rows, neurons = shape
    chunk = max(1, _NOISE_CHUNK // (rows * neurons))
    for begin in range(0, steps, chunk):
        count = min(chunk, steps - begin)
        drawn = np.concatenate([stream.take(count * neurons) for stream in streams])
        drawn *= amplitude
        drawn += 0.5
        np.floor(drawn, out=drawn)
        yield from drawn.reshape(rows, count, neurons).transpose(1, 0, 2)
