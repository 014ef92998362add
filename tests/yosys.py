"""Yosys, as builds run it."""

from __future__ import annotations

from pathlib import Path

from equipoise.gateware.build.tools import find_build_tool, run_build_tool

__all__ = ["run_yosys"]


def run_yosys(script: str, folder: Path) -> str:
    """Run a script in a folder; returns the log."""
    run_build_tool(find_build_tool("yosys"), ["-p", script], folder)
    return (folder / "yosys.log").read_text()
