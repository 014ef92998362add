"""What a calibration reaches: gradients against finite differences of the board's own loss, and predicted readings.

    python benchmarks/calibration.py [--spice] [--seeds N] [--first SEED] [--sizes 8x2,8x4,...]
        [--mismatch 0.02,0.03,0.05] [--error V]
    python benchmarks/calibration.py --outside [--seeds N] [--first SEED] [--error V]
    python benchmarks/calibration.py --warm [--seeds N] [--first SEED] [--error V]

Prints tables in Markdown. Boards are virtual unless told otherwise; each seed is a board, its network and its samples.
The output error is 50 mV unless told otherwise: a target is that far from where the board settles. The gradients are
averaged over four samples, and the board averages 256 readings.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from equipoise.calibration.model import Model
from equipoise.calibration.plan import make_plan
from equipoise.calibration.run import Calibration, Settings, calibrate
from equipoise.drivers.analog.board import AnalogBoard, Drive
from equipoise.drivers.analog.correction import AsMade, Correction
from equipoise.drivers.analog.device import AnalogDevice
from equipoise.drivers.analog.layout import Layout
from equipoise.sim.virtual_board import Effects, VirtualBoard
from equipoise.substrate.errors import EquipoiseError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine
from equipoise.substrate.phases import Estimator, Minibatch, Schedule

Array = NDArray[np.float64]

BATCH, AVERAGES, BETA = 4, 256, 0.25
STEP = 1e-3
"""Of finite differences, in units of the parameters."""

Truth = Callable[[AnalogBoard, Drive], Array]


def virtual_truth(board: AnalogBoard, drive: Drive) -> Array:
    assert isinstance(board, VirtualBoard)
    return board.exact(drive)


def spice_truth(board: AnalogBoard, drive: Drive) -> Array:
    """True states of the circuit, before its readout."""
    states, _ = board._ask("phase", 120.0, drive)  # type: ignore[attr-defined]
    return np.asarray(states)


def network_for(neurons: int, channels: int) -> Network:
    """Inputs, hidden and output neurons, three eighths, a quarter and three eighths of all; all channels in use."""
    ends, middle = (3 * neurons) // 8, neurons - 2 * ((3 * neurons) // 8)
    modules = (Module("in", ends, clamped=True), Module("hidden", middle), Module("out", ends))
    half = channels // 2
    return Network(modules, (Coupling("in", "hidden", half), Coupling("hidden", "out", channels - half)), "out")


def own_gradient(
    board: AnalogBoard, correction: Correction, layout: Layout, parameters: Parameters, batch: Minibatch, truth: Truth,
    step: float,
) -> Parameters:  # fmt: skip
    """Finite differences of the loss at the board's true states, by the parameters that are wanted of it."""
    output = layout.network.slices[layout.network.output]
    vector, size = parameters.vector(), parameters.vector().size

    def loss(at: Array) -> float:
        moved = unvector(parameters, at)
        board.wire(correction.wiring(layout.wiring(moved)))
        total = 0.0
        for sample in range(len(batch)):
            drive = layout.drive(moved, batch, sample, 1)
            states = truth(board, correction.drive(layout.nudged(drive, 0.0, restart=True)))
            assert batch.target is not None
            total += 0.5 * float(np.sum((states[output] - batch.target[sample]) ** 2))
        return total / len(batch)

    gradient, moving = np.zeros(size), unvector(parameters, np.ones(size))
    moving.bias[:, layout.network.clamped] = 0  # nothing to move there
    for index in np.flatnonzero(moving.vector()):
        shift = np.zeros(size)
        shift[index] = step
        gradient[index] = (loss(vector + shift) - loss(vector - shift)) / (2 * step)
    return unvector(parameters, -gradient)  # the contrast is the direction of descent


def unvector(like: Parameters, vector: Array) -> Parameters:
    rest = list(np.split(vector, np.cumsum([leaf.size for leaf in leaves(like)])[:-1]))
    shaped = [part.reshape(leaf.shape).copy() for part, leaf in zip(rest, leaves(like), strict=True)]
    count = len(like.U)
    return Parameters(
        tuple(shaped[:count]), tuple(shaped[count : 2 * count]), tuple(shaped[2 * count : 3 * count]), shaped[-1]
    )


def leaves(parameters: Parameters) -> list[Array]:
    return [*parameters.U, *parameters.V, *parameters.gain, parameters.bias]


