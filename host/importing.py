"""A model trained elsewhere as a network of low-rank couplings: its dense weights, factored.

A file in NumPy's format ``.npz`` holds, for modules a and b,

- ``weight.a-b``, (n_a, n_b): what the states of a push on b, as in a layer b = f(a @ weight);
- or ``encoder.a-b``, (n_a, m), and ``decoder.a-b``, (n_b, m): a skip connection through m shared features, whose weight
  is encoder @ decoder.T. Its singular structure is that of the two Gram matrices, m x m, and the dense matrix is never
  made: hierarchical bilinear coupling (arXiv:2604.14332);
- ``bias.a``, (n_a,) or (levels, n_a).

The module ``input`` is clamped, ``output`` is read, all others are hidden.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import DataError
from ..substrate.factor import factor
from ..substrate.formats import FORMATS
from ..substrate.network import Coupling, Module, Network
from ..substrate.parameters import Parameters

__all__ = ["Model", "digest", "read_model"]

Array = NDArray[np.float64]

_INPUT, _OUTPUT = "input", "output"

_AMPLITUDE = 2.5
"""By how much hidden states are larger than in the model. A layer knows no way back, a coupling does: what the output
pushes on hidden neurons becomes smaller by the square of it, beside what drives them."""

_QUARTIC = 1 / 3
"""Of hidden neurons: s + s^3 / 3 = x has the solution tanh(x), to third order."""

_ENERGY_KEPT = 0.99
"""Part of a coupling's squared norm that is kept, at least, where no rank is asked for."""


@dataclass(frozen=True, eq=False)
class Model:
    """Dense weights, by ends (a, b), as pairs of factors: weight = left @ right.T; and biases, by module.

    Attributes
    ----------
    sizes
        Of the modules, in the order they are met.
    factors
        (n_a, m) and (n_b, m) of each coupling.
    biases
        (levels, n).
    """

    sizes: dict[str, int]
    factors: dict[tuple[str, str], tuple[Array, Array]]
    biases: dict[str, Array]

    @property
    def levels(self) -> int:
        """Noise levels that the biases tell apart."""
        return max([1, *(len(bias) for bias in self.biases.values())])

    @property
    def full_rank(self) -> int:
        """Rank at which nothing is left out."""
        return max([1, *(len(self.spectrum(ends)) for ends in self.factors)])

    def ranks(self) -> list[int]:
        """Ranks worth a look: powers of two, and the full one."""
        return [*(2**n for n in range(12) if 2**n < self.full_rank), self.full_rank]

    def spectrum(self, ends: tuple[str, str]) -> Array:
        """Singular values of a coupling's weight, descending."""
        left, right = self.factors[ends]
        (_, first), (_, second) = np.linalg.qr(left), np.linalg.qr(right)
        return np.linalg.svd(first @ second.T, compute_uv=False)

    def discarded(self, rank: int) -> dict[str, float]:
        """Part of each coupling's squared norm that so many channels leave out."""
        found = {}
        for ends in self.factors:
            squares = self.spectrum(ends) ** 2
            found["-".join(ends)] = float(squares[rank:].sum() / squares.sum()) if squares.sum() else 0.0
        return found

    def enough(self) -> int:
        """The smallest of :meth:`ranks` that keeps 99 % of every coupling's squared norm."""
        return next(rank for rank in self.ranks() if max(self.discarded(rank).values()) <= 1 - _ENERGY_KEPT)

    def network(self, rank: int, levels: int = 1, dt: float = 0.125) -> Network:
        """Modules, and couplings of at most ``rank`` channels; of ``levels`` noise levels, if biases have none."""
        modules = [
            Module(name, size, quartic=0.0 if name in (_INPUT, _OUTPUT) else _QUARTIC / _AMPLITUDE**2,
                   clamped=name == _INPUT)
            for name, size in self.sizes.items()
        ]  # fmt: skip
        levels = self.levels if self.levels > 1 else levels
        couplings = [Coupling(*ends, min(rank, len(self.spectrum(ends)))) for ends in self.factors]
        return Network(tuple(modules), tuple(couplings), _OUTPUT, dt=dt, levels=levels)

    def parameters(self, network: Network) -> Parameters:
        """Parameters of :meth:`network`, within the formats of a device: a channel's excess goes into its gain.

        Raises
        ------
        DataError
            If a weight is too large for its format.
        """
        made = Parameters.zeros(network)
        for number, coupling in enumerate(network.couplings):
            left, right = self.factors[coupling.a, coupling.b]
            (q1, r1), (q2, r2) = np.linalg.qr(left), np.linalg.qr(right)
            inner = factor(r1 @ r2.T * _scale(coupling.b) / _scale(coupling.a), coupling.rank)
            U, V = q1 @ inner.U, q2 @ inner.V
            excess = np.maximum(1.0, np.maximum(np.abs(U).max(0), np.abs(V).max(0)) / FORMATS.weight.limit)
            if np.any(excess**2 > FORMATS.gain.limit):
                raise DataError(f"Weights of coupling '{coupling}' are too large for a device: scale the model down")
            made.U[number][:], made.V[number][:] = U / excess, V / excess
            made.gain[number][:] = excess**2
        for name, bias in self.biases.items():
            if len(bias) not in (1, network.levels):
                raise DataError(f"Bias of module '{name}' must have 1 or {network.levels} rows, not {len(bias)}")
            scaled = bias * _scale(name)
            if np.abs(scaled).max() > FORMATS.site.limit:
                raise DataError(f"Bias of module '{name}' must be within +-{FORMATS.site.limit / _scale(name):g}")
            made.bias[:, network.slices[name]] = scaled
        return made


