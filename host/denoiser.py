"""The denoiser that a trained device is: one free run a call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..substrate.errors import CapabilityError
from ..substrate.interface import Substrate
from ..substrate.phases import Estimator, Schedule
from .conditioning import with_labels
from .config import TrainConfig
from .data import Labels

__all__ = ["Denoiser"]

Array = NDArray[np.float64]


class Denoiser:
    """D(y; sigma) by the parameters that a device holds.

    Parameters
    ----------
    free_steps
        Relaxation steps of a call; None, as in training.
    temperature
        Of the device's noise; None, as in training.
    warm
        Whether a call begins from the states at the end of the one before, instead of from zero. Both must be of
        the same samples, in the same order.

    Raises
    ------
    CapabilityError
        If the device cannot begin from given states, or has no noise of its own.
    """

    def __init__(
        self, device: Substrate, config: TrainConfig, *,
        free_steps: int | None = None, temperature: float | None = None, warm: bool = False,
    ) -> None:  # fmt: skip
        identity = device.identity
        if warm and not identity.warm_start:
            raise CapabilityError(f"{identity.address} begins every run from zero: leave out the warm start")
        self.device, self.config = device, config
        self.schedule = Schedule(
            config.free_steps if free_steps is None else free_steps,
            config.nudged_steps,
            config.beta,
            Estimator.FREE,
            config.temperature if temperature is None else temperature,
        )
        if self.schedule.temperature and not identity.thermal:
            raise CapabilityError(f"{identity.address} has no thermal noise: choose a sampler that needs none")
        self._warm = warm
        self._states: Array | None = None

    def __call__(self, noisy: Array, sigma: Array, seed: int = 0, labels: Labels | None = None) -> Array:
        """Denoise samples (n, d) at sigma (n,), as many at once as the device takes; (n, d)."""
        parts: list[Array] = []
        states: list[Array] = []
        for chunk in _chunks(len(noisy), self.device.identity.batch_limit):
            minibatch, _ = self.config.edm.minibatch(noisy[chunk], sigma[chunk])
            minibatch = with_labels(self.config, minibatch, None if labels is None else labels[chunk])
            if self._states is not None:
                minibatch = replace(minibatch, initial=self._states[chunk])
            outputs = self.device.run(minibatch, replace(self.schedule, seed=seed + len(parts))).outputs
            if self._warm:
                states.append(self.device.states()["free"])
            parts.append(self.config.edm.denoised(outputs, noisy[chunk], sigma[chunk]))
        self._states = np.concatenate(states) if states else None
        return np.concatenate(parts)


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))
