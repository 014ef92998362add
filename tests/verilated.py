"""Simulated boards from Verilog that is not the product's own: with a fault, or a netlist. Built once, and cached."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from equipoise.sim.build import BoardBuild, cache_folder, compile_board, digest, verilate
from equipoise.substrate.geometry import Geometry


def build(
    kind: str, geometry: Geometry, sources: list[Path], verilog: Callable[[Path], str], tools: str = ""
) -> BoardBuild:
    """Build the board whose device is the text that ``verilog`` makes in a folder, or find it in the cache.

    ``sources`` are all files, beside those of every board, that have a part in the text; ``tools`` all versions.
    """
    total = hashlib.sha256(digest(geometry) + tools.encode())
    for path in [Path(__file__), *sources]:
        total.update(path.read_bytes())
    target = cache_folder() / f"{kind}-{geometry.lanes}x{geometry.contexts}-{total.hexdigest()[:24]}"
    if not (target / "board").exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f"{kind}-", suffix=".partial", dir=target.parent))
        log = target.with_suffix(".log")
        try:
            (work / "device.v").write_text(verilog(work))
            verilate(work, log)
            compile_board(work, log)
            target.mkdir(exist_ok=True)
            shutil.move(work / "board", target / "board.partial")
            (target / "board.partial").rename(target / "board")
        finally:
            shutil.rmtree(work)
    return BoardBuild(target / "board", geometry)
