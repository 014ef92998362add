"""The report of a build: what it takes of the FPGA, how fast it runs, and what is slowest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...substrate.errors import ToolError
from ...substrate.geometry import Geometry
from ...substrate.network import Network
from ..boards.board import Board
from .speed import Speed, link_bytes, step_cycles

__all__ = ["RESOURCES", "BuildReport", "make_report", "project"]

RESOURCES = {
    "TRELLIS_COMB": "LUTs",
    "TRELLIS_FF": "registers",
    "MULT18X18D": "multipliers",
    "DP16KD": "block RAMs",
    "ICESTORM_LC": "logic cells",
    "ICESTORM_DSP": "multipliers",
    "ICESTORM_RAM": "block RAMs",
    "ICESTORM_SPRAM": "large RAMs",
}
"""What nextpnr's resources are called here."""

_STEPS = 60 + 2 * 24
"""Relaxation steps of a training sample: 60 free, 24 of each nudged phase."""

_BATCH = 32
"""Samples of the minibatch that the link is projected for."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build came to.

    Attributes
    ----------
    board, part
        What was built for.
    build_id
        The first 8 bytes of the hash of all that made it, in hex: HELLO says the same.
    geometry
        Sizes.
    tools
        Versions of the tools.
    used
        For each resource, how many are used, and how many there are.
    target_mhz, fmax_mhz
        Clock of the board, and the highest that nextpnr's timing model allows.
    critical_path
        The slowest path: delay in ns, and what is on it, from register to register.
    speed
        Projected for the network of ``equipoise bench``; None where the geometry is too small for it.
    """

    board: str
    part: str
    build_id: str
    geometry: dict[str, int]
    tools: dict[str, str]
    used: dict[str, tuple[int, int]]
    target_mhz: float
    fmax_mhz: float
    critical_path: list[dict[str, Any]]
    speed: Speed | None

    @property
    def met(self) -> bool:
        """Whether the board's clock is not above fmax."""
        return self.fmax_mhz >= self.target_mhz

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> BuildReport:
        """Read what :meth:`save` wrote."""
        values = json.loads(path.read_text())
        speed = values.pop("speed")
        values["used"] = {name: (used, available) for name, (used, available) in values["used"].items()}
        return cls(**values, speed=Speed(**speed) if speed else None)

    def rows(self) -> list[tuple[str, str]]:
        """The report as a table: names and values."""
        table = [
            ("board", f"{self.board} ({self.part})"),
            ("build id", self.build_id),
            ("geometry", str(Geometry(**self.geometry))),
        ]
        table += [
            (name, f"{used} of {total} ({used / total:.0%})") for name, (used, total) in self.used.items() if total
        ]
        verdict = "met" if self.met else "NOT MET"
        table.append(("clock", f"{self.target_mhz:.1f} MHz, fmax {self.fmax_mhz:.1f} MHz: {verdict}"))
        if self.critical_path:
            total = sum(part["ns"] for part in self.critical_path)
            ends = f"{self.critical_path[0]['from']} to {self.critical_path[-1]['to']}"
            table.append(("critical path", f"{total:.1f} ns, {ends}"))
        if self.speed is not None:
            speed = self.speed
            table += [
                ("cycles per relaxation step", str(speed.cycles_per_step)),
                ("relaxation steps per second (projected)", f"{speed.steps_per_second:,.0f}"),
                ("samples per second (projected, relaxation only)", f"{speed.samples_per_second:,.0f}"),
                ("samples per second (projected, of the link)", f"{speed.link_samples_per_second:,.0f}"),
            ]
        table += [(f"made by {name}", made) for name, made in self.tools.items()]
        return table


def project(board: Board, geometry: Geometry, network: Network) -> Speed | None:
    """Speed for a network, by counting cycles; None if it does not fit."""
    from ..neuron import force_stage, neuron_pause  # noqa: PLC0415 (with Amaranth, which reading a report does not need)
    from ..sequencer import DRAIN_BUS  # noqa: PLC0415

    lanes = geometry.lanes
    rows = sum(
        (network[coupling.a].size + network[coupling.b].size) * -(-coupling.rank // lanes)
        for coupling in network.couplings
    )
    groups = sum(-(-coupling.rank // lanes) for coupling in network.couplings)
    fits = (
        rows <= geometry.rows
        and groups <= geometry.groups
        and network.neurons <= geometry.neurons
        and len(network.modules) <= geometry.modules
    )
    if not fits:
        return None
    cycles = step_cycles(network, lanes, (DRAIN_BUS, DRAIN_BUS, force_stage(lanes) + 3), neuron_pause(geometry))
    steps = board.clock / cycles
    there, back = link_bytes(network, lanes, _BATCH)
    return Speed(cycles, steps, steps * geometry.contexts / _STEPS, board.baud / 10 / max(there, back))


def make_report(
    board: Board,
    geometry: Geometry,
    build: bytes,
    tools: Mapping[str, str],
    routed: Mapping[str, Any],
    speed: Speed | None,
    spacers: int = 0,
) -> BuildReport:
    """Make the report of a build from that of nextpnr, ``routed``, which counts LUTs that are ``spacers`` too."""
    used = {
        RESOURCES[name]: (count["used"] - (spacers if RESOURCES[name] == "LUTs" else 0), count["available"])
        for name, count in routed["utilization"].items()
        if name in RESOURCES
    }
    # The clock of the gateware is the one that is held to the board's frequency: the oscillator only runs a timer.
    clocks = {
        name: clock["achieved"]
        for name, clock in routed["fmax"].items()
        if abs(clock["constraint"] - board.clock / 1e6) < 0.1
    }
    if not clocks:
        raise ToolError(
            f"nextpnr found no clock of {board.clock / 1e6:g} MHz, but only {', '.join(routed['fmax']) or 'none'}"
        )
    name = min(clocks, key=lambda clock: clocks[clock])
    paths = [path for path in routed["critical_paths"] if path["from"] == path["to"] == f"posedge {name}"]
    steps = paths[0]["path"] if paths else []
    path = [
        {
            "ns": round(step["delay"], 3),
            "type": step["type"],
            "from": step["from"]["cell"],
            "to": step["to"]["cell"],
        }
        for step in steps
    ]
    return BuildReport(
        board=board.name,
        part=board.part,
        build_id=build.hex(),
        geometry=dict(geometry.words()),
        tools=dict(tools),
        used=used,
        target_mhz=board.clock / 1e6,
        fmax_mhz=round(clocks[name], 2),
        critical_path=path,
        speed=speed,
    )
