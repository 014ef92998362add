"""The updater by itself, at a port whose answers take any number of cycles: what it makes, and how long it takes."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from equipoise.drivers import layout as layouts
from equipoise.drivers.layout import Layout
from equipoise.drivers.learning import clips_of, rule_words
from equipoise.gateware import learning
from equipoise.gateware.learning import Updater
from equipoise.sim.golden_learning import Held, update
from equipoise.substrate.formats import FORMATS
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.learning import RuleCodes
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.protocol import SPACES, UPDATE_COUNTERS

GEOMETRY = Geometry(lanes=3, modules=4, neurons=16, rows=64, groups=8, levels=4)
NETWORK = Network(  # of whose modules one has no weights
    (Module("x", 3, clamped=True), Module("alone", 2), Module("y", 4)), (Coupling("x", "y", 4),), "y", levels=3
)
RULE = RuleCodes(3, 14, 13, 12, 20000, 15000, 9000, (30000, 10000, 20000))
SEED = 2**64 - 5
REGISTERS = {"modules": 3, "groups": 2, "neurons": 9, "levels": 3, "seed": SEED}


class Memories:
    """They answer after ``latency`` cycles: with a word, or else nonsense."""

    def __init__(self, latency: int, fine: Held, sums: Held) -> None:
        self.latency, self.words, self._asked = latency, {}, []
        for names, held in ((("fine_weights", "fine_gains", "fine_biases"), fine),
                            (("weight_momentum", "gain_momentum", "bias_momentum"), sums)):  # fmt: skip
            for name, words in zip(names, held.parts, strict=True):
                for row, word, value in placed(words):
                    self.words[SPACES[name].code, row, word] = int(value)

    def cycle(self, ctx, updater: Updater) -> None:
        """Take a request, and answer the one of so many cycles ago."""
        space, row, word = (ctx.get(signal) for signal in (updater.space, updater.row, updater.word))
        self._asked.append(self.words.get((space, row, word)))
        if ctx.get(updater.active) and ctx.get(updater.write):
            assert (space, row, word) in self.words
            width = 18 if space < SPACES["weight_momentum"].code else 32
            sign = 1 << width - 1
            self.words[space, row, word] = ((ctx.get(updater.write_data) & 2 * sign - 1) ^ sign) - sign
        if len(self._asked) > self.latency:
            value = self._asked.pop(0)
            ctx.set(updater.read_data, 0x5A5A5A5A if value is None else value & 2**32 - 1)


def placed(words):
    """Rows and words of weights, gains and biases, in the order of an update."""
    if words.shape[-1] == GEOMETRY.lanes:
        depth = GEOMETRY.groups
        rows = words if words.ndim == 3 else words[None]
    else:
        depth, rows = GEOMETRY.neurons, words[:, :, None]
    for (level, row, word), value in np.ndenumerate(rows):
        yield level * depth + row, word, value


def run(latency: int, memories: Memories) -> tuple[int, dict[str, int]]:
    """Cycles from the end of a run to the end of its update, and counters."""
    updater, found = Updater(GEOMETRY, FORMATS), {}
    words = rule_words(Layout(NETWORK, GEOMETRY), RULE)

    async def testbench(ctx):
        for name, value in REGISTERS.items():
            ctx.set(getattr(updater, name), value)
        ctx.set(updater.port.write, 1)
        for space, values in words.items():
            ctx.set(updater.port.space, SPACES[space].code)
            for row, value in enumerate(values):
                ctx.set(updater.port.row, row)
                ctx.set(updater.port.write_data, int(value))
                await ctx.tick()
        ctx.set(updater.port.write, 0)
        for name in ("contrasts", "running", "start"):
            ctx.set(getattr(updater, name), 1)
        await ctx.tick()
        ctx.set(updater.start, 0)
        await ctx.tick().repeat(5)
        ctx.set(updater.running, 0)
        cycles = 0
        while ctx.get(updater.busy):
            memories.cycle(ctx, updater)
            await ctx.tick()
            cycles += 1
        assert not ctx.get(updater.active)
        ctx.set(updater.port.space, SPACES["updates"].code)
        for row, counter in enumerate(UPDATE_COUNTERS):
            ctx.set(updater.port.row, row)
            await ctx.tick().repeat(3)
            found[counter.name] = ctx.get(updater.port.read_data)
        found["cycles"] = cycles

    simulator = Simulator(updater)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return found.pop("cycles"), found


def held(rng, top: int) -> Held:
    """Integers of any size, some of the largest."""
    layout, bits = Layout(NETWORK, GEOMETRY), top.bit_length()
    shapes = (layout.rows, 3), (3, layout.groups, 3), (3, NETWORK.neurons)
    sizes = (rng.normal(size=shape) * 2.0 ** rng.uniform(0, bits + 2, shape) for shape in shapes)
    return Held(*(np.clip(size, -top, top).astype(np.int64) for size in sizes))


@pytest.mark.parametrize("latency", [5, 6, 7, 8, 9, 10, 11, 12, 13, 21, 37, 69])
def test_whatever_the_latency_of_the_port(latency, monkeypatch) -> None:
    for user in (learning, layouts):
        monkeypatch.setattr(user, "read_latency", lambda geometry: latency)
    rng = np.random.default_rng(0)
    fine, sums = held(rng, 4 * 32767), held(rng, 2**31 - 1)
    memories, layout = Memories(latency, fine, sums), Layout(NETWORK, GEOMETRY)
    cycles, counters = run(latency, memories)
    moved, left, clips = update(fine, sums, RULE, layout.row_ends(), SEED, FORMATS)
    assert memories.words == Memories(latency, moved, left).words
    assert counters["updates"] == 1 and clips_of(counters) == clips
    assert clips.step and clips.parameter and clips.momentum
    assert cycles <= layout.update_cycles <= cycles + 128 + 2 * latency  # it waits less for a module without weights
