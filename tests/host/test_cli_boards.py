"""The commands for boards: build and flash, up to where a tool or a board is needed."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from equipoise.gateware.boards import BOARDS
from equipoise.host.cli.app import app
from equipoise.substrate.errors import ToolError

RUN = CliRunner()


def test_lists_boards() -> None:
    listed = json.loads(RUN.invoke(app, ["build", "--list", "--json"]).stdout)["boards"]
    assert [board["name"] for board in listed] == list(BOARDS)
    assert all(name in RUN.invoke(app, ["build", "--list"]).stdout for name in BOARDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "nix"], r"^Board 'nix' is not known"),
        (["build", "ulx3s-25f", "--geometry", "lanes=0"], r"^Geometry lanes must be an integer from 1 to 64, not 0$"),
        (["flash", "nix"], r"^Board 'nix' is not known"),
        (["flash", "ulx3s-25f", "--geometry", "lanes=3"],
         r"^No bitstream is built for ulx3s-25f: equipoise build ulx3s-25f --geometry lanes=3$"),
    ],
)  # fmt: skip
def test_errors(arguments: list[str], message: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EQUIPOISE_CACHE", str(tmp_path))
    with pytest.raises(ToolError, match=message):
        RUN.invoke(app, arguments, catch_exceptions=False)


def test_a_board_must_be_named() -> None:
    assert RUN.invoke(app, ["build"]).exit_code == 2
    assert RUN.invoke(app, ["flash"]).exit_code == 2


@pytest.mark.parametrize("command", ["build", "flash"])
def test_help_shows_examples(command: str) -> None:
    assert f"equipoise {command} ulx3s-85f" in RUN.invoke(app, [command, "--help"]).stdout


def test_flashing_imports_nothing_of_amaranth() -> None:
    script = (
        "import sys; import equipoise.host.flash, equipoise.gateware.build; "
        "sys.exit(any(name.split('.')[0] in ('amaranth', 'amaranth_boards') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
