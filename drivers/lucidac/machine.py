"""A LUCIDAC as a machine: take a circuit, compute, and give what the ADC sampled."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...substrate.errors import CapabilityError, DeviceError, MismatchError
from .circuit import CHANNELS, RATES, THROUGHPUT, Circuit
from .link import ANSWER_TIMEOUT, JsonLines, NoAnswer

__all__ = ["IC_TIME", "Acquisition", "Machine"]

Array = NDArray[np.float64]

IC_TIME = 100_000
"""Nanoseconds in which integrators of the faster rate take their initial conditions."""

LONGEST = 1_000_000_000
"""Nanoseconds that a computation must be shorter than."""

SLOWEST_RATE = 32
"""Samples a second below which the firmware refuses."""

SAMPLES = 64
"""Samples of a computation where the ADC is fast enough: an overload between two of them would be seen."""

FEWEST = 8
"""Fewest samples of a computation; its last ones are averaged."""

GRACE = 0.5
"""Seconds in which the last block of samples may follow the message that a run is done."""

_BLOCKS = ("/M0", "/M1", "/U", "/C", "/I")
_MULTIPLIER_BLOCK = 2
"""Type of an M-block with multipliers; in slot M0 it is that of older hardware (REV0)."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How long a circuit computes, and how it is sampled meanwhile.

    Attributes
    ----------
    nanoseconds
        From the initial conditions to the end.
    rate
        Samples a second, one of :data:`RATES <equipoise.drivers.lucidac.circuit.RATES>`.
    channels
        Of the ADC.
    """

    nanoseconds: int
    rate: int
    channels: int

    def __post_init__(self) -> None:
        if not 0 < self.nanoseconds < LONGEST:
            raise CapabilityError(
                f"A phase on a LUCIDAC must take less than {LONGEST / 1e9:g} s, not {self.nanoseconds / 1e9:g} s: "
                "lower the steps or dt"
            )
        if self.channels not in CHANNELS:
            raise CapabilityError(f"ADC channels of a LUCIDAC must be one of {CHANNELS}, not {self.channels}")
        if self.rate not in RATES or self.rate < SLOWEST_RATE:
            raise CapabilityError(
                f"Sample rate of a LUCIDAC must be one of {', '.join(map(str, RATES[RATES.index(SLOWEST_RATE) :]))}, "
                f"not {self.rate}"
            )
        if self.rate * self.channels > THROUGHPUT:
            raise CapabilityError(
                f"A LUCIDAC takes {THROUGHPUT} samples a second of all channels together, "
                f"not {self.rate * self.channels}"
            )

    @classmethod
    def of(cls, seconds: float, channels: int) -> Acquisition:
        """The one for a computation of ``seconds``: the slowest rate that gives :data:`SAMPLES`, or the fastest.

        Raises
        ------
        CapabilityError
            If it is too long, or too short to be sampled :data:`FEWEST` times.
        """
        rates = [rate for rate in RATES if rate >= SLOWEST_RATE and rate * max(channels, 1) <= THROUGHPUT]
        rate = next((rate for rate in rates if rate * seconds >= SAMPLES), rates[-1])
        if rate * seconds < FEWEST:
            raise CapabilityError(
                f"A phase of {seconds * 1e6:.3g} us is too short for {FEWEST} samples of {channels} channels, "
                f"{FEWEST / rate * 1e6:.3g} us: raise the steps or dt"
            )
        return cls(round(seconds * 1e9), rate, channels)

    @property
    def samples(self) -> int:
        """Fewest samples that a computation gives which was not cut short."""
        return max(1, int(self.nanoseconds * 1e-9 * self.rate) - 1)


class Machine:
    """One LUCIDAC, found and checked.

    Parameters
    ----------
    link
        Owned from here on.

    Attributes
    ----------
    mac
        Its address on the Ethernet, which names it in messages.
    firmware
        What it says of its firmware; empty if it says nothing.

    Raises
    ------
    MismatchError
        If there is something else than one carrier with one cluster, integrators in M0 and multipliers in M1.
    DeviceError, LinkError
        If it does not answer.
    """

    def __init__(self, link: JsonLines) -> None:
        self.link = link
        try:
            self.mac = self._find(link.request("get_entities", {}))
            self.firmware = self._identify()
        except BaseException:
            link.close()
            raise

    def compute(self, circuit: Circuit, acquisition: Acquisition) -> Array:
        """Configure ``circuit``, compute, and return the samples, (T, channels) in machine units.

        The computation halts when an element overloads; then there are fewer than ``acquisition.samples``.

        Raises
        ------
        DeviceError, LinkError
            If the machine refuses, answers nonsense, or does not answer in time.
        """
        self.link.request("set_circuit", {"entity": [self.mac], "config": circuit.config()})
        run = str(uuid.uuid4())
        message = {
            "id": run,
            "session": None,
            "config": {
                "halt_on_external_trigger": False,
                "halt_on_overload": True,
                "ic_time": IC_TIME,
                "op_time": acquisition.nanoseconds,
            },
            "daq_config": {
                "num_channels": acquisition.channels,
                "sample_op": True,
                "sample_op_end": True,
                "sample_rate": acquisition.rate,
            },
        }
        self.link.request("start_run", message)
        return self._samples(run, acquisition)

    def _samples(self, run: str, acquisition: Acquisition) -> Array:
        timeout = ANSWER_TIMEOUT + (IC_TIME + acquisition.nanoseconds) * 1e-9
        deadline = time.monotonic() + timeout
        rows: list[Array] = []
        count, done = 0, False
        while not done or count < acquisition.samples:
            try:
                envelope = self.link.receive(deadline, "a run", timeout)
            except NoAnswer:
                if done:
                    break  # halted: nothing more came
                raise
            message = envelope.get("msg")
            if not isinstance(message, dict) or message.get("id") != run:
                self.link.counters["stale_messages"] += 1
            elif envelope["type"] == "run_state_change":
                state = message.get("new")
                if state == "ERROR":
                    raise DeviceError(
                        f"{self.link.description} could not run: it refused {acquisition.nanoseconds} ns with "
                        f"{acquisition.channels} channels at {acquisition.rate} samples a second, or lost samples"
                    )
                if state == "DONE":
                    done, deadline = True, time.monotonic() + GRACE
            elif envelope["type"] == "run_data" and message.get("state") != "OP_END":
                rows.append(self._block(message.get("data"), acquisition.channels))
                count += len(rows[-1])
        return np.concatenate([np.zeros((0, acquisition.channels)), *rows])

    def _block(self, data: Any, channels: int) -> Array:
        try:
            block = np.array(data, dtype=np.float64)
        except (TypeError, ValueError):
            block = np.zeros(1)
        if block.shape == (0,):
            return np.zeros((0, channels))
        if block.shape[1:] != (channels,) or not np.all(np.isfinite(block)):
            raise DeviceError(
                f"{self.link.description} sent samples that are not rows of {channels} numbers: "
                "check that nobody else runs it"
            )
        return block

    def _find(self, answer: dict[str, Any]) -> str:
        carriers = _children(answer.get("entities"))
        if len(carriers) != 1:
            raise MismatchError(
                f"{self.link.description} must be one carrier of clusters, not {len(carriers)}: give a LUCIDAC"
            )
        ((mac, carrier),) = carriers.items()
        blocks = _children(carrier.get("/0"))
        if missing := [name for name in _BLOCKS if name not in blocks]:
            raise MismatchError(f"{self.link.description} lacks the blocks {', '.join(missing)} of a LUCIDAC")
        if blocks["/M0"].get("type") == _MULTIPLIER_BLOCK:
            raise MismatchError(
                f"{self.link.description} has its multipliers in slot M0 (hardware REV0): only REV1, with integrators "
                "there, is supported"
            )
        return mac.removeprefix("/")

    def _identify(self) -> str:
        """What ``sys_ident`` says of the firmware, if that knows such a request."""
        if "sys_ident" not in (self.link.request("help", {}).get("available_types") or ()):
            return ""
        build = self.link.request("sys_ident", {}).get("fw_build")
        return str(build.get("FIRMWARE_VERSION", "")) if isinstance(build, dict) else ""


def _children(entity: Any) -> dict[str, dict[str, Any]]:
    """Entities within one, by name; none if it is none."""
    return (
        {name: inner for name, inner in entity.items() if isinstance(inner, dict)} if isinstance(entity, dict) else {}
    )
