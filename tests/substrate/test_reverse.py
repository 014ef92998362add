"""A program of the reverse process: what is refused, and what it becomes on a device."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.substrate.codes import NOISE_VARIANCE
from equipoise.substrate.errors import CapabilityError, DataError
from equipoise.substrate.formats import FORMATS
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.protocol import Mode
from equipoise.substrate.reverse import Draws, Program, encode_program, others

NETWORK = Network(
    (Module("told", 2, clamped=True), Module("out", 3), Module("in", 3, clamped=True), Module("hidden", 3)),
    (Coupling("in", "out", 2), Coupling("told", "hidden", 1), Coupling("hidden", "out", 1)),
    "out",
    dt=0.25,
    levels=4,
)
FACTORS = np.array([[0, 0, 0, 1.0], [0.5, 0.25, 0, 0], [1.0, -1.0, 0.5, 0.1]])
PROGRAM = Program("in", np.array([3, 1]), FACTORS, 5)
DRAWS = Draws(np.full((4, 2), 0.5))


def test_its_codes():
    codes, clamped = encode_program(NETWORK, PROGRAM, replace(DRAWS, seed=7))
    deviation = np.sqrt(NOISE_VARIANCE) * 32 / 2**13  # of the noise as a state
    assert codes.module == 2 and codes.phases.mode is Mode.SAMPLE and codes.phases.dt_shift == 2
    assert codes.table[:, 0].tolist() == [3, 1, 0]
    assert np.array_equal(codes.table[:, 1:4], FACTORS[:, :3] * 2**15)
    assert np.allclose(codes.table[:, 4] * deviation * 2**-15, FACTORS[:, 3], atol=2**-16)
    assert np.array_equal(clamped, np.full((4, 2), 2**12))
    assert others(NETWORK, "in").tolist() == [True, True] + [False] * 9


def test_the_noise_is_a_state():
    assert FORMATS.state.top >= 1020 << 5


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"factors": FACTORS[:1], "levels": np.array([], int)}, CapabilityError, "must have 2 to 128 rows, not 1"),
        ({"factors": np.zeros((129, 4)), "levels": np.zeros(128, int)}, CapabilityError, "2 to 128 rows, not 129"),
        ({"levels": np.array([1])}, DataError, r"of 3 rows must have factors \(3, 4\) and levels \(2,\)"),
        ({"factors": FACTORS + 0.1}, DataError, "must begin with a row of noise alone"),
        ({"sampled": "out"}, DataError, r"must be one of the clamped ones \['told', 'in'\], not 'out'"),
        ({"sampled": "told"}, DataError, "'told' must have as many neurons as the output module, 3, not 2"),
        ({"levels": np.array([4, 0])}, DataError, "must be from 0 to 3, not 4"),
        ({"factors": 4 * FACTORS}, CapabilityError, r"a factor of 4.9 \(row 0\) goes too far .*: take more steps"),
        ({"factors": np.nan * FACTORS + [0, 0, 0, 1]}, DataError, "must begin with a row of noise alone"),
        ({"temperature": 1e9}, CapabilityError, "temperature 1e\\+09 is too large for this device"),
        ({"free_steps": 0}, CapabilityError, "free_steps must be an integer from 1 to 65535, not 0"),
    ],
)
def test_what_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        encode_program(NETWORK, replace(PROGRAM, **changes), DRAWS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clamped": np.zeros((4, 3))}, r"must have shape \(samples, 2\), at least 1, not \(4, 3\)"),
        ({"clamped": np.zeros((0, 2))}, r"must have shape \(samples, 2\), at least 1, not \(0, 2\)"),
        ({"clamped": np.full((4, 2), 5.0)}, r"A clamped state must be within \+-3.99988, not 5"),
        ({"first": 65533}, "numbered 0 to 65535, not 65533 to 65536: take another seed"),
    ],
)
def test_draws_that_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        encode_program(NETWORK, PROGRAM, replace(DRAWS, **changes))
