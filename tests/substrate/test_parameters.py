"""Parameters: initial draw, exact messages, flat vectors, files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from equipoise.substrate import parameters as module
from equipoise.substrate.energy import hessian
from equipoise.substrate.errors import ParameterError
from equipoise.substrate.formats import FORMATS
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters, cosine, norm_ratio

from ..networks import networks
from .examples import SMALL, digits_network, uneven


def coupling_matrix(network: Network, parameters: Parameters) -> np.ndarray:
    """J at level 0: the part of the Hessian that couplings make, sign reversed."""
    bare = Network(
        tuple(Module(m.name, m.size, 0.0, 0.0, m.clamped) for m in network), network.couplings, network.output
    )
    levels = np.zeros(1, dtype=np.int64)
    return -hessian(bare, parameters, np.zeros((1, network.neurons)), levels)[0]


@pytest.mark.parametrize("radius", [0.46, 2.0])
def test_random_couplings_of_free_modules_have_the_radius(radius: float) -> None:
    network = digits_network()
    drawn = Parameters.random(network, np.random.default_rng(1), radius)
    J = coupling_matrix(network, drawn)[64:, 64:]
    assert np.abs(np.linalg.eigvalsh(J)).max() == pytest.approx(radius)


def test_random_couplings_to_clamped_modules_are_scaled_alike() -> None:
    drawn = Parameters.random(digits_network(), np.random.default_rng(1))
    scales = [np.std(u) * np.sqrt(len(u)) for u in drawn.U + drawn.V]
    assert np.max(scales) / np.min(scales) < 1.25


def test_random_without_free_couplings_takes_all_for_the_radius() -> None:
    network = Network((Module("x", 5, clamped=True), Module("y", 3)), (Coupling("x", "y", 2),), "y")
    J = coupling_matrix(network, Parameters.random(network, np.random.default_rng(0), 0.3))
    assert np.abs(np.linalg.eigvalsh(J)).max() == pytest.approx(0.3)


def test_random_is_a_function_of_its_generator_and_starts_plain() -> None:
    first, again, other = (Parameters.random(SMALL, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first.vector(), again.vector())
    assert not np.array_equal(first.vector(), other.vector())
    assert all(np.all(gain == 1) for gain in first.gain)
    assert not np.any(first.bias)
    first.check(SMALL, FORMATS)


@pytest.mark.parametrize("radius", [-0.1, float("nan")])
def test_random_refuses_a_radius(radius: float) -> None:
    with pytest.raises(ParameterError) as error:
        Parameters.random(SMALL, np.random.default_rng(0), radius)
    assert str(error.value) == f"Radius of random parameters must be finite and at least 0, not {radius!r}"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(network=networks(), seed=st.integers(0, 2**32))
def test_vector_and_tensors_lose_nothing(network: Network, seed: int) -> None:
    zeros = Parameters.zeros(network)
    zeros.check(network)
    free = zeros.map(np.ones_like)
    free.bias[:, network.clamped] = 0
    vector = np.random.default_rng(seed).standard_normal(zeros.vector().size) * free.vector()
    parameters = zeros.replace(vector)
    assert np.array_equal(parameters.vector(), vector)
    tensors = parameters.tensors(network)
    assert list(tensors) == Parameters.names(network)
    copied = Parameters.from_tensors(network, tensors)
    for tensor in tensors.values():
        tensor[:] = np.nan
    assert np.array_equal(copied.vector(), vector)


def test_names_are_those_of_the_couplings() -> None:
    network = Network((Module("x", 2, clamped=True), Module("h", 3)), (Coupling("x", "h", 1),), "h")
    assert Parameters.names(network) == ["U.x-h", "V.x-h", "gain.x-h", "bias"]


def test_replace_copies_and_refuses_another_length() -> None:
    zeros = Parameters.zeros(SMALL)
    vector = np.ones(zeros.vector().size)
    replaced = zeros.replace(vector)
    vector[:] = 5
    assert replaced.U[0][0, 0] == 1
    with pytest.raises(ParameterError) as error:
        zeros.replace(vector[1:])
    assert (
        str(error.value) == f"A vector of these parameters must have shape ({len(vector)},), not ({len(vector) - 1},)"
    )


def test_map_goes_through_leaves_together() -> None:
    rng = np.random.default_rng(0)
    a, b, c = (uneven(SMALL, rng) for _ in range(3))
    mixed = a.map(lambda x, y, z: x + 2 * y - z, b, c)
    assert np.array_equal(mixed.vector(), a.vector() + 2 * b.vector() - c.vector())
    assert [leaf.shape for leaf in mixed.leaves()] == [leaf.shape for leaf in a.leaves()]


def test_cosine_and_norm_ratio() -> None:
    a = uneven(SMALL, np.random.default_rng(0))
    assert cosine(a, a.map(lambda x: -3 * x)) == pytest.approx(-1)
    assert norm_ratio(a.map(lambda x: -3 * x), a) == pytest.approx(3)
    zeros = Parameters.zeros(SMALL)
    assert np.isnan(cosine(a, zeros))
    assert np.isnan(norm_ratio(a, zeros))
    assert norm_ratio(zeros, a) == 0


FAULTS = {
    "U of coupling 'x-h' must be finite, not nan at (2, 1)": lambda p: p.U[0].__setitem__((2, 1), np.nan),
    "V of coupling 'y-h' must be finite, not inf at (0, 2)": lambda p: p.V[1].__setitem__((0, 2), np.inf),
    "Gain of coupling 'c-y' must be finite, not -inf at (1, 0)": lambda p: p.gain[2].__setitem__((1, 0), -np.inf),
    "Bias of module 'y' must be finite, not nan at (1, 2)": lambda p: p.bias.__setitem__((1, 11), np.nan),
    "Bias of module 'c' must be 0 where clamped, not 0.5 at (0, 1)": lambda p: p.bias.__setitem__((0, 8), 0.5),
    "U of coupling 'x-h' must be within +-1.99994 (Q1.14), not -2.5 at (0, 0)": lambda p: p.U[0].__setitem__(
        (0, 0), -2.5
    ),
    "Gain of coupling 'x-h' must be within +-7.99976 (Q3.12), not 9 at (1, 1)": lambda p: p.gain[0].__setitem__(
        (1, 1), 9
    ),
    "Bias of module 'h' must be within +-3.99988 (Q2.13), not 4 at (0, 0)": lambda p: p.bias.__setitem__((0, 3), 4),
}


@pytest.mark.parametrize("message", FAULTS)
def test_check_names_the_bad_value(message: str) -> None:
    parameters = Parameters.zeros(SMALL)
    FAULTS[message](parameters)
    with pytest.raises(ParameterError) as error:
        parameters.check(SMALL, FORMATS)
    assert str(error.value) == message


def test_check_names_a_wrong_shape() -> None:
    zeros = Parameters.zeros(SMALL)
    for wrong, message in (
        (
            Parameters(zeros.U[:3], zeros.V, zeros.gain, zeros.bias),
            "U must have an array for each of 4 couplings, not 3",
        ),
        (
            Parameters((zeros.U[0].T, *zeros.U[1:]), zeros.V, zeros.gain, zeros.bias),
            "U of coupling 'x-h' must have shape (3, 2), not (2, 3)",
        ),
        (Parameters(zeros.U, zeros.V, zeros.gain, zeros.bias[0]), "Bias must have shape (2, 12), not (12,)"),
    ):
        with pytest.raises(ParameterError) as error:
            wrong.check(SMALL)
        assert str(error.value) == message


def test_without_formats_large_values_are_fine() -> None:
    parameters = Parameters.zeros(SMALL)
    parameters.U[0][0, 0] = 1e9
    parameters.check(SMALL)


def test_a_file_gives_back_every_bit(tmp_path: Path) -> None:
    parameters = uneven(SMALL, np.random.default_rng(0))
    transposed = parameters.map(np.asfortranarray)  # memory order must not reach the file
    transposed.save(tmp_path / "p.safetensors", SMALL)
    loaded = Parameters.load(tmp_path / "p.safetensors", SMALL)
    assert np.array_equal(loaded.vector(), parameters.vector())
    loaded.U[0][0, 0] = 1.0  # writable


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    uneven(SMALL, np.random.default_rng(0)).save(path, SMALL)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ParameterError) as error:
            Parameters.load(path, SMALL)
        assert str(error.value).startswith(f"File '{path}' is truncated or not a safetensors file (")
        assert "\n" not in str(error.value)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    tensors = Parameters.zeros(SMALL).tensors(SMALL)
    less = {name: tensor for name, tensor in tensors.items() if name != "V.c-y"}
    cases = {
        "Tensor 'V.c-y' is missing: these are not the parameters of this network": less,
        "Tensor 'V.z-y' is unknown: these are not the parameters of this network": tensors | {"V.z-y": np.zeros(2)},
        "Tensor 'bias' must be float64, not float32": tensors | {"bias": np.zeros((2, 12), dtype=np.float32)},
        "Bias must have shape (2, 12), not (1, 12)": tensors | {"bias": np.zeros((1, 12))},
        "Gain of coupling 'x-h' must be finite, not nan at (0, 0)": tensors | {"gain.x-h": np.full((2, 2), np.nan)},
    }
    for message, content in cases.items():
        save_file(content, path)
        with pytest.raises(ParameterError) as error:
            Parameters.load(path, SMALL)
        assert str(error.value) == f"File '{path}': {message}"
    np.savez(tmp_path / "p.npz", **tensors)
    with pytest.raises(ParameterError, match=r"p\.npz' is truncated or not a safetensors file"):
        Parameters.load(tmp_path / "p.npz", SMALL)


def test_a_number_type_that_numpy_lacks_is_refused(tmp_path: Path) -> None:
    header = b'{"bias":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path = tmp_path / "p.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(ParameterError) as error:
        Parameters.load(path, SMALL)
    assert str(error.value) == f"File '{path}' is truncated or not a safetensors file ('BF16')"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "none" / "p.safetensors"
    with pytest.raises(ParameterError) as error:
        Parameters.load(path, SMALL)
    assert str(error.value) == f"Parameters cannot be read from '{path}': No such file or directory"
    with pytest.raises(ParameterError) as error:
        Parameters.zeros(SMALL).save(path, SMALL)
    assert str(error.value) == f"Parameters cannot be written to '{path}': No such file or directory"


def test_bad_parameters_do_not_replace_a_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.safetensors"
    good = uneven(SMALL, np.random.default_rng(0))
    good.save(path, SMALL)
    with pytest.raises(ParameterError):
        good.map(lambda leaf: leaf * np.nan).save(path, SMALL)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    with pytest.raises(ParameterError) as error:
        good.save(path, SMALL)
    assert str(error.value) == f"Parameters cannot be written to '{path}': No space left on device"
    assert np.array_equal(Parameters.load(path, SMALL).vector(), good.vector())
