"""Audit: some steps of training are made again on the golden model, and compared bit for bit.

Checksums find what a device no longer holds. That a multiplier has died, or a bit of a state has flipped, only the
result shows: of a device of digital logic it is known to the last bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..sim.golden import Golden
from ..substrate.errors import DeviceError
from ..substrate.interface import Identity, Substrate
from ..substrate.learning import Learnt, Memory, Rule
from ..substrate.parameters import Parameters
from ..substrate.phases import Minibatch, Result, Schedule
from .config import TrainConfig

__all__ = ["AUDIT_EVERY", "Auditor"]

Array = NDArray[np.float64]

AUDIT_EVERY = 50
"""Steps from one audit to the next; the first step is the first one."""


class Auditor:
    """Compares what a device computes with the golden model; only gateware has one.

    Parameters
    ----------
    config
        What is trained.
    identity
        Of the device.
    """

    def __init__(self, config: TrainConfig, identity: Identity) -> None:
        self._address = identity.address
        self._golden: Golden | None = None
        if identity.kind == "gateware":
            geometry = identity.details["geometry"]
            self._golden = Golden(compact=geometry["compact"], lanes=geometry["lanes"])
            self._golden.configure(config.network)
        self._next = 0

    def due(self, step: int) -> bool:
        """Whether this step, counted from 1, is compared."""
        return self._golden is not None and step % AUDIT_EVERY == 1

    def compare(self, step: int, parameters: Parameters, minibatch: Minibatch, schedule: Schedule, got: Result) -> None:
        """Make the step on the golden model too.

        Raises
        ------
        DeviceError
            If anything of the result differs.
        """
        assert self._golden is not None and got.contrast is not None
        self._golden.write(parameters)
        right = self._golden.run(minibatch, schedule)
        assert right.contrast is not None
        self._compare(step, {
            "outputs": (got.outputs, right.outputs),
            "contrasts": (got.contrast.vector(), right.contrast.vector()),
            "residual": (np.array([got.residual]), np.array([right.residual])),
        })  # fmt: skip

    def due_to_learn(self, step: int) -> bool:
        """Whether a device that learns is compared in this step, of which it is known what the device holds before."""
        return self._golden is not None and step >= self._next

    def compare_learnt(
        self, step: int, memory: Memory, minibatch: Minibatch, schedule: Schedule, rule: Rule, got: Learnt,
        device: Substrate,
    ) -> None:  # fmt: skip
        """Have the golden model learn too, from ``memory``, and compare what both hold then.

        Raises
        ------
        DeviceError
            If anything differs.
        """
        assert self._golden is not None and got.outputs is not None
        self._next = step + AUDIT_EVERY
        self._golden.restore(memory)
        right = self._golden.learn(minibatch, schedule, rule)
        assert right.outputs is not None
        self._compare(step, {
            "outputs": (got.outputs, right.outputs),
            "residual": (np.array([got.residual]), np.array([right.residual])),
        })  # fmt: skip
        if not device.holds(self._golden.memory()):
            raise DeviceError(
                f"{self._address} learned in step {step} what the golden model does not: the run goes on from its last "
                "checkpoint; find the fault with equipoise selftest"
            )

    def _compare(self, step: int, pairs: dict[str, tuple[Array, Array]]) -> None:
        for name, (theirs, ours) in pairs.items():
            if wrong := int(np.count_nonzero(theirs != ours)):
                raise DeviceError(
                    f"{self._address} computed step {step} otherwise than the golden model ({wrong} of {ours.size} "
                    f"{name} differ): the step is dropped; find the fault with equipoise selftest"
                )
