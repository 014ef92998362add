"""The memory guard, and reads: how they are divided."""

import re
from pathlib import Path

import numpy as np
import pytest

from equipoise import sim
from equipoise.drivers.layout import Area
from equipoise.drivers.memory_guard import MemoryGuard
from equipoise.drivers.requests import REQUEST_CYCLES, read_requests, word_cycles
from equipoise.substrate.geometry import Geometry


@pytest.mark.parametrize("lanes", [1, 8, 16, 64])
def test_no_check_is_so_long_that_a_simulated_board_takes_itself_for_idle(lanes) -> None:
    settle = re.search(r"SETTLE *= (\d+)", (Path(sim.__file__).parent / "board.v").read_text())
    geometry = Geometry(lanes=lanes)
    held = {Area("weights", 3, 5000): np.zeros((5000, lanes), np.int16)}
    asked = MemoryGuard(geometry).requests(held, 1e6)
    seconds = [request.allowance for request in asked]
    assert settle is not None and max(seconds) * 1e6 < 0.8 * int(settle[1])
    assert sum(seconds) * 1e6 == pytest.approx(5000 * lanes * word_cycles(geometry))


@pytest.mark.parametrize(("lanes", "compact"), [(1, 0), (8, 0), (64, 0), (1, 1)])
def test_no_read_keeps_a_device_for_longer(lanes, compact) -> None:
    geometry = Geometry(lanes=lanes, compact=compact)
    for space, size in (("outputs", 2), ("weights", 2), ("weight_contrast", 4)):
        asked = read_requests(space, 0, 4000, geometry)
        words = [(request.expects or 0) // size for request in asked]
        assert max(words) * word_cycles(geometry) <= REQUEST_CYCLES
        assert sum(words) == 4000 * (1 if space == "outputs" else lanes)
