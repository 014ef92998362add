"""Dense couplings as couplings of low rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import ParameterError

__all__ = ["Factored", "factor"]


@dataclass(frozen=True, slots=True, eq=False)
class Factored:
    """A dense coupling matrix, approximated as U V^T.

    Attributes
    ----------
    U, V
        (n_a, rank) and (n_b, rank), balanced: channel p has the same norm in both.
    discarded
        Fraction of the matrix's squared Frobenius norm that the approximation leaves out, 0 to 1.
    """

    U: NDArray[np.float64]
    V: NDArray[np.float64]
    discarded: float


def factor(dense: ArrayLike, rank: int) -> Factored:
    """Best approximation of ``dense`` (n_a, n_b) by ``rank`` channels, by singular value decomposition.

    With dense = A S B^T, U = A sqrt(S) and V = B sqrt(S), of which the ``rank`` largest singular values are kept
    (C. Eckart, G. Young, Psychometrika 1:211, 1936). Channels beyond the rank of ``dense`` are zero. The
    energy of the coupling at gain 1 is -s_a^T dense s_b.

    Raises
    ------
    ParameterError
        If dense is not a finite matrix, or rank is less than 1.
    """
    matrix = np.asarray(dense, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise ParameterError(f"A dense coupling must be a matrix with elements, not of shape {matrix.shape}")
    if not np.all(np.isfinite(matrix)):
        row, column = (int(index) for index in np.argwhere(~np.isfinite(matrix))[0])
        raise ParameterError(f"A dense coupling must be finite, not {matrix[row, column]:g} at ({row}, {column})")
    if not isinstance(rank, int) or rank < 1:
        raise ParameterError(f"Rank of a coupling must be an integer of at least 1, not {rank!r}")
    A, S, Bt = np.linalg.svd(matrix, full_matrices=False)
    kept = min(rank, len(S))
    U, V = np.zeros((matrix.shape[0], rank)), np.zeros((matrix.shape[1], rank))
    U[:, :kept] = A[:, :kept] * np.sqrt(S[:kept])
    V[:, :kept] = Bt[:kept].T * np.sqrt(S[:kept])
    total = float(S @ S)
    return Factored(U, V, float(S[kept:] @ S[kept:]) / total if total else 0.0)
