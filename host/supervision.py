"""A device that is opened again when its wire fails, and goes on where it was.

A run is a pure function of network, parameters, minibatch and seed, and a training step is one assignment of an
immutable checkpoint. So all there is to do after a failure is to open the device again, make sure that it is the same
one, load what it should hold, and repeat the call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..drivers.gateware import GatewareDevice
from ..substrate.errors import DeviceError, ForgottenError, LinkError, MismatchError
from ..substrate.interface import Identity, Substrate
from ..substrate.learning import Learnt, Memory, Rule
from ..substrate.network import Network
from ..substrate.parameters import Parameters
from ..substrate.phases import Minibatch, Result, Schedule
from ..substrate.reverse import Draws, Program

__all__ = ["PATIENCE", "Supervised"]

PATIENCE = 60.0
"""Seconds in which a call must succeed once it has failed: time to put a plug back."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0

_SAME = {"uid": "board", "build": "build"}
"""What of its identity makes a device the same one, and what messages call it."""

Answer = TypeVar("Answer")


class Supervised(Substrate):
    """A device that survives its wire: after a :class:`LinkError` it is opened again, with growing pauses.

    What is not the wire's fault is not repeated: other errors are passed on as they are.

    Parameters
    ----------
    opener
        Opens the device.
    patience
        Seconds from the first failure of a call to giving up.

    Attributes
    ----------
    listener
        Told of each failure, and of each return.
    reconnects
        How often it was opened again.

    Raises
    ------
    EquipoiseError
        If the device cannot be opened the first time.
    """

    def __init__(self, opener: Callable[[], GatewareDevice], patience: float = PATIENCE) -> None:
        self._opener, self._patience = opener, patience
        self.listener: Callable[[str], None] = lambda message: None
        self.reconnects = 0
        self._network: Network | None = None
        self._parameters: Parameters | None = None
        self._last: Callable[[GatewareDevice], Result] | None = None
        self._has_run = False
        self._earlier: dict[str, int | float] = {}
        self._device: GatewareDevice | None = opener()
        self._identity = self._device.identity

    @property
    def identity(self) -> Identity:
        """What the device said of itself when it was opened."""
        if self._device is not None:
            self._identity = self._device.identity
        return self._identity

    def configure(self, network: Network) -> None:
        """Lay out ``network``, now and whenever the device comes back."""
        self._network = self._parameters = self._last = None
        self._call(lambda device: device.configure(network))
        self._network = network

    def write(self, parameters: Parameters) -> None:
        """Load parameters, now and whenever the device comes back."""
        self._parameters = self._last = None
        self._call(lambda device: device.write(parameters))
        self._parameters = parameters

    def read(self) -> Parameters:
        """Read back the parameters that the device holds."""
        return self._call(lambda device: device.read())

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """Run a minibatch, from its beginning if the wire fails meanwhile."""
        return self._run(lambda device: device.run(minibatch, schedule))

    def generate(self, program: Program, draws: Draws) -> Result:
        """Run a reverse process, from its beginning if the wire fails meanwhile."""
        return self._run(lambda device: device.generate(program, draws))

    def _run(self, work: Callable[[GatewareDevice], Result]) -> Result:
        self._last = None
        result = self._call(work)
        self._last, self._has_run = work, True
        return result

    def learn(self, minibatch: Minibatch, schedule: Schedule, rule: Rule, *, outputs: bool = True) -> Learnt:
        """Have the device learn from a minibatch; never twice.

        Raises
        ------
        ForgottenError
            If the wire failed, so that nobody knows what the device has learned. It is opened again by :meth:`restore`.
        """
        self._parameters = self._last = None
        return self._once(lambda device: device.learn(minibatch, schedule, rule, outputs=outputs))

    def memory(self) -> Memory:
        """Read all that the device has learned; fails as :meth:`learn` does."""
        return self._once(lambda device: device.memory())

    def restore(self, memory: Memory) -> None:
        """Load what a device had learned, on a device that may have to be opened again first."""
        self._parameters = self._last = None
        self._call(lambda device: device.restore(memory))

    def holds(self, memory: Memory) -> bool:
        """Whether the device has learned exactly this; fails as :meth:`learn` does."""
        return self._once(lambda device: device.holds(memory))

    def states(self) -> dict[str, NDArray[np.float64]]:
        """States of the samples worked on last; if the device was opened again since, it works on them again."""
        return self._call(self._states)

    def health(self) -> dict[str, int | float]:
        """Counters of the device, and ``host_reconnects``.

        What the device counts begins anew when it was opened again; what the host counts goes on.
        """
        found = self._call(lambda device: device.health())
        counted = {name: count + self._earlier.get(name, 0) for name, count in found.items()}
        return counted | {"host_reconnects": self.reconnects}

    def close(self) -> None:
        """Release the device."""
        if self._device is not None:
            self._device.close()

    def _call(self, work: Callable[[GatewareDevice], Answer]) -> Answer:
        """What ``work`` gives, on a device that may have to be opened again first."""
        begin, pause = time.monotonic(), _FIRST_PAUSE
        first: DeviceError | None = None
        while True:
            try:
                answer = work(self._device or self._reopen())
            except DeviceError as error:
                # One that cannot be opened may be there in a moment; one that is there and refuses, will refuse again.
                if isinstance(error, MismatchError) or not (self._device is None or isinstance(error, LinkError)):
                    raise
                self._let_go()
                if first is None:
                    first = error
                    self.listener(f"{error}; tried again for up to {self._patience:g} s")
                if time.monotonic() - begin + pause > self._patience:
                    again = "" if first is error else f"; at last: {error}"
                    raise LinkError(
                        f"{self._identity.address} could not be used for {self._patience:g} s: {first}{again}"
                    ) from error
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if first is not None:
                    self.listener(f"{self._identity.address} is back after {time.monotonic() - begin:.1f} s")
                return answer

    def _once(self, work: Callable[[GatewareDevice], Answer]) -> Answer:
        """What ``work`` gives, on the device as it is."""
        if self._device is None:
            raise ForgottenError(f"{self._identity.address} is closed since its wire failed: restore its memory")
        try:
            return work(self._device)
        except LinkError as error:
            self._let_go()
            raise ForgottenError(f"{error}; what the device has learned is uncertain") from error

    def _let_go(self) -> None:
        if self._device is None:
            return
        self._device.close()
        for name, count in self._device.host_counters.items():
            self._earlier[name] = self._earlier.get(name, 0) + count
        self._device, self._has_run = None, False

    def _reopen(self) -> GatewareDevice:
        """Open the device again, and load what it held.

        Raises
        ------
        MismatchError
            If it is another device, or another bitstream.
        """
        device = self._opener()
        try:
            now = device.identity
            for name, what in _SAME.items():
                if (was := getattr(self._identity, name)) != (found := getattr(now, name)):
                    raise MismatchError(
                        f"{now.address} came back as another device, {what} {found} instead of {was}: "
                        "put the one back that was there, or resume the run on this one"
                    )
            if self._network is not None:
                device.configure(self._network)
            if self._parameters is not None:
                device.write(self._parameters)
        except BaseException:
            device.close()
            raise
        self._device = device
        self.reconnects += 1
        return device

    def _states(self, device: GatewareDevice) -> dict[str, NDArray[np.float64]]:
        if self._last is not None and not self._has_run:
            self._last(device)
            self._has_run = True
        return device.states()
