"""Boards with effects that the model does not have: handled, and never worse for having been calibrated."""

import numpy as np
import pytest

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
        for name, correction in (("as found", AsMade(board.limits.lsb)), ("calibrated", done.correction())):
            found[name].append(gradient_error(board, correction)[0])
    assert np.all(np.array(found["calibrated"]) < found["as found"])
    assert max(found["calibrated"]) < 2e-3


def test_a_channel_that_noise_drowns_is_named(tmp_path):
    board = VirtualBoard(neurons=4, channels=2, mismatch=0.03, seed=51, effects=Effects(noise=0.03))
    with pytest.raises(DeviceError, match=r"^Channel \d of the readout gave no usable value in \d+% .*: check"):
        calibrate(board, Settings(folder=tmp_path))
