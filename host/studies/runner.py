"""Runs studies on a device, and leaves their findings in a folder.

``FOLDER/NAME/`` holds ``result.json``, ``paragraph.txt``, the figures as PNG and SVG, and ``measurements.jsonl``;
``FOLDER/studies.html`` is the page of a call of several studies, ``FOLDER/NAME.html`` that of a call of one.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

from ... import __version__
from ...substrate.errors import CapabilityError, RunError
from ...substrate.files import write_atomically
from ...substrate.interface import Substrate
from ..jsonable import finite
from .journal import Journal
from .page import write_page
from .study import Findings, Progress, Setting, Study
from .style import save

__all__ = ["Outcome", "is_quick", "run_studies"]

_QUICK = {"float", "golden"}
"""Kinds of device on which studies run at full size unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A study that was run.

    Attributes
    ----------
    study, findings
        What was asked, and what came out.
    record
        What ``result.json`` says.
    """

    study: Study
    findings: Findings
    record: dict[str, Any]


def is_quick(device: Substrate) -> bool:
    """Whether studies run at full size on ``device``, unless told otherwise."""
    return device.identity.kind in _QUICK


def run_studies(
    studies: Sequence[Study],
    device: Substrate,
    folder: Path,
    *,
    seed: int = 0,
    reduced: bool = False,
    progress: Callable[[Study], AbstractContextManager[Progress]],
    resumed: Callable[[Study, Journal], None] = lambda study, journal: None,
) -> tuple[list[Outcome], Path]:
    """Run ``studies`` one after the other, and write their findings and the page.

    What an interrupted call has measured is kept, and taken over by the next call for the same folder, device, seed and
    size. A call that has come to its end leaves nothing to take over.

    Parameters
    ----------
    progress
        Makes the bar of a study.
    resumed
        Called for a study that takes measurements over.

    Returns
    -------
    tuple
        The outcomes, and the page.

    Raises
    ------
    RunError
        If something cannot be written, or the folder holds findings of another device, seed or size.
    CapabilityError
        If the device cannot run a study, naming it.
    """
    outcomes, journals = [], []
    for study in studies:
        path = folder / study.name
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"Folder '{path}' cannot be made: {error.strerror or error}") from None
        head = {
            "study": study.name,
            "seed": seed,
            "size": "reduced" if reduced else "full",
            "device": asdict(device.identity),
            "version": __version__,
            "code": _code(),
        }
        _keep_others(path / "result.json", head)
        journal = Journal(path / "measurements.jsonl", head)
        if journal.resumed:
            resumed(study, journal)
        began = monotonic()
        with progress(study) as bar:
            try:
                findings = study.run(Setting(device, device.identity.address, reduced, seed, bar, journal))
            except CapabilityError as error:
                raise CapabilityError(
                    f"Study '{study.name}' cannot run on {device.identity.address}: {error}"
                ) from error
        record = _record(head, study, findings, journal, monotonic() - began)
        _write(path, findings, record)
        outcomes.append(Outcome(study, findings, record))
        journals.append(journal)
    name = studies[0].name if len(studies) == 1 else "studies"
    page = write_page(folder / f"{name}.html", [(outcome.findings, outcome.record) for outcome in outcomes])
    for journal in journals:
        journal.close()
    return outcomes, page


def _keep_others(path: Path, head: dict[str, Any]) -> None:
    """Raise if a folder holds what was found on another device, or with another seed or size: it would be lost."""
    try:
        found = json.loads(path.read_text())
        theirs, ours = (
            (of["device"]["kind"], of["device"]["uid"], f"seed {of['seed']}", of["size"]) for of in (found, head)
        )
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"Findings '{path}' cannot be read ({error}): delete them, or choose another --out") from None
    if theirs != ours:
        told = " is of {}, {}, {}, {}".format(*theirs)
        raise RunError(f"What '{path.parent}' holds{told}: choose another --out, or delete it")


def _code() -> str:
    """Fingerprint of all code that a measurement may pass through: another version does not take it over."""
    package = Path(__file__).parents[2]
    files = sorted(
        path
        for name in ("substrate", "drivers", "sim", "calibration", "host")
        for path in (package / name).rglob("*.py")
    )
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def _record(head: dict[str, Any], study: Study, findings: Findings, journal: Journal, seconds: float) -> dict[str, Any]:
    """Everything that is known of an outcome, and what is needed to repeat it."""
    packages = {name: version(name) for name in ("numpy", "scipy", "matplotlib")}
    record = {
        **head,
        "title": study.title,
        "question": study.question,
        "versions": {"equipoise": __version__, "python": platform.python_version(), **packages},
        "begun": journal.since,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "resumed": journal.resumed,
        "verdict": findings.verdict,
        "claims": [asdict(claim) for claim in findings.claims],
        "text": findings.text,
        "numbers": findings.numbers,
        "figures": {name: [f"{name}.png", f"{name}.svg"] for name in findings.figures},
    }
    answer: dict[str, Any] = finite(record)
    return answer


def _write(path: Path, findings: Findings, record: dict[str, Any]) -> None:
    try:
        for name, figure in findings.figures.items():
            save(figure, path / name)
        write_atomically(path / "paragraph.txt", f"{findings.text}\n".encode())
        write_atomically(path / "result.json", json.dumps(record, indent=2, allow_nan=False).encode())
    except OSError as error:
        raise RunError(f"Findings cannot be written to '{path}': {error.strerror or error}") from None
