"""Boards in ngspice; skipped, with the remedy, where it is missing."""

import pytest

from equipoise.sim.spice.ngspice import find_ngspice
from equipoise.substrate.errors import ToolError


@pytest.fixture(scope="session", autouse=True)
def ngspice():
    try:
        return find_ngspice()
    except ToolError as error:
        pytest.skip(str(error))
