"""The promise: training over a bad wire ends as on a perfect day, bit for bit, or with an error of the link.

Each fault, at each operation that a step consists of, at three rates; then all faults together. In a time of its own.
"""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.drivers.faulty import FAULTS, Faults, FaultyTransport, Mischief
from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host.checkpoint import load_checkpoint
from equipoise.host.run import Run
from equipoise.host.trainer import train
from equipoise.sim.model_device import model_device
from equipoise.substrate.errors import LinkError

from ..host.runs import Silent, small_run
from .wires import PHASES, Clock, LineTransport, Training, clean, hold_promise, new_device, supervised, within

RATES = (0.02, 0.1, 0.4)
SEEDS = 3
MIXES = 120


@pytest.fixture(scope="module")
def perfect() -> Training:
    training = Training()
    training.go_on(clean(new_device()))
    return training


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    clock = Clock()
    clock.install(monkeypatch.setattr)
    return clock


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_at_one_operation(fault, phase, perfect):
    struck, gave_up = 0, []
    for rate in RATES:
        for seed in range(SEEDS):
            mischief = Mischief(Faults(**{fault: rate}), seed, only=within(*PHASES[phase]))
            gave_up.append(hold_promise(mischief, perfect))
            struck += mischief.count
    assert struck, "the wire was too good"
    assert not any(gave_up[: 2 * SEEDS]) or fault in ("cut", "reset"), "only broken connections may be too much"


@pytest.mark.parametrize("start", range(0, MIXES, 20))
def test_all_faults_together(start, perfect):
    given_up = 0
    for seed in range(start, start + 20):
        rates = dict(zip(FAULTS, np.random.default_rng(seed).uniform(0, 0.02, len(FAULTS)), strict=True))
        given_up += hold_promise(Mischief(Faults(**rates), seed), perfect)
    assert given_up < 10


def outcome(run: Run) -> tuple[np.ndarray, list]:
    """Parameters and losses that a run ended with, and its errors."""
    checkpoint, _ = load_checkpoint(run)
    kept = [r.get("loss", r.get("error")) for r in run.metrics() if r["kind"] in ("step", "evaluation")]
    return np.concatenate([checkpoint.parameters.vector(), checkpoint.average.vector()]), kept


def test_a_run_directory_is_resumed_to_the_same_result(tmp_path):
    """On wires so bad that training gives up, here and there: resumed as often as it takes."""
    spared = small_run(tmp_path, "spared")
    train(spared, clean(model_device()), Silent())
    parameters, kept = outcome(spared)
    gave_up = reconnects = 0
    for seed in range(8):
        run, board = small_run(tmp_path, f"run-{seed}"), model_device()
        mischief = Mischief(Faults(drop=0.01, flip=0.01, merge=0.01, reorder=0.01, cut=0.001, reset=0.001), seed)
        for _ in range(50):
            told = Silent()
            try:
                with supervised(board, mischief, patience=0.5) as device:
                    train(Run.open(run.path), device, told)
                break
            except LinkError as error:
                gave_up += "could not be used for 0.5 s" in str(error)
            finally:
                reconnects += sum("is back after" in message for message in told.warnings)
        else:
            pytest.fail("never finished")
        ended = outcome(run)
        assert np.array_equal(ended[0], parameters) and ended[1] == kept
        health = [record for record in run.metrics() if record["kind"] == "health"][-1]
        assert health["host_retries"] > 0 and health["step"] == 6
    assert gave_up and reconnects, "both ways of going on"


DAMAGES = ("drop", "flip", "duplicate", "truncate", "reorder", "merge")


def test_a_poor_line_keeps_its_speed_and_a_bad_one_gets_there(clock):
    """Steps so short, 15 ms on a line of 3 Mbaud, that every wait counts."""
    seconds = {}
    for one_in in (10**9, 100, 10):
        mischief = Mischief(Faults(**dict.fromkeys(DAMAGES, 1 / one_in / len(DAMAGES))), 1)
        wire = FaultyTransport(LineTransport(new_device(), clock), mischief)
        training, begin = Training(steps=40), clock.monotonic()
        with GatewareDevice(Session(wire)) as device:
            training.go_on(device)
        seconds[one_in] = clock.monotonic() - begin
    assert seconds[100] < seconds[10**9] / 0.8
    assert seconds[10] < 10 * seconds[10**9]
