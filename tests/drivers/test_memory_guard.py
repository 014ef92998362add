"""The memory guard: how it divides what it has checked."""

import re
from pathlib import Path

import numpy as np
import pytest

from equipoise import sim
from equipoise.drivers.layout import Area
from equipoise.drivers.memory_guard import MemoryGuard
from equipoise.substrate.geometry import Geometry, read_latency


@pytest.mark.parametrize("lanes", [1, 8, 16, 64])
def test_no_check_is_so_long_that_a_simulated_board_takes_itself_for_idle(lanes) -> None:
    settle = re.search(r"SETTLE *= (\d+)", (Path(sim.__file__).parent / "board.v").read_text())
    geometry = Geometry(lanes=lanes)
    held = {Area("weights", 3, 5000): np.zeros((5000, lanes), np.int16)}
    asked = MemoryGuard(geometry).requests(held, 1e6)
    seconds = [request.allowance for request in asked]
    assert settle is not None and max(seconds) * 1e6 < 0.8 * int(settle[1])
    assert sum(seconds) * 1e6 == pytest.approx(5000 * lanes * (read_latency(geometry) + 1))
