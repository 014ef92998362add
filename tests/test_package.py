"""What an installation puts where: one import name, one command, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import equipoise

ROOT = Path(equipoise.__file__).parent
FOLDERS = {"substrate", "gateware", "drivers", "sim", "calibration", "host"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: building leaves files behind in the source folder."""
    copy, target = tmp_path_factory.mktemp("source") / "tree", tmp_path_factory.mktemp("wheel")
    leave = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
    made = {"build", "runs"}  # at the top only: gateware/build is a package

    def left(folder: str, names: list[str]) -> set[str]:
        return leave(folder, names) | (made if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, copy, ignore=left)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", target, copy]
    done = subprocess.run(build, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = target.iterdir()
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_one_name_is_installed(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"equipoise"}


def test_every_module_and_nothing_besides(wheel):
    held = {name for name in wheel.namelist() if name.startswith("equipoise/") and name.endswith(".py")}
    paths = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert held == {f"equipoise/{path.relative_to(ROOT).as_posix()}" for path in [ROOT / "__init__.py", *paths]}


def test_files_that_are_no_modules_are_there(wheel):
    """Every file of a package that is no module: all that Git knows of in its folder."""
    held = {name for name in wheel.namelist() if name.startswith("equipoise/") and not name.endswith(".py")}
    packages = {str(Path(name).parent) for name in wheel.namelist() if name.endswith("/__init__.py")} - {"equipoise"}
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    wanted = {f"equipoise/{name}" for name in known if not name.endswith(".py")}
    wanted = {name for name in wanted if str(Path(name).parent) in packages}
    assert wanted and wanted == held


def test_the_command(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    assert wheel.read(name).decode().split() == ["[console_scripts]", "equipoise", "=", "equipoise.host.cli:main"]