def gradient_cosine(
    board: AnalogBoard, correction: Correction, seed: int, truth: Truth, error: float, step: float = STEP
) -> float:
    """Cosine of the device's gradient to that of the board's own loss."""
    rng = np.random.default_rng([seed, 5])
    network = network_for(board.limits.neurons, board.limits.channels)
    layout = Layout(network, board.limits)
    parameters = Parameters.random(network, rng)
    parameters.bias[:, ~network.clamped] = rng.uniform(-0.7, 0.7, (network.levels, int((~network.clamped).sum())))
    inputs = rng.normal(0, 1, (BATCH, network.inputs)).clip(-2, 2)
    levels = np.zeros(BATCH, np.int64)
    batch = Minibatch(inputs, levels, np.zeros((BATCH, network.outputs)))
    board.wire(correction.wiring(layout.wiring(parameters)))
    target = np.empty((BATCH, network.outputs))
    for sample in range(BATCH):
        drive = layout.nudged(layout.drive(parameters, batch, sample, 1), 0.0, restart=True)
        settled = truth(board, correction.drive(drive))[network.slices["out"]]
        target[sample] = settled + error * rng.choice([-1, 1], network.outputs)
    batch = Minibatch(inputs, levels, target)
    own = own_gradient(board, correction, layout, parameters, batch, truth, step)
    device = AnalogDevice(board, correction, address="benchmark:", averages=AVERAGES)
    device.configure(network)
    device.write(parameters)
    contrast = device.run(batch, Schedule(1, 1, BETA, Estimator.SYMMETRIC)).contrast
    assert contrast is not None
    return cosine(contrast, own)


def calibrated(board: AnalogBoard) -> Calibration:
    with tempfile.TemporaryDirectory() as folder:
        return calibrate(board, Settings(folder=Path(folder)))


