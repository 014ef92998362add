"""Netlists after synthesis, with models of the vendors' cells: the same training step, bit for bit."""

import pytest

from equipoise.host.selftest.checks import Bench
from equipoise.host.selftest.memories import check_memories
from equipoise.host.selftest.reverse import check_reverse
from equipoise.host.selftest.runs import check_multipliers, check_training_step
from equipoise.sim.device import connect

from .netlist import BUILD_ID, ECP5, ICE40, netlist_board

pytestmark = pytest.mark.gatelevel

FAMILIES = pytest.mark.parametrize("family", [ECP5, ICE40], ids=lambda family: family.name)


@pytest.fixture(scope="module")
def bench():
    """Benches by family: the board runs on from test to test."""
    devices = {}

    def start(family):
        if family.name not in devices:
            devices[family.name] = connect(netlist_board(family))
        return Bench(devices[family.name], 0, lambda name, done, total: None)

    yield start
    for device in devices.values():
        device.close()


@FAMILIES
def test_a_training_step_is_that_of_the_golden_model(bench, family):
    tested = bench(family)
    assert tested.session.hello.build == BUILD_ID and tested.geometry == family.geometry
    assert "bit for bit" in check_training_step(tested)


def test_a_reverse_process_is_that_of_the_golden_model(bench):
    """On the family that can: compact devices cannot."""
    assert "bit for bit" in check_reverse(bench(ECP5))


@FAMILIES
def test_every_lane_multiplies(bench, family):
    assert check_multipliers(bench(family)).startswith(f"{family.geometry.lanes} lanes x 1 contexts multiply")


@FAMILIES
def test_every_memory_holds_what_is_written(bench, family):
    assert "bits hold 0 and 1" in check_memories(bench(family))
