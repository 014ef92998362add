"""Reports of the larger builds, kept in docs/builds, and the table of them in docs/boards.md.

    python benchmarks/boards.py [BOARD[:GEOMETRY][@MHZ] ...]

Builds each board named, with its own geometry and clock or those given as for ``equipoise build`` (this takes from
minutes to hours, unless it is in the cache), keeps its report, and writes the table anew from all reports kept. Timing
that is not met is kept too, and the table says so.
"""

from __future__ import annotations

import sys
from pathlib import Path

from equipoise.gateware.boards import find_board
from equipoise.gateware.build import BuildReport, build_bitstream, parse_geometry
from equipoise.host.bench import bench_network

DOCS = Path(__file__).parent.parent / "docs"
BUILDS = DOCS / "builds"
HEADING = "## What was reached\n"


def report(stage: str) -> None:
    print(stage, flush=True)


def main() -> None:
    for argument in sys.argv[1:]:
        rest, _, clock = argument.partition("@")
        name, _, text = rest.partition(":")
        board = find_board(name).at_clock(float(clock) if clock else None)
        geometry = parse_geometry(text, board.geometry)
        build = build_bitstream(board, geometry, network=bench_network(), stage=report)
        BUILDS.mkdir(exist_ok=True)
        build.report.save(BUILDS / f"{board.name}-{geometry.lanes}x{geometry.contexts}.json")
    page = DOCS / "boards.md"
    before, heading, _ = page.read_text().partition(HEADING)
    page.write_text(before + heading + table([BuildReport.load(path) for path in sorted(BUILDS.glob("*.json"))]))


def table(reports: list[BuildReport]) -> str:
    lines = [
        "",
        "Made by `python benchmarks/boards.py`; the whole reports are in `docs/builds/`. Speeds are projected.",
        "",
        "| board | lanes x contexts | multipliers | block RAMs | LUTs | clock, fmax (MHz) | cycles a step | steps/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        sizes = f"{report.geometry['lanes']} x {report.geometry['contexts']}"
        cells = "LUTs" if "LUTs" in report.used else "logic cells"
        counts = [report.used.get(name, (0, 0)) for name in ("multipliers", "block RAMs", cells)]
        used = " | ".join(f"{count} of {total}" for count, total in counts)
        clock = f"{report.target_mhz:g}, {report.fmax_mhz:.1f}{'' if report.met else ' (not met)'}"
        speed = report.speed
        fast = f"{speed.cycles_per_step} | {speed.steps_per_second:,.0f}" if speed else "- | -"
        lines.append(f"| {report.board} | {sizes} | {used} | {clock} | {fast} |")
    for tools in sorted({", ".join(sorted({_tool(*tool) for tool in report.tools.items()})) for report in reports}):
        lines += ["", f"Tools: {tools}."]
    return "\n".join(lines) + "\n"


def _tool(name: str, version: str) -> str:
    """Packages and native tools are named in their versions, but for Amaranth."""
    return f"{name} {version}" if name == "amaranth" else version


if __name__ == "__main__":
    main()
