"""Values as JSON can hold them."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

__all__ = ["finite", "plain"]


def plain(value: Any) -> Any:
    """``value`` in Python's own types: what NumPy made becomes numbers and lists, mappings dicts, tuples lists."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def finite(value: Any) -> Any:
    """``value`` as :func:`plain`, a number that is not finite, which JSON lacks, as None."""
    return _finite(plain(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
