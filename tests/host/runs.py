"""Small training runs for the tests of the host."""

from pathlib import Path

import numpy as np

from equipoise.host.config import TrainConfig
from equipoise.host.recipes import recipe
from equipoise.host.run import Run
from equipoise.host.trainer import Progress


class Silent(Progress):
    """Tells nobody how training goes, but keeps what it was told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, message):
        self.warnings.append(message)


def small_config(folder: Path, shape: tuple[int, ...] = (3, 4), **overrides) -> TrainConfig:
    """The quick recipe on random samples of a shape."""
    path = folder / "data.npy"
    if not path.exists():
        rng = np.random.default_rng(0)
        np.save(path, rng.normal(size=(48, *shape)) + rng.normal(size=(48, *[1] * len(shape))))
    settings = {"steps": 6, "batch": 8, "evaluate_every": 3, "checkpoint_every": 2, "free_steps": 8, "nudged_steps": 4}
    return recipe("digits-quick", str(path), **settings | overrides)


def small_run(folder: Path, name: str = "run", shape: tuple[int, ...] = (3, 4), **overrides) -> Run:
    """A run that was configured and not begun."""
    return Run.create(folder / name, small_config(folder, shape, **overrides))
