"""Figures of a calibration, in the style of all pages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.record import Record
from ..plots import LINES, draw, embed
from ..report.figures import Picture

__all__ = ["gain_map", "held_out", "noise_spectrum", "offsets", "residuals", "step_response"]

Array = NDArray[np.float64]
Arrays = dict[str, Any]


def held_out(record: Record) -> Picture:
    """As found and as left, by channel."""
    found, left = (np.array(record.verification[f"channels_{when}_lsb"]) for when in ("found", "left"))
    with draw() as figure:
        axes = figure.add_subplot()
        at = np.arange(len(found))
        axes.bar(at - 0.2, found, 0.4, color="0.75", edgecolor="black", label="as found")
        axes.bar(at + 0.2, left, 0.4, color="0.2", edgecolor="black", label="as left")
        axes.set(xlabel="channel", ylabel="predicted - read (LSB rms)", yscale="log")
        axes.legend()
        note = "How well equilibria that the fit did not see are predicted: by a perfect board, and by this record."
        return Picture("As found, as left", note, embed(figure))


def residuals(record: Record, arrays: Arrays) -> Picture:
    """What the fit leaves, in steps of the readout."""
    values = arrays["residual"] / record.limits["lsb"]
    values = values[values.any(axis=1)].ravel()
    with draw() as figure:
        axes = figure.add_subplot()
        axes.hist(values, 60, color="0.6", edgecolor="black", linewidth=0.4)
        axes.set(xlabel="residual (LSB)", ylabel="readings", yscale="log")
        return Picture("Residuals", "Of all readings that were fitted.", embed(figure))


def gain_map(record: Record) -> Picture:
    """How weights sense and push."""
    terms = ("sense_a", "push_a", "sense_b", "push_b")
    values = [100 * np.array(record.values[term]["value"]) for term in terms]
    most = max(float(np.abs(value).max()) for value in values) or 1.0
    with draw() as figure:
        for number, (term, value) in enumerate(zip(terms, values, strict=True)):
            axes = figure.add_subplot(1, 4, number + 1)
            image = axes.imshow(value, cmap="RdGy", vmin=-most, vmax=most, aspect="auto")
            axes.set(title=term.replace("_", " "), xlabel="rank channel", ylabel="neuron" if not number else "")
            axes.grid(visible=False)
        figure.colorbar(image, ax=figure.axes, label="from nominal (%)")
        return Picture(
            "Weights", "What each weight is worth where it senses and where it pushes.", embed(figure, "png")
        )


def offsets(record: Record) -> Picture:
    """Offsets of readout, targets and biases."""
    with draw() as figure:
        axes = figure.add_subplot()
        for term, line in zip(("read_offset", "target_offset", "bias_offset"), LINES, strict=False):
            value, sure = (1e3 * np.array(record.values[term][part]) for part in ("value", "uncertainty"))
            axes.errorbar(np.arange(len(value)), value, 2 * sure, label=term.replace("_", " "), **line)
        axes.set(xlabel="channel", ylabel="offset (mV)")
        axes.legend()
        return Picture("Offsets", "Bars are two standard deviations.", embed(figure))


def step_response(record: Record, arrays: Arrays) -> Picture:
    """Responses to a step of all biases."""
    with draw() as figure:
        axes = figure.add_subplot()
        axes.plot(1e6 * arrays["step_times"], arrays["step_volts"], color="black", linewidth=0.6)
        axes.set(xlabel="time (us)", ylabel="read (V)")
        settling = 1e6 * record.dynamics["settling"]
        note = f"All neurons, from 0 V. To 14 bits the slowest settles within {settling:.0f} us."
        return Picture("Step responses", note, embed(figure))


def noise_spectrum(record: Record, arrays: Arrays) -> Picture:
    """Density of noise at rest."""
    with draw() as figure:
        axes = figure.add_subplot()
        density = 1e6 * np.sqrt(arrays["density"])
        axes.loglog(arrays["frequencies"], density, color="0.75", linewidth=0.6)
        axes.loglog(arrays["frequencies"], np.median(density, axis=1), color="black", label="median of the channels")
        axes.axvline(
            float(np.median(record.noise["knee"])) or np.nan, color="#b3261e", linestyle="--", label="1/f knee"
        )
        axes.set(xlabel="frequency (Hz)", ylabel="noise (uV / sqrt Hz)")
        axes.legend()
        return Picture("Noise", "Of the readings of neurons at rest.", embed(figure))
