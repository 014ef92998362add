"""``energy``: joules of one training step on analog substrates, an FPGA, a GPU and this CPU."""

from __future__ import annotations

from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...drivers.layout import Layout
from ...sim.build import BOARD_ID
from ...sim.float_model import FloatModel
from ...substrate.errors import CapabilityError, DeviceError
from ...substrate.geometry import Geometry
from ...substrate.interface import Substrate
from ...substrate.parameters import Parameters
from ..config import TrainConfig
from ..recipes import recipe
from .energy_model import Counts, Input, analog, count, fpga, gpu, monte_carlo, read_inputs, tornado
from .gradients import random_minibatch
from .rapl import Rapl
from .statistics import Interval
from .study import Claim, Findings, Setting, Study, Verdict
from .style import WIDE, draw, label

__all__ = ["STUDY"]

_DRAWS = 20_000
_CPU_SECONDS = 4.0
_SHOWN = 12

_FILLS = ("black", "0.8", "0.5", "white", "0.65", "0.9", "0.35", "0.75")
_HATCHES = ("", "////", "", "....", "xxxx", "", "\\\\\\\\", "++++")


def _problem(reduced: bool) -> TrainConfig:
    """Network, minibatch and phases of the digits: the full recipe's, or the quick one's."""
    return recipe("digits-quick" if reduced else "digits")


def run(setting: Setting) -> Findings:
    """Run the study."""
    setting.progress.expect(2)
    inputs = read_inputs()
    config = _problem(setting.reduced)
    network, batch = config.network, config.batch
    counts = count(network, batch, config.free_steps, config.nudged_steps)
    device = setting.measure("device", lambda: _device(setting.device, config, setting.seed))
    cpu = setting.measure("cpu", lambda: _cpu(config, setting.seed))
    table = _table(inputs, counts, device, cpu, setting.rng("draws"))
    widest = tornado(inputs, lambda values: sum(analog("chip", counts, values).values()))
    claims = _claims(table, cpu)
    numbers = {
        "network": {"neurons": network.neurons, "batch": batch, "steps": [config.free_steps, config.nudged_steps]},
        "counts": asdict(counts),
        "device": device,
        "cpu": cpu,
        "joules": {name: {k: v for k, v in row.items() if k != "draws"} for name, row in table.items()},
        "tornado of chip": widest,
        "inputs": {name: asdict(each) for name, each in inputs.items()},
    }
    return Findings(
        claims, numbers, {"energy": _figure(table, widest, inputs)}, _text(table, widest, device, cpu, batch)
    )


def _device(device: Substrate, config: TrainConfig, seed: int) -> dict[str, Any]:
    """What one step takes on the device: seconds, bytes on the link, and cycles; estimated where it has no clock."""
    network, batch, schedule = config.network, config.batch, config.schedule(seed)
    device.configure(network)
    rng = np.random.default_rng(seed)
    minibatch = random_minibatch(network, rng, batch)
    parameters = Parameters.random(network, rng)
    limit = min(batch, device.identity.batch_limit)
    if limit < batch:
        raise CapabilityError(f"The study of energy needs a minibatch of {batch}, this device takes {limit} at most")
    device.write(parameters)
    device.run(minibatch, schedule)  # a first run may be slower
    before, begin = device.health(), perf_counter()
    device.write(parameters.map(lambda leaf: leaf * 0.999))  # as in training, every weight has changed
    result = device.run(minibatch, schedule)
    seconds, after = perf_counter() - begin, device.health()
    sent = [after[name] - before[name] for name in ("host_bytes_sent", "host_bytes_received") if name in after]
    geometry = device.identity.details.get("geometry")
    steps = config.free_steps + 2 * config.nudged_steps
    estimate = Layout(network, Geometry(**geometry) if geometry else _large()).run_cycles(batch, steps)
    return {
        "seconds": seconds,
        "link_bytes": sum(sent) if sent else None,
        "cycles": result.cycles or None,
        "estimated_cycles": estimate,
        # A simulated board's clock is the simulation's own and says nothing of an FPGA.
        "clock": None if device.identity.uid == BOARD_ID.hex() else device.identity.details.get("clock"),
    }


def _large() -> Geometry:
    """A geometry that the network fits into, for an estimate where the device has none."""
    return Geometry(lanes=16, contexts=4, rows=16384)


def _cpu(config: TrainConfig, seed: int) -> dict[str, Any]:
    """Joules of this machine for one step of the equations in floating point, by RAPL; or why there are none."""
    try:
        rapl = Rapl()
    except DeviceError as error:
        return {"joules": None, "why": str(error)}
    model = FloatModel()
    model.configure(config.network)
    rng = np.random.default_rng(seed)
    model.write(Parameters.random(config.network, rng))
    minibatch, schedule = random_minibatch(config.network, rng, config.batch), config.schedule(seed)
    joules, seconds, done = rapl.measure(lambda: _discard(model.run(minibatch, schedule)), _CPU_SECONDS)
    return {"joules": joules / done, "seconds": seconds / done, "steps": done, "why": None}


def _discard(_: object) -> None:
    pass


