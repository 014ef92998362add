"""Updates of the device against updates of the host: what both cost on the link, how fast they are, how far they get.

    python benchmarks/learning.py link RECIPE ADDRESS [STEPS]
    python benchmarks/learning.py error RECIPE ADDRESS [SEED ...]
    python benchmarks/learning.py settings RECIPE ADDRESS STEPS RATE,SOFT,MOMENTUM [...]

``link`` trains STEPS steps and twice as many, both ways, and divides what the second run takes more: bytes and seconds
of a step, checkpoints included, what comes before and after training not. Seconds are those of a processor, of this
process and of the simulator, and the fewest of two rounds: other work on the machine would count else. ADDRESS is one
with a link: sim:, or fault+golden:, the golden model behind the link of the gateware. STEPS should be a multiple of the
recipe's checkpoint period, of which the device mode's is four times as long.

``error`` trains to the end, both ways, and prints the denoising errors. ``settings`` trains STEPS steps by the host,
and by the device with each of the settings given.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

from equipoise.host.devices import open_steady
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.trainer import Progress, train

WAYS = ("host", "device")
ROUNDS = 2


def trained(name: str, address: str, **settings: Any) -> tuple[dict[str, Any], float, int]:
    """Train a recipe: what came out, the processor's seconds it took, and the bytes on the link."""
    before = processor_seconds()
    with tempfile.TemporaryDirectory() as folder, open_steady(address) as device:
        run = Run.create(Path(folder) / "run", recipe(name, **settings))
        summary = train(run, device, Progress())
        health = device.health()
    count = int(health.get("host_bytes_sent", 0) + health.get("host_bytes_received", 0))
    return summary, processor_seconds() - before, count


def processor_seconds() -> float:
    """Of this process, and of those it started that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def link(name: str, address: str, steps: str = "200") -> None:
    count = int(steps)
    open_steady(address).close()  # what has to be built is built now
    spent: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
    for _, way, part in product(range(ROUNDS), WAYS, (1, 2)):
        _, seconds, sent = trained(name, address, update=way, steps=part * count, evaluate_every=10**6)
        spent[way, part].append((seconds, sent))
    print(f"{name} on {address}, {count} steps\n\n| updates of | bytes a step | steps a second |\n|---|---|---|")
    found = []
    for way in WAYS:
        (short, few), (long, many) = min(spent[way, 1]), min(spent[way, 2])
        found.append(((many - few) / count, count / (long - short)))
        print(f"| {way} | {found[-1][0]:,.0f} | {found[-1][1]:.3g} |")
    (host, slow), (device, fast) = found
    print(f"\nThe device's own: {host / device:.1f} times fewer bytes, {fast / slow:.2f} times as many steps a second")


def error(name: str, address: str, *seeds: str) -> None:
    print("| recipe, seed | updates of | error by level | mean | seconds |\n|---|---|---|---|---|")
    for seed in seeds or ("0",):
        means = []
        for way in WAYS:
            summary, seconds, _ = trained(name, address, update=way, seed=int(seed))
            errors = summary["error"]
            means.append(sum(errors) / len(errors))
            levels = " / ".join(f"{each:.4f}" for each in errors)
            print(f"| {name}, {seed} | {way} | {levels} | {means[-1]:.5f} | {seconds:.0f} |", flush=True)
        print(f"| {name}, {seed} | device / host | | {means[1] / means[0]:.3f} | |", flush=True)


def settings(name: str, address: str, steps: str, *chosen: str) -> None:
    print("| update_rate, update_soft, update_momentum | error by level | mean |\n|---|---|---|")
    for each in ("host", *chosen):
        values: dict[str, Any] = {"update": "host"}
        if each != "host":
            rate, soft, momentum = each.split(",")
            values = {"update": "device", "update_rate": float(rate), "update_soft": float(soft)}
            values["update_momentum"] = int(momentum)
        summary, _, _ = trained(name, address, steps=int(steps), evaluate_every=int(steps), **values)
        errors = summary["error"]
        levels = " / ".join(f"{error:.4f}" for error in errors)
        print(f"| {each.replace(',', ', ')} | {levels} | {sum(errors) / len(errors):.5f} |", flush=True)


def main() -> None:
    commands = {"link": link, "error": error, "settings": settings}
    if len(sys.argv) < 4 or sys.argv[1] not in commands:
        sys.exit(
            f"{Path(__file__).name}: say one of {', '.join(commands)}, a recipe and an address; see its first lines"
        )
    commands[sys.argv[1]](*sys.argv[2:])


if __name__ == "__main__":
    main()
