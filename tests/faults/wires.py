"""A model device behind a bad wire, in a time of its own: what takes a minute there takes a moment here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from cobs import cobs

from equipoise.drivers import faulty, gateware_runs, session
from equipoise.drivers.faulty import FaultyTransport, Mischief
from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host import supervision
from equipoise.host.supervision import Supervised
from equipoise.sim import model_device as model
from equipoise.sim.memory_device import MemoryDevice
from equipoise.sim.model_device import ModelTransport, model_device
from equipoise.substrate.errors import LinkError
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch, Schedule
from equipoise.substrate.protocol import Operation

PHASES = {
    "open": (Operation.HELLO,),
    "write": (Operation.WRITE,),
    "run": (Operation.RUN,),
    "read": (Operation.READ,),
    "all": tuple(Operation),
}
"""What a step consists of, and what opening a device does."""

GEOMETRY = Geometry(
    lanes=4, contexts=2, modules=8, neurons=64, rows=512, groups=32, levels=4, sample_words=1024, output_words=512
)
NETWORK = Network(
    (Module("x", 6, clamped=True), Module("y", 5), Module("z", 4)),
    (Coupling("x", "y", 6), Coupling("y", "z", 3), Coupling("x", "z", 2)),
    "z",
    levels=2,
)
BATCH = 4


class Clock:
    """Stands for the module ``time``: time passes when somebody sleeps, and not otherwise."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def install(self, patch: Callable[[object, str, object], None] = setattr) -> None:
        """Have all that waits on a link live in this time."""
        for module in (faulty, gateware_runs, model, session, supervision):
            patch(module, "time", self)


class LineTransport(ModelTransport):
    """A wire that takes its time: ``baud`` bits a second, ten to a byte, each way; and so does the device for a run."""

    def __init__(self, device: MemoryDevice, clock: Clock, baud: int = 3_000_000, run: float = 10e-3) -> None:
        super().__init__(device)
        self._clock, self._byte, self._run = clock, 10 / baud, run
        self._to, self._free, self._from = 0.0, 0.0, 0.0
        self._due: deque[tuple[float, bytes]] = deque()

    def send(self, data: bytes) -> None:
        for part in data.split(b"\0")[:-1]:
            runs = self.device.register("runs")
            self._to = max(self._to, self._clock.now) + self._byte * (len(part) + 1)
            answer = self.device.take(part + b"\0")
            self._free = max(self._free, self._to) + self._run * (self.device.register("runs") - runs)
            if answer:
                self._from = max(self._from, self._free) + self._byte * len(answer)
                self._due.append((self._from, answer))

    def receive(self, deadline: float) -> bytes:
        if not self._due or self._due[0][0] > deadline:
            self._clock.now = max(self._clock.now, deadline)
            return b""
        self._clock.now = max(self._clock.now, self._due[0][0])
        arrived = b""
        while self._due and self._due[0][0] <= self._clock.now:
            arrived += self._due.popleft()[1]
        return arrived


def within(*operations: Operation) -> Callable[[bytes], bool]:
    """Whether a frame is of one of these operations, to or from the device."""

    def only(frame: bytes) -> bool:
        return cobs.decode(frame)[1] in operations

    return only


def supervised(device: MemoryDevice, mischief: Mischief, **options) -> Supervised:
    """The device behind a bad wire, as the command opens it."""
    return Supervised(lambda: GatewareDevice(Session(FaultyTransport(ModelTransport(device), mischief))), **options)


def clean(device: MemoryDevice) -> GatewareDevice:
    """The device behind a good wire."""
    return GatewareDevice(Session(ModelTransport(device)))


class Training:
    """A few steps of training without a run directory.

    Attributes
    ----------
    parameters
        What was reached.
    step
        Steps done.
    outputs
        What the device answered in each.
    """

    def __init__(self, steps: int = 3) -> None:
        self.steps, self.step = steps, 0
        rng = np.random.default_rng(0)
        self.parameters = Parameters.random(NETWORK, rng)
        self.outputs: list[np.ndarray] = []
        self._batches = [
            Minibatch(
                rng.normal(0, 0.5, (BATCH, NETWORK.inputs)),
                rng.integers(0, NETWORK.levels, BATCH),
                rng.normal(0, 0.5, (BATCH, NETWORK.outputs)),
            )
            for _ in range(steps)
        ]

    def go_on(self, device) -> None:
        """Train to the end, from where it is."""
        device.configure(NETWORK)
        while self.step < self.steps:
            device.write(self.parameters)
            schedule = Schedule(5, 3, temperature=1e-4, seed=self.step)
            result = device.run(self._batches[self.step], schedule)
            self.parameters = self.parameters.map(lambda old, change: old + 0.1 * change, result.contrast)
            self.outputs.append(result.outputs)
            self.step += 1

    def same(self, other: Training) -> bool:
        """Whether it came to the same, bit for bit."""
        return np.array_equal(self.parameters.vector(), other.parameters.vector()) and np.array_equal(
            np.array(self.outputs), np.array(other.outputs)
        )


def new_device(**options) -> MemoryDevice:
    return model_device(GEOMETRY, **options)


def hold_promise(mischief: Mischief, perfect: Training) -> bool:
    """Train over a bad wire; if that was too much, go on over a good one. Gives whether it was too much.

    Either way the result must be that of a perfect day; and a board that was not lost has counted each step once.
    """
    board, training, gave_up, reconnects = new_device(), Training(), False, 0
    try:
        with supervised(board, mischief) as device:
            training.go_on(device)
            reconnects = device.reconnects
    except LinkError:
        gave_up = True
        training.go_on(clean(board))
    assert training.same(perfect), f"wrong numbers: {mischief.faults}"
    if not reconnects and not gave_up:
        assert board.register("runs") == training.steps, f"a step more, or less: {mischief.faults}"
    return gave_up
