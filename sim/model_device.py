"""The golden model as a device with tables and memories: all of a device but its clock, in this process.

For the link and all that is above it: a training step takes milliseconds, and its result is that of the gateware, bit
for bit. It reads the network from the tables that the host wrote, as the gateware does.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..drivers.transport import Transport
from ..substrate.codes import Codes, ScheduleCodes
from ..substrate.errors import EquipoiseError
from ..substrate.formats import FORMATS
from ..substrate.geometry import Geometry
from ..substrate.learning import GUARD_BITS, RuleCodes
from ..substrate.network import Coupling, Module, Network
from ..substrate.phases import Estimator, Schedule
from ..substrate.protocol import MAP_HASH, Mode
from ..substrate.reverse import ProgramCodes
from .golden import GoldenRun, Model
from .golden_learning import Held, update
from .golden_sampling import reverse_run
from .memory_device import Abandoned, MemoryDevice

__all__ = ["ModelTransport", "model_device", "open_model_wire"]

_GEOMETRY = Geometry(lanes=8, contexts=4)
_BUILD = hashlib.sha256(repr((__version__, MAP_HASH, FORMATS)).encode()).digest()[:8]
_ESTIMATORS = {Mode.FREE: Estimator.FREE, Mode.ONE_SIDED: Estimator.ONE_SIDED, Mode.SYMMETRIC: Estimator.SYMMETRIC}

_SUMS = ("weight_contrast", "gain_contrast", "bias_contrast")
_FINE = ("fine_weights", "fine_gains", "fine_biases")
_FINE_MASK = (1 << 16 + GUARD_BITS) - 1


def model_device(geometry: Geometry = _GEOMETRY, board: bytes = b"model\0\0\0", build: bytes = _BUILD) -> MemoryDevice:
    """A device that computes by the golden model. Its counters of cycles stay 0, as it has no clock."""
    return MemoryDevice(geometry, _run, build=build, board=board)


def open_model_wire(compact: int = 0, lanes: int = _GEOMETRY.lanes) -> ModelTransport:
    """A wire to a new device of the usual size but for its lanes, or to a compact one."""
    return ModelTransport(model_device(replace(_GEOMETRY, compact=compact, lanes=lanes)))


class ModelTransport(Transport):
    """A wire to ``device``, which takes in and answers at once what is sent."""

    def __init__(self, device: MemoryDevice, description: str = "golden:") -> None:
        self.description = description
        self.device = device
        self._arrived = b""

    def send(self, data: bytes) -> None:  # noqa: D102 (as in Transport)
        self._arrived += self.device.take(data)

    def receive(self, deadline: float) -> bytes:  # noqa: D102
        if not self._arrived:
            time.sleep(max(0.0, deadline - time.monotonic()))  # nothing comes unless something is sent
        arrived, self._arrived = self._arrived, b""
        return arrived

    def reset(self) -> None:  # noqa: D102
        self.device.reset()

    def close(self) -> None:
        """Nothing to release."""


def _run(device: MemoryDevice) -> None:
    """Execute a RUN: from the tables to contrasts, outputs, states and counters.

    Raises
    ------
    Abandoned
        If the tables describe no network.
    """
    try:
        tables = _Tables(device)
        learns = tables.begin()
        run = tables.run()
        tables.leave(run, learns)
    except (EquipoiseError, ArithmeticError, LookupError, ValueError) as error:
        raise Abandoned(str(error)) from error


class _Tables:
    """What the tables and registers of ``device`` say."""

    def __init__(self, device: MemoryDevice) -> None:
        self.device, self.geometry, self.formats = device, device.hello.geometry, device.hello.formats
        self.mode = Mode(device.register("mode"))
        self.batch = device.register("batch")
        ends = device.memory["ends"][:, 0].tolist()
        modules, output = [], ""
        self.ends: list[tuple[int, int, int, int]] = []
        for number, (low, high) in enumerate(device.memory["modules"][: device.register("modules")].tolist()):
            modules.append(Module(f"m{number}", low >> 16, clamped=bool(high >> 30 & 1)))
            output = f"m{number}" if high >> 31 else output
            first, count = high & 0xFFFF, high >> 16 & 0x3FFF
            self.ends += [
                (number, end & 0xFFFF, end >> 16 & 0x3FFF, end >> 30 & 1) for end in ends[first : first + count]
            ]
        owners = {(group, side): number for number, _, group, side in self.ends}
        pairs: dict[tuple[int, int], list[int]] = {}
        for group in range(device.register("groups")):
            pairs.setdefault((owners[group, 0], owners[group, 1]), []).append(group)
        self.groups = list(pairs.values())
        lanes = self.geometry.lanes
        couplings = tuple(Coupling(f"m{a}", f"m{b}", lanes * len(groups)) for (a, b), groups in pairs.items())
        dt = 2.0 ** -device.register("dt_shift")
        self.network = Network(tuple(modules), couplings, output, dt, device.register("levels"))

    def begin(self) -> bool:
        """Whether the run that begins is to learn."""
        if "rule" not in self.device.memory:
            return False
        asked = bool(self.device.memory["rule"][0, 0]) and self.mode in (Mode.ONE_SIDED, Mode.SYMMETRIC)
        self.device.memory["rule"][0] = 0
        self.device.memory["updates"][1:] = 0
        return asked

    def run(self) -> GoldenRun:
        """Run the minibatch that registers and sample buffer describe."""
        device, network = self.device, self.network
        register = device.register
        model = Model(network, self._codes(), self.formats)
        seed = register("seed_low") | register("seed_high") << 32
        codes = ScheduleCodes(self.mode, register("beta"), register("dt_shift"), register("amplitude"), self.formats)
        if self.mode is Mode.SAMPLE:
            clamped = self._signed("samples")[: self.batch * register("record"), 0].reshape(self.batch, -1)
            table = self._signed("schedule")[: register("schedule_rows")]
            program = ProgramCodes.from_words(table, register("sampled"), codes)
            steps, warm = register("free_steps"), bool(register("warm"))
            return reverse_run(model, program, clamped, steps, seed, register("first_sample"), warm)
        words = self._signed("samples")[: self.batch * register("record"), 0].reshape(self.batch, -1)
        clamped, target = words[:, 1 : 1 + network.inputs], words[:, 1 + network.inputs :]
        schedule = Schedule(
            register("free_steps"), register("nudged_steps"), codes.effective_beta, _ESTIMATORS[self.mode],
            codes.effective_temperature, seed,
        )  # fmt: skip
        nudged = target if self.mode is not Mode.FREE else None
        return model.run(clamped, words[:, 0], nudged, None, schedule, codes)

    def leave(self, run: GoldenRun, learns: bool) -> None:
        """Leave results where the host reads them."""
        device, network, contexts = self.device, self.network, self.geometry.contexts
        before = self._used(_SUMS) if learns else None
        self._leave_sums(run)
        if before is not None:
            self._update(before)
        steps = device.register("free_steps") + self.mode * device.register("nudged_steps")
        read = run.free[:, network.slices[network.output]]
        if self.mode is Mode.SAMPLE:
            steps = (device.register("schedule_rows") - 1) * device.register("free_steps")
            read = run.last[:, network.slices[network.modules[device.register("sampled")].name]]
        outputs = np.floor(read * 2.0**-self.formats.guard + 0.5)
        self._store("outputs", outputs.reshape(-1, 1))
        last = (self.batch - 1) // contexts * contexts  # the first sample of the last group
        for name, states in (("free_states", run.free), ("states", run.last)):
            self._store(name, states[last:].T)
        counters = {f"{kind}_saturations": count for kind, count in run.clips.items()}
        counters |= {"residual_low": run.residual % 2**32, "residual_high": run.residual >> 32}
        counters |= {"cycles": 0, "relax_cycles": 0, "relax_steps": -(-self.batch // contexts) * steps}
        for name, value in counters.items():
            device.set_register(name, value)

    def _leave_sums(self, run: GoldenRun) -> None:
        memory = self.device.memory
        if run.sums is None:  # as nothing was contrasted, nothing was cleared
            return
        for name in _SUMS:
            memory[name][:] = 0
        for number, groups in enumerate(self.groups):
            sides = (run.sums.U[number], run.sums.V[number])
            for module, row, group, side in self.ends:
                if group in groups:
                    size, lanes = self.network.modules[module].size, self._lanes(groups, group)
                    memory["weight_contrast"][row : row + size] = _unsigned(sides[side][:, lanes], 4)
            for group in groups:
                rows = np.arange(self.network.levels) * self.geometry.groups + group
                memory["gain_contrast"][rows] = _unsigned(run.sums.gain[number][:, self._lanes(groups, group)], 4)
        neurons = np.arange(self.network.neurons)
        for level, sums in enumerate(run.sums.bias):
            memory["bias_contrast"][level * self.geometry.neurons + neurons, 0] = _unsigned(sums, 4)

    def _used(self, names: tuple[str, str, str]) -> Held:
        """Integers of three memories, as far as the network reaches."""
        weights, gains, biases = (
            self.device.memory[name][rows].view("<i4").astype(np.int64)
            for name, rows in zip(names, self._rows(), strict=True)
        )
        return Held(weights, gains, biases[..., 0])

    def _rows(self) -> tuple[slice, NDArray[np.int64], NDArray[np.int64]]:
        """Rows in use of memories of weights, of gains, and of biases."""
        levels = np.arange(self.network.levels)[:, None]
        return (
            slice(0, self._row_ends()[-1]),
            levels * self.geometry.groups + np.arange(self.device.register("groups")),
            levels * self.geometry.neurons + np.arange(self.network.neurons),
        )

    def _row_ends(self) -> list[int]:
        rates = self.device.memory["rates"][: len(self.network.modules), 0]
        return (rates.astype(np.int64) & 0x1FFFF).tolist()

    def _update(self, before: Held) -> None:
        """Change the parameters by what was contrasted on top of what the sums were before."""
        device, memory = self.device, self.device.memory
        rates = (memory["rates"][: len(self.network.modules), 0] >> 17).tolist()
        rule = RuleCodes(*memory["rule"][1:, 0].tolist(), tuple(rates))
        fine = Held(*(_extended(part) for part in self._used(_FINE).parts))
        seed = device.register("seed_low") | device.register("seed_high") << 32
        sums = before.plus(self._used(_SUMS))
        moved, left, clips = update(fine, sums, rule, self._row_ends(), seed, self.formats)
        for names, held in ((_FINE, moved), (_SUMS, left)):
            parts = held.weights, held.gains, held.biases[..., None]
            for name, rows, part in zip(names, self._rows(), parts, strict=True):
                memory[name][rows] = _unsigned(part & _FINE_MASK if name in _FINE else part, 4)
                if name in _FINE:
                    memory[name.removeprefix("fine_")][rows] = memory[name][rows] >> GUARD_BITS
        memory["updates"][:, 0] = memory["updates"][0, 0] + 1, clips.parameter, clips.step, clips.momentum

    def _codes(self) -> Codes:
        """Parameters in the shapes of the network: unused lanes are rank channels of weight 0."""
        network, lanes = self.network, self.geometry.lanes
        weights, gains = self._signed("weights"), self._signed("gains")
        biases, sites = self._signed("biases")[:, 0], self.device.memory["sites"][: network.neurons, 0].astype(np.int64)
        sides: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
        gain = []
        for number, groups in enumerate(self.groups):
            for side, name in enumerate((network.couplings[number].a, network.couplings[number].b)):
                sides[side].append(np.zeros((network[name].size, lanes * len(groups)), np.int64))
            for _, row, group, side in self.ends:
                if group in groups:
                    part = sides[side][number]
                    part[:, self._lanes(groups, group)] = weights[row : row + len(part)]
            rows = np.arange(network.levels)[:, None] * self.geometry.groups + groups
            gain.append(gains[rows].reshape(network.levels, -1))
        rows = np.arange(network.levels)[:, None] * self.geometry.neurons + np.arange(network.neurons)
        return Codes(tuple(sides[0]), tuple(sides[1]), tuple(gain), biases[rows], sites & 0xFFFF, sites >> 16)

    def _lanes(self, groups: list[int], group: int) -> slice:
        start = groups.index(group) * self.geometry.lanes
        return slice(start, start + self.geometry.lanes)

    def _signed(self, space: str) -> NDArray[np.int64]:
        memory = self.device.memory[space]
        return memory.view(f"<i{memory.itemsize}").astype(np.int64)

    def _store(self, space: str, values: NDArray[Any]) -> None:
        memory = self.device.memory[space]
        memory[: len(values), : values.shape[1]] = _unsigned(values, memory.itemsize)


def _extended(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Signed numbers of 16 bits and their guard bits."""
    sign = (_FINE_MASK + 1) >> 1
    return ((words & _FINE_MASK) ^ sign) - sign


def _unsigned(values: NDArray[Any], size: int) -> NDArray[Any]:
    return values.astype(f"<i{size}").view(f"<u{size}")
