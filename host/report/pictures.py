"""Pictures of samples: images as rows of tiles, points in the plane as scatter plots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..plots import draw, embed
from .figures import Picture

__all__ = ["denoising", "generated", "tiled"]

Array = NDArray[np.float64]

_INCHES = 9.8
"""Width of a page."""

_COLUMNS = 10
_GENERATED = 15
"""Images in a row: of denoised ones, and of generated ones."""


def denoising(images: dict[str, Array]) -> Picture | None:
    """Noisy, denoised and clean samples, by noise level; None if such samples cannot be drawn.

    Parameters
    ----------
    images
        ``clean`` (n, ...), ``noisy`` and ``denoised`` (sigmas, n, ...), ``sigmas``.
    """
    clean = images["clean"]
    if clean.ndim == 3:
        return _denoised_images(images)
    if _is_points(clean):
        return _denoised_points(images)
    return None


def generated(samples: Array, clean: Array | None) -> Picture | None:
    """Samples (n, ...) made from noise; points together with clean ones (m, 2). None if they cannot be drawn."""
    note = "Made from noise alone by the denoiser on the device (EDM Heun sampler)."
    if samples.ndim == 3:
        rows = [samples[begin : begin + _GENERATED] for begin in range(0, len(samples), _GENERATED)]
        source = tiled([("", row) for row in rows], _GENERATED, samples if clean is None else clean)
        return Picture("Generated samples", note, source, wide=True)
    if _is_points(samples):
        panels = [("generated", samples)] if clean is None else [("generated", samples), ("held-out data", clean)]
        with draw(_INCHES, _INCHES / 2.2) as figure:
            plots = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True).ravel()
            for axes, (title, points) in zip(plots, panels, strict=True):
                _scatter(axes, points, panels[-1][1])
                axes.set_title(title)
            return Picture("Generated samples", note, embed(figure, "png"), wide=True)
    return None


def _denoised_images(images: dict[str, Array]) -> Picture:
    """Two rows for each noise level, noisy above denoised; the clean images at the top."""
    clean, sigmas = images["clean"][:_COLUMNS], images["sigmas"]
    rows = [("clean", clean)]
    for number, sigma in enumerate(sigmas):
        rows.append((f"noisy, sigma {sigma:g}", images["noisy"][number]))
        rows.append(("denoised", images["denoised"][number]))
    note = "Held-out images. Grey values outside the range of clean images are shown at its ends."
    return Picture("Noisy, denoised and clean", note, tiled(rows, _COLUMNS, clean), wide=True)


def _denoised_points(images: dict[str, Array]) -> Picture:
    """Noisy points above denoised ones, a column for each noise level."""
    sigmas, clean = images["sigmas"], images["clean"]
    size = _INCHES / len(sigmas)
    with draw(_INCHES, 2 * size) as figure:
        grid = figure.subplots(2, len(sigmas), squeeze=False)
        for number, sigma in enumerate(sigmas):
            for axes, name in zip(grid[:, number], ("noisy", "denoised"), strict=True):
                _scatter(axes, images[name][number], clean)
            grid[0, number].set_title(f"sigma {sigma:g}")
        for axes, name in zip(grid[:, 0], ("noisy", "denoised"), strict=True):
            axes.set_ylabel(name)
        note = "Held-out points: black as said at the left, light grey the clean ones. In the units of the data."
        return Picture("Noisy, denoised and clean", note, embed(figure, "png"), wide=True)


def _is_points(samples: Array) -> bool:
    return samples.ndim == 2 and samples.shape[1] == 2


def tiled(rows: Sequence[tuple[str, Array]], columns: int, scale: Array) -> str:
    """Rows of images (at most columns, h, w) with their labels, in grey from the least to the greatest of ``scale``.

    All are drawn as one image, which is far quicker than axes for each.
    """
    height, width = scale.shape[1:]
    gap = max(1, height // 8)
    canvas = np.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    for line, (_, images) in enumerate(rows):
        for column, image in enumerate(images):
            top, left = line * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = image
    with draw(_INCHES, _INCHES * canvas.shape[0] / canvas.shape[1]) as figure:
        axes = figure.add_subplot()
        axes.imshow(canvas, cmap="gray", vmin=float(scale.min()), vmax=float(scale.max()), interpolation="nearest")
        centres = [line * (height + gap) + (height - 1) / 2 for line in range(len(rows))]
        axes.set_yticks(centres, [label for label, _ in rows])
        axes.set_xticks([])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        return embed(figure, "png")


def _scatter(axes: Axes, points: Array, clean: Array) -> None:
    """Points over the clean ones, in a frame half again as large as theirs."""
    middle, reach = (clean.max(0) + clean.min(0)) / 2, 0.75 * float(np.ptp(clean, axis=0).max())
    axes.scatter(clean[:, 0], clean[:, 1], s=2, color="0.82", linewidths=0)
    axes.scatter(points[:, 0], points[:, 1], s=2, color="black", linewidths=0)
    axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach), aspect="equal")
