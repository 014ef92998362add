"""Profiles as TOML files (docs/analog.md says every key), checked: an error names the line.

Two are shipped: ``reference`` (the SPICE board behind SCPI) and ``rack`` (a board among bench instruments).
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np

from ...substrate.errors import DeviceError
from .board import Limits
from .profile import COMMANDS, MAIN, Command, Link, Profile, Settle, Wait

__all__ = ["SHIPPED", "profile_from_toml", "read_profile"]

SHIPPED = Path(__file__).parent

_ABOVE = {
    "limits": (
        "neurons", "channels", "weight", "gain", "bias", "nudge", "volts", "lsb", "time_constant", "stiffness",
    ),
    "link": ("timeout", "baud"),
    "settle": ("limit",),
}  # fmt: skip
"""Numbers that must be above 0, by table."""

_AT_LEAST = {
    "board": ("first",),
    "limits": ("quartic", "reference_uncertainty"),
    "settle": ("interval", "tolerance"),
}
"""Numbers that must be at least 0."""

_SAID = {"board": ("idn",), "link": ("join", "terminator")}
"""Texts that must not be empty."""


def read_profile(name: str | os.PathLike[str]) -> Profile:
    """Read a profile: a TOML file, or one of the shipped ones by its name.

    Raises
    ------
    DeviceError
        If it cannot be read or is not valid, naming file, line, key and value.
    """
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    path = shipped.get(str(name), Path(name))
    try:
        return profile_from_toml(path.read_text(encoding="utf-8"), str(name))
    except OSError as error:
        raise DeviceError(
            f"Profile '{name}' cannot be read ({error.strerror or error}): give a file, or one of {', '.join(shipped)}"
        ) from error
    except UnicodeDecodeError as error:
        raise DeviceError(f"Profile '{name}' is not UTF-8 text: byte {error.start} is wrong") from error


def profile_from_toml(text: str, source: str = "profile") -> Profile:
    """Read a profile from TOML text.

    Raises
    ------
    DeviceError
        If it is not valid, naming line, key and value.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeviceError(f"Profile '{source}' is not valid TOML: {error}") from error
    return _Reader(text, source, document).profile()


