"""Factoring dense couplings."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.substrate.errors import ParameterError
from equipoise.substrate.factor import factor


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**32))
def test_is_the_best_approximation_and_balanced(rows: int, columns: int, rank: int, seed: int) -> None:
    dense = np.random.default_rng(seed).standard_normal((rows, columns))
    result = factor(dense, rank)
    assert (result.U.shape, result.V.shape) == ((rows, rank), (columns, rank))
    lost = np.sum((dense - result.U @ result.V.T) ** 2)
    tail = np.sum(np.linalg.svd(dense, compute_uv=False)[rank:] ** 2)  # Eckart and Young: no rank-k matrix does better
    assert lost == pytest.approx(tail, abs=1e-12)
    assert result.discarded == pytest.approx(lost / np.sum(dense**2), abs=1e-12)
    np.testing.assert_allclose(np.linalg.norm(result.U, axis=0), np.linalg.norm(result.V, axis=0), atol=1e-12)


def test_a_matrix_of_lower_rank_is_kept_whole() -> None:
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((6, 2)) @ rng.standard_normal((2, 5))
    result = factor(dense, 2)
    np.testing.assert_allclose(result.U @ result.V.T, dense)
    assert result.discarded < 1e-30


def test_zeros_lose_nothing() -> None:
    assert factor(np.zeros((3, 2)), 1).discarded == 0


@pytest.mark.parametrize(
    ("dense", "rank", "message"),
    [
        (np.ones(3), 1, "A dense coupling must be a matrix with elements, not of shape (3,)"),
        (np.ones((3, 0)), 1, "A dense coupling must be a matrix with elements, not of shape (3, 0)"),
        ([[1.0, 2.0], [3.0, np.nan]], 1, "A dense coupling must be finite, not nan at (1, 1)"),
        (np.ones((2, 2)), 0, "Rank of a coupling must be an integer of at least 1, not 0"),
        (np.ones((2, 2)), 1.5, "Rank of a coupling must be an integer of at least 1, not 1.5"),
    ],
)
def test_bad_input_is_named(dense: object, rank: object, message: str) -> None:
    with pytest.raises(ParameterError) as error:
        factor(dense, rank)
    assert str(error.value) == message
