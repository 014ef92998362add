"""Streams in Amaranth's simulator: what sends to them and receives from them, with pauses and checks."""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from amaranth.hdl import Elaboratable
from amaranth.sim import Simulator

Pauses = Callable[[], Iterator[bool]]
"""Makes a generator that says, cycle after cycle, whether to pause."""


def never() -> Iterator[bool]:
    while True:
        yield False


def seldom(seed: int, share: float = 0.2) -> Pauses:
    """Single cycles of pause, at random."""

    def generate() -> Iterator[bool]:
        source = random.Random(seed)
        while True:
            yield source.random() < share

    return generate


def bursts(seed: int, longest: int = 40) -> Pauses:
    """Long pauses and long stretches without one, at random."""

    def generate() -> Iterator[bool]:
        source = random.Random(seed)
        while True:
            for pause in (False, True):
                for _ in range(source.randrange(longest)):
                    yield pause

    return generate


async def send(ctx: Any, stream: Any, payloads: Iterable[Any], pauses: Pauses = never) -> None:
    """Send all payloads."""
    pause = pauses()
    for payload in payloads:
        while next(pause):
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        ready = False
        while not ready:
            *_, ready = await ctx.tick().sample(stream.ready)
        ctx.set(stream.valid, 0)


async def receive(ctx: Any, stream: Any, take: Callable[[Any], bool | None], pauses: Pauses = never) -> None:
    """Receive payloads and hand them to ``take``, until it answers True.

    Checks the rules of streams: what is offered stays until it is taken, and being ready does not make it offered.
    """
    waiting = None
    for pause in pauses():
        if not pause:
            offered = ctx.get(stream.valid)
            ctx.set(stream.ready, 1)
            assert ctx.get(stream.valid) == offered, "valid depends on ready"
        *_, valid, payload = await ctx.tick().sample(stream.valid, stream.payload)
        ctx.set(stream.ready, 0)
        if waiting is not None:
            assert valid and payload == waiting, "an offer was changed or withdrawn before it was taken"
        waiting = payload if valid and pause else None
        if valid and not pause and take(payload):
            return


def simulate(dut: Elaboratable, *testbenches: Any, background: Iterable[Any] = (), limit: int = 100_000) -> None:
    """Run until every testbench is done, for ``limit`` cycles at most."""
    simulator = Simulator(dut)
    simulator.add_clock(1)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)
    for _ in range(2 * limit):
        if not simulator.advance():
            return
    raise AssertionError(f"the testbenches were not done after {limit} cycles")
