"""Profiles: what an analog board is and which commands it understands; read from TOML by :mod:`.profile_file`."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from .board import Limits

__all__ = ["COMMANDS", "MAIN", "Command", "Kind", "Link", "Profile", "Settle", "Wait"]

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
class Kind:
    """What a command may hold: places it may have, and whether there must be one."""

    places: frozenset[str]
    required: bool = True


def _kind(*places: str, required: bool = True) -> Kind:
    return Kind(frozenset(places), required)


COMMANDS: dict[str, Kind] = {
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
    "supply": _kind(required=False),
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
