"""Networks as TOML.

::

    output = "image"
    dt = 0.125              # optional, as are levels, stiffness, quartic and clamped
    levels = 8

    [[module]]              # in device order
    name = "noisy"
    size = 64
    clamped = true

    [[module]]
    name = "image"
    size = 64
    stiffness = 1.0         # one number, or a list with one for each neuron
    quartic = 1.0

    [[coupling]]
    a = "noisy"
    b = "image"
    rank = 8

Keys are those of :class:`~equipoise.substrate.network.Network`, ``Module`` and ``Coupling``; any other is an error.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomlkit

from .errors import NetworkError
from .network import Coupling, Module, Network

__all__ = ["network_from_toml", "network_to_toml", "read_network"]


def read_network(path: str | os.PathLike[str]) -> Network:
    """Read a network from a TOML file.

    Raises
    ------
    NetworkError
        If the file cannot be read or is not a valid network, naming the file, the module, coupling or key, and the
        bad value.
    """
    try:
        return network_from_toml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise NetworkError(f"Network cannot be read from '{path}': {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise NetworkError(f"File '{path}': not UTF-8 text, byte {error.start} is wrong") from error
    except NetworkError as error:
        raise NetworkError(f"File '{path}': {error}") from error


def network_from_toml(text: str) -> Network:
    """Read a network from TOML text.

    Raises
    ------
    NetworkError
        If it is not a valid network, naming the module, coupling or key, and the bad value.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NetworkError(f"Not valid TOML: {error}") from error
    top = _read(document, _NETWORK, "the network", required=("output",))
    modules, couplings = [], []
    for number, table in enumerate(top.pop("module", []), start=1):
        owner = f"module '{table['name']}'" if "name" in table else f"module number {number}"
        modules.append(Module(**_read(table, _MODULE, owner, required=("name", "size"))))
    for number, table in enumerate(top.pop("coupling", []), start=1):
        owner = f"coupling '{table['a']}-{table['b']}'" if {"a", "b"} <= table.keys() else f"coupling number {number}"
        couplings.append(Coupling(**_read(table, _COUPLING, owner, required=("a", "b", "rank"))))
    return Network(tuple(modules), tuple(couplings), **top)


def network_to_toml(network: Network) -> str:
    """The network as TOML text: the inverse of :func:`network_from_toml`."""
    document = tomlkit.document()
    document["output"], document["dt"], document["levels"] = network.output, float(network.dt), network.levels
    modules, couplings = tomlkit.aot(), tomlkit.aot()
    for module in network.modules:
        table = tomlkit.table()
        table["name"], table["size"] = module.name, module.size
        table["stiffness"], table["quartic"] = _numbers(module.stiffness), _numbers(module.quartic)
        table["clamped"] = module.clamped
        if module.railed:  # else left out, as in files from before there were rails
            table["railed"] = True
        modules.append(table)
    for coupling in network.couplings:
        table = tomlkit.table()
        table["a"], table["b"], table["rank"] = coupling.a, coupling.b, coupling.rank
        couplings.append(table)
    document["module"] = modules
    if network.couplings:
        document["coupling"] = couplings
    return tomlkit.dumps(document)


def _numbers(value: float | tuple[float, ...]) -> float | list[float]:
    return [float(number) for number in value] if isinstance(value, tuple) else float(value)


def _read(table: dict[str, Any], kinds: dict[str, _Kind], owner: str, required: tuple[str, ...]) -> dict[str, Any]:
    """Values of ``table``, each of the kind that its key asks for."""
    for key in table:
        if key not in kinds:
            raise NetworkError(f"Key '{key}' of {owner} is unknown; known are {', '.join(kinds)}")
    for key in required:
        if key not in table:
            raise NetworkError(f"Key '{key}' of {owner} is missing")
    values = {}
    for key, value in table.items():
        what, fits = kinds[key]
        if not fits(value):
            raise NetworkError(f"Key '{key}' of {owner} must be {what}, not {value!r}")
        values[key] = tuple(value) if key in {"stiffness", "quartic"} and isinstance(value, list) else value
    return values


# TOML's true and false are ints to Python, so types are compared exactly.
def _is_integer(value: object) -> bool:
    return type(value) is int


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


def _is_numbers(value: object) -> bool:
    return _is_number(value) or (isinstance(value, list) and all(_is_number(item) for item in value))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_truth(value: object) -> bool:
    return isinstance(value, bool)


def _is_tables(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


_Kind = tuple[str, Callable[[object], bool]]

_NETWORK: dict[str, _Kind] = {
    "output": ("a string", _is_text),
    "dt": ("a number", _is_number),
    "levels": ("an integer", _is_integer),
    "module": ("tables, [[module]]", _is_tables),
    "coupling": ("tables, [[coupling]]", _is_tables),
}

_MODULE: dict[str, _Kind] = {
    "name": ("a string", _is_text),
    "size": ("an integer", _is_integer),
    "stiffness": ("a number or a list of numbers", _is_numbers),
    "quartic": ("a number or a list of numbers", _is_numbers),
    "clamped": ("true or false", _is_truth),
    "railed": ("true or false", _is_truth),
}

_COUPLING: dict[str, _Kind] = {
    "a": ("a string", _is_text),
    "b": ("a string", _is_text),
    "rank": ("an integer", _is_integer),
}
