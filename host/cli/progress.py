"""Progress on standard error: a bar with rate and time left on a terminal, lines in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from .. import trainer

__all__ = ["StudyProgress", "TrainingProgress", "bar", "percent_bar"]


class _Rate(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "-/s")


def bar(console: Console) -> Progress:
    """A progress bar with rate and time left; silent where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=10,
    )


@contextmanager
def percent_bar(console: Console, doing: str) -> Iterator[Callable[[float], None]]:
    """A bar for something that tells how many percent it has done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as shown:
        task = shown.add_task(doing, total=100)
        yield lambda percent: shown.update(task, completed=percent)


class TrainingProgress(trainer.Progress):
    """Shows how training goes: the bar with the loss, and a line for each evaluation and warning."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = bar(console)
        self._task = self._bar.add_task("train", total=None)
        self._began, self._first, self._step, self._total = monotonic(), 0, 0, 0
        self._loss: float | None = None

    def begin(self, total: int, first: int) -> None:
        """Training of ``total`` steps begins at step ``first``."""
        self._began, self._first, self._step, self._total = monotonic(), first, first, total
        self._bar.update(self._task, total=total, completed=first)
        self._bar.start()

    def step(self, record: dict[str, Any]) -> None:
        """Move the bar; the loss shown is a moving average over about 20 steps."""
        self._step = record["step"]
        loss = record["loss"]
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        self._bar.update(self._task, completed=self._step, description=f"train, loss {self._loss:.3f}")

    def evaluation(self, record: dict[str, Any]) -> None:
        """Print the denoising errors, and where there is no bar the rate and the time left."""
        errors = "  ".join(
            f"{error:.4f} (sigma {sigma:g})" for sigma, error in zip(record["sigmas"], record["error"], strict=True)
        )
        self._console.print(
            f"step {record['step']}/{self._total}: error {errors}, cosine {record['cosine']:.4f}{self._pace()}",
            soft_wrap=True,
        )

    def tuned(self, record: dict[str, Any]) -> None:
        """Print the beta that was measured."""
        self._console.print(
            f"step {record['step']}/{self._total}: beta {record['beta']:.4f} (95 % confidence: {record['low']:.4f} to "
            f"{record['high']:.4f}), error of the gradient {record['error']:.1%}",
            soft_wrap=True,
        )

    def warning(self, message: str) -> None:
        """Print a warning."""
        self._console.print(f"warning: {message}", style="yellow", soft_wrap=True, markup=False)

    def end(self) -> None:
        """Stop the bar."""
        self._bar.stop()

    def _pace(self) -> str:
        done = self._step - self._first
        if self._console.is_terminal or not done:
            return ""
        rate = done / (monotonic() - self._began)
        return f", {rate:.1f} steps/s, {(self._total - self._step) / rate:.0f} s left"


class StudyProgress:
    """Shows how far a study is: the bar, or without a terminal a line for every tenth. Used as a context manager."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._bar = bar(console)
        self._task = self._bar.add_task(name, total=None)
        self._began, self._done, self._total = monotonic(), 0, 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def expect(self, count: int) -> None:
        """There will be so many measurements in all."""
        self._total = count
        self._bar.update(self._task, total=count)

    def advance(self) -> None:
        """One of them is done."""
        self._done += 1
        self._bar.update(self._task, completed=self._done)
        if self._console.is_terminal or not self._total:
            return
        if 10 * self._done // self._total > 10 * (self._done - 1) // self._total:
            spent = monotonic() - self._began
            left = spent * (self._total - self._done) / self._done
            self._console.print(
                f"{self._name}: {self._done}/{self._total}, {spent:.0f} s, about {left:.0f} s left", soft_wrap=True
            )