class _Reader:
    """Reads one document; every error names the line."""

    def __init__(self, text: str, source: str, document: dict[str, Any]) -> None:
        self._source, self._document = source, document
        self._lines = _lines(text)

    def profile(self) -> Profile:
        top = self._document
        tables = ("board", "limits", "link", "settle", "commands", "instruments")
        for name, value in top.items():
            if name not in tables:
                raise self._error("", name, f"is unknown; known are {', '.join(tables)}")
            if not isinstance(value, dict):
                raise self._error("", name, f"must be a table, [{name}], not {value!r}")
        board = self._take("board", {"idn": (str, MISSING), "first": (int, 0)})
        limits = Limits(**self._take("limits", _kinds(Limits)))
        self._references(limits)
        link = Link(**self._take("link", _kinds(Link)))
        settle = self._take("settle", {**_kinds(Settle), "wait": (str, MISSING)})
        if settle["wait"] not in set(Wait):
            raise self._error("settle", "wait", f"must be one of {', '.join(Wait)}, not '{settle['wait']}'")
        settle["wait"] = Wait(settle["wait"])
        if settle["wait"] is Wait.REPEAT and not settle["tolerance"]:
            raise self._error("settle", "tolerance", "must be above 0 where settle.wait is 'repeat', not 0")
        instruments = top.get("instruments", {})
        for name, resource in instruments.items():
            if not isinstance(resource, str) or name == MAIN:
                raise self._error("instruments", name, f"must be a VISA resource as a string, not {resource!r}")
        commands = self._commands(limits, {MAIN, *instruments})
        if settle["wait"] is not Wait.REPEAT and "settled" not in commands:
            raise self._error("commands", "settled", f"is missing: settle.wait is '{settle['wait']}'")
        return Profile(
            self._source, board["idn"], limits, link, Settle(**settle), commands, instruments, board["first"]
        )

    def _references(self, limits: Limits) -> None:
        """Refuse references that a calibration could do nothing with."""
        volts = limits.references
        if not all(isinstance(value, int | float) and abs(value) <= limits.volts for value in volts):
            raise self._error(
                "limits", "references", f"must be numbers within +-{limits.volts:g} V, not {list(volts)!r}"
            )
        if np.any(np.diff(volts) <= 0):
            raise self._error("limits", "references", f"must rise from each to the next, not {list(volts)!r}")

    def _commands(self, limits: Limits, instruments: set[str]) -> dict[str, Command]:
        table = self._document.get("commands", {})
        for name in table:
            if name not in COMMANDS:
                raise self._error("commands", name, f"is unknown; known are {', '.join(COMMANDS)}")
        for name, kind in COMMANDS.items():
            if kind.required and name not in table:
                raise self._error("commands", name, "is missing: the board cannot do without it")
        return {name: self._command(name, table[name], limits, instruments) for name in COMMANDS if name in table}

    def _command(self, name: str, value: object, limits: Limits, instruments: set[str]) -> Command:
        if isinstance(value, str):
            value = {"send": value}
        if not isinstance(value, dict):
            raise self._error("commands", name, f"must be a string or a table with 'send', not {value!r}")
        kinds: dict[str, tuple[type, Any]] = {**_kinds(Command), "pins": (tuple, ())}
        command = Command(**self._values("commands", name, value, kinds))
        try:
            places = command.places
        except ValueError as error:
            raise self._error("commands", name, f"has a wrong place in '{command.send}': {error}") from None
        allowed = COMMANDS[name].places
        if unknown := places - allowed:
            known = ", ".join(f"{{{place}}}" for place in sorted(allowed)) or "none"
            raise self._error("commands", name, f"has no place {{{min(unknown)}}}; it may have {known}")
        if {"value", "values"} & allowed and len({"value", "values"} & places) != 1:
            raise self._error("commands", name, "must have a place {value} or {values}")
        if not command.send:
            raise self._error("commands", name, "must not be empty")
        if missing := _missing(name, places):
            raise self._error("commands", name, f"must have a place {missing}, or all values would go to the same")
        if command.to not in instruments:
            raise self._error(
                "commands", name, f"goes to '{command.to}', which is none of {', '.join(sorted(instruments))}"
            )
        if command.scale == 0:
            raise self._error("commands", name, "must not have scale 0")
        if "pin" in places:
            need = limits.neurons * limits.channels if name.startswith("weights") else limits.neurons
            need = limits.channels if name.startswith("drive") else need
            if len(command.pins) != need:
                raise self._error(
                    "commands", name, f"must have {need} pins, one for each value, not {len(command.pins)}"
                )
        return command

    def _take(self, table: str, kinds: dict[str, tuple[type, Any]]) -> dict[str, Any]:
        values = self._values(table, "", self._document.get(table, {}), kinds)
        for names, wrong, what in (
            (_ABOVE, lambda value: value <= 0, "be above 0"),
            (_AT_LEAST, lambda value: value < 0, "be at least 0"),
            (_SAID, lambda value: not value, "hold something"),
        ):
            for name in names.get(table, ()):
                if wrong(values[name]):
                    raise self._error(table, name, f"must {what}, not {values[name]!r}")
        return values

    def _values(
        self, table: str, owner: str, values: dict[str, Any], kinds: dict[str, tuple[type, Any]]
    ) -> dict[str, Any]:
        """Values of a table, checked; those of a command if ``owner`` is its name."""
        for key in values:
            if key not in kinds:
                raise self._error(
                    table,
                    owner or key,
                    f"has no key '{key}'; it may have {', '.join(kinds)}"
                    if owner
                    else f"is unknown; known are {', '.join(kinds)}",
                )
        found: dict[str, Any] = {}
        for key, (kind, default) in kinds.items():
            if key in values:
                value = values[key]
                if not _fits(value, kind):
                    what = f"has '{key}' that must be" if owner else "must be"
                    raise self._error(table, owner or key, f"{what} {_WORDS[kind]}, not {value!r}")
                found[key] = tuple(value) if kind is tuple else kind(value)
            elif default is MISSING:
                raise self._error(table, owner or key, f"must have '{key}'" if owner else "is missing")
            else:
                found[key] = default
        return found

    def _error(self, table: str, key: str, what: str) -> DeviceError:
        line = self._lines.get((table, key)) or self._lines.get((table or key, ""))
        place = f", line {line}" if line else ""
        name = f"{table}.{key}" if table else key
        return DeviceError(f"Profile '{self._source}'{place}: '{name}' {what}")


def _missing(name: str, places: frozenset[str]) -> str:
    """Places without which a command could not tell one channel or neuron from another; empty if it can."""
    if "pin" in places:
        return ""
    if name.startswith("weights"):
        needed = ["channel"] if "values" in places else ["channel", "neuron"]
    elif "value" in places and {"channel", "neuron"} & COMMANDS[name].places:
        needed = ["channel"] if "channel" in COMMANDS[name].places else ["neuron"]
    else:
        needed = []
    return next((f"{{{place}}} or {{pin}}" for place in needed if place not in places), "")


_WORDS = {str: "a string", int: "an integer", float: "a number", tuple: "a list of numbers or strings"}


def _fits(value: object, kind: type) -> bool:
    if kind is float:
        return type(value) in {int, float} and abs(value) < float("inf")  # type: ignore[arg-type]
    if kind is tuple:
        return isinstance(value, list) and all(type(item) in {int, float, str} for item in value)
    return type(value) is kind  # TOML's true is an int to Python


def _kinds(cls: type) -> dict[str, tuple[type, Any]]:
    """Keys of a dataclass, each with its type and its default."""
    types = {"int": int, "float": float, "str": str}
    return {each.name: (types.get(str(each.type), tuple), each.default) for each in fields(cls)}


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Line numbers of tables, as (table, ""), and of keys, as (table, key)."""
    found: dict[tuple[str, str], int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[+\s*([\w.\-]+)\s*\]", line):
            table, _, inner = header[1].partition(".")
            found.setdefault((table, inner), number)
            if inner:
                table = f"{table}.{inner}"
        elif key := re.match(r'\s*"?([\w\-]+)"?\s*=', line):
            found.setdefault((table, key[1]), number)
    return found
