"""How a gateware device is run: what it holds and need not be written again, and whether a run can be trusted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count, islice, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..substrate.codes import Codes, decode_residual
from ..substrate.errors import DeviceError
from ..substrate.formats import BATCH_LIMIT
from ..substrate.interface import Identity, Substrate
from ..substrate.phases import Saturations
from ..substrate.protocol import REGISTERS, Feature, Status
from .layout import Area, Layout
from .learning import SETTINGS
from .memory_guard import MemoryGuard
from .requests import Request, join_words, read_requests, run_request, write_requests
from .session import Answer, Session

__all__ = ["PATIENT", "RUN_COUNTERS", "SLOWEST_CLOCK", "GatewareRuns", "counters_of", "places"]

SLOWEST_CLOCK = 100e3
"""Clock in Hz that sets the deadline of the first run: that of a simulation that writes waveforms on a busy machine.
A lost frame is noticed by what comes after it, so only a device that has died is waited for so long."""

_SLOWER = 10
"""So many times as slow as the slowest run before it may a run be before it is asked for again."""

PATIENT = 2
"""So many times as many cycles as counted for it may a run take, before the device gives it up."""

_REPEATS = 3
"""So often is a run made before a device that does not keep what is written is given up."""

_ROWS = {register.name: row for row, register in enumerate(REGISTERS)}

RUN_COUNTERS = Area("registers", _ROWS["cycles"], _ROWS["runs"] + 1 - _ROWS["cycles"])
"""What a run counted."""

_SATURATIONS = ("state_saturations", "bus_saturations", "force_saturations")
_CLIP_COUNTERS = Area("registers", _ROWS[_SATURATIONS[0]], len(_SATURATIONS))
_DEVICE_COUNTERS = Area("registers", _ROWS["runs"], len(REGISTERS) - _ROWS["runs"])


class GatewareRuns(Substrate):
    """What all runs of a gateware device have in common.

    The device counts its runs, and tells checksums of all that a run depended on.

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
        self._schedule: dict[Area, NDArray[np.int64]] = {}
        self._loaded = self._learning = False
        self._updates: int | None = None
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
            generates=Feature.SAMPLE in hello.features,
            learns=Feature.LEARN in hello.features,
            details={
                "geometry": dict(hello.geometry.words()),
                "formats": {name: str(fixed) for name, fixed in hello.formats.pairs()},
                "clock": hello.clock,
                "buffer": hello.buffer,
                "protocol": hello.version,
                "register_map": hello.map_hash.hex(),
            },
        )

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

    def _run(
        self, registers: dict[str, int], samples: NDArray[Any], wanted: Sequence[Area], allowed: int
    ) -> tuple[dict[Area, NDArray[Any]], dict[str, float], dict[str, int]]:
        """One run that can be trusted: the words it left in ``wanted``, where its time went, and its counters."""
        for _ in range(_REPEATS):
            words, seconds, damaged = self._run_once(registers, samples, [RUN_COUNTERS, *wanted], allowed)
            counters = counters_of(words)
            self._check("runs since its reset", counters["runs"], self._runs)
            if not damaged:
                break
            # A run depends on nothing else, so what came of a flipped bit is dropped, and the run made again.
            self._counted["memory_faults"] += len(damaged)
            self._write_anew()
        else:
            self._forget()
            raise DeviceError(
                f"{self._session.address} does not keep what is written to {places(damaged)}, {_REPEATS} times in a "
                "row: find the fault with equipoise selftest"
            )
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
        before = [*self._changed_registers(registers)]
        before += self._write("samples", 0, samples) if len(samples) else []
        before += [part for space, words in (rule or {}).items() for part in self._write(space, 0, words)]
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

    def _note(
        self, counters: dict[str, int], seconds: dict[str, float], batch: int, steps: int
    ) -> tuple[Saturations, dict[str, Any]]:
        """Check and note what a run of ``steps`` relaxation steps a sample counted; what all results tell of it."""
        contexts = self._geometry.contexts
        self._last_group = (batch - 1) % contexts + 1
        self._check("relaxation steps", counters["relax_steps"], steps * -(-batch // contexts))
        self._note_pace(counters["cycles"], seconds["device"])
        for name in _SATURATIONS:
            self._counted[name] += counters[name]
        counted = {name: counters[name] for name in ("cycles", "relax_cycles", "relax_steps")}
        return Saturations(*(counters[name] for name in _SATURATIONS)), {**counted, "seconds": seconds}

    def _residual(self, counters: dict[str, int], samples: int) -> float:
        """Mean of |F| that a run of so many free phases left."""
        layout, _ = self._configured()
        total = counters["residual_low"] + (counters["residual_high"] << 32)
        return decode_residual(layout.network, total, samples, self._formats)

    def _held(self, registers: dict[str, int], samples: NDArray[Any]) -> dict[Area, NDArray[Any]]:
        """All that a run depends on."""
        held = self._tables | self._schedule | self._parameters
        for row, values in _neighbours(registers):
            held[Area("registers", row, len(values))] = np.array(values, np.uint32)
        if len(samples):
            held[Area("samples", 0, len(samples))] = samples
        return held

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

    def _write_anew(self) -> None:
        """Write all again, with the next run."""
        self._registers = {}
        held = self._tables | self._schedule | self._parameters
        self._waiting = [part for area, words in held.items() for part in self._write(area.space, area.row, words)]

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
        self._schedule = {}
        self._loaded = self._learning = False
        self._registers = {}
        self._waiting = []
        self._last_group = 0

    def _configured(self) -> tuple[Layout, Codes]:
        if self._layout is None or self._constants is None:
            raise DeviceError(f"{self._session.address} has no network: call configure first")
        return self._layout, self._constants

    def _written(self) -> tuple[Layout, Codes]:
        configured = self._configured()
        if not self._loaded:
            raise DeviceError(f"{self._session.address} has no parameters: call write first")
        return configured


def counters_of(words: dict[Area, NDArray[Any]]) -> dict[str, int]:
    """Of :data:`RUN_COUNTERS`, each by its name."""
    return dict(zip(list(_ROWS)[RUN_COUNTERS.row :], words[RUN_COUNTERS].tolist(), strict=False))


def places(areas: Sequence[Area]) -> str:
    """Areas, for an error."""
    return ", ".join(f"{area.space} (rows {area.row} to {area.row + area.count - 1})" for area in areas)


def _neighbours(registers: dict[str, int]) -> Iterator[tuple[int, list[int]]]:
    """First row and values of registers that lie side by side."""
    rows = {_ROWS[name]: value for name, value in registers.items()}
    for first in sorted(row for row in rows if row - 1 not in rows):
        yield first, [rows[row] for row in takewhile(rows.__contains__, count(first))]


def _flat(reads: dict[Area, list[Request]]) -> list[Request]:
    return [request for requests in reads.values() for request in requests]
