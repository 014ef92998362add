"""Texts of commands and answers: numbers as a board is told them, and as it answers them, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ...substrate.errors import DeviceError
from .profile import Command

__all__ = ["read_flag", "read_numbers", "write_number", "write_numbers"]

SCPI_OVERLOAD = 9.9e37
"""What SCPI instruments answer where a reading is beyond their range; either sign."""

SCPI_NAN = 9.91e37
"""What they answer where there is no reading."""


def write_numbers(command: Command, values: Iterable[float]) -> str:
    """``values`` in the units of a command, with commas between them."""
    return ",".join(write_number(command.scale * value + command.offset) for value in values)


def write_number(value: float) -> str:
    """A number with nine digits: finer than any converter."""
    return f"{value:.9g}"


def read_numbers(answer: str, command: Command, count: int, name: str, instrument: str) -> NDArray[np.float64]:
    """Numbers (count,) of an answer in the units that commands have; infinite where SCPI says overload.

    Parameters
    ----------
    answer, command
        What was answered to which command.
    count
        Numbers that are due.
    name, instrument
        Of the command in the profile, and of what answered: for errors.

    Raises
    ------
    DeviceError
        If there are more or fewer, or one is not a number.
    """
    words = re.split(r"[,\s]+", answer.strip())
    if len(words) != count:
        raise DeviceError(f"{instrument} answers '{name}' with {len(words)} values, not {count}")
    values = np.empty(count)
    for index, word in enumerate(words):
        try:
            value = float(word)
        except ValueError:
            raise DeviceError(
                f"{instrument} answers '{name}' with '{word[:40]}' as value {index}, not a number"
            ) from None
        if math.isnan(value) or (abs(value) >= SCPI_NAN * (1 - 1e-6) and not math.isinf(value)):
            raise DeviceError(f"{instrument} answers '{name}' with no reading ({word}) as value {index}")
        overloaded = math.isinf(value) or abs(value) >= SCPI_OVERLOAD * (1 - 1e-6)
        values[index] = math.copysign(math.inf, value) if overloaded else (value - command.offset) / command.scale
    return values


def read_flag(answer: str, instrument: str) -> bool:
    """Whether a board says that it has settled.

    Raises
    ------
    DeviceError
        If the answer is neither 0 nor 1.
    """
    if answer.strip() not in {"0", "1", "+0", "+1"}:
        raise DeviceError(f"{instrument} answers 'settled' with '{answer[:40]}', not 0 or 1")
    return answer.strip().endswith("1")
