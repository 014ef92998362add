"""All studies by name, in the order in which ``all`` runs them; a study is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from ...substrate.errors import RunError
from .study import Study

__all__ = ["STUDIES", "load"]

STUDIES: dict[str, str] = {
    "unbiased": ".unbiased",
    "bias-order": ".bias_order",
    "bias-bound": ".bias_bound",
    "relaxation": ".relaxation",
    "thermal": ".thermal",
    "rank": ".rank",
    "operating-point": ".operating_point",
    "energy": ".energy",
    "versus-backprop": ".versus_backprop",
}
"""Name of each study, and the module whose ``STUDY`` it is."""


def load(name: str) -> Study:
    """The study called ``name``.

    Raises
    ------
    RunError
        If there is none.
    """
    if name not in STUDIES:
        raise RunError(f"Study '{name}' is not known; choose from {', '.join(STUDIES)}, or all")
    study: Study = import_module(STUDIES[name], __package__).STUDY
    return study
