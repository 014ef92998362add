"""Training over a bad wire: the promise in tens of thousands of cases, and what is left of the speed.

    python benchmarks/faults.py promise [CASES] [SEED]
    python benchmarks/faults.py speed
    python benchmarks/faults.py sim

``promise``: each case is three training steps on the model device over a wire with faults of its own, in a time of its
own; the result must be that of a perfect day, bit for bit, at once or after going on over a good wire.

``speed``: training steps a second over a line of 3 Mbaud, where a run takes 10 ms, by that line's own clock, with one
frame in so many damaged (lost, a bit flipped, doubled, cut short, out of order, or merged with the next) each way.

``sim``: the same by the clock on the wall, on the simulated gateware.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from wires import PHASES, Clock, LineTransport, Training, clean, hold_promise, new_device, within

from equipoise.drivers.faulty import FAULTS, Faults, FaultyTransport, Mischief
from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host.recipes import recipe
from equipoise.host.supervision import Supervised
from equipoise.sim.device import open_wire
from equipoise.sim.model_device import model_device
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch

DAMAGES = ("drop", "flip", "duplicate", "truncate", "reorder", "merge")
ONE_IN = (0, 1000, 100, 30, 10)
STEPS = {"line": 60, "sim": 12}


def promise(cases: int, seed: int) -> None:
    """One case after the other: half with one fault at one operation, half with all faults everywhere."""
    Clock().install()
    perfect = Training()
    perfect.go_on(clean(new_device()))
    done: Counter[str] = Counter()
    for number in range(cases):
        rng = np.random.default_rng([seed, number])
        if number % 2:
            fault, phase = rng.choice(FAULTS), str(rng.choice(list(PHASES)))
            mischief = Mischief(
                Faults(**{str(fault): 10 ** rng.uniform(-2, -0.3)}), number, only=within(*PHASES[phase])
            )
        else:
            mischief = Mischief(
                Faults(**dict(zip(FAULTS, 10 ** rng.uniform(-4, -1.5, len(FAULTS)), strict=True))), number
            )
        done["gave up, and went on later" if hold_promise(mischief, perfect) else "finished"] += 1
        done["faults"] += mischief.count
        if (number + 1) % 1000 == 0 or number + 1 == cases:
            print(f"{number + 1} cases, every result that of a perfect day: {dict(done)}", flush=True)


def damage(one_in: int) -> Faults:
    """So that one frame in ``one_in`` is damaged."""
    return Faults(**dict.fromkeys(DAMAGES, 1 / one_in / len(DAMAGES))) if one_in else Faults()


def steps_per_second(device, clock, steps: int) -> float:
    """Training steps of the network of digits-quick, batch 32, after a first one that loads it."""
    config, rng = recipe("digits-quick"), np.random.default_rng(0)
    network = config.network
    device.configure(network)
    parameters = Parameters.random(network, rng)
    begin = 0.0
    for step in range(steps + 1):
        if step == 1:
            begin = clock.monotonic()
        size = (config.batch, network.inputs)
        levels = rng.integers(0, network.levels, config.batch)
        device.write(parameters)
        device.run(Minibatch(rng.normal(0, 0.5, size), levels, rng.normal(0, 0.5, size)), config.schedule(step))
        parameters = parameters.map(lambda leaf: 0.999 * leaf)
    return steps / (clock.monotonic() - begin)


def speed() -> None:
    """Over a line with a clock of its own."""
    clock = Clock()
    clock.install()
    compare(lambda: LineTransport(model_device(), clock), clock, STEPS["line"])


def sim() -> None:
    """On the simulated gateware."""
    compare(open_wire, time, STEPS["sim"])


def compare(wire, clock, steps: int) -> None:
    """Print the speed at each rate, as a part of that without faults."""
    fastest = 0.0
    for one_in in ONE_IN:
        mischief = Mischief(damage(one_in), 1)
        with Supervised(partial(behind, wire, mischief)) as device:
            rate = steps_per_second(device, clock, steps)
            health = device.health()
        fastest = fastest or rate
        counted = ", ".join(f"{name} {health[f'host_{name}']}" for name in ("requests", "retries", "timeouts"))
        print(
            f"1 in {one_in}: {rate:.2f} steps/s, {rate / fastest:.1%}; {mischief.count} faults, {counted}", flush=True
        )


def behind(wire, mischief: Mischief) -> GatewareDevice:
    """The device at the end of a wire that has been made a bad one."""
    return GatewareDevice(Session(FaultyTransport(wire(), mischief)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["promise", *numbers]:
            promise(*[int(number) for number in numbers] or [20_000], *[0] * (len(numbers) < 2))
        case ["speed"]:
            speed()
        case ["sim"]:
            sim()
        case _:
            sys.exit(__doc__)