def reach(sizes: list[tuple[int, int]], mismatches: list[float], seeds: range, error: float, *, spice: bool) -> None:
    print("| board | mismatch | vectors | cosine before: mean | lowest | calibrated: mean | lowest | below before | "
          "prediction before (LSB rms) | after: mean | worst | rejected |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for neurons, channels in sizes:
        for mismatch in mismatches:
            before, after, found, missed, vectors, rejected = [], [], [], [], 0, 0
            for seed in seeds:
                with make(neurons, channels, mismatch, seed, spice=spice) as board:
                    done = calibrated(board)
                    truth, step = (spice_truth, 0.02) if spice else (virtual_truth, STEP)
                    before.append(gradient_cosine(board, AsMade(board.limits.lsb), seed, truth, error, step))
                    after.append(gradient_cosine(board, done.correction(), seed, truth, error, step))
                found.append(done.record.verification["as_found_lsb"])
                missed.append(done.record.verification["as_left_lsb"])
                rejected += bool(done.record.failed)
                vectors = done.record.measured["vectors"] + done.record.measured["repeated"]
            worse = sum(a < b for a, b in zip(after, before, strict=True))
            print(f"| {neurons} neurons, {channels} channels | {mismatch:.0%} | {vectors} | {np.mean(before):.5f} | "
                  f"{min(before):.5f} | {np.mean(after):.5f} | {min(after):.5f} | {worse} of {len(seeds)} | "
                  f"{np.mean(found):.0f} | {np.mean(missed):.2f} | {max(missed):.2f} | "
                  f"{rejected} |", flush=True)  # fmt: skip


def warm(seeds: range, error: float) -> None:
    """Boards calibrated at 37 and at 25 degrees, the newest, then used at others: with coefficients and without."""
    print("| used at | cosine as found: mean | without coefficients: mean | lowest | with: mean | lowest | "
          "prediction without (LSB rms): mean | worst | with: mean | worst |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|")
    boards = []
    for seed in seeds:
        board = VirtualBoard(neurons=8, channels=4, mismatch=0.03, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            for board.ambient in (37.0, 25.0):
                record = calibrate(board, Settings(folder=Path(folder))).record
        boards.append((seed, board, record))
    for temperature in (25.0, 30.0, 35.0, 45.0):
        cosines: dict[str, list[float]] = {"found": [], "without": [], "with": []}
        missed: dict[str, list[float]] = {"without": [], "with": []}
        for seed, board, record in boards:
            board.ambient = temperature
            blind = replace(record, temperature=record.temperature | {"coefficients": None})
            cosines["found"].append(gradient_cosine(board, AsMade(board.limits.lsb), seed, virtual_truth, error))
            for name, each in (("without", blind), ("with", record)):
                correction = each.correction()
                correction.at(board.sensors().temperature)
                cosines[name].append(gradient_cosine(board, correction, seed, virtual_truth, error))
                missed[name].append(held_out(board, each.board_model(board.sensors().temperature)))
        print(f"| {temperature:g} C | {np.mean(cosines['found']):.5f} | " + " | ".join(
            f"{np.mean(cosines[name]):.5f} | {min(cosines[name]):.5f}" for name in ("without", "with")
        ) + " | " + " | ".join(
            f"{np.mean(missed[name]):.2f} | {max(missed[name]):.2f}" for name in ("without", "with")
        ) + " |", flush=True)  # fmt: skip


def held_out(board: AnalogBoard, model: Model) -> float:
    """Steps (rms) by which equilibria that no calibration saw are missed."""
    plan, missed = make_plan(board.limits, seed=99), []
    for vector in plan.vectors:
        if vector.stage == "held-out" and vector.drive is not None:
            wiring = plan.wirings[vector.wiring]
            board.wire(wiring)
            predicted = model.seen(board.limits, model.equilibrium(board.limits, wiring, vector.drive))
            missed.append(board.phase(vector.drive).volts - predicted)
    return float(np.sqrt(np.mean(np.square(missed)))) / board.limits.lsb


def make(neurons: int, channels: int, mismatch: float, seed: int, *, spice: bool) -> AnalogBoard:
    if not spice:
        return VirtualBoard(neurons=neurons, channels=channels, mismatch=mismatch, seed=seed)
    from equipoise.sim.spice.board import SpiceBoard  # noqa: PLC0415

    return SpiceBoard(neurons=neurons, channels=channels, mismatch=mismatch, seed=seed)


OUTSIDE = {
    "slow amplifiers, 0.1 % left": Effects(slow=1e-3),
    "slow amplifiers, 3 % left": Effects(slow=0.03),
    "multiplier error, s^4 of 1 %": Effects(fourth=0.01),
    "multiplier error, s^4 of 5 %": Effects(fourth=0.05),
    "channel 3 stuck": Effects(stuck=3),
    "channel 3 saturates at 1 V": Effects(clipped=3),
    "3 % of readings are outliers": Effects(outliers=0.03),
    "10 % of readings are outliers": Effects(outliers=0.1),
    "20 % of readings are outliers": Effects(outliers=0.2),
    "3 % of answers are late": Effects(late=0.03),
    "10 % of answers are late": Effects(late=0.1),
    "noise of 3 mV a reading": Effects(noise=3e-3),
    "noise of 30 mV a reading": Effects(noise=0.03),
    "drift of 1 mV/s": Effects(drift=1e-3),
    "drift of 20 mV/s": Effects(drift=0.02),
}


def outside(seeds: range, error: float) -> None:
    """Boards with effects that the model does not have."""
    print(
        "\n| effect | refused | cosine before: mean | calibrated: mean | lowest | below before | prediction (LSB rms) |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, effects in OUTSIDE.items():
        refused, before, after, missed, said = 0, [], [], [], ""
        for seed in seeds:
            board = VirtualBoard(neurons=8, channels=4, mismatch=0.03, seed=seed, effects=effects)
            try:
                done = calibrated(board)
                if done.record.failed:
                    refused, said = refused + 1, done.record.failed
                    continue
                left = gradient_cosine(board, done.correction(), seed, virtual_truth, error)
                before.append(gradient_cosine(board, AsMade(board.limits.lsb), seed, virtual_truth, error))
                after.append(left)
                missed.append(done.record.verification["as_left_lsb"])
            except EquipoiseError as reason:
                refused, said = refused + 1, str(reason)
        worse = sum(a < b for a, b in zip(after, before, strict=True))
        numbers = "| | | |"
        if after:
            numbers = (
                f"{np.mean(before):.5f} | {np.mean(after):.5f} | {min(after):.5f} | {worse} of {len(after)} | "
                f"{np.mean(missed):.2f}"
            )
        print(f"| {name} | {refused} of {len(seeds)}{': ' if said else ''}{said} | {numbers} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--spice", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=100, metavar="SEED", help="of the boards; the others follow")
    parser.add_argument("--sizes", default="8x2,8x4,8x8,16x4,32x2,32x8")
    parser.add_argument("--mismatch", default="0.02,0.03,0.05")
    parser.add_argument("--outside", action="store_true", help="effects outside the model instead")
    parser.add_argument("--warm", action="store_true", help="other temperatures than that of the calibration instead")
    parser.add_argument("--error", type=float, default=0.05, metavar="V", help="output error")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    if given.outside:
        outside(seeds, given.error)
        return
    if given.warm:
        warm(seeds, given.error)
        return
    sizes = [tuple(map(int, size.split("x"))) for size in given.sizes.split(",")]
    mismatches = [float(m) for m in given.mismatch.split(",")]
    reach([(n, k) for n, k in sizes], mismatches, seeds, given.error, spice=given.spice)


if __name__ == "__main__":
    main()
