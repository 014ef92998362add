"""Builds: geometry from text, the report, and how many cycles a step takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from equipoise.gateware.boards import BOARDS, load_board
from equipoise.gateware.build import BuildReport, build, build_bitstream, parse_geometry, tools
from equipoise.gateware.build.build import digest
from equipoise.gateware.build.report import make_report, project
from equipoise.gateware.build.tools import Tool
from equipoise.host.bench import bench_network
from equipoise.substrate.errors import ToolError
from equipoise.substrate.files import lock_file
from equipoise.substrate.geometry import Geometry

BOARD = BOARDS["ulx3s-25f"]


def test_geometry_from_text() -> None:
    default = Geometry()
    assert parse_geometry("", default) == default
    assert parse_geometry("lanes=4, contexts=2,rows=512", default) == Geometry(lanes=4, contexts=2, rows=512)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lane=4", r"^Geometry 'lane=4' must be NAME=INTEGER with a name of lanes, contexts, .*$"),
        ("lanes", r"^Geometry 'lanes' must be NAME=INTEGER"),
        ("lanes=four", r"^Geometry lanes must be an integer, not 'four'$"),
        ("lanes=0", r"^Geometry lanes must be an integer from 1 to 64, not 0$"),
        ("neurons=100", r"^Geometry neurons must be a power of two, not 100$"),
    ],
)
def test_geometry_that_is_none(text: str, message: str) -> None:
    with pytest.raises(ToolError, match=message):
        parse_geometry(text, Geometry())


def routed(fmax: float) -> dict:
    """As nextpnr writes it."""
    clock = "$glbnet$clock.clock"
    step = {"delay": 5.6, "type": "clk-to-q", "from": {"cell": "a"}, "to": {"cell": "b"}}
    return {
        "utilization": {"MULT18X18D": {"used": 26, "available": 28}, "DCCA": {"used": 2, "available": 56}},
        "fmax": {clock: {"achieved": fmax, "constraint": 60.0}, "oscillator": {"achieved": 200.0, "constraint": 25.0}},
        "critical_paths": [
            {"from": f"posedge other.{clock}", "to": f"posedge other.{clock}", "path": []},
            {"from": f"posedge {clock}", "to": f"posedge {clock}", "path": [step]},
        ],
    }


def report(fmax: float) -> BuildReport:
    speed = project(BOARD, BOARD.geometry, bench_network())
    return make_report(BOARD, BOARD.geometry, bytes(8), {"yosys": "1"}, routed(fmax), speed)


@pytest.mark.parametrize(("reached", "tried"), [([23.9, 24.5, 26.0], 2), ([23.0] * 4, 4)])
def test_a_layout_is_made_anew_until_its_timing_is_met(monkeypatch, tmp_path, reached, tried) -> None:
    seeds = []

    def run(tool: Tool, arguments: list[str], folder: Path, hopeless=None) -> bool:
        """The tool's part, as far as the build looks at it."""
        if tool.name == "nextpnr-ice40":
            seeds.append(int(arguments[arguments.index("--seed") + 1]))
            fmax = {"clk": {"achieved": reached[len(seeds) - 1], "constraint": 24.0}}
            made = {"utilization": {}, "fmax": fmax, "critical_paths": []}
            (folder / "report.json").write_text(json.dumps(made))
        return True

    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "run_build_tool", run)
    made = build_bitstream(BOARDS["icebreaker"])
    assert seeds == list(range(1, tried + 1))
    assert made.report.fmax_mhz == reached[tried - 1]


@pytest.mark.parametrize(("stuck", "ends"), [({1, 2}, 3), ({1, 2, 3, 4}, None)])
def test_a_placement_that_the_router_is_stuck_with_is_given_up(monkeypatch, tmp_path, stuck, ends) -> None:
    def run(tool: Tool, arguments: list[str], folder: Path, hopeless=lambda: False) -> bool:
        """The tool's part, as far as the build looks at it."""
        if tool.name != "nextpnr-ice40":
            return True
        seed = int(arguments[arguments.index("--seed") + 1])
        rounds = [*range(150, 1, -1), *[2] * (101 if seed in stuck else 99), 0]
        for number in range(len(rounds)):
            lines = [f"Info: iter={n} wires=1 overused={count} overuse=1" for n, count in enumerate(rounds[:number])]
            (folder / "top.tim").write_text("\n".join(lines))
            if hopeless():
                return False
        fmax = {"clk": {"achieved": 25.0, "constraint": 24.0}}
        made = {"utilization": {}, "fmax": fmax, "critical_paths": [], "seed": seed}
        (folder / "report.json").write_text(json.dumps(made))
        return True

    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "run_build_tool", run)
    if ends is None:
        with pytest.raises(ToolError, match=r"could not be routed on iCE40UP5K from any of 4 placements: .*--geometry"):
            build_bitstream(BOARDS["icebreaker"])
    else:
        made = build_bitstream(BOARDS["icebreaker"])
        assert json.loads((made.folder / "report.json").read_text())["seed"] == ends


