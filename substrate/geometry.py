"""Geometry of a device: how many multipliers it has and how large a network fits into its memories.

The geometry is fixed when the gateware is built. The network is not: it is written into tables at run
time, so one bitstream runs every network that fits.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["SCHEDULE_ROWS", "Geometry", "read_latency"]

SCHEDULE_ROWS = 128
"""Rows that the schedule of a reverse process can have."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes fixed at build time.

    Parameters
    ----------
    lanes
        Rank channels worked on at once (P): one multiplier each, in every context. 1 to 64.
    contexts
        Samples worked on at once (S): they share every weight read. 1 to 16.
    modules
        Modules of the network. 2 to 32.
    neurons
        Neurons of the network. A power of two, 4 to 4096.
    rows
        Rows of weight memory, ``lanes`` weights wide; a coupling of rank k takes
        (n_a + n_b) * ceil(k / lanes) of them. 4 to 65536.
    groups
        Channel groups, ``lanes`` rank channels each; a coupling takes ceil(k / lanes) of them.
        A power of two, 2 to 4096.
    levels
        Noise levels of the gain and bias tables. A power of two, 1 to 64.
    sample_words
        Words of the sample buffer; a sample takes 1 + clamped neurons + output neurons.
    output_words
        Words of the output buffer; a sample takes one for each output neuron.
    compact
        1 for the variant that fits small FPGAs: number formats ``COMPACT``, no thermal noise, and pauses, in which
        it needs no pipeline registers. 0 or 1.

    Raises
    ------
    ValueError
        If a size is outside its range.
    """

    lanes: int = 8
    contexts: int = 1
    modules: int = 8
    neurons: int = 1024
    rows: int = 8192
    groups: int = 512
    levels: int = 32
    sample_words: int = 65536
    output_words: int = 32768
    compact: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "lanes": (1, 64),
            "contexts": (1, 16),
            "modules": (2, 32),
            "neurons": (4, 4096),
            "rows": (4, 65536),
            "groups": (2, 4096),
            "levels": (1, 64),
            "sample_words": (4, 65536),
            "output_words": (2, 65536),
            "compact": (0, 1),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise ValueError(f"Geometry {name} must be an integer from {low} to {high}, not {value!r}")
        for name in ("neurons", "groups", "levels"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"Geometry {name} must be a power of two, not {value}")

    @property
    def ends(self) -> int:
        """Entries of the table of coupling ends: two for each channel group."""
        return 2 * self.groups

    def words(self) -> list[tuple[str, int]]:
        """Names and sizes, in the order in which HELLO carries them."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def __str__(self) -> str:
        return (
            f"{self.lanes} lanes x {self.contexts} contexts, {self.neurons} neurons, {self.rows} weight rows, "
            f"{self.levels} levels{', compact' if self.compact else ''}"
        )


def read_latency(geometry: Geometry) -> int:
    """Clock cycles from an address at the device's port to the word that is read there, for every space.

    The request goes from lane to lane, and so does the answer. In a compact device nobody but the host reaches the
    memories, so no register is needed for a choice.
    """
    return geometry.lanes + (3 if geometry.compact else 4)
