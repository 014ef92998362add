"""The driver of the gateware, wherever it runs: on an FPGA board or simulated, near or far."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..substrate.codes import (
    ScheduleCodes,
    decode_contrast,
    decode_parameters,
    encode_minibatch,
    encode_parameters,
    encode_schedule,
)
from ..substrate.errors import CapabilityError, DeviceError, ForgottenError, LinkError
from ..substrate.learning import GUARD_BITS, Learnt, Memory, Rule, encode_rule, shaped
from ..substrate.network import Network
from ..substrate.parameters import Parameters
from ..substrate.phases import Estimator, Minibatch, Result, Schedule
from ..substrate.protocol import SPACES, UPDATE_COUNTERS, Feature
from ..substrate.reverse import Draws, Program, encode_program
from .gateware_runs import PATIENT, RUN_COUNTERS, GatewareRuns, counters_of, places
from .layout import Area, Layout, spans
from .learning import COUNTERS, clips_of, join_memory, rule_words, split_memory
from .requests import Request

__all__ = ["GatewareDevice"]

_FRAME_BYTES = 24
"""About what one more frame costs, there and back: shorter gaps between changed rows are written over."""


class GatewareDevice(GatewareRuns):
    """The device at the other end of ``session``, which it owns from here on.

    A run, with the parameters written before it, is one burst of requests, and so one round trip. What the device
    already holds is not written again; after an error nothing is taken to be held. The device counts its runs: a run
    that it executed twice, or not at all, or that is another host's, is an error.

    Parameters
    ----------
    session
        An open session.
    """

    def configure(self, network: Network) -> None:
        """Write the tables of ``network``, and read them back. Parameters must be written afterwards.

        Raises
        ------
        CapabilityError
            If the network does not fit, naming the limit and the need.
        NetworkError
            If a stiffness or quartic does not fit its format, naming the module.
        DeviceError
            If the device did not keep what was written.
        """
        self._forget()
        self._layout = None
        layout = Layout(network, self._geometry)
        constants = encode_parameters(network, Parameters.zeros(network), self._formats)
        registers = {
            "modules": len(network.modules),
            "groups": layout.groups,
            "neurons": network.neurons,
            "levels": network.levels,
        }
        tables: dict[str, NDArray[Any]] = {
            "registers": np.array(list(registers.values()), np.uint32),
            "modules": layout.module_table(),
            "ends": layout.end_table(),
            "sites": layout.site_table(constants),
        }
        requests = [part for name, table in tables.items() for part in self._write(name, 0, table)]
        if Feature.LEARN in self._session.hello.features:
            requests += self._write("rule", 0, np.zeros(1, np.uint32))  # what another host has asked for and not run
        self._burst(requests)
        held = self._read([Area(name, 0, len(table)) for name, table in tables.items()])
        for area, words in held.items():
            wrong = np.argwhere(words != tables[area.space])
            if len(wrong):
                where = tuple(wrong[0])
                raise DeviceError(
                    f"{self._session.address} did not keep row {where[0]} of {area.space}: wrote "
                    f"{tables[area.space][where]:#010x}, read {words[where]:#010x}; check the board, and its build"
                )
            self._counted["memory_checks"] += words.size
        self._layout, self._constants = layout, constants
        self._tables = {Area(name, 0, len(table)): table for name, table in tables.items()}

    def write(self, parameters: Parameters) -> None:
        """Load parameters, rounded to the device's formats; of these, write what the device does not hold yet.

        They travel with the next request, so that a training step, write and run, is one round trip.

        Raises
        ------
        ParameterError
            If a parameter has the wrong shape or does not fit its format, naming it.
        """
        layout, _ = self._configured()
        packed = layout.pack(encode_parameters(layout.network, parameters, self._formats))
        requests: list[Request] = []
        for area, words in packed.items():
            held = self._parameters.get(area)
            changed = (
                np.full(len(words), True) if held is None else (words != held).any(axis=tuple(range(1, words.ndim)))
            )
            for span in spans(changed, gap=_FRAME_BYTES // SPACES[area.space].row_bytes(self._geometry)):
                requests += self._write(area.space, area.row + span.start, words[span])
        self._waiting += requests
        self._parameters = packed
        self._loaded, self._learning = True, False

    def read(self) -> Parameters:
        """Read back the parameters that the device holds."""
        layout, constants = self._written()
        held = layout.unpack(self._read(list(layout.pack(constants))))
        return decode_parameters(replace(constants, U=held.U, V=held.V, gain=held.gain, bias=held.bias), self._formats)

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """Run a minibatch through the phases of ``schedule``, and read what came of it: one round trip.

        Raises
        ------
        CapabilityError
            If the minibatch is larger than ``identity.batch_limit``, or the schedule does not fit the device.
        DataError
            If the minibatch does not fit the network, or a value is out of range.
        """
        layout, _ = self._written()
        network, batch = layout.network, len(minibatch)
        codes, samples, registers, allowed = self._plan(minibatch, schedule)
        nudged = schedule.estimator is not Estimator.FREE
        outputs = Area("outputs", 0, batch * network.outputs)
        contrasts = layout.contrast_areas(np.unique(minibatch.levels).tolist()) if nudged else []
        words, seconds, counters = self._run(registers, samples, [outputs, *contrasts], allowed)
        if nudged:
            self._learning = False
        saturations, counted = self._note(counters, seconds, batch, _steps_of(schedule))
        sums = layout.unpack({area: words[area] for area in contrasts})
        return Result(
            outputs=self._formats.state.decode(words[outputs]).reshape(batch, network.outputs),
            contrast=decode_contrast(network, sums, codes, batch, self._formats) if nudged else None,
            residual=self._residual(counters, batch),
            saturations=saturations,
            **counted,
        )

    def learn(self, minibatch: Minibatch, schedule: Schedule, rule: Rule, *, outputs: bool = True) -> Learnt:
        """Run a minibatch, and have the device change its parameters: one round trip, without contrasts.

        The device counts its updates too. Whether it still holds what it has learned is not checked, as nobody else
        knows that: :meth:`holds` does.

        Raises
        ------
        CapabilityError
            As of :meth:`run`; or if the device cannot learn, or not by this rule.
        ForgottenError
            If it may have learned something else: its tables or the samples were damaged, or it lost count.
        LinkError
            If the wire failed: then nobody knows whether it has learned.
        """
        self._can_learn()
        if not self._learning:
            raise DeviceError(f"{self._session.address} has no momentum: call restore before learn")
        layout, _ = self._written()
        network, batch = layout.network, len(minibatch)
        if schedule.estimator is Estimator.FREE:
            raise CapabilityError("A run that learns must contrast: estimator symmetric or one-sided, not free")
        codes, samples, registers, allowed = self._plan(minibatch, schedule)
        asked = rule_words(layout, encode_rule(network, rule, codes, batch, self._formats))
        allowed += PATIENT * layout.update_cycles
        registers["limit"] = min(allowed, 2**32 - 1)
        area = Area("outputs", 0, batch * network.outputs)
        wanted = [RUN_COUNTERS, COUNTERS, *([area] if outputs else [])]
        try:
            if self._updates is None:
                self._updates = int(self._read([COUNTERS])[COUNTERS][0])
            self._parameters = {}  # from here on only the device knows
            words, seconds, damaged = self._run_once(registers, samples, wanted, allowed, asked)
            counters = counters_of(words)
            updates = dict(zip((c.name for c in UPDATE_COUNTERS), words[COUNTERS].tolist(), strict=True))
            self._check("runs since its reset", counters["runs"], self._runs)
            self._updates = (self._updates + 1) % 2**32
            self._check("updates since its reset", updates["updates"], self._updates)
        except LinkError:
            raise  # for who opens it again
        except DeviceError as error:
            raise ForgottenError(f"{error}; what the device has learned is uncertain") from error
        if damaged:
            self._counted["memory_faults"] += len(damaged)
            self._forget()
            raise ForgottenError(f"{self._session.address} did not keep what was written to {places(damaged)}")
        saturations, counted = self._note(counters, seconds, batch, _steps_of(schedule))
        return Learnt(
            self._formats.state.decode(words[area]).reshape(batch, network.outputs) if outputs else None,
            self._residual(counters, batch),
            saturations,
            clips_of(updates),
            **counted,
        )

    def memory(self) -> Memory:
        """Read all that the device has learned."""
        self._can_learn()
        if not self._learning:
            raise DeviceError(f"{self._session.address} has no momentum: call restore before memory")
        layout, _ = self._written()
        return join_memory(layout, self._read([*layout.memory_areas(True), *layout.memory_areas(False)]))

    def restore(self, memory: Memory) -> None:
        """Write all that a device had learned, and the tables again; it travels with the next request."""
        self._can_learn()
        layout, constants = self._configured()
        held = self._tables | split_memory(layout, memory)
        self._registers = {}
        self._waiting = [part for area, words in held.items() for part in self._write(area.space, area.row, words)]
        seen = shaped(layout.network, memory.fine >> GUARD_BITS)
        self._parameters = layout.pack(replace(constants, U=seen.U, V=seen.V, gain=seen.gain, bias=seen.bias))
        self._loaded = self._learning = True
        self._updates = None

    def holds(self, memory: Memory) -> bool:
        """Whether the device has learned exactly this, by checksums that it makes."""
        self._can_learn()
        layout, _ = self._written()
        assert self._guard is not None  # what learns has it
        held = split_memory(layout, memory)
        return not self._guard.damaged(held, self._burst(self._guard.requests(held, self._pace)))

    def _can_learn(self) -> None:
        if Feature.LEARN not in self._session.hello.features:
            raise self.cannot_learn()

    def _plan(
        self, minibatch: Minibatch, schedule: Schedule
    ) -> tuple[ScheduleCodes, NDArray[Any], dict[str, int], int]:
        """The schedule's codes, words of the sample buffer, registers, and clock cycles that a run may take."""
        layout, _ = self._written()
        network, batch = layout.network, len(minibatch)
        codes = encode_schedule(network, schedule, self._formats)
        clamped, target = encode_minibatch(network, minibatch, schedule, self._formats)
        if codes.amplitude and Feature.THERMAL not in self._session.hello.features:
            raise CapabilityError(
                f"{self._session.address} has no thermal noise, so temperature must be 0, "
                f"not {schedule.temperature:g}: lower it, or use a device that has (golden:)"
            )
        if minibatch.initial is not None:
            raise CapabilityError(f"{self._session.address} begins every run from zero: leave out initial states")
        if batch > layout.batch_limit:
            raise CapabilityError(
                f"A minibatch for {self._session.address} must have at most {layout.batch_limit} samples, not {batch}: "
                "split it"
            )
        nudged = schedule.estimator is not Estimator.FREE
        registers = self._run_registers(codes, schedule, batch, layout.record(nudged))
        allowed = PATIENT * layout.run_cycles(batch, _steps_of(schedule))
        registers["limit"] = min(allowed, 2**32 - 1)
        return codes, layout.samples(minibatch.levels, clamped, target), registers, allowed

    def generate(self, program: Program, draws: Draws) -> Result:
        """Run a reverse process on the device, and read the samples: one round trip.

        Its table is written once, the clamped states of other modules with each call. Noise is the device's own.

        Raises
        ------
        CapabilityError
            If the device cannot, if there are more samples than ``identity.batch_limit``, or the program does not fit.
        DataError
            If the program does not fit the network, or a value is out of range.
        """
        layout, _ = self._written()
        network, batch, address = layout.network, len(draws), self._session.address
        if Feature.SAMPLE not in self._session.hello.features:
            return super().generate(program, draws)
        codes, clamped = encode_program(network, program, draws, self._formats)
        if batch > layout.batch_limit:
            raise CapabilityError(f"{address} must be asked for at most {layout.batch_limit} samples, not {batch}")
        phases, table = len(program.levels), Area("schedule", 0, len(codes.table))
        outputs = Area("outputs", 0, batch * network.outputs)
        allowed = PATIENT * layout.reverse_cycles(batch, phases, program.free_steps)
        if allowed >= 2**32:
            raise CapabilityError(
                f"{batch} samples in one run would take {address} {allowed // PATIENT:,} cycles, more than it counts: "
                "ask for fewer at once, fewer steps, or fewer free_steps"
            )
        registers = {
            **self._run_registers(codes.phases, program.schedule(draws.seed), batch, clamped.shape[1]),
            "limit": allowed,
            "sampled": codes.module,
            "schedule_rows": table.count,
            "first_sample": draws.first,
            "warm": int(program.warm),
        }
        held = self._schedule.get(table)
        if held is None or (held != codes.words).any():
            self._waiting += self._write(table.space, table.row, codes.words)
            self._schedule = {table: codes.words}
        words, seconds, counters = self._run(registers, clamped.reshape(-1), [outputs], allowed)
        saturations, counted = self._note(counters, seconds, batch, phases * program.free_steps)
        return Result(
            outputs=self._formats.state.decode(words[outputs]).reshape(batch, network.outputs),
            contrast=None,
            residual=self._residual(counters, batch * phases),
            saturations=saturations,
            **counted,
        )

    def states(self) -> dict[str, NDArray[np.float64]]:
        """States of the samples worked on last, (C, N): as many as the device works on at once, or were left."""
        layout, _ = self._written()
        if not self._last_group:
            raise DeviceError(f"{self._session.address} has no states: run a minibatch first")
        areas = {name: Area(name, 0, layout.network.neurons) for name in ("free_states", "states")}
        words = self._read(list(areas.values()))
        free, last = (self._formats.stored.decode(words[area][:, : self._last_group]).T for area in areas.values())
        return {"free": free, "last": last}

    def _run_registers(self, codes: ScheduleCodes, schedule: Schedule, batch: int, record: int) -> dict[str, int]:
        """What a run needs in its registers, in their order."""
        return {
            "batch": batch,
            "record": record,
            "mode": codes.mode,
            "free_steps": schedule.free_steps,
            "nudged_steps": schedule.nudged_steps,
            "beta": codes.beta,
            "dt_shift": codes.dt_shift,
            "amplitude": codes.amplitude,
            "seed_low": schedule.seed % 2**32,
            "seed_high": schedule.seed >> 32,
        }


def _steps_of(schedule: Schedule) -> int:
    """Relaxation steps of a sample, all phases together."""
    return schedule.free_steps + schedule.nudged_steps * _NUDGED_PHASES[schedule.estimator]


_NUDGED_PHASES = {Estimator.FREE: 0, Estimator.ONE_SIDED: 1, Estimator.SYMMETRIC: 2}