def test_a_tool_that_is_stopped_is_gone(tmp_path: Path) -> None:
    tool = Tool("tool", ("/bin/sh", "-c", "echo $$ > pid; exec sleep 600"), "1")
    assert not tools.run_build_tool(tool, [], tmp_path, (tmp_path / "pid").exists)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_report(tmp_path: Path) -> None:
    made = report(61.25)
    assert made.met and made.used == {"multipliers": (26, 28)} and made.fmax_mhz == 61.25
    assert made.critical_path == [{"ns": 5.6, "type": "clk-to-q", "from": "a", "to": "b"}]
    made.save(tmp_path / "build.json")
    assert BuildReport.load(tmp_path / "build.json") == made
    assert json.loads((tmp_path / "build.json").read_text())["speed"]["cycles_per_step"] == 659
    table = dict(made.rows())
    assert table["multipliers"] == "26 of 28 (93%)"
    assert table["clock"] == "60.0 MHz, fmax 61.2 MHz: met"


def test_spacers_are_not_counted_as_logic() -> None:
    counts = {"TRELLIS_COMB": {"used": 68_000, "available": 83_640}, "TRELLIS_FF": {"used": 100, "available": 83_640}}
    made = make_report(BOARD, BOARD.geometry, bytes(8), {}, routed(61.25) | {"utilization": counts}, None, 20_000)
    assert made.used == {"LUTs": (48_000, 83_640), "registers": (100, 83_640)}


def test_report_of_timing_not_met() -> None:
    made = report(59.99)
    assert not made.met and dict(made.rows())["clock"].endswith("NOT MET")


def test_a_network_too_large_has_no_speed() -> None:
    assert project(BOARD, parse_geometry("rows=64", BOARD.geometry), bench_network()) is None


@pytest.mark.parametrize(("lanes", "contexts", "compact"), [(2, 2, 0), (8, 1, 0), (5, 2, 0), (1, 1, 1)])
def test_cycles_of_a_step_are_those_of_the_gateware(sim_device, lanes: int, contexts: int, compact: int) -> None:
    from equipoise.gateware.build.speed import step_cycles
    from equipoise.gateware.neuron import force_stage, neuron_pause
    from equipoise.gateware.sequencer import DRAIN_BUS
    from equipoise.substrate.network import Coupling, Module, Network
    from equipoise.substrate.phases import Schedule

    from ...networks import random_minibatch, random_parameters

    modules = (Module("x", 5, clamped=True), Module("h", 7), Module("y", 3), Module("alone", 2))
    couplings = (Coupling("x", "h", 3), Coupling("h", "y", 9), Coupling("x", "y", 2))
    network = Network(modules, couplings, "y")
    import numpy as np

    rng = np.random.default_rng(0)
    device = sim_device(lanes, contexts, compact)
    device.configure(network)
    device.write(random_parameters(network, rng, 0.1))
    result = device.run(random_minibatch(network, rng, 2), Schedule(free_steps=5, nudged_steps=3, seed=1))
    drains = (DRAIN_BUS, DRAIN_BUS, force_stage(lanes) + 3)
    pause = neuron_pause(Geometry(compact=compact, lanes=lanes))
    assert result.relax_cycles == result.relax_steps * step_cycles(network, lanes, drains, pause)


OWN = """
from dataclasses import replace
from equipoise.gateware.boards import BOARDS

class Platform:
    pin = "{pin}"

board = replace(BOARDS["ulx3s-25f"], platform=Platform)
"""


def test_another_pin_is_another_build(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    builds = []
    for pin in ("A1", "A1", "B2"):
        path.write_text(OWN.format(pin=pin))
        board = load_board(path)
        builds.append(digest(board, board.geometry, []))
    assert builds[0] == builds[1] != builds[2]
    assert digest(BOARD, parse_geometry("rows=512", BOARD.geometry), []) != digest(BOARD, BOARD.geometry, [])


def test_a_tool_is_first_used_by_one_process_at_a_time(tmp_path, monkeypatch):
    held = []

    def run(command, **options):
        if "--version" in command:
            with (tmp_path / "yosys.lock").open("w") as file:
                try:
                    lock_file(file)
                except BlockingIOError:
                    held.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(tools.platformdirs, "user_cache_path", lambda *names, **options: tmp_path)
    monkeypatch.setattr(tools.subprocess, "run", run)
    tools.run_build_tool(Tool("yosys", (sys.executable, "-c", "pass"), "1"), ["-p", "script"], tmp_path)
    assert held == [[sys.executable, "-c", "pass", "--version"]]
    tools.run_build_tool(Tool("yosys", ("/bin/true",), "1"), ["-p", "script"], tmp_path)
    assert len(held) == 1
