"""``equipoise study``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from .options import Debug, Device, Json, console, show_json

if TYPE_CHECKING:
    from ..studies.journal import Journal
    from ..studies.runner import Outcome
    from ..studies.study import Study

__all__ = ["study"]

_DEFAULT_DEVICE = "golden:"


def study(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Which study, or all.", show_default=False)] = None,
    device: Device = None,
    size: Annotated[
        Literal["full", "reduced"] | None,
        typer.Option(help="How much to measure.", show_default="full on golden: and float:, else reduced"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for what comes out.", show_default="runs/studies-DEVICE"),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the studies and exit.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Check the claims of the method on a device: numbers, figures, and whether each claim held.

    The device is the bit-exact model (golden:) unless told otherwise. Exit code 1 says that a claim did not hold.
    A study that was interrupted goes on where it was when the same command is given again.

    [bold]Examples[/bold]

      equipoise study --list

      equipoise study bias-order

      equipoise study all --device serial:/dev/ttyUSB1 --out studies/board
    """
    from ...substrate.errors import RunError
    from ..devices import open_steady
    from ..studies import STUDIES, load
    from ..studies.runner import is_quick, run_studies
    from .progress import StudyProgress

    if show_list:
        _show_list([load(each) for each in STUDIES], as_json=as_json)
        return
    if name is None:
        raise typer.BadParameter(f"choose one of {', '.join(STUDIES)}, or all", param_hint="NAME")
    studies = [load(each) for each in (STUDIES if name == "all" else [name])]
    address = device or _DEFAULT_DEVICE
    folder = out or Path("runs") / f"studies-{re.sub(r'[^A-Za-z0-9]+', '-', address).strip('-')}"
    if folder.exists() and not folder.is_dir():
        raise RunError(f"'{folder}' is a file: choose another folder with --out")
    try:
        with open_steady(address) as opened:
            outcomes, page = run_studies(
                studies,
                opened,
                folder,
                seed=seed,
                reduced=size == "reduced" if size else not is_quick(opened),
                progress=lambda study: StudyProgress(console, study.name),
                resumed=_say_resumed,
            )
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on where it was.")
        raise typer.Exit(130) from None
    if as_json:
        show_json({"studies": [outcome.record for outcome in outcomes], "page": str(page)})
    else:
        _show(outcomes)
        typer.echo(f"Page: {page}")
    broken = [
        f"{outcome.study.name} ({claim.name})"
        for outcome in outcomes
        for claim in outcome.findings.claims
        if claim.verdict == "broken"
    ]
    if broken:
        console.print(f"equipoise: on {address} did not hold: {', '.join(broken)}", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _say_resumed(study: Study, journal: Journal) -> None:
    console.print(
        f"{study.name}: takes over {journal.resumed} measurements of the call of {journal.since} that was interrupted",
        markup=False,
        soft_wrap=True,
    )


def _show_list(studies: list[Study], *, as_json: bool) -> None:
    if as_json:
        show_json({"studies": [{"name": s.name, "title": s.title, "question": s.question} for s in studies]})
        return
    table = Table("study", "what it asks", box=None, pad_edge=False)
    for each in studies:
        table.add_row(each.name, each.question)
    Console(highlight=False).print(table)


def _show(outcomes: list[Outcome]) -> None:
    """Print each study's paragraph and its claims."""
    output = Console(highlight=False)
    for outcome in outcomes:
        output.print(f"\n[bold]{outcome.study.title}[/bold]")
        output.print(outcome.findings.text, markup=False)
        table = Table("claim", "expected", "measured", "verdict")
        for claim in outcome.findings.claims:
            table.add_row(claim.name, claim.expected, claim.measured, claim.verdict.words)
        output.print(table)
