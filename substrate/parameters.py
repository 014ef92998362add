"""Trainable parameters of a network: U, V and gain of each coupling, bias of each neuron."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as unpack
from safetensors.numpy import save as pack

from .errors import ParameterError
from .files import write_atomically
from .formats import Fixed, Formats
from .network import Network

__all__ = ["Parameters", "cosine", "norm_ratio"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters of a network, or anything of their shape (a contrast, a gradient, an optimiser's moment).

    The *leaves* of an instance are its arrays, in the order U of each coupling, V of each, gain of each, bias.

    Attributes
    ----------
    U, V
        For each coupling, in network order: (n_a, k) and (n_b, k).
    gain
        For each coupling: (levels, k).
    bias
        (levels, N); zero for clamped neurons, which no force moves.
    """

    U: tuple[Array, ...]
    V: tuple[Array, ...]
    gain: tuple[Array, ...]
    bias: Array

    @classmethod
    def zeros(cls, network: Network) -> Self:
        """Zeros of the shapes that ``network`` needs."""
        return cls._assemble([np.zeros(shape) for shape in _shapes(network).values()])

    @classmethod
    def random(cls, network: Network, rng: np.random.Generator, radius: float = 0.46) -> Self:
        """Parameters to start training from: normal U and V, all gains 1, all biases 0.

        A weight has variance 1/n, n the size of the module at its end, times one factor for all couplings. The
        factor makes ``radius`` the largest magnitude of an eigenvalue of the coupling matrix J of the free
        neurons, where J_ab = U V^T and J_ba its transpose. Below the stiffness, the network has one
        equilibrium and relaxes to it. Where no coupling joins two free modules, J of all neurons is used instead.

        Parameters
        ----------
        radius
            At least 0.

        Raises
        ------
        ParameterError
            If radius is negative or not finite.
        """
        if not np.isfinite(radius) or radius < 0:
            raise ParameterError(f"Radius of random parameters must be finite and at least 0, not {radius!r}")
        sizes = [(network[coupling.a].size, network[coupling.b].size, coupling.rank) for coupling in network.couplings]
        drawn = cls(
            U=tuple(rng.standard_normal((size, rank)) / np.sqrt(size) for size, _, rank in sizes),
            V=tuple(rng.standard_normal((size, rank)) / np.sqrt(size) for _, size, rank in sizes),
            gain=tuple(np.ones((network.levels, rank)) for _, _, rank in sizes),
            bias=np.zeros((network.levels, network.neurons)),
        )
        free = ~network.clamped
        J = _coupling_matrix(network, drawn)
        reach = _spectral_radius(J[np.ix_(free, free)]) or _spectral_radius(J)
        factor = np.sqrt(radius / reach) if reach else 1.0
        return cls(tuple(u * factor for u in drawn.U), tuple(v * factor for v in drawn.V), drawn.gain, drawn.bias)

    def leaves(self) -> Iterator[Array]:
        """All arrays, in order."""
        yield from self.U
        yield from self.V
        yield from self.gain
        yield self.bias

    def map(self, function: Callable[..., Array], *others: Parameters) -> Self:
        """Apply ``function`` to each leaf, together with the same leaf of ``others``."""
        columns = zip(self.leaves(), *(other.leaves() for other in others), strict=True)
        return self._assemble([function(*column) for column in columns])

    def vector(self) -> Array:
        """All elements, leaf after leaf, as one new vector."""
        return np.concatenate([leaf.ravel() for leaf in self.leaves()])

    def replace(self, vector: Array) -> Self:
        """Parameters of this shape, with the elements of ``vector``: the inverse of :meth:`vector`.

        Raises
        ------
        ParameterError
            If the length does not fit.
        """
        ends = np.cumsum([leaf.size for leaf in self.leaves()])
        if vector.shape != (ends[-1],):
            raise ParameterError(f"A vector of these parameters must have shape ({ends[-1]},), not {vector.shape}")
        parts = np.split(np.array(vector, dtype=np.float64), ends[:-1])
        return self._assemble([part.reshape(leaf.shape) for part, leaf in zip(parts, self.leaves(), strict=True)])

    @staticmethod
    def names(network: Network) -> list[str]:
        """Names of the leaves, in order: ``U.a-b``, ..., ``V.a-b``, ..., ``gain.a-b``, ..., ``bias``."""
        return list(_shapes(network))

    def tensors(self, network: Network) -> dict[str, Array]:
        """The leaves by name (not copied): what a checkpoint stores.

        Raises
        ------
        ParameterError
            As :meth:`check`.
        """
        self.check(network)
        return dict(zip(_shapes(network), self.leaves(), strict=True))

    @classmethod
    def from_tensors(cls, network: Network, tensors: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of :meth:`tensors`; arrays are copied.

        Raises
        ------
        ParameterError
            If a leaf is missing, unknown, not float64, of the wrong shape or not finite, naming it.
        """
        names = cls.names(network)
        for name in names:
            if name not in tensors:
                raise ParameterError(f"Tensor '{name}' is missing: these are not the parameters of this network")
            if tensors[name].dtype != np.float64:
                raise ParameterError(f"Tensor '{name}' must be float64, not {tensors[name].dtype}")
        for name in tensors:
            if name not in names:
                raise ParameterError(f"Tensor '{name}' is unknown: these are not the parameters of this network")
        parameters = cls._assemble([np.array(tensors[name], dtype=np.float64) for name in names])
        parameters.check(network)
        return parameters

    def save(self, path: str | os.PathLike[str], network: Network) -> None:
        """Write a safetensors file, whole or not at all.

        Raises
        ------
        ParameterError
            If the parameters do not fit ``network``, or the file cannot be written.
        """
        contiguous = {name: np.ascontiguousarray(leaf) for name, leaf in self.tensors(network).items()}
        try:
            write_atomically(path, pack(contiguous, metadata={"equipoise": "parameters"}))
        except OSError as error:
            raise ParameterError(f"Parameters cannot be written to '{path}': {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str], network: Network) -> Self:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        ParameterError
            If the file cannot be read, is damaged, or holds something else than parameters of ``network``.
        """
        try:
            tensors = unpack(Path(path).read_bytes())
        except OSError as error:
            raise ParameterError(f"Parameters cannot be read from '{path}': {error.strerror or error}") from error
        except (SafetensorError, KeyError) as error:  # KeyError: a number type that numpy lacks
            raise ParameterError(f"File '{path}' is truncated or not a safetensors file ({error})") from error
        try:
            return cls.from_tensors(network, tensors)
        except ParameterError as error:
            raise ParameterError(f"File '{path}': {error}") from None

    def check(self, network: Network, formats: Formats | None = None) -> None:
        """Check shapes and values, and with ``formats`` that each value fits its number format.

        Raises
        ------
        ParameterError
            Naming the coupling or module, the value and its index.
        """
        count = len(network.couplings)
        for name in ("U", "V", "gain"):
            if len(getattr(self, name)) != count:
                raise ParameterError(
                    f"{name} must have an array for each of {count} couplings, not {len(getattr(self, name))}"
                )
        for (name, shape), leaf in zip(_shapes(network).items(), self.leaves(), strict=True):
            kind, _, coupling = name.partition(".")
            label = f"{_LABELS[kind]} of coupling '{coupling}'" if coupling else "Bias"
            if leaf.shape != shape:
                raise ParameterError(f"{label} must have shape {shape}, not {leaf.shape}")
            if not np.all(np.isfinite(leaf)):
                raise _fault(network, label, "be finite", leaf, ~np.isfinite(leaf))
            if formats is not None:
                _check_format(network, label, leaf, _format(formats, kind))
        moved = (self.bias != 0) & network.clamped
        if np.any(moved):
            raise _fault(network, "Bias", "be 0 where clamped", self.bias, moved)

    @classmethod
    def _assemble(cls, leaves: list[Array]) -> Self:
        count = (len(leaves) - 1) // 3
        u, v, gain = (tuple(leaves[count * part : count * (part + 1)]) for part in range(3))
        return cls(u, v, gain, leaves[-1])


def cosine(a: Parameters, b: Parameters) -> float:
    """Cosine of the angle between two gradients, over all elements; nan if one of them is zero."""
    x, y = a.vector(), b.vector()
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float(x @ y) / scale if scale else float("nan")


def norm_ratio(a: Parameters, b: Parameters) -> float:
    """Norm of ``a`` over the norm of ``b``, over all elements; nan if ``b`` is zero."""
    scale = float(np.linalg.norm(b.vector()))
    return float(np.linalg.norm(a.vector())) / scale if scale else float("nan")


_LABELS = {"U": "U", "V": "V", "gain": "Gain"}


def _shapes(network: Network) -> dict[str, tuple[int, int]]:
    """Names and shapes of the leaves, in order."""
    shapes = {f"U.{coupling}": (network[coupling.a].size, coupling.rank) for coupling in network.couplings}
    shapes |= {f"V.{coupling}": (network[coupling.b].size, coupling.rank) for coupling in network.couplings}
    shapes |= {f"gain.{coupling}": (network.levels, coupling.rank) for coupling in network.couplings}
    return shapes | {"bias": (network.levels, network.neurons)}


def _coupling_matrix(network: Network, parameters: Parameters) -> Array:
    """Matrix J (N, N) of the couplings at gain 1: E = -1/2 s J s."""
    J = np.zeros((network.neurons, network.neurons))
    for coupling, u, v in zip(network.couplings, parameters.U, parameters.V, strict=True):
        a, b = network.slices[coupling.a], network.slices[coupling.b]
        J[a, b] = u @ v.T
        J[b, a] = v @ u.T
    return J


def _spectral_radius(symmetric: Array) -> float:
    return float(np.abs(np.linalg.eigvalsh(symmetric)).max(initial=0.0))


def _format(formats: Formats, kind: str) -> Fixed:
    return {"U": formats.weight, "V": formats.weight, "gain": formats.gain, "bias": formats.site}[kind]


def _check_format(network: Network, label: str, leaf: Array, fixed: Fixed) -> None:
    if not fixed.fits(leaf):
        outside = np.array([not fixed.fits(value) for value in leaf.ravel()]).reshape(leaf.shape)
        raise _fault(network, label, f"be within +-{fixed.limit:g} ({fixed})", leaf, outside)


def _fault(network: Network, label: str, rule: str, leaf: Array, bad: NDArray[np.bool_]) -> ParameterError:
    """The error that names the first bad element; that of a bias by its module."""
    row, column = (int(index) for index in np.argwhere(bad)[0])
    value = leaf[row, column]
    if label == "Bias":
        module = next(name for name, part in network.slices.items() if column < part.stop)
        label, column = f"Bias of module '{module}'", column - network.slices[module].start
    return ParameterError(f"{label} must {rule}, not {value:g} at ({row}, {column})")
