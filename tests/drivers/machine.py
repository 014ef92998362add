"""What a RUN does, told from tables and memories alone: ``docs/arithmetic.md`` without the noise, one sample at a time.

It shares nothing with driver, layout or golden model, so that all of them can be held against it.
"""

import numpy as np

from .peer import MemoryDevice

RAIL = 32767 << 8
BUS, SLOPE, STATE = 2**17 - 1, 2**17 - 1, 2**15 - 1


def rounded(value, bits: int):
    return (value + (1 << bits >> 1)) >> bits


class Machine:
    """The registers, tables and memories of ``device``, and one RUN through them."""

    def __init__(self, device: MemoryDevice) -> None:
        self.device = device
        signed = {name: memory.astype(memory.dtype.str.replace("u", "i")) for name, memory in device.memory.items()}
        self.weights = signed["weights"].astype(np.int64)
        self.gains, self.biases = signed["gains"].astype(np.int64), signed["biases"].astype(np.int64)[:, 0]
        self.samples = signed["samples"].astype(int)[:, 0].tolist()
        sites = device.memory["sites"][:, 0].astype(np.int64)
        self.stiffness, self.quartic = sites & 0xFFFF, sites >> 16
        self.clips = {"state": 0, "bus": 0, "force": 0}
        self.residual = 0
        self.outputs: list[int] = []
        self.sums = {
            name: np.zeros(device.memory[name].shape, np.int64) for name in device.memory if "contrast" in name
        }
        ends = [self._end(int(word)) for word in device.memory["ends"][:, 0]]
        self.modules = []
        for low, high in device.memory["modules"][: device.register("modules")].astype(int).tolist():
            first, count = high & 0xFFFF, high >> 16 & 0x3FFF
            neurons = np.arange(low & 0xFFFF, (low & 0xFFFF) + (low >> 16))
            self.modules.append((neurons, ends[first : first + count], bool(high >> 30 & 1), bool(high >> 31)))
        self.free = np.concatenate([neurons for neurons, _, clamped, _ in self.modules if not clamped])

    @staticmethod
    def _end(word: int) -> tuple[int, int, int, bool]:
        return word & 0xFFFF, word >> 16 & 0x3FFF, word >> 30 & 1, bool(word >> 31)

    def run(self) -> None:
        """Do it all, and leave the results where the host reads them."""
        device, mode, contexts = self.device, self.device.register("mode"), self.device.hello.geometry.contexts
        batch, steps = device.register("batch"), device.register("free_steps")
        steps += mode * device.register("nudged_steps")
        for number in range(batch):
            self._sample(number, mode, number % contexts)
        for name, sums in self.sums.items():
            device.memory[name][:] = sums.astype(np.int32).view(np.uint32)
        device.memory["outputs"][: len(self.outputs), 0] = np.array(self.outputs, np.int16).view(np.uint16)
        results = {f"{kind}_saturations": count for kind, count in self.clips.items()}
        results |= {"residual_low": self.residual % 2**32, "residual_high": self.residual >> 32}
        results |= {"cycles": 1000, "relax_cycles": 900, "relax_steps": -(-batch // contexts) * steps}
        for name, value in results.items():
            device.set_register(name, value)

    def _sample(self, number: int, mode: int, context: int) -> None:
        device, record = self.device, self.device.register("record")
        words = iter(self.samples[number * record : (number + 1) * record])
        self.level = next(words)
        states = np.zeros(device.register("neurons"), np.int64)
        for neurons, _, clamped, _ in self.modules:
            if clamped:
                states[neurons] = [next(words) << 8 for _ in neurons]
        target = list(words)
        beta, nudged_steps = device.register("beta"), device.register("nudged_steps")
        self.raw, self.drive = {}, {}
        self._project(states, clamped=True)
        free = self._relax(states, device.register("free_steps"), 0, target, measure=True)
        self._keep("free_states", context, free)
        for neurons, _, _, output in self.modules:
            if output:
                self.outputs += rounded(free[neurons], 8).tolist()
        last = free
        if mode == 1:
            self._contrast(free, -1)
        if mode:
            last = self._relax(free, nudged_steps, beta, target)
            self._contrast(last, 1)
        if mode == 2:
            last = self._relax(free, nudged_steps, -beta, target)
            self._contrast(last, -1)
        self._keep("states", context, last)

    def _keep(self, space: str, context: int, states) -> None:
        self.device.memory[space][: len(states), context] = states.astype(np.int32).view(np.uint32)

    def _clip(self, value, top: int, kind: str):
        self.clips[kind] += int(np.sum(np.abs(value) > top))
        return np.clip(value, -top, top)

    def _project(self, states, clamped: bool = False, contrast: bool = False) -> None:
        """Buses and drives of all ends of clamped, or of free modules (in a step only towards free ones)."""
        seen = rounded(states, 8)
        for neurons, ends, own_clamped, _ in self.modules:
            for row, group, side, opposite_clamped in ends:
                if own_clamped != clamped or (opposite_clamped and not (contrast or clamped)):
                    continue
                total = seen[neurons] @ self.weights[row : row + len(neurons)]
                gain = self.gains[self.level * self.device.hello.geometry.groups + group]
                self.raw[group, side] = self._clip(rounded(total, 14), BUS, "bus")
                self.drive[group, side] = self._clip(rounded(gain * self.raw[group, side], 12), BUS, "bus")

    def _relax(self, states, steps: int, beta: int, target, measure: bool = False):
        states = states.copy()
        for step in range(steps):
            self._project(states)
            force = self._force(rounded(states, 8), beta, target)
            if measure and step == steps - 1:
                self.residual += int(np.sum(np.abs(force[self.free]) >> 8))
            moved = states + rounded(force, self.device.register("dt_shift"))
            states[self.free] = self._clip(moved[self.free], RAIL, "state")
        return states

    def _force(self, seen, beta: int, target):
        force = np.zeros(len(seen), np.int64)
        for neurons, ends, clamped, output in self.modules:
            if clamped:
                continue
            s = seen[neurons]
            push = np.zeros(len(neurons), np.int64)
            for row, group, side, _ in ends:
                push += self.weights[row : row + len(neurons)] @ self.drive[group, 1 - side]
            slope = rounded(self.quartic[neurons] * rounded(s * s, 13) + (self.stiffness[neurons] << 13), 14)
            leak = rounded(s * self._clip(slope, SLOPE, "force"), 4)
            bias = self.biases[self.level * self.device.hello.geometry.neurons + neurons]
            force[neurons] = rounded(push, 6) + (bias << 8) - leak
            if output and beta:
                force[neurons] += rounded(self._clip(np.array(target) - s, STATE, "force") * beta, 6)
        return force

    def _contrast(self, states, sign: int) -> None:
        self._project(states, contrast=True)
        seen, geometry = rounded(states, 8), self.device.hello.geometry
        for neurons, ends, _, _ in self.modules:
            for row, group, side, _ in ends:
                products = seen[neurons][:, None] * self.drive[group, 1 - side]
                self.sums["weight_contrast"][row : row + len(neurons)] += sign * rounded(products, 10)
                if side == 0:
                    product = rounded(self.raw[group, 0] * self.raw[group, 1], 13)
                    self.sums["gain_contrast"][self.level * geometry.groups + group] += sign * product
            self.sums["bias_contrast"][self.level * geometry.neurons + neurons, 0] += sign * seen[neurons]
