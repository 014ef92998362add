"""Joules of one training step: what is counted, what each of it costs, and how sure that is.

Every cost is an input with a range and a source, in ``energy.toml``; every count follows from network and schedule.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np

from ...substrate.errors import RunError
from ...substrate.network import Network

__all__ = ["Counts", "Input", "analog", "count", "fpga", "gpu", "monte_carlo", "read_inputs", "tornado"]

Values = dict[str, Any]
"""Value of each input, by its name: a number, or an array of draws."""

_KINDS = ("datasheet", "literature", "assumed")


@dataclass(frozen=True, slots=True)
class Input:
    """One input.

    Attributes
    ----------
    value, low, high
        Best guess and range, above 0.
    unit, kind, source
        In what, how it is known (``datasheet``, ``literature`` or ``assumed``), and from where.
    """

    value: float
    low: float
    high: float
    unit: str
    kind: str
    source: str


def read_inputs(text: str | None = None) -> dict[str, Input]:
    """Inputs by name, such as ``chip.adc``: those of ``energy.toml``, or of ``text``.

    Raises
    ------
    RunError
        If an input lacks something, or its value is not within its range.
    """
    if text is None:
        text = files(__package__).joinpath("energy.toml").read_text(encoding="utf-8")
    found = {}
    try:
        document = tomllib.loads(text)
        for group, inputs in document.items():
            for name, table in inputs.items():
                found[f"{group}.{name}"] = Input(**table)
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise RunError(f"Inputs of the study of energy cannot be read ({error})") from None
    for name, each in found.items():
        if not 0 < each.low <= each.value <= each.high:
            raise RunError(
                f"Input '{name}' must have 0 < low <= value <= high, not {each.low:g}, {each.value:g}, {each.high:g}"
            )
        if not each.source.strip() or each.kind not in _KINDS:
            raise RunError(f"Input '{name}' must have a source, and be one of {', '.join(_KINDS)}, not {each.kind!r}")
    return found


@dataclass(frozen=True, slots=True)
class Counts:
    """What one training step consists of.

    Attributes
    ----------
    time
        Relaxation time of all samples and phases, one sample after the other, in time constants.
    neurons, channels, cells
        Free neurons; rank channels; weights (elements of U and V).
    dac, adc
        Conversions: samples and targets in; the states and both buses of each channel out, after both nudges, and the
        outputs after the free phase.
    rewrites
        Weights, gains and biases written.
    link_bytes
        Two for each conversion and each rewrite.
    fpga_bytes
        On the link of an FPGA, which sums the contrast itself: samples, targets, parameters in; outputs, sums out.
    host_flops
        Contrast from what was read, and Adam.
    relax_flops
        The relaxation as a digital machine does it.
    """

    time: float
    neurons: int
    channels: int
    cells: int
    dac: int
    adc: int
    rewrites: int
    link_bytes: int
    fpga_bytes: int
    host_flops: int
    relax_flops: int


def count(network: Network, batch: int, free_steps: int, nudged_steps: int) -> Counts:
    """Counts of one symmetric training step."""
    neurons = int((~network.clamped).sum())
    ends = [(end, coupling.rank) for coupling in network.couplings for end in (coupling.a, coupling.b)]
    channels = sum(coupling.rank for coupling in network.couplings)
    cells = sum(network[end].size * rank for end, rank in ends)
    moving = sum(network[end].size * rank for end, rank in ends if not network[end].clamped)
    steps = free_steps + 2 * nudged_steps
    parameters = cells + network.levels * (channels + neurons)
    dac = batch * (network.inputs + network.outputs)
    adc = batch * (2 * (neurons + 2 * channels) + network.outputs)
    return Counts(
        time=batch * steps * network.dt,
        neurons=neurons,
        channels=channels,
        cells=cells,
        dac=dac,
        adc=adc,
        rewrites=parameters,
        link_bytes=2 * (dac + adc + parameters),
        fpga_bytes=2 * (dac + parameters + batch * network.outputs) + 4 * parameters,
        host_flops=batch * 2 * 2 * cells + 12 * parameters,
        # A projection and a push, a multiplication and an addition each, for every moving end; ten for each neuron.
        relax_flops=batch * steps * (4 * moving + 10 * neurons),
    )


def analog(kind: str, counts: Counts, values: Values) -> dict[str, Any]:
    """Joules of a step on an analog substrate (``chip`` or ``board``), by part."""

    def of(name: str) -> Any:
        return values[f"{kind}.{name}"]

    seconds = counts.time * of("time_constant")
    return {
        "neurons": seconds * counts.neurons * of("neuron_power"),
        "channels": seconds * counts.channels * of("channel_power"),
        "weights": seconds * counts.cells * of("cell_power"),
        "DAC": counts.dac * of("dac"),
        "ADC": counts.adc * of("adc"),
        "rewriting": counts.rewrites * of("rewrite"),
        "link": counts.link_bytes * of("link"),
        "host": counts.host_flops * values["host.energy"],
    }


def gpu(counts: Counts, values: Values) -> dict[str, Any]:
    """Joules of the same step, with as many relaxation steps, on a GPU."""
    per_flop = values["gpu.power"] / (values["gpu.peak"] * values["gpu.utilisation"])
    return {"relaxation": counts.relax_flops * per_flop, "contrast and optimiser": counts.host_flops * per_flop}


def fpga(cycles: float, counts: Counts, values: Values, link_bytes: float, clock: float | None) -> dict[str, Any]:
    """Joules of the same step on an FPGA that takes ``cycles``; at ``clock`` Hz where the board says so."""
    return {
        "cycles": cycles / (clock or values["fpga.clock"]) * values["fpga.power"],
        "link": link_bytes * values["board.link"],
        "host": counts.host_flops * values["host.energy"],
    }


def tornado(inputs: dict[str, Input], total: Callable[[Values], float]) -> list[tuple[str, float, float]]:
    """Total with each input at its low and its high end, all others at their best guess; widest first."""
    guess: Values = {name: each.value for name, each in inputs.items()}
    rows = [
        (name, total({**guess, name: each.low}), total({**guess, name: each.high})) for name, each in inputs.items()
    ]
    rows = [row for row in rows if row[1] != row[2]]
    return sorted(rows, key=lambda row: abs(np.log(row[2] / row[1])), reverse=True)


def monte_carlo(inputs: dict[str, Input], draws: int, rng: np.random.Generator) -> Values:
    """Draws of all inputs: triangular in the logarithm, from low over the best guess to high."""
    drawn: Values = {}
    for name, each in inputs.items():
        low, value, high = np.log([each.low, each.value, each.high])
        drawn[name] = np.exp(rng.triangular(low, value, high, draws)) if high > low else np.full(draws, each.value)
    return drawn
