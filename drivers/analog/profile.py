"""Profiles: what an analog board is and which commands it understands, as TOML (docs/analog.md says every key).

Two are shipped: ``reference`` (the SPICE board behind SCPI) and ``rack`` (a board among bench instruments).
"""

from __future__ import annotations

import os
import re
import string
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from ...substrate.errors import DeviceError
from .board import Limits

__all__ = ["COMMANDS", "Command", "Link", "Profile", "Settle", "Wait", "profile_from_toml", "read_profile"]

SHIPPED = Path(__file__).parent

MAIN = "board"
"""Name of the instrument at the address; others are named in the profile."""


class Wait(StrEnum):
    """How it is found out that a board has settled."""

    ANSWER = "answer"
    """The query ``settled`` is answered when it has (1), or when it gives up (0)."""

    POLL = "poll"
    """The query ``settled`` is answered at once, and asked again until it is 1."""

    REPEAT = "repeat"
    """The board does not know: it is read again and again until two readings agree."""


@dataclass(frozen=True, slots=True)
class Link:
    """How messages go over the wire.

    Attributes
    ----------
    timeout
        Seconds in which an answer must come, if nothing else is said.
    join
        What stands between the commands of one message. With a newline, each query is answered by a line of its own;
        with anything else, all by one line, with semicolons between them.
    terminator
        End of a message, and of an answer.
    baud
        Of a serial port, in bits per second.
    """

    timeout: float = 2.0
    join: str = ";"
    terminator: str = "\n"
    baud: int = 115200


@dataclass(frozen=True, slots=True)
class Settle:
    """How long a phase takes.

    Attributes
    ----------
    wait
        How it is found out that it is over.
    limit
        Seconds after which a phase has failed.
    interval
        Seconds between two queries, or two readings.
    tolerance
        Volts within which two readings agree; for ``repeat``.
    """

    wait: Wait
    limit: float = 10.0
    interval: float = 0.01
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes
    ----------
    send
        Text with places for what it takes, such as ``{value}``.
    to
        The instrument it goes to.
    scale, offset
        What is sent is ``scale * value + offset``; what is read is ``(answer - offset) / scale``.
    pins
        What stands for ``{pin}``: one for each value, in their order (for weights, channel after channel).
    """

    send: str
    to: str = MAIN
    scale: float = 1.0
    offset: float = 0.0
    pins: tuple[int | str, ...] = ()

    @property
    def places(self) -> frozenset[str]:
        """Names of the places in the text."""
        return frozenset(name for _, name, _, _ in string.Formatter().parse(self.send) if name is not None)


_LIST, _EACH_NEURON, _EACH_CHANNEL = {"values"}, {"neuron", "pin", "value"}, {"channel", "pin", "value"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a command may hold: places it may have, and whether there must be one."""

    places: frozenset[str]
    required: bool = True


def _kind(*places: str, required: bool = True) -> _Kind:
    return _Kind(frozenset(places), required)


COMMANDS: dict[str, _Kind] = {
    "weights_a": _kind("channel", "values", "neuron", "pin", "value"),
    "weights_b": _kind("channel", "values", "neuron", "pin", "value"),
    "clamped": _kind(*_LIST, *_EACH_NEURON),
    "output": _kind(*_LIST, *_EACH_NEURON),
    "bias": _kind(*_LIST, *_EACH_NEURON),
    "clamp": _kind(*_LIST, *_EACH_NEURON),
    "target": _kind(*_LIST, *_EACH_NEURON),
    "drive_a": _kind(*_LIST, *_EACH_CHANNEL),
    "drive_b": _kind(*_LIST, *_EACH_CHANNEL),
    "nudge": _kind("value"),
    "read": _kind(),
    "restart": _kind(required=False),
    "start": _kind(required=False),
    "settled": _kind(required=False),
    "averages": _kind("value", required=False),
    "overload": _kind(required=False),
    "temperature": _kind(required=False),
    "record": _kind("samples", "interval", required=False),
    "reference": _kind("value", required=False),
    "sizes": _kind(required=False),
    "error": _kind(required=False),
    "status": _kind(required=False),
}
"""All commands of a profile, in the order in which a message has them."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of board.

    Attributes
    ----------
    source
        The file it came from.
    idn
        Pattern that the answer to ``*IDN?`` must match, with ``*`` for anything.
    limits, link, settle
        What it can be told, how messages go, and how long a phase takes.
    commands
        By the names of :data:`COMMANDS`.
    instruments
        VISA resources of instruments other than the board's own, by name.
    first
        Number of the first neuron, and of the first channel, in commands.
    """

    source: str
    idn: str
    limits: Limits
    link: Link
    settle: Settle
    commands: Mapping[str, Command]
    instruments: Mapping[str, str] = field(default_factory=dict)
    first: int = 0


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
        for name in (
            "neurons",
            "channels",
            "weight",
            "gain",
            "bias",
            "nudge",
            "volts",
            "lsb",
            "time_constant",
            "stiffness",
        ):
            if getattr(limits, name) <= 0:
                raise self._error("limits", name, f"must be above 0, not {getattr(limits, name)!r}")
        link = Link(**self._take("link", _kinds(Link)))
        if link.timeout <= 0:
            raise self._error("link", "timeout", f"must be above 0, not {link.timeout!r}")
        settle = self._take("settle", {**_kinds(Settle), "wait": (str, MISSING)})
        if settle["wait"] not in set(Wait):
            raise self._error("settle", "wait", f"must be one of {', '.join(Wait)}, not '{settle['wait']}'")
        settle["wait"] = Wait(settle["wait"])
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
        return self._values(table, "", self._document.get(table, {}), kinds)

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
