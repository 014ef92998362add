"""The one interface of everything that can be trained."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .closing import Closing
from .errors import CapabilityError
from .learning import Learnt, Memory, Rule
from .network import Network
from .parameters import Parameters
from .phases import Estimator, Minibatch, Result, Schedule
from .reverse import Draws, Program

__all__ = ["Identity", "Substrate"]


@dataclass(frozen=True, slots=True)
class Identity:
    """What a device is and what it can do; recorded with every run.

    Attributes
    ----------
    address
        The address it was opened by.
    kind
        ``gateware``, ``golden``, ``float``, ``analog``, ...
    uid
        Identifies the one physical device, as far as it can.
    build
        Identifies what runs on it (a bitstream's build id, a model's version).
    batch_limit
        Largest minibatch of one run, for the configured network where that matters.
    estimators
        Phase schedules it can run.
    thermal
        Whether it has Langevin noise.
    deterministic
        Whether a run is a pure function of parameters, minibatch, schedule and seed.
    warm_start
        Whether a minibatch may bring the states to begin from, and ``states`` holds those of a whole minibatch. Where
        not, a device refuses such a minibatch.
    generates
        Whether it runs a whole reverse process on its own (:meth:`Substrate.generate`).
    learns
        Whether it can change its parameters itself.
    details
        Anything else worth recording (geometry, formats, clock); JSON values only.
    """

    address: str
    kind: str
    uid: str
    build: str
    batch_limit: int
    estimators: tuple[Estimator, ...] = tuple(Estimator)
    thermal: bool = True
    deterministic: bool = True
    warm_start: bool = False
    generates: bool = False
    learns: bool = False
    details: dict[str, Any] = field(default_factory=dict)


class Substrate(Closing):
    """A device that holds a network and can run minibatches through the phases.

    Use it as a context manager. Call order: :meth:`configure`, :meth:`write`, then :meth:`run` and
    :meth:`write` in turn. A method either does what it says or raises an
    :class:`~equipoise.substrate.errors.EquipoiseError`; stale or invented values are never returned.
    """

    @property
    @abstractmethod
    def identity(self) -> Identity:
        """What the device is and can do."""

    @abstractmethod
    def configure(self, network: Network) -> None:
        """Lay out ``network`` on the device. Parameters must be written afterwards.

        Raises
        ------
        CapabilityError
            If the network does not fit, naming the limit and the need.
        """

    @abstractmethod
    def write(self, parameters: Parameters) -> None:
        """Load parameters, rounded to the device's formats.

        Raises
        ------
        ParameterError
            If a value does not fit its format, naming coupling or module.
        """

    @abstractmethod
    def read(self) -> Parameters:
        """Read back the parameters that the device holds, as the device rounded them."""

    @abstractmethod
    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """Run a minibatch through the phases of ``schedule``."""

    def generate(self, program: Program, draws: Draws) -> Result:
        """Run a reverse process, from noise to samples, with the device's own noise.

        The samples are the result's outputs, in units of the sampled module's states; its residual is the mean over all
        free phases. Sample j depends on parameters, program, seed and its number alone.

        Raises
        ------
        CapabilityError
            If the device cannot (its identity says ``generates`` where it can), or not this program.
        DataError
            If the program does not fit the network.
        """
        raise CapabilityError(
            f"{self.identity.address} cannot run the reverse process on its own: let the host do it "
            "(without --on-device)"
        )

    def learn(self, minibatch: Minibatch, schedule: Schedule, rule: Rule, *, outputs: bool = True) -> Learnt:
        """Run a minibatch, and have the device change its parameters by what it contrasts.

        What it holds must come from :meth:`restore`. A contrasting :meth:`run` leaves no momentum behind.

        Raises
        ------
        CapabilityError
            If the device cannot, or the minibatch is too large for it to.
        ForgottenError
            If nobody knows any more what the device holds.
        """
        raise self.cannot_learn()

    def memory(self) -> Memory:
        """All that the device has learned: to go on from, exactly."""
        raise self.cannot_learn()

    def restore(self, memory: Memory) -> None:
        """Load what a device had learned."""
        raise self.cannot_learn()

    def holds(self, memory: Memory) -> bool:
        """Whether the device has learned exactly this. Costs a few bytes on the link."""
        raise self.cannot_learn()

    def cannot_learn(self) -> CapabilityError:
        """The error of a device that does not learn."""
        return CapabilityError(
            f"{self.identity.address} does not change its parameters itself: train it with updates of the host "
            "(--update host), or use a device that does (sim:, golden:, an FPGA board that is not compact)"
        )

    @abstractmethod
    def states(self) -> dict[str, NDArray[np.float64]]:
        """States at the end of the last run, as far as the device still holds them.

        Returns ``free`` (end of the free phase) and ``last`` (end of the last phase), each (C, N), for the C
        samples worked on last.
        """

    @abstractmethod
    def health(self) -> dict[str, int | float]:
        """Counters of the device and its link since it was opened, by name."""

    @abstractmethod
    def close(self) -> None:
        """Release the device. May be called twice."""
