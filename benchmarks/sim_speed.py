"""Clock cycles a second of the simulated board during minibatches, against the bare Verilated model in a C++ loop.

    python benchmarks/sim_speed.py [LANES CONTEXTS]

Both run the same requests, in turn, and the fastest of three rounds counts: other programs only ever slow one down.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host.bench import bench_network
from equipoise.sim.board import BoardTransport, SimulatedBoard
from equipoise.sim.build import board_geometry, build_board, compile_board, device_verilog, digest, verilate
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch, Schedule

NETWORK = bench_network()
BATCH, RUNS, ROUNDS = 32, 3, 3


class RecordingTransport(BoardTransport):
    """Keeps what is sent."""

    def __init__(self, board: SimulatedBoard) -> None:
        super().__init__(board)
        self.sent = bytearray()

    def send(self, data: bytes) -> None:
        self.sent += data
        super().send(data)


def build_bare(folder: Path, geometry: Geometry) -> Path:
    """Compile the bare loop exactly as the board is compiled."""
    (folder / "device.v").write_text(device_verilog(geometry, digest(geometry)))
    verilate(folder, folder / "log", main=Path(__file__).with_suffix(".cpp"))
    compile_board(folder, folder / "log")
    return folder / "board"


def run_board(geometry: Geometry) -> tuple[float, float, float, bytes]:
    """Cycles a second during minibatches, samples a second, cycles a relaxation step, and the bytes that were sent."""
    rng = np.random.default_rng(1)
    states = rng.normal(0, 0.5, (2, BATCH, 64))
    minibatch = Minibatch(states[0], np.zeros(BATCH, np.int64), states[1])
    transport = RecordingTransport(SimulatedBoard(build_board(geometry)))
    with GatewareDevice(Session(transport)) as device:
        device.configure(NETWORK)
        device.write(Parameters.random(NETWORK, rng))
        start = time.perf_counter()
        results = [device.run(minibatch, Schedule()) for _ in range(RUNS)]
        seconds = time.perf_counter() - start
        step = results[0].relax_cycles / results[0].relax_steps
        return sum(result.cycles for result in results) / seconds, RUNS * BATCH / seconds, step, bytes(transport.sent)


def run_bare(program: Path, sent: bytes) -> float:
    """Cycles a second."""
    requests = program.with_name("requests")
    requests.write_bytes(sent)
    output = subprocess.run([program, requests], check=True, capture_output=True, text=True).stdout
    cycles, seconds = output.split()
    return int(cycles) / float(seconds)


def main() -> None:
    lanes, contexts = (int(argument) for argument in sys.argv[1:]) if len(sys.argv) > 1 else (8, 1)
    geometry = board_geometry(lanes, contexts)
    with tempfile.TemporaryDirectory() as folder:
        program = build_bare(Path(folder), geometry)
        rounds = []
        for _ in range(ROUNDS):
            speed, samples, step, sent = run_board(geometry)
            rounds.append((speed, samples, run_bare(program, sent)))
    board, samples, bare = (max(column) for column in zip(*rounds, strict=True))
    print(f"{geometry.lanes} lanes, {geometry.contexts} contexts, batch {BATCH}, {step:.0f} cycles a relaxation step")
    print(f"simulated board    {board / 1e6:6.2f} million cycles/s   {samples:6.1f} samples/s")
    print(f"bare C++ loop      {bare / 1e6:6.2f} million cycles/s")
    print(f"ratio              {board / bare:6.1%}")


if __name__ == "__main__":
    main()
