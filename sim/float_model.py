"""The float model, address ``float:``: the equations of relaxation in double precision, without a device's rounding.

Noise levels, phases and units are those of every substrate, so what it learns can be compared with what a device
learns, number for number.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..substrate.codes import NOISE_VARIANCE
from ..substrate.contrast import contrast
from ..substrate.errors import CapabilityError, DeviceError
from ..substrate.interface import Identity, Substrate
from ..substrate.network import RAIL, Network
from ..substrate.parameters import Parameters
from ..substrate.phases import Estimator, Minibatch, Result, Schedule
from ..substrate.reverse import Draws, Program, others
from .golden_sampling import UPDATE
from .noise import NoiseStream

__all__ = ["FloatModel"]

Array = NDArray[np.float64]

BATCH_LIMIT = 4096
"""Largest minibatch: keeps the states of any network that a device could hold within memory."""

FREE, POSITIVE, NEGATIVE = range(3)
"""Numbers of the phases in the keys of noise streams, as on a device."""

NOISE_STEPS = 16
"""Steps for which noise is drawn at once."""


class FloatModel(Substrate):
    """The network in NumPy, float64, vectorised over the minibatch; positive and negative phase run side by side.

    Langevin noise of sample j in a phase comes from the Philox stream with key (seed, 256 j + phase), so its
    noise depends neither on the rest of the minibatch nor on earlier runs.
    """

    def __init__(self) -> None:
        self._network: Network | None = None
        self._dynamics: _Dynamics | None = None
        self._states: dict[str, Array] | None = None
        self._health = {"runs": 0, "samples": 0}

    @property
    def identity(self) -> Identity:
        """What the model is and can do."""
        return Identity(
            address="float:", kind="float", uid="float", build=f"numpy {np.__version__}", batch_limit=BATCH_LIMIT,
            warm_start=True, generates=True,
        )  # fmt: skip

    def configure(self, network: Network) -> None:
        """Take ``network``; of any size. Parameters must be written afterwards."""
        self._network, self._dynamics, self._states = network, None, None

    def write(self, parameters: Parameters) -> None:
        """Load parameters, as they are.

        Raises
        ------
        ParameterError
            If a shape does not fit the network or a value is not finite.
        DeviceError
            If no network has been configured.
        """
        if self._network is None:
            raise DeviceError("The float model has no network: call configure first")
        parameters.check(self._network)
        self._dynamics = _Dynamics(self._network, parameters.map(np.copy))

    def read(self) -> Parameters:
        """A copy of the parameters.

        Raises
        ------
        DeviceError
            If none have been written.
        """
        return self._ready().parameters.map(np.copy)

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """Run a minibatch through the phases of ``schedule``.

        Raises
        ------
        DataError, CapabilityError
            If minibatch or schedule do not fit the network.
        DeviceError
            If no parameters have been written, or the states grow without bound.
        """
        dynamics = self._ready()
        network = dynamics.network
        schedule.check(network)
        minibatch.check(network, schedule)
        if len(minibatch) > BATCH_LIMIT:
            raise CapabilityError(f"A minibatch must have at most {BATCH_LIMIT} samples, not {len(minibatch)}")
        self._states = None
        begin = time.perf_counter()
        free, residual = dynamics.run(minibatch, schedule, FREE, start=minibatch.initial)
        last, direction = free, None
        if schedule.estimator is Estimator.ONE_SIDED:
            last, _ = dynamics.run(minibatch, schedule, POSITIVE, start=free)
            direction = contrast(network, dynamics.parameters, minibatch, last, free, schedule.beta)
        elif schedule.estimator is Estimator.SYMMETRIC:
            both, _ = dynamics.run(minibatch, schedule, POSITIVE, NEGATIVE, start=free)
            positive, last = np.split(both, 2)
            direction = contrast(network, dynamics.parameters, minibatch, positive, last, 2 * schedule.beta)
        self._states = {"free": free, "last": last}
        self._health["runs"] += 1
        self._health["samples"] += len(minibatch)
        return Result(
            outputs=free[:, network.slices[network.output]].copy(),
            contrast=direction,
            residual=residual,
            seconds={"device": time.perf_counter() - begin, "link": 0.0},
        )

    def generate(self, program: Program, draws: Draws) -> Result:
        """Run a reverse process: the reference for devices, with the integers of their noise.

        Raises
        ------
        DataError, CapabilityError
            If program or draws do not fit the network.
        DeviceError
            If no parameters have been written, or the states grow without bound.
        """
        dynamics = self._ready()
        network = dynamics.network
        program.check(network)
        draws.check(network, program)
        if len(draws) > BATCH_LIMIT:
            raise CapabilityError(f"The float model must be asked for at most {BATCH_LIMIT} samples, not {len(draws)}")
        self._states = None
        begin = time.perf_counter()
        sampled, numbers = network.slices[program.sampled], draws.first + np.arange(len(draws))
        states = np.zeros((len(draws), network.neurons))
        states[:, others(network, program.sampled)] = draws.clamped
        now = before = np.zeros((len(draws), network.outputs))
        residuals = []
        for row, (a, b, g, e) in enumerate(program.factors.tolist()):
            xi = NoiseStream(draws.seed, numbers, UPDATE, row).take(network.outputs) / np.sqrt(NOISE_VARIANCE)
            now, before = a * now + b * states[:, network.slices[network.output]] + g * before + e * xi, now
            states[:, sampled] = now
            if row == len(program.levels):
                break
            minibatch = Minibatch(states[:, network.clamped], np.full(len(draws), program.levels[row]))
            start = states if program.warm and row else None
            schedule = program.schedule((draws.seed + row) % 2**64)
            states, residual = dynamics.run(minibatch, schedule, FREE, start=start)
            residuals.append(residual)
        self._states = {"free": states, "last": states}
        self._health["runs"] += 1
        self._health["samples"] += len(draws)
        seconds = {"device": time.perf_counter() - begin, "link": 0.0}
        return Result(now.copy(), None, float(np.mean(residuals)), seconds=seconds)

    def states(self) -> dict[str, Array]:
        """States of all samples of the last run, ``free`` and ``last``, each (B, N).

        Raises
        ------
        DeviceError
            If nothing has run since :meth:`configure`, or the last run failed.
        """
        if self._states is None:
            raise DeviceError("The float model has no states: run a minibatch first")
        return {name: states.copy() for name, states in self._states.items()}

    def health(self) -> dict[str, int | float]:
        """Counters since the model was made: ``runs`` and ``samples``."""
        return dict(self._health)

    def close(self) -> None:
        """Forget network, parameters and states."""
        self._network, self._dynamics, self._states = None, None, None

    def _ready(self) -> _Dynamics:
        if self._dynamics is None:
            raise DeviceError("The float model has no parameters: call configure and write first")
        return self._dynamics


class _Dynamics:
    """Phases of a network with given parameters.

    Relaxation is laid out for speed. States are transposed, so that a module's rows are contiguous. The *live* ends,
    those of couplings between two free modules, are sorted by module, so that all buses of a module are one
    product and all pushes on it another.
    """

    def __init__(self, network: Network, parameters: Parameters) -> None:
        self.network, self.parameters = network, parameters
        self.free, self.clamped = _rows(network, clamped=False), _rows(network, clamped=True)
        self.railed = [rows for name, rows in self.free.items() if network[name].railed]
        self.gains: list[Array] = []  # of each live end, (levels, k)
        self.blocks: list[tuple[slice, slice, Array]] = []  # of each module: neurons, buses, weights (n, buses)
        place: dict[tuple[int, str], int] = {}  # first bus of each live end, by coupling and module
        partner: list[tuple[int, str]] = []
        bus = 0
        for name, rows in self.free.items():
            weights = []
            for index, coupling in enumerate(network.couplings):
                other = {coupling.a: coupling.b, coupling.b: coupling.a}.get(name)
                if other in self.free:
                    weights.append(parameters.U[index] if name == coupling.a else parameters.V[index])
                    self.gains.append(parameters.gain[index])
                    place[index, name] = bus + sum(w.shape[1] for w in weights[:-1])
                    partner.append((index, other))
            if weights:
                block = np.concatenate(weights, axis=1)
                self.blocks.append((rows, slice(bus, bus + block.shape[1]), block))
                bus += block.shape[1]
        ranges = [place[end] + np.arange(network.couplings[end[0]].rank) for end in partner]
        self.partner = np.concatenate([np.arange(0), *ranges])

    def run(
        self, minibatch: Minibatch, schedule: Schedule, *phases: int, start: Array | None = None
    ) -> tuple[Array, float]:
        """Run ``phases`` side by side from ``start`` (B, N), or from zero; states (phases * B, N) and the residual."""
        network = self.network
        beta = {FREE: 0.0, POSITIVE: schedule.beta, NEGATIVE: -schedule.beta}
        nudge = np.repeat([beta[phase] for phase in phases], len(minibatch))
        steps = schedule.free_steps if phases == (FREE,) else schedule.nudged_steps
        noise = None
        if schedule.temperature:
            keys = [(schedule.seed, 256 * j + phase) for phase in phases for j in range(len(minibatch))]
            size = int((~network.clamped).sum())
            noise = _noise(keys, size, steps, np.sqrt(2 * schedule.temperature * network.dt))
        tiled = _tile(minibatch, len(phases))
        states = np.zeros((len(nudge), network.neurons)) if start is None else np.tile(start, (len(phases), 1))
        moved, residual = self._relax(states[:, ~network.clamped], tiled, nudge, steps, noise)
        if not np.all(np.isfinite(moved)):
            raise DeviceError(
                f"States of the float model grew without bound within {steps} steps: "
                f"lower the step dt ({network.dt:g}) or the strength of the couplings"
            )
        states[:, network.clamped] = tiled.clamped
        states[:, ~network.clamped] = moved
        return states, residual

    def _relax(
        self,
        start: Array,
        minibatch: Minibatch,
        nudge: Array,
        steps: int,
        noise: Iterator[Array] | None,
    ) -> tuple[Array, float]:
        """States of the free neurons after ``steps`` from ``start`` (B, free), and mean |ds/dt| of the last step.

        ``nudge`` (B,) is the strength, with sign, that pulls the outputs of each sample to its target.
        """
        network, dt = self.network, self.network.dt
        # Everything that stays the same is gathered into s <- s (keep - cubic s^2) + drift + push (+ noise).
        keep = np.repeat(1 - dt * network.stiffness[~network.clamped, None], len(nudge), axis=1)
        drift = np.ascontiguousarray(dt * self._constant_force(minibatch.clamped, minibatch.levels).T)
        if minibatch.target is not None:
            output = self.free[network.output]
            keep[output] -= dt * nudge
            drift[output] += dt * nudge * minibatch.target.T
        cubic = dt * network.quartic[~network.clamped, None]
        gain = dt * np.concatenate([np.zeros((0, len(nudge))), *(gain[minibatch.levels].T for gain in self.gains)])
        s = np.ascontiguousarray(start.T)
        push, scratch, before = np.zeros_like(s), np.empty_like(s), s
        raw, drive = np.empty_like(gain), np.empty_like(gain)
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for it
            for step in range(steps):
                for rows, buses, block in self.blocks:
                    np.matmul(block.T, s[rows], out=raw[buses])
                np.take(raw, self.partner, axis=0, out=drive, mode="clip")
                drive *= gain
                for rows, buses, block in self.blocks:
                    np.matmul(block, drive[buses], out=push[rows])
                if step == steps - 1:
                    before = s.copy()
                np.multiply(s, s, out=scratch)
                scratch *= cubic
                np.subtract(keep, scratch, out=scratch)
                s *= scratch
                s += drift
                s += push
                for rows in self.railed:
                    np.clip(s[rows], -RAIL, RAIL, out=s[rows])
                if step == steps - 1:
                    residual = float(np.abs(s - before).mean()) / dt
                if noise is not None:
                    s += next(noise)
                    for rows in self.railed:
                        np.clip(s[rows], -RAIL, RAIL, out=s[rows])
        return s.T, residual

    def _constant_force(self, clamped: Array, levels: NDArray[np.int64]) -> Array:
        """Bias and what the clamped modules push, (B, free): projected once, not once a step."""
        network, parameters = self.network, self.parameters
        force = parameters.bias[levels][:, ~network.clamped]
        for coupling, u, v, gain in zip(network.couplings, parameters.U, parameters.V, parameters.gain, strict=True):
            if coupling.a in self.clamped:
                force[:, self.free[coupling.b]] += (clamped[:, self.clamped[coupling.a]] @ u * gain[levels]) @ v.T
            elif coupling.b in self.clamped:
                force[:, self.free[coupling.a]] += (clamped[:, self.clamped[coupling.b]] @ v * gain[levels]) @ u.T
        return force


def _rows(network: Network, clamped: bool) -> dict[str, slice]:
    """Where each clamped (or each free) module is among the clamped (or the free) neurons."""
    rows, start = {}, 0
    for module in network:
        if module.clamped == clamped:
            rows[module.name] = slice(start, start + module.size)
            start += module.size
    return rows


def _tile(minibatch: Minibatch, repeat: int) -> Minibatch:
    """``minibatch``, ``repeat`` times over."""
    target = None if minibatch.target is None else np.tile(minibatch.target, (repeat, 1))
    return Minibatch(np.tile(minibatch.clamped, (repeat, 1)), np.tile(minibatch.levels, repeat), target)


def _noise(keys: list[tuple[int, int]], size: int, steps: int, amplitude: float) -> Iterator[Array]:
    """Noise (size, B) of each step, a stream for each of ``keys``."""
    streams = [np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64))) for key in keys]
    for begin in range(0, steps, NOISE_STEPS):
        shape = (min(NOISE_STEPS, steps - begin), size)
        drawn = amplitude * np.stack([stream.standard_normal(shape) for stream in streams], axis=-1)
        yield from drawn