def _scale(module: str) -> float:
    return 1.0 if module in (_INPUT, _OUTPUT) else _AMPLITUDE


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex: tells whether parameters are still those that were measured."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_model(path: Path) -> Model:
    """Read a model.

    Raises
    ------
    DataError
        If the file cannot be read, or its arrays do not make a network, naming the array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file.files}
    except FileNotFoundError:
        raise DataError(f"File '{path}' does not exist") from None
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise DataError(f"File '{path}' is not a readable .npz file of numbers ({error})") from None
    model = Model({}, {}, {})
    for name, array in arrays.items():
        kind, _, rest = name.partition(".")
        if not np.issubdtype(array.dtype, np.number) or not np.all(np.isfinite(array)) or not array.size:
            raise DataError(f"Array '{name}' of '{path}' must be finite numbers")
        if kind == "bias" and array.ndim in (1, 2):
            model.biases[rest] = np.atleast_2d(array.astype(float))
            continue
        a, dash, b = rest.partition("-")
        if kind not in ("weight", "encoder", "decoder") or not dash or array.ndim != 2:
            raise DataError(
                f"Array '{name}' of '{path}' must be a matrix named weight.A-B, encoder.A-B or decoder.A-B, or bias.A, "
                f"not of shape {array.shape}"
            )
        if kind == "weight":
            model.factors[a, b] = array.astype(float), np.eye(array.shape[1])
        elif kind == "encoder":
            model.factors[a, b] = array.astype(float), _partner(arrays, f"decoder.{rest}", array, path)
        else:
            _partner(arrays, f"encoder.{rest}", array, path)
    _find_sizes(model, path)
    return model


def _partner(arrays: dict[str, NDArray[np.generic]], name: str, array: NDArray[np.generic], path: Path) -> Array:
    other = arrays.get(name)
    if other is None or other.ndim != 2 or other.shape[1] != array.shape[1]:
        raise DataError(f"File '{path}' needs an array '{name}' of {array.shape[1]} columns, as its partner has")
    return other.astype(float)


def _find_sizes(model: Model, path: Path) -> None:
    """Sizes of the modules, from all arrays that end at them."""
    for (a, b), factors in model.factors.items():
        for module, part in zip((a, b), factors, strict=True):
            if model.sizes.setdefault(module, len(part)) != len(part):
                raise DataError(f"Module '{module}' of '{path}' has both {model.sizes[module]} and {len(part)} neurons")
    for module in (_INPUT, _OUTPUT):
        if module not in model.sizes:
            raise DataError(f"File '{path}' has no weight at a module '{module}', only at {sorted(model.sizes)}")
    for module, bias in model.biases.items():
        if bias.shape[1] != model.sizes.get(module) or module == _INPUT:
            raise DataError(f"Bias 'bias.{module}' of '{path}' fits no free module of {bias.shape[1]} neurons")
    if len({len(bias) for bias in model.biases.values()} - {1}) > 1:
        raise DataError(f"Biases of '{path}' must all have one row, or as many as there are noise levels")
