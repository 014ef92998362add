"""The substrate: a LUCIDAC that runs a minibatch through the phases, a computation for each phase of each sample."""

from __future__ import annotations

import time
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from ...substrate.contrast import contrast
from ...substrate.energy import force
from ...substrate.errors import CapabilityError, DeviceError
from ...substrate.interface import Identity, Substrate
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Result, Schedule
from .circuit import FAST, INTEGRATORS, LANES, MULTIPLIERS, Circuit
from .link import JsonLines
from .machine import FEWEST, IC_TIME, Acquisition, Machine
from .mapping import Mapping, Phase

__all__ = ["LucidacDevice"]

Array = NDArray[np.float64]

BATCH_LIMIT = 4096
"""Largest minibatch: samples are computed one after the other, so only patience limits it."""

_SIGNS = {
    Estimator.FREE: (),
    Estimator.ONE_SIDED: (("positive", 1.0),),
    Estimator.SYMMETRIC: (("positive", 1.0), ("negative", -1.0)),
}
"""Nudged phases of each estimator: name, and sign of beta."""


class LucidacDevice(Substrate):
    """A network on a LUCIDAC's integrators.

    Each phase is one computation: a whole configuration is sent, with the states that the phase begins from as initial
    conditions. The ADC samples all integrators in use meanwhile; a phase ends with the mean of the last samples.
    Contrasts are computed here, from those states.

    Parameters
    ----------
    link
        To the machine; owned from here on.
    scale
        Network units of a machine unit: states may be within +-scale.

    Raises
    ------
    DeviceError
        If scale is not above 0, or the other side is no LUCIDAC.
    """

    def __init__(self, link: JsonLines, scale: float = 1.0) -> None:
        if not isfinite(scale) or scale <= 0:
            link.close()
            raise DeviceError(f"Scale of {link.description} must be finite and above 0, not {scale:g}")
        self._machine, self._link, self._scale = Machine(link), link, scale
        self._mapping: Mapping | None = None
        self._parameters: Parameters | None = None
        self._states: dict[str, Array] | None = None
        self._health: dict[str, int | float] = {"runs": 0, "samples": 0, "phases": 0, "overloads": 0, "largest": 0.0}

    @property
    def identity(self) -> Identity:
        """What the machine is and can do."""
        return Identity(
            address=self._link.description,
            kind="lucidac",
            uid=self._machine.mac,
            build=f"firmware {self._machine.firmware or 'untold'}",
            batch_limit=BATCH_LIMIT,
            thermal=False,
            deterministic=False,
            details={
                "scale": self._scale,
                "integrators": INTEGRATORS,
                "multipliers": MULTIPLIERS,
                "lanes": LANES,
                "k0": FAST,
            }
            | self._used(),
        )

    def configure(self, network: Network) -> None:
        """Lay out ``network``. Parameters must be written afterwards.

        Raises
        ------
        CapabilityError
            If it does not fit, naming the limit and the need.
        """
        self._mapping, self._parameters, self._states = Mapping(network, self._scale), None, None

    def write(self, parameters: Parameters) -> None:
        """Take parameters; they go to the machine with every phase, as coefficients of its lanes.

        Raises
        ------
        ParameterError
            If a shape does not fit, a value is not finite, or a coupling needs a coefficient that lanes do not have.
        DeviceError
            If no network has been configured.
        """
        mapping = self._ready()
        parameters.check(mapping.network)
        mapping.check(parameters)
        self._parameters = parameters.map(np.copy)

    def read(self) -> Parameters:
        """A copy of the parameters. What the machine's converters round coefficients to, it does not tell.

        Raises
        ------
        DeviceError
            If none have been written.
        """
        return self._written().map(np.copy)

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """Run a minibatch through the phases of ``schedule``; steps and dt only say how long a phase takes.

        Raises
        ------
        DataError, CapabilityError
            If minibatch or schedule do not fit network or machine.
        DeviceError
            If no parameters have been written, or an element of the machine overloads.
        LinkError
            If the machine does not answer in time, or is gone.
        """
        mapping, parameters = self._ready(), self._written()
        network = mapping.network
        schedule.check(network)
        minibatch.check(network, schedule)
        if len(minibatch) > BATCH_LIMIT:
            raise CapabilityError(f"A minibatch must have at most {BATCH_LIMIT} samples, not {len(minibatch)}")
        if minibatch.initial is not None:
            raise CapabilityError("A LUCIDAC begins every run from zero: leave out initial states")
        if schedule.temperature:
            raise CapabilityError(
                f"A LUCIDAC has no source of noise: temperature must be 0, not {schedule.temperature:g}"
            )
        self._states = None
        begin = time.perf_counter()
        beta = 0.0 if schedule.estimator is Estimator.FREE else schedule.beta
        lengths = [schedule.free_steps] + [schedule.nudged_steps] * len(_SIGNS[schedule.estimator])
        runs = [Acquisition.of(mapping.seconds(steps, beta), mapping.channels) for steps in lengths]
        ends = [self._sample(minibatch, sample, schedule, beta, runs) for sample in range(len(minibatch))]
        free, *nudged = (np.array(states) for states in zip(*ends, strict=True))
        direction, last = None, nudged[-1] if nudged else free
        if schedule.estimator is Estimator.ONE_SIDED:
            direction = contrast(network, parameters, minibatch, last, free, beta)
        elif schedule.estimator is Estimator.SYMMETRIC:
            direction = contrast(network, parameters, minibatch, nudged[0], last, 2 * beta)
        moving = force(network, parameters, free, minibatch.levels)[:, ~network.clamped]
        self._states = {"free": free, "last": last}
        self._health["runs"] += 1
        self._health["samples"] += len(minibatch)
        device = len(minibatch) * sum(IC_TIME + run.nanoseconds for run in runs) * 1e-9
        return Result(
            outputs=free[:, network.slices[network.output]].copy(),
            contrast=direction,
            residual=float(np.abs(moving).mean()),
            seconds={"device": device, "link": max(0.0, time.perf_counter() - begin - device)},
        )

    def states(self) -> dict[str, Array]:
        """States of all samples of the last run, ``free`` and ``last``, each (B, N).

        Raises
        ------
        DeviceError
            If nothing has run since :meth:`configure`, or the last run failed.
        """
        if self._states is None:
            raise DeviceError(f"{self._link.description} has no states: run a minibatch first")
        return {name: states.copy() for name, states in self._states.items()}

    def health(self) -> dict[str, int | float]:
        """Counters since it was opened, of device and link; and the ``largest`` value seen, in machine units."""
        return {**self._health, **self._link.counters}

    def close(self) -> None:
        """Let go of the machine. May be called twice."""
        self._link.close()

    def _sample(
        self, minibatch: Minibatch, sample: int, schedule: Schedule, beta: float, runs: list[Acquisition]
    ) -> list[Array]:
        """States (N,) at the end of each phase of one sample. Each nudged phase begins where the free one ended."""
        mapping, parameters = self._ready(), self._written()
        clamped, level = minibatch.clamped[sample], int(minibatch.levels[sample])
        target = None if minibatch.target is None else minibatch.target[sample]
        bias = mapping.bias(parameters, level, clamped)
        zero = np.zeros(mapping.plan.integrators)
        ends: list[Array] = []
        for (name, sign), run in zip((("free", 0.0), *_SIGNS[schedule.estimator]), runs, strict=True):
            phase = Phase(sign * beta, ends[0] if ends else zero)
            circuit = mapping.circuit(parameters, level, bias, target, phase, beta)
            ends.append(self._compute(circuit, run, f"in the {name} phase of sample {sample}"))
        return [mapping.states(end, clamped) for end in ends]

    def _compute(self, circuit: Circuit, acquisition: Acquisition, where: str) -> Array:
        """Where the integrators in use end, in machine units; nothing that an overload has touched."""
        mapping = self._ready()
        samples = self._machine.compute(circuit, acquisition)[:, : mapping.plan.integrators]
        self._health["phases"] += 1
        peaks = np.abs(samples).max(axis=0, initial=0.0)
        worst = int(peaks.argmax())
        self._health["largest"] = max(self._health["largest"], float(peaks[worst]))
        remedy = f"open it with a scale above {self._scale:g}, or weaken the couplings"
        if peaks[worst] > 1:
            self._health["overloads"] += 1
            raise DeviceError(
                f"{self._link.description} overloads: integrator {worst} ({mapping.name(worst)}) reached "
                f"{peaks[worst]:.3g} of 1 {where}: {remedy}"
            )
        if len(samples) < acquisition.samples:
            self._health["overloads"] += 1
            raise DeviceError(
                f"{self._link.description} halted after {len(samples)} of {acquisition.samples} samples {where}, so "
                f"an element overloads (largest seen: integrator {worst}, {mapping.name(worst)}, {peaks[worst]:.3g} of "
                f"1): {remedy}"
            )
        return np.asarray(samples[-FEWEST:].mean(axis=0))

    def _used(self) -> dict[str, int]:
        if self._mapping is None:
            return {}
        return {"used_integrators": self._mapping.plan.integrators, "used_lanes": self._mapping.plan.lanes}

    def _ready(self) -> Mapping:
        if self._mapping is None:
            raise DeviceError(f"{self._link.description} has no network: call configure first")
        return self._mapping

    def _written(self) -> Parameters:
        if self._parameters is None:
            raise DeviceError(f"{self._link.description} has no parameters: call configure and write first")
        return self._parameters
