"""The page of studies: one HTML file that needs nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...substrate.errors import RunError
from ...substrate.files import write_atomically
from ..plots import embed
from ..templates import template
from .study import Findings, Verdict

__all__ = ["write_page"]


def write_page(path: Path, outcomes: Sequence[tuple[Findings, dict[str, Any]]]) -> Path:
    """Write the page of studies, whole or not at all: a table of all claims, then each study with its figures.

    Parameters
    ----------
    outcomes
        Findings and the record of each study.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    studies = [
        {
            "record": record,
            "claims": findings.claims,
            "figures": {name: embed(figure) for name, figure in findings.figures.items()},
        }
        for findings, record in outcomes
    ]
    counts = [(verdict, sum(c.verdict is verdict for f, _ in outcomes for c in f.claims)) for verdict in Verdict]
    head = outcomes[0][1]
    name = head["study"] if len(outcomes) == 1 else "all"
    command = ["equipoise", "study", name, "--device", head["device"]["address"], "--size", head["size"]]
    page = template("page.html", "equipoise.host.studies", "equipoise.host.report").render(
        studies=studies,
        head=head,
        counts=[(verdict.words, count) for verdict, count in counts if count],
        repeat=shlex.join([*command, "--seed", str(head["seed"])]),
    )
    try:
        write_atomically(path, page.encode())
    except OSError as error:
        raise RunError(f"Page '{path}' cannot be written: {error.strerror or error}") from None
    return path
