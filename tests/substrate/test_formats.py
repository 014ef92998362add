"""Number formats and geometry."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.substrate.formats import BATCH_LIMIT, FORMATS, Fixed
from equipoise.substrate.geometry import Geometry

from .examples import exactly

FIXED = st.integers(2, 32).flatmap(lambda width: st.builds(Fixed, st.just(width), st.integers(0, width - 1)))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(FIXED, st.floats(-1, 1))
def test_encode_rounds_half_up_and_decode_is_its_inverse(fixed: Fixed, part: float) -> None:
    value = part * fixed.limit
    code = int(fixed.encode(value))
    assert code == floor(Fraction(value) * 2**fixed.fraction + Fraction(1, 2))
    assert int(fixed.encode(fixed.decode(code))) == code


def test_the_range_is_symmetric_and_nothing_is_clipped() -> None:
    fixed = Fixed(4, 1)
    assert (fixed.top, fixed.limit, fixed.lsb, str(fixed)) == (7, 3.5, 0.5, "Q2.1")
    assert list(fixed.encode([-3.5, 3.5, 3.74, 0.25, -0.25])) == [-7, 7, 7, 1, 0]
    for outside in (3.75, -3.76, np.nan, np.inf):
        assert not fixed.fits([0.0, outside])
        with pytest.raises(OverflowError, match=exactly(f"{outside:g} is outside +-3.5 (Q2.1)")):
            fixed.encode([0.0, outside])


@pytest.mark.parametrize(
    ("width", "fraction", "message"),
    [
        (1, 0, "Width of a fixed-point format must be 2 to 64 bits, not 1"),
        (65, 0, "Width of a fixed-point format must be 2 to 64 bits, not 65"),
        (8, 8, "Fraction of a 8-bit format must be 0 to 7 bits, not 8"),
        (8, -1, "Fraction of a 8-bit format must be 0 to 7 bits, not -1"),
    ],
)
def test_formats_out_of_range(width: int, fraction: int, message: str) -> None:
    with pytest.raises(ValueError, match=exactly(message)):
        Fixed(width, fraction)


def test_stored_states_never_round_beyond_the_state() -> None:
    assert FORMATS.guard == 8
    assert (FORMATS.rail + 2 ** (FORMATS.guard - 1)) >> FORMATS.guard == FORMATS.state.top
    assert FORMATS.rail <= FORMATS.stored.top


def test_contrast_sums_cannot_overflow() -> None:
    """Two signs, BATCH_LIMIT samples, each product at the end of its range after its shift (docs/arithmetic.md)."""
    state, bus = FORMATS.state.top, FORMATS.bus.top
    for product, shift, sums in (
        (state * bus, 10, FORMATS.contrast),
        (bus * bus, 13, FORMATS.gain_contrast),
        (state, 0, FORMATS.bias_contrast),
    ):
        assert 2 * BATCH_LIMIT * ((product + (1 << shift >> 1)) >> shift) <= 2 ** (sums.width - 1) - 1


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"lanes": 0}, "Geometry lanes must be an integer from 1 to 64, not 0"),
        ({"contexts": 17}, "Geometry contexts must be an integer from 1 to 16, not 17"),
        ({"modules": 2.0}, "Geometry modules must be an integer from 2 to 32, not 2.0"),
        ({"neurons": 208}, "Geometry neurons must be a power of two, not 208"),
        ({"levels": 3}, "Geometry levels must be a power of two, not 3"),
    ],
)
def test_geometries_out_of_range(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=exactly(message)):
        Geometry(**sizes)
