"""Networks: modules of neurons joined by low-rank bilinear couplings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import NetworkError
from .formats import FORMATS

__all__ = ["RAIL", "Coupling", "Module", "Network"]

RAIL = FORMATS.state.limit
"""Largest state of a device."""


@dataclass(frozen=True, slots=True)
class Module:
    """A vector of neurons.

    Parameters
    ----------
    name
        Unique in its network.
    size
        Number of neurons, at least 1.
    stiffness
        Linear restoring force, for all neurons or one for each. At least 0.
    quartic
        Strength of the quartic term, for all neurons or one for each. At least 0.
    clamped
        Whether the states are inputs: set for each sample, and never moved by a force.
    railed
        Whether its neurons are meant to reach the rails, +-:data:`RAIL`, so that they bend there. Every device has
        rails; where this is set the equations (float model, oracle) have them too, and states rest there.

    Raises
    ------
    NetworkError
        If a value is out of range, naming the module.
    """

    name: str
    size: int
    stiffness: float | tuple[float, ...] = 1.0
    quartic: float | tuple[float, ...] = 1.0
    clamped: bool = False
    railed: bool = False

    def __post_init__(self) -> None:
        if not self.name or not isinstance(self.name, str):
            raise NetworkError(f"Name of a module must be a non-empty string, not {self.name!r}")
        if not isinstance(self.size, int) or self.size < 1:
            raise NetworkError(f"Size of module '{self.name}' must be an integer of at least 1, not {self.size!r}")
        for term in ("stiffness", "quartic"):
            value = getattr(self, term)
            values = np.atleast_1d(np.asarray(value, dtype=float))
            if isinstance(value, tuple) and len(value) != self.size:
                raise NetworkError(
                    f"{term.capitalize()} of module '{self.name}' must be one number or {self.size}, not {len(value)}"
                )
            if not np.all(np.isfinite(values)) or np.any(values < 0):
                bad = values[~(np.isfinite(values) & (values >= 0))][0]
                raise NetworkError(
                    f"{term.capitalize()} of module '{self.name}' must be finite and at least 0, not {bad:g}"
                )


@dataclass(frozen=True, slots=True)
class Coupling:
    """A bilinear coupling of rank ``rank`` between modules ``a`` and ``b``: E = -sum_p gain_p (U_p.s_a)(V_p.s_b)."""

    a: str
    b: str
    rank: int

    def __str__(self) -> str:
        return f"{self.a}-{self.b}"


@dataclass(frozen=True)
class Network:
    """Modules, couplings and the constants of relaxation.

    Parameters
    ----------
    modules
        In device order: neurons are numbered module after module.
    couplings
        Between two modules of which at least one is not clamped; at most one for each pair.
    output
        Name of the module that is read and nudged; not a clamped one.
    dt
        Step of the relaxation; a power of two from 2**-15 to 1, so that a device scales by a shift.
    levels
        Number of noise levels, the rows of the gain and bias tables.

    Raises
    ------
    NetworkError
        If a value is out of range, naming the module or the coupling.
    """

    modules: tuple[Module, ...]
    couplings: tuple[Coupling, ...]
    output: str
    dt: float = 0.125
    levels: int = 1
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "modules", tuple(self.modules))
        object.__setattr__(self, "couplings", tuple(self.couplings))
        names = [module.name for module in self.modules]
        for name in names:
            if names.count(name) > 1:
                raise NetworkError(f"Module name '{name}' is used {names.count(name)} times; names must be unique")
        object.__setattr__(self, "_index", {name: index for index, name in enumerate(names)})
        if len(self.modules) < 1:
            raise NetworkError("A network must have at least 1 module, not 0")
        seen: set[frozenset[str]] = set()
        for coupling in self.couplings:
            self._check_coupling(coupling, seen)
        if self.output not in self._index:
            raise NetworkError(f"Output must be one of the modules {names}, not {self.output!r}")
        if self[self.output].clamped:
            raise NetworkError(f"Output module '{self.output}' must not be clamped")
        if self.dt not in {2.0**-shift for shift in range(16)}:
            raise NetworkError(f"Step dt must be a power of two from 2**-15 to 1, not {self.dt!r}")
        if not isinstance(self.levels, int) or self.levels < 1:
            raise NetworkError(f"Number of noise levels must be an integer of at least 1, not {self.levels!r}")

    def _check_coupling(self, coupling: Coupling, seen: set[frozenset[str]]) -> None:
        for end in (coupling.a, coupling.b):
            if end not in self._index:
                raise NetworkError(f"Coupling {coupling} ends at {end!r}, which is not a module")
        if coupling.a == coupling.b:
            raise NetworkError(f"Coupling {coupling} must join two different modules")
        if frozenset((coupling.a, coupling.b)) in seen:
            raise NetworkError(f"Coupling {coupling} is given twice; add its ranks into one coupling")
        seen.add(frozenset((coupling.a, coupling.b)))
        if not isinstance(coupling.rank, int) or coupling.rank < 1:
            raise NetworkError(f"Rank of coupling {coupling} must be an integer of at least 1, not {coupling.rank!r}")
        if self[coupling.a].clamped and self[coupling.b].clamped:
            raise NetworkError(f"Coupling {coupling} joins two clamped modules, which moves nothing")

    def __getitem__(self, name: str) -> Module:
        return self.modules[self._index[name]]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.modules)

    @cached_property
    def neurons(self) -> int:
        """Number of neurons N, clamped ones included."""
        return sum(module.size for module in self.modules)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each module's neurons are in a state vector of length N."""
        slices, start = {}, 0
        for module in self.modules:
            slices[module.name] = slice(start, start + module.size)
            start += module.size
        return slices

    @cached_property
    def clamped(self) -> NDArray[np.bool_]:
        """Mask (N,) of the neurons that are clamped."""
        return np.concatenate([np.full(module.size, module.clamped) for module in self.modules])

    @cached_property
    def railed(self) -> NDArray[np.bool_]:
        """Mask (N,) of the neurons that rails hold, the clamped ones excluded."""
        return np.concatenate([np.full(m.size, m.railed and not m.clamped) for m in self.modules])

    @cached_property
    def inputs(self) -> int:
        """Number of clamped neurons: the width of a minibatch's ``clamped`` array."""
        return int(self.clamped.sum())

    @cached_property
    def outputs(self) -> int:
        """Number of neurons of the output module."""
        return self[self.output].size

    @cached_property
    def stiffness(self) -> NDArray[np.float64]:
        """Stiffness of each neuron, (N,)."""
        return np.concatenate([np.broadcast_to(np.asarray(m.stiffness, float), m.size) for m in self.modules])

    @cached_property
    def quartic(self) -> NDArray[np.float64]:
        """Quartic of each neuron, (N,)."""
        return np.concatenate([np.broadcast_to(np.asarray(m.quartic, float), m.size) for m in self.modules])
