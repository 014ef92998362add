"""What a run that began with an imported model says of it: how well each rank denoises, and what training gained."""

from __future__ import annotations

import json
from typing import Any

from ...substrate.errors import RunError
from ..run import Run

__all__ = ["imported_table"]

Records = list[dict[str, Any]]


def imported_table(run: Run, evaluations: Records) -> dict[str, Any] | None:
    """What a page shows of it; None if the run began with something else.

    Parameters
    ----------
    evaluations
        Those of the run; the last is what training has made of the rank it began with.

    Raises
    ------
    RunError
        If the run's import.json cannot be read.
    """
    path = run.path / "import.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
        rows = [
            (
                f"rank {row['rank']}" + (", begun with" if row["rank"] == found["rank"] else ""),
                [f"{share:.2%}" for share in row["discarded"].values()],
                f"{row['weights']:,}",
                [f"{error:.4f}" for error in row["error"]],
            )
            for row in found["ranks"]
        ]
        couplings = list(found["ranks"][0]["discarded"])
        shown = {name: found[name] for name in ("file", "device", "sigmas")}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise RunError(f"File '{path}' cannot be read ({error}): delete it to go on") from None
    if evaluations and (last := evaluations[-1])["step"]:
        errors = [f"{error:.4f}" for error in last["error"]]
        rows.append((f"after {last['step']} steps of training", [""] * len(couplings), "", errors))
    return {**shown, "couplings": couplings, "rows": rows}
