"""What ``sample`` and ``evaluate`` begin with: a run's parameters on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .options import console

if TYPE_CHECKING:
    from ..checkpoint import Checkpoint
    from ..run import Run

__all__ = ["open_trained"]


def open_trained(path: Path) -> tuple[Run, Checkpoint]:
    """The run and its newest whole checkpoint; says what is odd about it.

    Raises
    ------
    RunError
        If there is none.
    """
    from ...substrate.errors import RunError
    from ..checkpoint import load_checkpoint
    from ..run import Run

    run = Run.open(path)
    checkpoint, damaged = load_checkpoint(run)
    if checkpoint is None:
        raise RunError(f"Run '{path}' has no checkpoint yet: train it first")
    for message in damaged:
        console.print(f"warning: {message}", style="yellow", markup=False)
    if checkpoint.step == 0:
        console.print(
            f"warning: '{path}' has not been trained yet: this is what it starts from", style="yellow", markup=False
        )
    return run, checkpoint
