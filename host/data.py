"""Data sets: the digits, points in the plane, or any array file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import DataError

__all__ = ["SETS", "SIGMA_DATA", "Dataset", "Labels", "load_data"]

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

SIGMA_DATA = 0.5
"""Standard deviation that all data is scaled to (Karras et al. 2022, Table 1)."""

_FEWEST = 4
"""Samples of a file: one is held out, and of what is left covariances are taken."""

_WIDEST = 1e100
"""Standard deviation of data: below it, squares do not overflow."""

_POINTS = 2000
_HELD_OUT = 297
"""Digits held out; the other 1,500 are for training."""


@dataclass(frozen=True)
class Dataset:
    """A data set, scaled to mean 0 and standard deviation :data:`SIGMA_DATA` over all its numbers.

    Attributes
    ----------
    name
        What it was asked for by.
    train, test
        (n, d) and (m, d).
    shape
        Shape of one sample, for showing it: (8, 8), (2,), ...
    scale, offset
        A sample as it was given is ``scale * x + offset``.
    train_labels, test_labels
        Class of each sample, from 0, (n,) and (m,); None where the set has none.
    """

    name: str
    train: Array
    test: Array
    shape: tuple[int, ...]
    scale: float
    offset: float
    train_labels: Labels | None = None
    test_labels: Labels | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all samples as they were given, in hex: tells whether a file is still the same."""
        total = hashlib.sha256(f"{self.scale.hex()} {self.offset.hex()} {self.shape}".encode())
        for part in (self.train, self.test):
            total.update(np.ascontiguousarray(part).tobytes())
        if self.train_labels is not None and self.test_labels is not None and self.name not in SETS:
            total.update(self.train_labels.tobytes() + self.test_labels.tobytes())
        return total.hexdigest()

    def original(self, samples: Array) -> Array:
        """Samples (n, d) in the units and the shape they were given in."""
        return (self.scale * samples + self.offset).reshape(len(samples), *self.shape)


def load_data(name: str) -> Dataset:
    """Load a data set by its name, or from a ``.npy`` or ``.npz`` file of vectors or images.

    Of a file a sixth is held out; an ``.npz`` must hold one array, or one named ``data``, and may hold ``labels``,
    the class of each sample.

    Raises
    ------
    DataError
        If there is no such set or file, or its contents cannot be used.
    """
    if name in SETS:
        train, test = SETS[name]()
        labels = _LABELS[name]() if name in _LABELS else None
        return _scaled(name, train, test, labels)
    if not name.endswith((".npy", ".npz")):
        raise DataError(f"Data set '{name}' is not known; choose from {', '.join(SETS)}, or give a .npy or .npz file")
    array, classes = _read(Path(name))
    order = np.random.default_rng(0).permutation(len(array))
    held_out = max(1, len(array) // 6)
    parts = None if classes is None else (classes[order[held_out:]], classes[order[:held_out]])
    return _scaled(name, array[order[held_out:]], array[order[:held_out]], parts)


def _scaled(name: str, train: Array, test: Array, labels: tuple[Labels, Labels] | None = None) -> Dataset:
    with np.errstate(over="ignore", invalid="ignore"):
        offset, deviation = float(train.mean()), float(train.std())
    if not deviation < _WIDEST:
        raise DataError(
            f"Data set '{name}' must have a standard deviation below {_WIDEST:g}, not {deviation:g}: scale it"
        )
    if deviation == 0.0:
        raise DataError(f"Data set '{name}' has the same number {offset:g} everywhere: there is nothing to learn")
    scale = deviation / SIGMA_DATA
    shape = train.shape[1:]
    flat = [((part - offset) / scale).reshape(len(part), -1) for part in (train, test)]
    return Dataset(name, flat[0], flat[1], shape, scale, offset, *(labels or (None, None)))


def _read(path: Path) -> tuple[Array, Labels | None]:
    labels: NDArray[Any] | None = None
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                names = list(loaded.files)
                if len(names) != 1 and "data" not in names:
                    raise DataError(f"File '{path}' must hold one array, or one named 'data', not {names}")
                array = loaded["data" if "data" in names else names[0]]
                labels = loaded["labels"] if "labels" in names and "data" in names else None
        else:
            array = loaded
    except FileNotFoundError:
        raise DataError(f"File '{path}' does not exist") from None
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        if "Object arrays" in str(error):
            raise DataError(f"File '{path}' holds Python objects; save it as an array of numbers") from None
        raise DataError(f"File '{path}' is not a readable .npy or .npz file ({error})") from None
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise DataError(f"File '{path}' must hold real numbers, not {array.dtype}")
    if array.ndim < 2 or 0 in array.shape[1:]:
        raise DataError(f"File '{path}' must hold vectors (n, d) or images (n, ...), not shape {array.shape}")
    if len(array) < _FEWEST:
        raise DataError(f"File '{path}' must hold at least {_FEWEST} samples, not {len(array)}")
    array = array.astype(np.float64)
    if not np.all(np.isfinite(array)):
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"File '{path}' must hold finite numbers, not {array[where]} at {where}")
    if labels is None:
        return array, None
    if labels.shape != (len(array),) or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise DataError(
            f"Labels of file '{path}' must be {len(array)} integers of at least 0, "
            f"not {labels.dtype} of shape {labels.shape}"
        )
    return array, labels.astype(np.int64)


def _digits() -> tuple[Array, Array]:
    """UCI digits: 1,797 images of 8x8 that scikit-learn ships."""
    from sklearn.datasets import load_digits

    images = load_digits().images.astype(np.float64)
    order = np.random.default_rng(0).permutation(len(images))
    return images[order[_HELD_OUT:]], images[order[:_HELD_OUT]]


def _digit_labels() -> tuple[Labels, Labels]:
    from sklearn.datasets import load_digits

    labels = load_digits().target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    return labels[order[_HELD_OUT:]], labels[order[:_HELD_OUT]]


def _moons() -> tuple[Array, Array]:
    from sklearn.datasets import make_moons

    return _halves(make_moons(2 * _POINTS, noise=0.05, random_state=0)[0])


def _swiss_roll() -> tuple[Array, Array]:
    from sklearn.datasets import make_swiss_roll

    return _halves(make_swiss_roll(2 * _POINTS, noise=0.3, random_state=0)[0][:, [0, 2]])


def _gaussians() -> tuple[Array, Array]:
    """Eight Gaussians on a circle."""
    rng = np.random.default_rng(0)
    angle = 2 * np.pi * rng.integers(0, 8, 2 * _POINTS) / 8
    centre = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return _halves(centre + rng.normal(0, 0.05, centre.shape))


def _gaussian_labels() -> tuple[Labels, Labels]:
    """Number of the Gaussian that a point is of: the first thing that is drawn."""
    number = np.random.default_rng(0).integers(0, 8, 2 * _POINTS)
    return number[:_POINTS], number[_POINTS:]


def _halves(points: Array) -> tuple[Array, Array]:
    return points[:_POINTS], points[_POINTS:]


SETS: dict[str, Callable[[], tuple[Array, Array]]] = {
    "digits": _digits,
    "moons": _moons,
    "swiss-roll": _swiss_roll,
    "gaussians": _gaussians,
}
"""Data sets by name."""

_LABELS: dict[str, Callable[[], tuple[Labels, Labels]]] = {"digits": _digit_labels, "gaussians": _gaussian_labels}
"""Classes of their samples, of those that have any."""
