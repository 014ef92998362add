"""Arrays of a run for people to look at: npz files, and grids of images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import RunError

if TYPE_CHECKING:
    from .run import Run

__all__ = ["load_arrays", "save_arrays", "save_grid"]

Array = NDArray[np.float64]


def save_arrays(run: Run, name: str, arrays: dict[str, Array]) -> Path:
    """Write named arrays to a file of the run, whole or not at all."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return run.write(name, buffer.getvalue())


def load_arrays(run: Run, name: str) -> dict[str, Array] | None:
    """Read them; None if the run has no such file yet."""
    path = run.path / name
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, BadZipFile, AttributeError) as error:
        raise RunError(f"File '{path}' is damaged ({error}): delete it to go on") from None


def save_grid(path: str | Path, images: Array) -> Path:
    """Write images (n, h, w), or points (n, 2), as a PNG: a grid, about as wide as high, or a scatter plot."""
    from matplotlib.figure import Figure

    if Path(path).suffix != ".png":
        raise RunError(f"Picture '{path}' must be a .png file")
    figure = Figure(figsize=(6, 6), layout="constrained")
    if images.ndim == 3:
        columns = int(np.ceil(np.sqrt(len(images))))
        low, high = float(images.min()), float(images.max())
        for number, image in enumerate(images):
            axes = figure.add_subplot(-(-len(images) // columns), columns, number + 1)
            axes.imshow(image, cmap="gray", vmin=low, vmax=high)
            axes.set_axis_off()
    elif images.ndim == 2 and images.shape[1] == 2:
        axes = figure.add_subplot()
        axes.scatter(images[:, 0], images[:, 1], s=4, color="black")
        axes.set_aspect("equal")
    else:
        raise RunError(f"Samples of shape {images.shape[1:]} cannot be drawn: save them as npz")
    try:
        figure.savefig(path, format="png")
    except (OSError, ValueError) as error:
        raise RunError(f"Picture '{path}' cannot be written ({error})") from None
    return Path(path)
