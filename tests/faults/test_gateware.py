"""Faults inside the gateware: bits that flip in memories and states, a dead lane, a reset, a brown-out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.run import Run
from equipoise.host.supervision import Supervised
from equipoise.host.trainer import train
from equipoise.sim.device import connect
from equipoise.sim.golden import Golden
from equipoise.sim.memory_device import MemoryDevice
from equipoise.sim.model_device import ModelTransport, model_device
from equipoise.substrate.errors import DeviceError
from equipoise.substrate.interface import Substrate

from ..conftest import SMALL
from ..host.runs import Silent, small_run
from .board import Fault, faulty_board

SPACES = ("weights", "gains", "biases", "sites", "modules", "ends", "samples")
UPSETS = 150


def a_run(folder: Path, name: str = "run") -> Run:
    """Small enough for a small board."""
    run = small_run(folder, name)
    levels = SMALL.levels
    config = replace(
        run.config, edm=replace(run.config.edm, levels=levels), network=replace(run.config.network, levels=levels)
    )
    return Run(run.path, config)


def outcome(run: Run) -> np.ndarray:
    checkpoint, _ = load_checkpoint(run)
    assert checkpoint is not None and checkpoint.step == run.config.steps
    return np.concatenate([checkpoint.parameters.vector(), checkpoint.average.vector()])


def trained(run: Run, device: Substrate) -> np.ndarray:
    train(run, device, Silent())
    return outcome(run)


@pytest.fixture(scope="module")
def perfect(tmp_path_factory) -> np.ndarray:
    with Golden() as device:
        return trained(a_run(tmp_path_factory.mktemp("perfect")), device)


@contextmanager
def upset_device(strike: Callable[[MemoryDevice, int], None]) -> Iterator[tuple[GatewareDevice, MemoryDevice]]:
    """A model device on which ``strike`` may do harm before each run, given the number of runs before it."""
    board = model_device()
    compute, runs = board.on_run, []

    def struck(device: MemoryDevice) -> None:
        strike(device, len(runs))
        runs.append(device)
        compute(device)

    board.on_run = struck
    with GatewareDevice(Session(ModelTransport(board), deadline=0.0)) as device:
        yield device, board


@pytest.mark.parametrize("space", SPACES)
def test_flipped_bits_cost_a_run_and_nothing_else(tmp_path, perfect, space):
    """One bit, in one place that the network uses or does not, before one run: found if it mattered, and made good."""
    rng = np.random.default_rng(SPACES.index(space))
    found = 0
    for number in range(UPSETS // len(SPACES)):
        when = int(rng.integers(0, 12))

        def strike(device: MemoryDevice, runs: int, when: int = when) -> None:
            if runs == when:
                memory = device.memory[space]
                used = np.argwhere(memory != 0) if memory.any() else np.argwhere(memory == 0)
                place = tuple(used[rng.integers(len(used))])
                memory[place] ^= memory.dtype.type(1 << int(rng.integers(0, 8 * memory.itemsize)))

        with upset_device(strike) as (device, _):
            try:
                assert np.array_equal(trained(a_run(tmp_path, f"run-{number}"), device), perfect)
            except DeviceError as error:
                assert "tables describe no network" in str(error)  # the model refuses what gateware would run
            found += int(device.host_counters["host_memory_faults"])
    assert found


def test_a_memory_that_never_keeps_a_bit_is_named(tmp_path):
    def strike(device: MemoryDevice, runs: int) -> None:
        device.memory["gains"][0, 0] ^= 1

    wrong = r"^golden: does not keep what is written to gains \(rows 0 to \d+\), 3 times in a row: find the fault with"
    with upset_device(strike) as (device, _), pytest.raises(DeviceError, match=wrong):
        train(a_run(tmp_path), device, Silent())


@pytest.fixture
def board(tmp_path):
    """Opens a simulated board with a fault; each time it is another one, whose first run is yet to come."""
    return lambda fault: connect(faulty_board(SMALL, fault, tmp_path))


@pytest.mark.parametrize("fault", [Fault.UPSET_WEIGHT, Fault.UPSET_GAIN])
def test_a_particle_in_the_middle_of_a_run_is_made_good(tmp_path, perfect, board, fault):
    with board(fault) as device:
        assert np.array_equal(trained(a_run(tmp_path), device), perfect)
        assert device.host_counters["host_memory_faults"] == 1


@pytest.mark.parametrize("fault", [Fault.DEAD_LANE, Fault.DEAD_MULTIPLIER, Fault.UPSET_STATE])
def test_wrong_results_are_found_by_the_audit(tmp_path, board, fault):
    wrong = r"computed step 1 otherwise than the golden model \(\d+ of \d+ \w+ differ\): the step is dropped; find"
    with board(fault) as device, pytest.raises(DeviceError, match=wrong):
        train(a_run(tmp_path), device, Silent())


def test_a_reset_in_the_middle_of_a_phase(tmp_path, perfect, board):
    """Registers and session are gone: the device is opened again, and everything is loaded anew."""
    faults = iter([Fault.RESET, Fault.NONE])
    with Supervised(lambda: board(next(faults))) as device:
        assert np.array_equal(trained(a_run(tmp_path), device), perfect)
        assert device.reconnects == 1


def test_a_brown_out_that_loses_all_parameters(tmp_path, perfect):
    """Power fails for a moment between two steps: memories hold anything, and there is no session."""
    board, steps = model_device(), []

    class Failing(Silent):
        def step(self, record):
            steps.append(record)
            if len(steps) == 3:
                board.reset()

    with Supervised(lambda: GatewareDevice(Session(ModelTransport(board)))) as device:
        run = a_run(tmp_path)
        train(run, device, Failing())
        assert np.array_equal(outcome(run), perfect)
        assert device.reconnects == 1
