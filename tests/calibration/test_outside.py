"""Boards with effects that the model does not have: handled, and never worse for having been calibrated."""

import numpy as np
import pytest

from equipoise.calibration.check import check_standard
from equipoise.calibration.run import Settings, calibrate
from equipoise.drivers.analog.correction import AsMade
from equipoise.sim.virtual_board import Effects, VirtualBoard
from equipoise.substrate.errors import DeviceError

from .gradients import gradient_error

SEEDS = (51, 52)


@pytest.mark.parametrize(
    "effects",
    [
        Effects(slow=1e-3),
        Effects(fourth=0.05),
        Effects(noise=3e-3),
        Effects(late=0.1),
        Effects(outliers=0.2),
        Effects(drift=1e-3),
    ],
    ids=str,
)
def test_gradients_are_better_calibrated(effects, tmp_path):
    found = {"as found": [], "calibrated": []}
    for seed in SEEDS:
        board = VirtualBoard(neurons=6, channels=3, mismatch=0.03, seed=seed, effects=effects)
        done = calibrate(board, Settings(folder=tmp_path))
        assert not done.record.failed
        assert not check_standard(board, done.record).reason
        for name, correction in (("as found", AsMade(board.limits.lsb)), ("calibrated", done.correction())):
            found[name].append(gradient_error(board, correction)[0])
    assert np.all(np.array(found["calibrated"]) < found["as found"])
    assert max(found["calibrated"]) < 2e-3


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    board = VirtualBoard(neurons=4, channels=2, mismatch=0.03, seed=53)
    return calibrate(board, Settings(folder=tmp_path_factory.mktemp("records"))).record


@pytest.mark.parametrize(
    ("effects", "message"),
    [
        (Effects(stuck=3), "channel 3 reads"),
        (Effects(clipped=2), "channel 2 reads"),
        (Effects(slow=0.03), "reads"),
        (Effects(noise=0.1), "is overloaded, or no readings of it agree"),
        (Effects(outliers=0.7), "is overloaded, or no readings of it agree"),
    ],
    ids=str,
)
def test_what_comes_after_a_calibration_is_found_by_the_next_check(record, effects, message):
    board = VirtualBoard(neurons=4, channels=2, mismatch=0.03, seed=53)
    assert not check_standard(board, record).reason
    board._effects = effects
    assert message in check_standard(board, record).reason


def test_a_channel_that_noise_drowns_is_named(tmp_path):
    board = VirtualBoard(neurons=4, channels=2, mismatch=0.03, seed=51, effects=Effects(noise=0.03))
    with pytest.raises(DeviceError, match=r"^Channel \d of the readout gave no usable value in \d+% .*: check"):
        calibrate(board, Settings(folder=tmp_path))
