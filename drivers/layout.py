"""Layout of a network on a device: where each of its parameters lives, and the tables that tell the gateware so.

Pure functions of network and geometry; ``docs/gateware.md`` says what the tables mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..substrate.codes import Codes, Sums
from ..substrate.errors import CapabilityError
from ..substrate.formats import BATCH_LIMIT
from ..substrate.geometry import Geometry, read_latency
from ..substrate.learning import UPDATE_STAGES, UPDATE_TICKS
from ..substrate.network import Network

__all__ = ["Area", "End", "Layout", "spans"]

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class End:
    """One side of a channel group of a coupling.

    Attributes
    ----------
    module
        Number of the module at this end.
    coupling
        Number of the coupling.
    channels
        Its rank channels that the group carries, at most one for each lane.
    group
        Number of the channel group, counted through all couplings.
    side
        0 for side a (U), 1 for side b (V).
    opposite_clamped
        Whether the module at the other side is clamped.
    row
        First row in weight memory; there is one for each neuron of the module.
    """

    module: int
    coupling: int
    channels: slice
    group: int
    side: int
    opposite_clamped: bool
    row: int

    def word(self) -> int:
        """Entry of the ``ends`` space."""
        return self.row | self.group << 16 | self.side << 30 | int(self.opposite_clamped) << 31


@dataclass(frozen=True, slots=True)
class Area:
    """Rows ``row`` to ``row + count - 1`` of a space."""

    space: str
    row: int
    count: int


class Layout:
    """Where ``network`` lives on a device of this ``geometry``.

    Attributes
    ----------
    network, geometry
        As given.
    ends
        Ends of all couplings: sorted by module, then in the order of couplings, then of groups.
    rows
        Rows of weight memory in use.
    groups
        Channel groups in use.

    Raises
    ------
    CapabilityError
        If the network does not fit, naming the limit and the need.
    """

    def __init__(self, network: Network, geometry: Geometry) -> None:
        self.network = network
        self.geometry = geometry
        self.ends, self.rows, self.groups = _place(network, geometry.lanes)
        needs = {
            "modules": len(network.modules),
            "neurons": network.neurons,
            "groups": self.groups,
            "rows": self.rows,
            "levels": network.levels,
            "sample_words": self.record(nudged=True),
            "output_words": network.outputs,
        }
        for name, need in needs.items():
            limit = getattr(geometry, name)
            if need > limit:
                raise CapabilityError(
                    f"The network needs {need} {_WORDS[name]}, the device has {limit}: "
                    f"use a smaller network, or a device built with {name} of at least {need}"
                )

    @property
    def batch_limit(self) -> int:
        """Largest minibatch: what the contrast sums, the sample buffer and the output buffer can hold."""
        samples = self.geometry.sample_words // self.record(nudged=True)
        return min(BATCH_LIMIT, samples, self.geometry.output_words // self.network.outputs)

    def record(self, nudged: bool) -> int:
        """Words of a sample in the sample buffer: its level, its clamped states and, if ``nudged``, its target."""
        return 1 + self.network.inputs + (self.network.outputs if nudged else 0)

    def samples(self, levels: Integers, clamped: Integers, target: Integers | None) -> Integers:
        """Words of the sample buffer for a minibatch: levels (B,), clamped states and, unless free, targets."""
        parts = [levels[:, None], clamped] if target is None else [levels[:, None], clamped, target]
        return np.concatenate(parts, axis=1).reshape(-1)

    def site_table(self, codes: Codes) -> NDArray[np.uint32]:
        """Rows of the ``sites`` space, (neurons,)."""
        return np.asarray(codes.stiffness | codes.quartic << 16, np.uint32)

    def module_table(self) -> NDArray[np.uint32]:
        """Rows of the ``modules`` space, (modules, 2)."""
        table = []
        first_end = 0
        for number, module in enumerate(self.network):
            count = sum(end.module == number for end in self.ends)
            output = module.name == self.network.output
            neurons = self.network.slices[module.name].start | module.size << 16
            table.append((neurons, first_end | count << 16 | int(module.clamped) << 30 | int(output) << 31))
            first_end += count
        return np.array(table, np.uint32)

    def end_table(self) -> NDArray[np.uint32]:
        """Rows of the ``ends`` space, (ends,)."""
        return np.array([end.word() for end in self.ends], np.uint32)

    def pack(self, codes: Codes) -> dict[Area, Integers]:
        """Words of the areas that hold the parameters: ``weights``, then ``gains`` and ``biases`` of each level."""
        packed = {Area("weights", 0, self.rows): self._pack_weights(codes)}
        for level, (gains, biases) in enumerate(zip(self._pack_gains(codes), codes.bias, strict=True)):
            packed[self._gains("gains", level)] = gains
            packed[self._biases("biases", level, slice(0, self.network.neurons))] = biases
        return packed

    def contrast_areas(self, levels: Iterable[int]) -> list[Area]:
        """Areas that hold the contrast sums of a minibatch with these noise levels: all others are zero."""
        areas = [Area("weight_contrast", 0, self.rows)]
        for level in levels:
            areas.append(self._gains("gain_contrast", level))
            areas += [self._biases("bias_contrast", level, span) for span in self._free_spans]
        return areas

    def unpack(self, words: Mapping[Area, NDArray[Any]]) -> Sums:
        """Integers in the shapes of parameters, from areas of these or of contrast sums; zero where none is given."""
        network, lanes = self.network, self.geometry.lanes
        weights = np.zeros((self.rows, lanes), np.int64)
        gains = np.zeros((network.levels, self.groups, lanes), np.int64)
        biases = np.zeros((network.levels, network.neurons), np.int64)
        for area, part in words.items():
            if area.space in ("weights", "weight_contrast", _FINE[0], _MOMENTUM[0]):
                weights[:] = part
            elif area.space in ("gains", "gain_contrast", _FINE[1], _MOMENTUM[1]):
                gains[area.row // self.geometry.groups] = part
            else:
                level, neuron = divmod(area.row, self.geometry.neurons)
                biases[level, neuron : neuron + area.count] = part
        return self._unpack(weights, gains, biases)

    def memory_areas(self, fine: bool) -> list[Area]:
        """Areas of what a device that learns holds: parameters with guard bits if ``fine``, or else contrast sums."""
        weights, gains, biases = _FINE if fine else _MOMENTUM
        areas = [Area(weights, 0, self.rows)]
        for level in range(self.network.levels):
            areas.append(self._gains(gains, level))
            areas.append(self._biases(biases, level, slice(0, self.network.neurons)))
        return areas

    def arranged(self, sums: Sums) -> tuple[Integers, Integers, Integers]:
        """Parameters' integers as memories hold them: (rows, lanes), (levels, groups, lanes), (levels, N)."""
        return self._pack_weights(sums), self._pack_gains(sums), sums.bias

    def collected(self, weights: Integers, gains: Integers, biases: Integers) -> Sums:
        """The inverse of :meth:`arranged`."""
        return self._unpack(weights, gains, biases)

    def row_ends(self) -> list[int]:
        """For each module, the row after its last in weight memory."""
        ends = [0] * len(self.network.modules)
        for end in self.ends:
            ends[end.module] = end.row + self.network.modules[end.module].size
        return list(accumulate(ends, max))

    @property
    def update_cycles(self) -> int:
        """Estimate, on the high side, of the clock cycles of an update."""
        lanes, levels = self.geometry.lanes, self.network.levels
        parameters = lanes * (self.rows + levels * self.groups) + levels * self.network.neurons
        # After each module, and each kind, it waits for the last parameter to be written.
        waits = len(self.network.modules) + 2
        wait = read_latency(self.geometry) + UPDATE_STAGES + 2 * UPDATE_TICKS
        return 96 + UPDATE_TICKS * (parameters + 2 * levels) + waits * wait

    def run_cycles(self, batch: int, steps: int) -> int:
        """Estimate, on the high side, of the clock cycles of a run, for its deadline.

        Parameters
        ----------
        batch
            Samples.
        steps
            Relaxation steps of a sample, all phases together.
        """
        network, contexts = self.network, self.geometry.contexts
        walk, step, load = self._cycles()
        contrast = 2 * (2 * self.rows + contexts * (2 * self.groups + network.neurons) + 5 * walk)
        clear = network.levels * (max(2 * self.groups, network.neurons) + walk)
        return clear + -(-batch // contexts) * (load + steps * step + contrast)

    def reverse_cycles(self, batch: int, phases: int, free_steps: int) -> int:
        """The same of a reverse process of so many free phases."""
        walk, step, load = self._cycles()
        contexts = self.geometry.contexts
        update = 64 + contexts * 8 * (self.network.inputs + walk)  # 8 cycles a step of the walk
        return -(-batch // contexts) * (update + phases * (update + load + free_steps * step))

    def _cycles(self) -> tuple[int, int, int]:
        """Cycles of a walk beside its beats; of a relaxation step; of loading all contexts, with their clamped ends."""
        network, contexts = self.network, self.geometry.contexts
        walk = 64 + len(network.modules) + len(self.ends)  # entries passed over, and pipelines that drain
        step = 2 * self.rows + network.neurons + 3 * walk
        load = contexts * (2 * self.groups + 2 * network.neurons + self.record(nudged=True) + 5 * walk) + self.rows
        return walk, step, load

    def _gains(self, space: str, level: int) -> Area:
        return Area(space, level * self.geometry.groups, self.groups)

    def _biases(self, space: str, level: int, neurons: slice) -> Area:
        return Area(space, level * self.geometry.neurons + neurons.start, neurons.stop - neurons.start)

    @cached_property
    def _free_spans(self) -> list[slice]:
        return spans(~self.network.clamped)

    def _pack_weights(self, codes: Codes | Sums) -> Integers:
        packed = np.zeros((self.rows, self.geometry.lanes), np.int64)
        for end in self.ends:
            part = (codes.U, codes.V)[end.side][end.coupling][:, end.channels]
            packed[end.row : end.row + part.shape[0], : part.shape[1]] = part
        return packed

    def _pack_gains(self, codes: Codes | Sums) -> Integers:
        packed = np.zeros((self.network.levels, self.groups, self.geometry.lanes), np.int64)
        for end in self.ends:
            part = codes.gain[end.coupling][:, end.channels]
            packed[:, end.group, : part.shape[1]] = part
        return packed

    def _unpack(self, weights: Integers, gains: Integers, biases: Integers) -> Sums:
        sizes = {module.name: module.size for module in self.network}
        couplings = self.network.couplings
        u = tuple(np.zeros((sizes[coupling.a], coupling.rank), np.int64) for coupling in couplings)
        v = tuple(np.zeros((sizes[coupling.b], coupling.rank), np.int64) for coupling in couplings)
        gain = tuple(np.zeros((self.network.levels, coupling.rank), np.int64) for coupling in couplings)
        for end in self.ends:
            side, width = (u, v)[end.side][end.coupling], end.channels.stop - end.channels.start
            side[:, end.channels] = weights[end.row : end.row + len(side), :width]
            gain[end.coupling][:, end.channels] = gains[:, end.group, :width]
        return Sums(u, v, gain, biases)


_FINE = ("fine_weights", "fine_gains", "fine_biases")
_MOMENTUM = ("weight_momentum", "gain_momentum", "bias_momentum")

_WORDS = {
    "modules": "modules",
    "neurons": "neurons",
    "groups": "channel groups",
    "rows": "rows of weight memory",
    "levels": "noise levels",
    "sample_words": "words for a sample",
    "output_words": "words for the outputs of a sample",
}


def spans(mask: NDArray[np.bool_], gap: int = 0) -> list[slice]:
    """Runs of true elements in a one-dimensional mask; runs no further apart than ``gap`` are joined."""
    where = np.flatnonzero(mask)
    if not len(where):
        return []
    breaks = np.flatnonzero(np.diff(where) > gap + 1)
    starts = where[np.r_[0, breaks + 1]]
    stops = where[np.r_[breaks, len(where) - 1]] + 1
    return [slice(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def _place(network: Network, lanes: int) -> tuple[tuple[End, ...], int, int]:
    """Ends in device order, rows in use, groups in use."""
    names = [module.name for module in network]
    unplaced: list[tuple[int, int, slice, int, int, bool]] = []
    groups = 0
    for number, coupling in enumerate(network.couplings):
        for start in range(0, coupling.rank, lanes):
            channels = slice(start, min(start + lanes, coupling.rank))
            for side, (own, opposite) in enumerate(((coupling.a, coupling.b), (coupling.b, coupling.a))):
                clamped = network[opposite].clamped
                unplaced.append((names.index(own), number, channels, groups, side, clamped))
            groups += 1
    ends: list[End] = []
    rows = 0
    for fields in sorted(unplaced, key=lambda fields: fields[0]):  # a stable sort keeps couplings and groups in order
        ends.append(End(*fields, row=rows))
        rows += network.modules[fields[0]].size
    return tuple(ends), rows, groups
