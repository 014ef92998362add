"""Simulated boards for all tests: built once, and kept in the cache for the next time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from equipoise.drivers.gateware import GatewareDevice
from equipoise.sim.build import BoardBuild, build_board
from equipoise.sim.device import connect
from equipoise.substrate.geometry import Geometry

SMALL = Geometry(
    lanes=2, contexts=2, neurons=128, rows=4096, groups=256, levels=4, sample_words=4096, output_words=2048
)
"""Quick to compile, and large enough for the networks of the tests."""


@pytest.fixture(scope="session")
def board_build() -> BoardBuild:
    """A small simulated board, ready to be started."""
    return build_board(SMALL)


@pytest.fixture
def sim_device() -> Iterator[Callable[..., GatewareDevice]]:
    """A small simulated board of so many lanes and contexts: within a test, always the same one."""
    devices: dict[tuple[int, int, int], GatewareDevice] = {}

    def start(lanes: int = SMALL.lanes, contexts: int = SMALL.contexts, compact: int = 0) -> GatewareDevice:
        if (lanes, contexts, compact) not in devices:
            build = build_board(replace(SMALL, lanes=lanes, contexts=contexts, compact=compact))
            devices[lanes, contexts, compact] = connect(build)
        return devices[lanes, contexts, compact]

    yield start
    for device in devices.values():
        device.close()
