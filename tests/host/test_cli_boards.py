"""The commands for boards: build and flash, up to where a tool or a board is needed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from equipoise.gateware import build
from equipoise.gateware.boards import BOARDS
from equipoise.gateware.build import BoardBuild, BuildReport
from equipoise.host import flash
from equipoise.host.cli.app import app
from equipoise.host.devices import open_device
from equipoise.substrate.errors import DeviceError, ToolError

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


SIMULATED = "sim:?lanes=2&contexts=2"


@pytest.fixture
def flashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Take loading for done; gives the build id that the bitstream has from now on."""
    build_id = ["0123456789abcdef"]

    def found(board, geometry):
        report = BuildReport(board.name, board.part, build_id[0], {}, {}, {}, 60.0, 70.0, [], None)
        return BoardBuild(Path(), Path("top.bit"), report)

    monkeypatch.setattr(build, "find_bitstream", found)
    monkeypatch.setattr(flash, "flash_board", lambda board, bitstream, **options: None)
    return build_id


def test_what_was_flashed_is_tested(flashed: list[str]) -> None:
    with open_device(SIMULATED) as device:
        flashed[0] = device.session.hello.build.hex()
    done = RUN.invoke(app, ["flash", "ulx3s-25f", "--device", SIMULATED], catch_exceptions=False)
    assert done.exit_code == 0
    assert "pass  training step" in done.stdout
    assert done.stdout.rstrip().endswith(f"Next: equipoise train --device '{SIMULATED}'")


def test_another_bitstream_than_the_flashed_one_is_found_out(flashed: list[str]) -> None:
    with pytest.raises(DeviceError, match=r"failed its self-test, hello: another bitstream than expected, build 0123"):
        RUN.invoke(app, ["flash", "ulx3s-25f", "--device", SIMULATED], catch_exceptions=False)


def test_flashing_without_the_test(flashed: list[str]) -> None:
    done = RUN.invoke(app, ["flash", "ulx3s-25f", "--no-selftest", "--json"], catch_exceptions=False)
    assert json.loads(done.stdout) == {"board": "ulx3s-25f", "build_id": flashed[0], "persist": False}
