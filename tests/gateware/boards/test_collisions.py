"""What bitstreams rely on: no memory's word is used that was read in the cycle in which it was written.

A board is simulated whose memories answer such a read with ones, as a block RAM may answer with anything.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil

from equipoise.gateware.build.build import COLLISIONS
from equipoise.gateware.device import Device
from equipoise.sim import build
from equipoise.sim.device import connect
from equipoise.sim.golden import Golden
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.learning import Memory, Rule
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.phases import Estimator, Schedule

from ...networks import random_minibatch, random_parameters
from ...yosys import run_yosys

GEOMETRY = Geometry(
    lanes=2, contexts=2, modules=8, neurons=32, rows=128, groups=16, levels=4, sample_words=512, output_words=256
)


@pytest.fixture(params=[0, 1], ids=["full", "compact"])
def poisoned(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A simulated board with poisoned collisions."""

    def verilog(geometry: Geometry, identity: bytes) -> str:
        device = Device(geometry, build=identity[:8], board=build.BOARD_ID, clock=build.CLOCK, buffer=build.BUFFER)
        (tmp_path / "device.il").write_text(rtlil.convert(device, name="device", emit_src=False))
        script = (
            f"read_rtlil device.il; {COLLISIONS}; proc -nomux -norom; memory_collect; "
            "write_verilog -norename -noattr device.v"
        )
        run_yosys(script, tmp_path)
        text = (tmp_path / "device.v").read_text()
        assert "'hx" in text or "'x" in text
        return build.without_zeros(text)

    flags = ["1" if flag == "fast" else flag for flag in build._VERILATE]
    monkeypatch.setattr(build, "_VERILATE", tuple(flags))
    monkeypatch.setattr(build, "device_verilog", verilog)
    device = connect(build.build_board(replace(GEOMETRY, compact=request.param)))
    yield device
    device.close()


def test_collisions_do_not_matter(poisoned) -> None:
    modules = (Module("x", 5, clamped=True), Module("h", 7), Module("g", 4), Module("y", 3))
    couplings = (Coupling("x", "h", 3), Coupling("h", "g", 4), Coupling("g", "y", 2), Coupling("x", "y", 1))
    network = Network(modules, couplings, "y", levels=3)
    golden = Golden(poisoned.identity.details["geometry"]["compact"], lanes=GEOMETRY.lanes)
    temperature = 0.01 if poisoned.identity.thermal else 0.0
    rng = np.random.default_rng(0)
    for substrate in (poisoned, golden):
        substrate.configure(network)
    for seed, estimator in enumerate((Estimator.SYMMETRIC, Estimator.ONE_SIDED, Estimator.SYMMETRIC)):
        parameters = random_parameters(network, rng, 0.5)
        minibatch = random_minibatch(network, rng, 5)
        schedule = Schedule(estimator=estimator, free_steps=9, nudged_steps=6, temperature=temperature, seed=seed)
        results = []
        for substrate in (poisoned, golden):
            substrate.write(parameters)
            results.append(substrate.run(minibatch, schedule))
        ran, expected = results
        np.testing.assert_array_equal(ran.outputs, expected.outputs)
        np.testing.assert_array_equal(ran.contrast.vector(), expected.contrast.vector())
        assert ran.saturations == expected.saturations
        np.testing.assert_array_equal(poisoned.read().vector(), golden.read().vector())
    if not poisoned.identity.learns:
        return
    memory, rule = Memory.of(network, parameters), Rule((0.002,) * 4, 0.01, 0.005, 0.02)
    for substrate in (poisoned, golden):
        substrate.restore(memory)
        substrate.learn(minibatch, schedule, rule)
    assert poisoned.holds(golden.memory())
