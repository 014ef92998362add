"""The netlist that yosys wrote and nextpnr reads, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Cells", "bits_of", "edited_cells"]

Cells = dict[str, dict[str, Any]]
"""Cells by name: ``type``, ``parameters``, ``attributes``, ``connections`` and ``port_directions``."""


@contextmanager
def edited_cells(netlist: Path) -> Iterator[Cells]:
    """The cells of the module ``top``, to be changed; written back at the end."""
    content = json.loads(netlist.read_text())
    yield content["modules"]["top"]["cells"]
    netlist.write_text(json.dumps(content))


def bits_of(cell: dict[str, Any], direction: str) -> Iterator[tuple[str, Any]]:
    """Ports of a direction, ``input`` or ``output``, and for each the bits that it is wired to."""
    for port, bits in cell["connections"].items():
        if cell["port_directions"][port] == direction:
            for bit in bits:
                yield port, bit
