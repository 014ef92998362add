"""The driver of the gateware, wherever it runs: on an FPGA board or simulated, near or far."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..substrate.codes import (
    Codes,
    ScheduleCodes,
    decode_contrast,
    decode_parameters,
    decode_residual,
    encode_minibatch,
    encode_parameters,
    encode_schedule,
)
from ..substrate.errors import CapabilityError, DeviceError, ForgottenError, LinkError
from ..substrate.formats import BATCH_LIMIT
from ..substrate.interface import Identity, Substrate
from ..substrate.learning import GUARD_BITS, Learnt, Memory, Rule, encode_rule, shaped
from ..substrate.network import Network
from ..substrate.parameters import Parameters
from ..substrate.phases import Estimator, Minibatch, Result, Saturations, Schedule
from ..substrate.protocol import REGISTERS, SPACES, UPDATE_COUNTERS, Feature, Status
from ..substrate.reverse import Draws, Program, encode_program
from .layout import Area, Layout, spans
from .learning import COUNTERS, SETTINGS, clips_of, join_memory, rule_words, split_memory
from .memory_guard import MemoryGuard
from .requests import Request, join_words, read_requests, run_request, write_requests
from .session import Answer, Session

__all__ = ["SLOWEST_CLOCK", "GatewareDevice"]

SLOWEST_CLOCK = 100e3
"""Clock in Hz that sets the deadline of the first run: that of a simulation that writes waveforms on a busy machine.
A lost frame is noticed by what comes after it, so only a device that has died is waited for so long."""

_SLOWER = 10
"""So many times as slow as the slowest run before it may a run be before it is asked for again."""

_PATIENT = 2
"""So many times as many cycles as counted for it may a run take, before the device gives it up."""

_REPEATS = 3
"""So often is a run made before a device that does not keep what is written is given up."""

_FRAME_BYTES = 24
"""About what one more frame costs, there and back: shorter gaps between changed rows are written over."""

_ROWS = {register.name: row for row, register in enumerate(REGISTERS)}
_RUN_COUNTERS = Area("registers", _ROWS["cycles"], _ROWS["runs"] + 1 - _ROWS["cycles"])
_SATURATIONS = ("state_saturations", "bus_saturations", "force_saturations")
_CLIP_COUNTERS = Area("registers", _ROWS[_SATURATIONS[0]], len(_SATURATIONS))
_DEVICE_COUNTERS = Area("registers", _ROWS["runs"], len(REGISTERS) - _ROWS["runs"])


class GatewareDevice(Substrate):
    """The device at the other end of ``session``, which it owns from here on.

    A run, with the parameters written before it, is one burst of requests, and so one round trip. What the device
    already holds is not written again; after an error nothing is taken to be held. The device counts its runs: a run
    that it executed twice, or not at all, or that is another host's, is an error.

    Parameters
    ----------
    session
        An open session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._geometry = session.hello.geometry
        self._formats = session.hello.formats
        self._layout: Layout | None = None
        self._constants: Codes | None = None
        self._tables: dict[Area, NDArray[Any]] = {}
        self._parameters: dict[Area, NDArray[np.int64]] = {}
        self._loaded = self._learning = False
        self._updates: int | None = None
        self._schedule: dict[Area, NDArray[np.int64]] = {}
        self._registers: dict[str, int] = {}
        self._guard = MemoryGuard(self._geometry) if Feature.GUARD in session.hello.features else None
        self._waiting: list[Request] = []
        self._last_group = 0
        self._pace = SLOWEST_CLOCK
        self._counted = dict.fromkeys((*_SATURATIONS, "memory_checks", "memory_faults"), 0)
        self._opened_at = self._device_counters()
        self._runs: int | None = self._opened_at["runs"]
        self._since = time.monotonic()

    @property
    def session(self) -> Session:
        """The session, for tests of the device itself. Who writes by it must configure anew."""
        return self._session

    @property
    def identity(self) -> Identity:
        """What the device said of itself when it was opened."""
        hello = self._session.hello
        return Identity(
            address=self._session.address,
            kind="gateware",
            uid=hello.board.hex(),
            build=hello.build.hex(),
            batch_limit=self._layout.batch_limit if self._layout else BATCH_LIMIT,
            thermal=Feature.THERMAL in hello.features,
            learns=Feature.LEARN in hello.features,
            generates=Feature.SAMPLE in hello.features,
            details={
                "geometry": dict(hello.geometry.words()),
                "formats": {name: str(fixed) for name, fixed in hello.formats.pairs()},
                "clock": hello.clock,
                "buffer": hello.buffer,
                "protocol": hello.version,
                "register_map": hello.map_hash.hex(),
            },
        )

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
        result = self._result(
            words[outputs].reshape(batch, network.outputs), counters, seconds, batch=batch, steps=_steps_of(schedule)
        )
        if not nudged:
            return result
        self._learning = False
        sums = layout.unpack({area: words[area] for area in contrasts})
        return replace(result, contrast=decode_contrast(network, sums, codes, batch, self._formats))

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
        allowed += _PATIENT * layout.update_cycles
        registers["limit"] = min(allowed, 2**32 - 1)
        area = Area("outputs", 0, batch * network.outputs)
        wanted = [_RUN_COUNTERS, COUNTERS, *([area] if outputs else [])]
        try:
            if self._updates is None:
                self._updates = int(self._read([COUNTERS])[COUNTERS][0])
            self._parameters = {}  # from here on only the device knows
            words, seconds, damaged = self._run_once(registers, samples, wanted, allowed, asked)
            counters = dict(zip(list(_ROWS)[_RUN_COUNTERS.row :], words[_RUN_COUNTERS].tolist(), strict=False))
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
            raise ForgottenError(f"{self._session.address} did not keep what was written to {_places(damaged)}")
        self._last_group = (batch - 1) % self._geometry.contexts + 1
        read = words[area].reshape(batch, network.outputs) if outputs else np.zeros((0, network.outputs))
        result = self._result(read, counters, seconds, batch=batch, steps=_steps_of(schedule))
        return Learnt(
            result.outputs if outputs else None,
            result.residual,
            result.saturations,
            clips_of(updates),
            cycles=result.cycles,
            relax_cycles=result.relax_cycles,
            relax_steps=result.relax_steps,
            seconds=seconds,
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
        allowed = _PATIENT * layout.run_cycles(batch, _steps_of(schedule))
        registers["limit"] = min(allowed, 2**32 - 1)
        return codes, layout.samples(minibatch.levels, clamped, target), registers, allowed

    def _result(
        self, outputs: NDArray[Any], counters: dict[str, int], seconds: dict[str, float], *,
        batch: int, steps: int, phases: int = 1,
    ) -> Result:  # fmt: skip
        """What a run of ``steps`` relaxation steps a sample, in so many free phases, left in outputs and counters."""
        layout, _ = self._configured()
        self._check("relaxation steps", counters["relax_steps"], steps * -(-batch // self._geometry.contexts))
        self._note_pace(counters["cycles"], seconds["device"])
        for name in _SATURATIONS:
            self._counted[name] += counters[name]
        total = counters["residual_low"] + (counters["residual_high"] << 32)
        return Result(
            outputs=self._formats.state.decode(outputs),
            contrast=None,
            residual=decode_residual(layout.network, total, batch * phases, self._formats),
            saturations=Saturations(*(counters[name] for name in _SATURATIONS)),
            cycles=counters["cycles"],
            relax_cycles=counters["relax_cycles"],
            relax_steps=counters["relax_steps"],
            seconds=seconds,
        )

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
        allowed = _PATIENT * layout.reverse_cycles(batch, phases, program.free_steps)
        if allowed >= 2**32:
            raise CapabilityError(
                f"{batch} samples in one run would take {address} {allowed // _PATIENT:,} cycles, more than it counts: "
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
        return self._result(
            words[outputs].reshape(batch, network.outputs), counters, seconds,
            batch=batch, steps=phases * program.free_steps, phases=phases,
        )  # fmt: skip

    def _run(
        self, registers: dict[str, int], samples: NDArray[Any], wanted: Sequence[Area], allowed: int
    ) -> tuple[dict[Area, NDArray[Any]], dict[str, float], dict[str, int]]:
        """One run that can be trusted: the words it left in ``wanted``, where its time went, and its counters."""
        for _ in range(_REPEATS):
            words, seconds, damaged = self._run_once(registers, samples, [_RUN_COUNTERS, *wanted], allowed)
            counters = dict(zip(list(_ROWS)[_RUN_COUNTERS.row :], words[_RUN_COUNTERS].tolist(), strict=False))
            self._check("runs since its reset", counters["runs"], self._runs)
            if not damaged:
                break
            # A run depends on nothing else, so what came of a flipped bit is dropped, and the run made again.
            self._counted["memory_faults"] += len(damaged)
            self._write_anew()
        else:
            self._forget()
            raise DeviceError(
                f"{self._session.address} does not keep what is written to {_places(damaged)}, {_REPEATS} times in a "
                "row: find the fault with equipoise selftest"
            )
        self._last_group = (registers["batch"] - 1) % self._geometry.contexts + 1
        return words, seconds, counters

    def _run_once(
        self, registers: dict[str, int], samples: NDArray[Any], wanted: Sequence[Area], allowed: int,
        rule: dict[str, NDArray[np.uint32]] | None = None,
    ) -> tuple[dict[Area, NDArray[Any]], dict[str, float], list[Area]]:  # fmt: skip
        """One run: the words it left in ``wanted``, where its time went, and what the device no longer held after it.

        With a ``rule`` (rows of its spaces) it learns. All that the run depends on is checked: registers, tables,
        samples, and parameters if they are known.
        """
        if self._runs is None:
            self._runs = self._device_counters()["runs"]
        loads = self._write("samples", 0, samples) if len(samples) else []
        loads += [part for space, words in (rule or {}).items() for part in self._write(space, 0, words)]
        before = [*self._changed_registers(registers), *loads]
        reads = self._reads(wanted)
        held = self._held(registers, samples) if self._guard else {}
        if rule is not None:
            held |= {SETTINGS: rule["rule"][SETTINGS.row :], Area("rates", 0, len(rule["rates"])): rule["rates"]}
        checks = self._guard.requests(held, self._pace) if self._guard else []
        started = time.monotonic()
        answers = self._burst([*before, run_request(allowed / self._pace), *_flat(reads), *checks])
        ended = time.monotonic()
        link = ended - started
        run = len(before)
        device = answers[run].at - (answers[run - 1].at if run else started)
        self._registers |= registers
        self._runs = (self._runs + 1) % 2**32
        damaged = self._guard.damaged(held, answers[len(answers) - len(checks) :]) if self._guard else []
        self._counted["memory_checks"] += self._guard.words(held) if self._guard else 0
        if answers[run].status is Status.ABANDONED and not damaged:
            self._forget()
            raise DeviceError(
                f"{self._session.address} gave up a run after {registers['limit']:,} cycles, twice what it needs, "
                "and yet it holds what was written: find the fault with equipoise selftest"
            )
        return self._words(reads, answers[run + 1 :]), {"device": device, "link": link - device}, damaged

    def _held(self, registers: dict[str, int], samples: NDArray[Any]) -> dict[Area, NDArray[Any]]:
        """All that a run depends on."""
        held = self._tables | self._schedule | self._parameters
        for row, values in _neighbours(registers):
            held[Area("registers", row, len(values))] = np.array(values, np.uint32)
        if len(samples):
            held[Area("samples", 0, len(samples))] = samples
        return held

    def _write_anew(self) -> None:
        """Write all again, with the next run."""
        self._registers = {}
        held = self._tables | self._schedule | self._parameters
        self._waiting = [part for area, words in held.items() for part in self._write(area.space, area.row, words)]

    def states(self) -> dict[str, NDArray[np.float64]]:
        """States of the samples worked on last, (C, N): as many as the device works on at once, or were left."""
        layout, _ = self._written()
        if not self._last_group:
            raise DeviceError(f"{self._session.address} has no states: run a minibatch first")
        areas = {name: Area(name, 0, layout.network.neurons) for name in ("free_states", "states")}
        words = self._read(list(areas.values()))
        free, last = (self._formats.stored.decode(words[area][:, : self._last_group]).T for area in areas.values())
        return {"free": free, "last": last}

    def health(self) -> dict[str, int | float]:
        """Counters since the device was opened: of the device (``device_...``) and of this host (``host_...``).

        ``device_..._since_reset`` and ``device_..._of_last_run`` are as the device holds them, whoever made it count;
        ``host_..._saturations`` are sums over the runs since the device was opened. ``host_seconds``
        is the time since it was opened, ``host_memory_checks`` the words of tables that were read back and compared.
        """
        now = self._device_counters()
        clips = dict(zip(_SATURATIONS, self._read([_CLIP_COUNTERS])[_CLIP_COUNTERS].tolist(), strict=True))
        counted = {f"device_{name}": (now[name] - start) % 2**32 for name, start in self._opened_at.items()}
        total = {f"device_{name}_since_reset": count for name, count in now.items()}
        last = {f"device_{name}_of_last_run": count for name, count in clips.items()}
        return {**counted, **total, **last, **self.host_counters}

    @property
    def host_counters(self) -> dict[str, int | float]:
        """The part of :meth:`health` that this host knows, without asking the device."""
        known = {**self._session.counters, **self._counted, "seconds": round(time.monotonic() - self._since, 3)}
        return {f"host_{name}": count for name, count in known.items()}

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def _configured(self) -> tuple[Layout, Codes]:
        if self._layout is None or self._constants is None:
            raise DeviceError(f"{self._session.address} has no network: call configure first")
        return self._layout, self._constants

    def _written(self) -> tuple[Layout, Codes]:
        configured = self._configured()
        if not self._loaded:
            raise DeviceError(f"{self._session.address} has no parameters: call write first")
        return configured

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

    def _changed_registers(self, registers: dict[str, int]) -> list[Request]:
        """Of neighbours, one write from the first that changed to the last; none if the device holds them all."""
        requests = []
        for row, values in _neighbours(registers):
            names = list(_ROWS)[row : row + len(values)]
            changed = [place for place, name in enumerate(names) if values[place] != self._registers.get(name)]
            if changed:
                span = np.array(values[changed[0] : changed[-1] + 1])
                requests += self._write("registers", row + changed[0], span)
        return requests

    def _check(self, what: str, counted: int, asked: int | None) -> None:
        """Raise if the device did not do a run, once, and all of it."""
        if counted != asked:
            self._forget()
            self._runs = None
            raise DeviceError(
                f"{self._session.address} counted {counted} {what} of the {asked} asked for: "
                "let no other program use it, then open it again"
            )

    def _note_pace(self, cycles: int, seconds: float) -> None:
        """Note how fast a run was, for the deadlines of later ones. (Answers that come at once tell nothing.)"""
        if cycles and seconds > 0:
            pace = max(cycles / seconds / _SLOWER, SLOWEST_CLOCK)
            self._pace = pace if self._pace == SLOWEST_CLOCK else min(self._pace, pace)

    def _device_counters(self) -> dict[str, int]:
        words = self._read([_DEVICE_COUNTERS])[_DEVICE_COUNTERS]
        return dict(zip(list(_ROWS)[_DEVICE_COUNTERS.row :], words.tolist(), strict=True))

    def _write(self, space: str, row: int, words: NDArray[Any]) -> list[Request]:
        return write_requests(space, row, words, self._geometry)

    def _reads(self, areas: Sequence[Area]) -> dict[Area, list[Request]]:
        return {area: read_requests(area.space, area.row, area.count, self._geometry) for area in areas}

    def _words(self, reads: dict[Area, list[Request]], answers: Sequence[Answer]) -> dict[Area, NDArray[Any]]:
        """Words of each area, from the answers to its requests."""
        payloads = iter([answer.payload for answer in answers])
        return {
            area: join_words(area.space, list(islice(payloads, len(requests))), self._geometry)
            for area, requests in reads.items()
        }

    def _read(self, areas: Sequence[Area]) -> dict[Area, NDArray[Any]]:
        reads = self._reads(areas)
        return self._words(reads, self._burst(_flat(reads)))

    def _burst(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers to ``requests``, sent behind those that wait."""
        waiting, self._waiting = self._waiting, []
        try:
            return self._session.burst([*waiting, *requests])[len(waiting) :]
        except BaseException:
            self._forget()
            self._runs = None
            raise

    def _forget(self) -> None:
        """Take nothing for granted that the device may hold, but the tables."""
        self._parameters = {}
        self._loaded = self._learning = False
        self._schedule = {}
        self._registers = {}
        self._waiting = []
        self._last_group = 0


def _neighbours(registers: dict[str, int]) -> Iterator[tuple[int, list[int]]]:
    """First row and values of registers that lie side by side."""
    rows = {_ROWS[name]: value for name, value in registers.items()}
    for first in sorted(row for row in rows if row - 1 not in rows):
        yield first, [rows[row] for row in takewhile(rows.__contains__, count(first))]


def _flat(reads: dict[Area, list[Request]]) -> list[Request]:
    return [request for requests in reads.values() for request in requests]


def _places(areas: Sequence[Area]) -> str:
    return ", ".join(f"{area.space} (rows {area.row} to {area.row + area.count - 1})" for area in areas)


def _steps_of(schedule: Schedule) -> int:
    """Relaxation steps of a sample, all phases together."""
    return schedule.free_steps + schedule.nudged_steps * _NUDGED_PHASES[schedule.estimator]


_NUDGED_PHASES = {Estimator.FREE: 0, Estimator.ONE_SIDED: 1, Estimator.SYMMETRIC: 2}
