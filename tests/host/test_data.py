"""Data sets: scale, split, and every bad file refused with one line."""

import numpy as np
import pytest

from equipoise.host.data import SETS, SIGMA_DATA, load_data
from equipoise.substrate.errors import DataError


@pytest.mark.parametrize("name", SETS)
def test_sets_are_scaled_and_held_out(name):
    data = load_data(name)
    assert data.train.mean() == pytest.approx(0, abs=1e-12)
    assert data.train.std() == pytest.approx(SIGMA_DATA)
    assert not {row.tobytes() for row in data.train} & {row.tobytes() for row in data.test}


def test_the_digits():
    data = load_data("digits")
    assert (data.train.shape, data.test.shape, data.shape) == ((1500, 64), (297, 64), (8, 8))
    images = data.original(data.test)
    assert images.shape == (297, 8, 8)
    assert np.allclose(images, np.round(images)) and images.min() >= -1e-9 and images.max() <= 16 + 1e-9


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_file_comes_back_as_it_was(tmp_path, suffix):
    given = np.random.default_rng(0).normal(3, 2, (24, 2, 5))
    path = tmp_path / f"own.{suffix}"
    np.save(path, given) if suffix == "npy" else np.savez(path, other=np.zeros(3), data=given)
    data = load_data(str(path))
    assert (len(data.train), len(data.test)) == (20, 4)
    back = np.concatenate([data.original(data.train), data.original(data.test)])
    assert np.allclose(sorted(back.ravel()), sorted(given.ravel()))


BAD = {
    "missing.npy": (None, r"File '.*missing\.npy' does not exist"),
    "truncated.npy": (b"\x93NUMPY\x01\x00", r"File '.*' is not a readable \.npy or \.npz file \(.*\)"),
    "no.npz": (b"PK\3\4nonsense", r"File '.*' is not a readable \.npy or \.npz file \(.*\)"),
    "objects.npy": (np.array([{}, {}]), r"File '.*' holds Python objects; save it as an array of numbers"),
    "strings.npy": (np.array([["a", "b"]]), r"File '.*' must hold real numbers, not <U1"),
    "complex.npy": (np.ones((4, 2), complex), r"File '.*' must hold real numbers, not complex128"),
    "flat.npy": (np.ones(9), r"File '.*' must hold vectors \(n, d\) or images \(n, \.\.\.\), not shape \(9,\)"),
    "empty.npy": (np.ones((0, 4)), r"File '.*' must hold at least 4 samples, not 0"),
    "thin.npy": (np.ones((4, 0)), r"File '.*' must hold vectors \(n, d\) or images \(n, \.\.\.\), not shape \(4, 0\)"),
    "nan.npy": (
        np.array([[1.0, 2], [3, np.nan], [1, 2], [1, 2]]),
        r"File '.*' must hold finite numbers, not nan at \(1",
    ),
    "huge.npy": (np.eye(8) * 1e300, r"Data set '.*' must have a standard deviation below 1e\+100, not inf: scale it"),
    "hello.npy": (b"hello", r"File '.*' is not a readable \.npy or \.npz file \(.*\)"),
    "same.npy": (np.ones((8, 2)), r"Data set '.*' has the same number 1 everywhere: there is nothing to learn"),
    "several.npz": ({"x": np.ones(2), "y": np.ones(2)}, r"File '.*' must hold one array, or one named 'data', not \["),
    "text.csv": (b"1,2", r"Data set '.*text\.csv' is not known; choose from digits, moons, .* or give a \.npy or"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError, match=f"^{message}"):
        load_data(str(path))
