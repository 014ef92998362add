"""Boards: what is said of them holds together, and each makes a design with all its pins."""

from dataclasses import replace
from pathlib import Path

import pytest

from equipoise.gateware.boards import BOARDS, Board, find_board
from equipoise.gateware.boards.clocks import ecp5_dividers, ice40_dividers
from equipoise.gateware.boards.top import Top
from equipoise.gateware.uart import bit_cycles
from equipoise.substrate.errors import ToolError
from equipoise.substrate.geometry import Geometry

TINY = Geometry(lanes=1, modules=4, neurons=16, rows=32, groups=4, levels=2, sample_words=64, output_words=32)

MULTIPLIERS = {"25F": 28, "45F": 72, "85F": 156}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_board_makes_a_design(board: Board) -> None:
    plan = board.make_platform().prepare(Top(board, TINY, bytes(8)), "top", emit_src=False)
    pins = plan.files["top.lpf" if board.family == "ecp5" else "top.pcf"]
    lamps = sum(getattr(board.lamps, name) is not None for name in ("alive", "busy", "saturated", "link_error"))
    placed = pins.count("LOCATE COMP") + pins.count("set_io")
    assert placed == 3 + lamps  # clock, rx, tx
    assert "FREQUENCY PORT" in pins or "set_frequency" in pins  # from the oscillator nextpnr derives the clock
    bit_cycles(board.clock, board.baud)


@pytest.mark.parametrize("board", [board for board in BOARDS.values() if board.family == "ecp5"], ids=lambda b: b.name)
def test_a_geometry_has_no_more_multipliers_than_its_part(board: Board) -> None:
    geometry = board.geometry
    assert geometry.contexts * (geometry.lanes + 5) + 2 <= MULTIPLIERS[board.part[-3:]]


@pytest.mark.parametrize("source", [25e6, 48e6, 100e6])
@pytest.mark.parametrize("wanted", [60e6, 80e6, 100e6])
def test_ecp5_pll(source: float, wanted: float) -> None:
    dividers = ecp5_dividers(source, wanted)
    assert source / dividers.reference * dividers.feedback == pytest.approx(wanted)
    assert 400e6 <= wanted * dividers.output <= 800e6


def test_ice40_pll() -> None:
    dividers = ice40_dividers(12e6, 24e6)
    assert (dividers.reference, dividers.feedback, dividers.output, dividers.filter_range) == (0, 63, 5, 1)


@pytest.mark.parametrize("dividers", [ecp5_dividers, ice40_dividers])
def test_a_clock_out_of_reach(dividers) -> None:
    with pytest.raises(
        ValueError, match=r"^Clock of 8\.12345e\+07 Hz cannot be made exactly from 1\.2e\+07 Hz by this PLL"
    ):
        dividers(12e6, 81.2345e6)


OWN = """
from dataclasses import replace
from equipoise.gateware.boards import BOARDS
board = replace(BOARDS["ulx3s-25f"], name="mine", clock=50_000_000, baud=1_000_000)
"""


def test_a_board_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    board = find_board(str(tmp_path / "mine.py"))
    assert board == replace(BOARDS["ulx3s-25f"], name="mine", clock=50_000_000, baud=1_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"^Board file '.*' cannot be read: give the path of a Python file$"),
        ("1 / 0", r"^Board file '.*' failed \(ZeroDivisionError: division by zero\)$"),
        ("board = 3", r"^Board file '.*' must define 'board', a Board, not 3: see docs/boards\.md$"),
    ],
)
def test_a_board_file_that_is_none(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ToolError, match=message):
        find_board(str(path))


def test_an_unknown_board() -> None:
    with pytest.raises(
        ToolError, match=r"^Board 'nix' is not known: choose one of ulx3s-85f, .* or give a Python file$"
    ):
        find_board("nix")