def _table(
    inputs: dict[str, Input], counts: Counts, device: dict[str, Any], cpu: dict[str, Any], rng: np.random.Generator
) -> dict[str, dict[str, Any]]:
    """Joules by machine: parts at the best guess, total, its 95 % range, and what of it is measured."""
    guess = {name: each.value for name, each in inputs.items()}
    drawn = monte_carlo(inputs, _DRAWS, rng)
    cycles = device["cycles"] or device["estimated_cycles"]
    link = device["link_bytes"] or counts.fpga_bytes
    counted = "cycles measured on the device" if device["cycles"] else "cycles estimated from the layout"
    counted += ", link bytes measured" if device["link_bytes"] else ", link bytes counted"

    def row(known: str, joules: Any) -> dict[str, Any]:
        draws = sum(joules(drawn).values())
        low, high = np.quantile(draws, [0.025, 0.975])
        parts = joules(guess)
        return {
            "parts": parts, "total": sum(parts.values()), "low": float(low), "high": float(high), "known": known,
            "draws": draws,
        }  # fmt: skip

    table = {
        "analog chip": row("projected", lambda values: analog("chip", counts, values)),
        "analog board": row("projected", lambda values: analog("board", counts, values)),
        "FPGA": row(f"{counted}; power projected", lambda v: fpga(cycles, counts, v, link, device["clock"])),
        "GPU": row("projected", lambda values: gpu(counts, values)),
    }
    if cpu["joules"] is not None:
        total = cpu["joules"]
        table["this CPU"] = {
            "parts": {"all": total}, "total": total, "low": total, "high": total, "known": "measured by RAPL",
            "draws": np.full(_DRAWS, total),
        }  # fmt: skip
    return table


def _claims(table: dict[str, dict[str, Any]], cpu: dict[str, Any]) -> list[Claim]:
    ratio = table["GPU"]["draws"] / table["analog chip"]["draws"]
    low, high = np.quantile(ratio, [0.025, 0.975])
    found = Interval(table["GPU"]["total"] / table["analog chip"]["total"], float(low), float(high), _DRAWS)
    claims = [
        Claim(
            "analog chip against GPU",
            "less energy for the same step, over the ranges of all inputs (projected)",
            f"{found.value:.3g} times less (95 % of the draws: {found.low:.2g} to {found.high:.2g})",
            found.within(low=1.0),
            found.numbers(),
        )
    ]
    measured = cpu["joules"] is not None
    claims.append(
        Claim(
            "this CPU",
            "its joules are measured, not projected",
            f"{cpu['joules']:.3g} J a step" if measured else f"not readable: {cpu['why']}",
            Verdict.HELD if measured else Verdict.UNDECIDED,
            {"joules": cpu["joules"]},
        )
    )
    return claims


def _text(
    table: dict[str, dict[str, Any]],
    widest: list[tuple[str, float, float]],
    device: dict[str, Any],
    cpu: dict[str, Any],
    batch: int,
) -> str:
    rows = "; ".join(
        f"{name} {row['total']:.2g} J ({row['low']:.1g} to {row['high']:.1g}; {row['known']})"
        for name, row in table.items()
    )
    parts = table["analog chip"]["parts"]
    largest = max(parts, key=parts.__getitem__)
    no_cpu = "" if cpu["joules"] is not None else f" This CPU is left out, its energy is not readable: {cpu['why']}."
    return (
        f"Energy of one training step of {batch} samples, the same network and the same relaxation steps everywhere: "
        f"{rows}. In brackets: 95 % of draws from the ranges of the inputs, and what is known how; the inputs are "
        "projections, with their sources in energy.toml, and no analog device was measured. Of the chip's energy "
        f"{parts[largest] / table['analog chip']['total']:.0%} goes into '{largest}', and what moves the total most is "
        f"{widest[0][0]}, from {widest[0][1]:.2g} to {widest[0][2]:.2g} J. This device took {device['seconds']:.2g} s "
        f"for the step.{no_cpu}"
    )


def _figure(
    table: dict[str, dict[str, Any]], widest: list[tuple[str, float, float]], inputs: dict[str, Input]
) -> Figure:
    with draw(WIDE, 3.8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
        names = list(table)
        for at, name in enumerate(names):
            row = table[name]
            share, start = row["parts"], 0.0
            for number, part in enumerate(share):
                width = 100 * share[part] / row["total"]
                left.barh(
                    at, width, left=start, height=0.55, color=_FILLS[number], hatch=_HATCHES[number], edgecolor="black",
                    linewidth=0.6,
                )  # fmt: skip
                if width > 12:
                    left.text(
                        start + width / 2, at, part, ha="center", va="center", fontsize=7,
                        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                    )  # fmt: skip
                start += width
        left.set_yticks(range(len(names)), [f"{name}\n{table[name]['total']:.2g} J" for name in names])
        left.invert_yaxis()
        left.grid(axis="y", visible=False)
        label(left, "share of a step's energy (%)", "", "Energy of a training step by part")
        middle = table["analog chip"]["total"]
        for at, (name, low, high) in enumerate(widest[:_SHOWN]):
            ends = inputs[name]
            right.barh(at, high - low, left=low, height=0.6, color="0.75", edgecolor="black", linewidth=0.6)
            right.text(low, at, f"{ends.low:g} ", ha="right", va="center", fontsize=6.5)
            right.text(high, at, f" {ends.high:g} {ends.unit}", ha="left", va="center", fontsize=6.5)
        right.axvline(middle, color="black", linewidth=1.0)
        right.set_yticks(range(len(widest[:_SHOWN])), [name for name, *_ in widest[:_SHOWN]])
        right.invert_yaxis()
        right.grid(axis="y", visible=False)
        label(right, "joules of a step on the analog chip", "", "One input at the ends of its range")
        right.set_xscale("log")
        low, high = right.get_xlim()
        right.set_xlim(low / 3, high * 6)
    return figure


STUDY = Study(
    "energy",
    "Energy of a training step",
    "How many joules does a training step take, on what, and what decides it?",
    run,
)
