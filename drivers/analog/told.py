"""Told: what a board of text commands was last told, and the commands that would change it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .answers import write_numbers
from .board import Drive, Wiring
from .profile import Profile

__all__ = ["Told"]

Array = NDArray[np.float64]


class Told:
    """Commands as pairs of an instrument's name and a text; only those that differ from what was last sent.

    Parameters
    ----------
    profile
        Of the board.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._told: dict[tuple[str, int], str] = {}

    def forget(self) -> None:
        """Take nothing for granted: what an instrument has taken of a message that failed is unknown."""
        self._told.clear()

    def wiring(self, wiring: Wiring) -> list[tuple[str, str]]:
        """Set weights and switches."""
        return [
            *self._weights("weights_a", wiring.a),
            *self._weights("weights_b", wiring.b),
            *self._list("clamped", wiring.clamped),
            *self._list("output", wiring.output),
        ]

    def clamped(self, mask: NDArray[np.bool_]) -> list[tuple[str, str]]:
        """Set the switches of clamps alone."""
        return list(self._list("clamped", mask))

    def drive(self, drive: Drive) -> list[tuple[str, str]]:
        """Set what a phase is run with."""
        return [
            *self._list("bias", drive.bias),
            *self._list("clamp", drive.clamp),
            *self._list("target", drive.target),
            *self._list("drive_a", drive.drive_a, of="channel"),
            *self._list("drive_b", drive.drive_b, of="channel"),
            *self.value("nudge", drive.nudge),
            *self.value("averages", drive.averages),
        ]

    def value(self, name: str, value: float) -> list[tuple[str, str]]:
        """Set one value, if there is a command for it."""
        command = self._profile.commands.get(name)
        return list(self._changed(name, 0, value=write_numbers(command, [value]))) if command else []

    def plain(self, name: str) -> list[tuple[str, str]]:
        """A command that takes nothing and is sent each time, if there is one."""
        command = self._profile.commands.get(name)
        return [(command.to, command.send)] if command else []

    def _weights(self, name: str, weights: Array) -> Iterable[tuple[str, str]]:
        command, first = self._profile.commands[name], self._profile.first
        for p, column in enumerate(weights.T):
            if "values" in command.places:
                yield from self._changed(name, p, channel=p + first, values=write_numbers(command, column))
                continue
            for i, weight in enumerate(column):
                index = p * len(column) + i
                places = {"channel": p + first, "neuron": i + first, "value": write_numbers(command, [weight])}
                yield from self._changed(name, index, **places)

    def _list(self, name: str, values: NDArray[np.generic], *, of: str = "neuron") -> Iterable[tuple[str, str]]:
        command = self._profile.commands[name]
        numbers = np.asarray(values, dtype=float)
        if "values" in command.places:
            yield from self._changed(name, 0, values=write_numbers(command, numbers))
            return
        for i, value in enumerate(numbers):
            yield from self._changed(name, i, **{of: i + self._profile.first, "value": write_numbers(command, [value])})

    def _changed(self, name: str, index: int, **places: object) -> Iterable[tuple[str, str]]:
        """The command's text, if it differs from what was last sent for this value."""
        command = self._profile.commands[name]
        pin = command.pins[index] if command.pins else ""
        text = command.send.format(pin=pin, **places)
        if self._told.get((name, index)) != text:
            self._told[name, index] = text
            yield command.to, text
