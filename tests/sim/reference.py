"""docs/arithmetic.md in plain Python integers, one sample and one neuron at a time: what all others must equal.

Slow, and written from the page alone: it shares no code with either.
"""

from dataclasses import dataclass, field

import numpy as np

from equipoise.substrate.codes import Codes
from equipoise.substrate.network import Network

MASK = (1 << 64) - 1


def rounded(value: int, shift: int) -> int:
    return (value + ((1 << shift) >> 1)) >> shift


def rotated(word: int, count: int) -> int:
    return ((word << count) | (word >> (64 - count))) & MASK


class Noise:
    def __init__(self, seed: int, sample: int, phase: int) -> None:
        self.s0, self.s1 = seed, 0x9E3779B97F4A7C15 ^ (sample << 8) ^ phase
        for _ in range(64):
            word = (self.s0 + self.s1) & MASK
            self.take()
            self.s1 ^= word

    def take(self) -> int:
        word = (self.s0 + self.s1) & MASK
        self.s1 ^= self.s0
        self.s0 = rotated(self.s0, 24) ^ self.s1 ^ ((self.s1 << 16) & MASK)
        self.s1 = rotated(self.s1, 37)
        return sum((word >> shift) & 255 for shift in range(0, 64, 8)) - 1020


@dataclass
class Reference:
    """Sums and counters over the samples of a minibatch."""

    network: Network
    codes: Codes
    beta: int
    dt_shift: int
    amplitude: int
    seed: int
    clips: dict[str, int] = field(default_factory=lambda: {"state": 0, "bus": 0, "force": 0})
    residual: int = 0

    def __post_init__(self) -> None:
        network = self.network
        self.ends = [
            (number, side, own, other)
            for number, coupling in enumerate(network.couplings)
            for side, (own, other) in enumerate(((coupling.a, coupling.b), (coupling.b, coupling.a)))
        ]
        self.weights = {(n, side): (self.codes.U, self.codes.V)[side][n].tolist() for n, side, _, _ in self.ends}
        self.weight_sums = {key: np.zeros(np.shape(weights), np.int64) for key, weights in self.weights.items()}
        self.gain_sums = [np.zeros((network.levels, coupling.rank), np.int64) for coupling in network.couplings]
        self.bias_sums = np.zeros((network.levels, network.neurons), np.int64)

    def saturated(self, value: int, top: int, kind: str) -> int:
        if abs(value) > top:
            self.clips[kind] += 1
            return top if value > 0 else -top
        return value

    def run(self, sample: int, level: int, clamped: list[int], target: list[int], mode: int, steps: tuple[int, int]):
        """One sample; returns its stored states at the end of the free and of the last phase."""
        self.level, self.target = level, target
        states = [0] * self.network.neurons
        inputs = iter(clamped)
        for neuron in np.flatnonzero(self.network.clamped):
            states[neuron] = next(inputs) << 8
        self.raw: dict[tuple[int, int], list[int]] = {}
        self.drive: dict[tuple[int, int], list[int]] = {}
        for number, side, own, _ in self.ends:
            if self.network[own].clamped:
                self.project(states, number, side, own)
        free = last = self.phase(states, sample, 0, steps[0])
        if mode == 1:
            self.contrast(free, -1)
        if mode >= 1:
            last = self.phase(free, sample, 1, steps[1])
            self.contrast(last, 1)
        if mode == 2:
            last = self.phase(free, sample, 2, steps[1])
            self.contrast(last, -1)
        return free, last

    def project(self, stored: list[int], number: int, side: int, own: str) -> None:
        where = self.network.slices[own]
        seen = [rounded(value, 8) for value in stored[where]]
        raws, drives = [], []
        for channel in range(self.network.couplings[number].rank):
            total = sum(row[channel] * state for row, state in zip(self.weights[number, side], seen, strict=True))
            raws.append(self.saturated(rounded(total, 14), 131071, "bus"))
            gain = int(self.codes.gain[number][self.level, channel])
            drives.append(self.saturated(rounded(gain * raws[-1], 12), 131071, "bus"))
        self.raw[number, side], self.drive[number, side] = raws, drives

    def phase(self, stored: list[int], sample: int, phase: int, steps: int) -> list[int]:
        network, codes = self.network, self.codes
        noise = Noise(self.seed, sample, phase)
        signed_beta = {0: 0, 1: self.beta, 2: -self.beta}[phase]
        output = network.slices[network.output]
        for step in range(steps):
            for number, side, own, other in self.ends:
                if not network[own].clamped and not network[other].clamped:
                    self.project(stored, number, side, own)
            moved = list(stored)
            for module in network:
                if module.clamped:
                    continue
                where = network.slices[module.name]
                for neuron in range(where.start, where.stop):
                    push = 0
                    for number, side, own, _ in self.ends:
                        if own == module.name:
                            row = self.weights[number, side][neuron - where.start]
                            push += sum(w * d for w, d in zip(row, self.drive[number, 1 - side], strict=True))
                    state = rounded(stored[neuron], 8)
                    square = rounded(state * state, 13)
                    bend = int(codes.quartic[neuron]) * square + (int(codes.stiffness[neuron]) << 13)
                    slope = self.saturated(rounded(bend, 14), 131071, "force")
                    force = rounded(push, 6) + (int(codes.bias[self.level, neuron]) << 8) - rounded(state * slope, 4)
                    if phase and module.name == network.output:
                        miss = self.saturated(self.target[neuron - output.start] - state, 32767, "force")
                        force += rounded(miss * signed_beta, 6)
                    if phase == 0 and step == steps - 1:
                        self.residual += abs(force) >> 8
                    kick = rounded(self.amplitude * noise.take(), 3) if self.amplitude else 0
                    total = stored[neuron] + rounded(force, self.dt_shift) + kick
                    moved[neuron] = self.saturated(total, 32767 << 8, "state")
            stored = moved
        return stored

    def contrast(self, stored: list[int], sign: int) -> None:
        network = self.network
        for number, side, own, _ in self.ends:
            if not network[own].clamped:
                self.project(stored, number, side, own)
        seen = [rounded(value, 8) for value in stored]
        for number, side, own, _ in self.ends:
            for row, state in enumerate(seen[network.slices[own]]):
                for channel, drive in enumerate(self.drive[number, 1 - side]):
                    self.weight_sums[number, side][row, channel] += sign * rounded(state * drive, 10)
        for number in range(len(network.couplings)):
            pairs = zip(self.raw[number, 0], self.raw[number, 1], strict=True)
            for channel, (a, b) in enumerate(pairs):
                self.gain_sums[number][self.level, channel] += sign * rounded(a * b, 13)
        self.bias_sums[self.level] += sign * np.array(seen)
