"""``equipoise selftest``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .options import Debug, Device, Json, console, show_json

if TYPE_CHECKING:
    from ..selftest.checks import Report

__all__ = ["fail_on", "selftest", "test_and_show"]


def selftest(
    device: Device = None,
    expect: Annotated[
        str | None,
        typer.Option(metavar="BUILDID", help="Build id that the device must have, 16 hexadecimal digits."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of patterns, weights and samples.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Test a gateware device: link, memories, multipliers, noise, training, updates and reverse process, bit for bit.

    The exit code is 1 if anything is wrong, and the last line names the first bad thing: lane, row, bit. What the
    device held is overwritten.

    [bold]Examples[/bold]

      equipoise selftest

      equipoise selftest --device 'serial:/dev/ttyUSB1?baud=3000000'

      equipoise selftest --device tcp:lab7:7000 --expect 04f1a29be7730c55 --json
    """
    if expect is not None and not re.fullmatch(r"[0-9a-fA-F]{16}", expect):
        raise typer.BadParameter(f"must be 16 hexadecimal digits, not '{expect}'", param_hint="--expect")
    report = test_and_show(device or "sim:", expect, seed, quiet=as_json)
    if as_json:
        show_json(report.values())
    fail_on(report)


def test_and_show(address: str, expect: str | None, seed: int, *, quiet: bool) -> Report:
    """Test the device at ``address`` with a bar for each check, and print what was found unless ``quiet``."""
    from ..selftest.selftest import CHECKS, self_test
    from .progress import bar

    with bar(console) as shown:
        tasks = {name: shown.add_task(name, total=None, start=False) for name in CHECKS}

        def progress(name: str, done: int, total: int) -> None:
            if not done:
                shown.start_task(tasks[name])
            shown.update(tasks[name], completed=done, total=total)

        try:
            report = self_test(address, expect, seed, progress)
        except KeyboardInterrupt:
            console.print(f"Interrupted: {address} was not tested to the end.")
            raise typer.Exit(130) from None
    if not quiet:
        marks = {True: "[green]pass[/]", False: "[bold red]FAIL[/]", None: "[yellow]-[/]"}
        table = Table("", "check", box=None, pad_edge=False)
        table.add_column("found", overflow="fold")
        for check in report.checks:
            table.add_row(marks[check.ok], check.name, escape(check.found))
        Console(highlight=False).print(table)
    return report


def fail_on(report: Report) -> None:
    """End with what failed first, if anything did.

    Raises
    ------
    DeviceError
        If a check failed.
    """
    from ...substrate.errors import DeviceError

    if failure := report.first_failure:
        raise DeviceError(f"{report.address} failed its self-test, {failure.name}: {failure.found}")
