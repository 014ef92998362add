"""Configuration of a training run: everything that decides its result, in one object that a file can hold."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from typing import Any, Self

from ..substrate.errors import RunError
from ..substrate.network import Network
from ..substrate.phases import Estimator, Schedule
from ..substrate.toml import network_from_toml, network_to_toml
from .edm import Edm

__all__ = ["TrainConfig"]


_LATER = (
    *("label", "label_drop", "rate_by_size", "beyond"),
    *("update", "update_rate", "update_soft", "update_momentum", "weight_decay"),
)
"""Fields that runs of the first version do not have."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Attributes
    ----------
    recipe
        Name of the recipe that it began with.
    data
        Data set: a name, or a file.
    network
        The network; one clamped module takes the noisy sample.
    start
        Parameters to begin with: ``random``, a ``.safetensors`` file, or ``wiener`` (the clamped module's coupling to
        the output is the best linear filter of the training data, hidden modules are driven where they bend, all else
        is random).
    edm
        Preconditioning and noise levels.
    steps, batch
        Optimiser steps, and samples of each.
    seed
        Of everything random: initial parameters, data order, noise, the device's noise.
    estimator, free_steps, nudged_steps, beta, temperature
        The schedule of the phases.
    auto_beta
        Whether beta is measured, before the first step and as the loss falls; ``beta`` then only serves before that.
    optimiser
        ``adam``, ``momentum`` or ``sgd``.
    learning_rate, gain_rate, bias_rate
        Step size for U and V; and what it is multiplied by for gains and for biases.
    rate_by_size
        Whether the step size of weights at a module's end is also multiplied by outputs / neurons of the module: the
        more neurons drive a bus together, the less each should move it.
    warm_up
        Steps over which the rate rises; afterwards it falls to a hundredth along a cosine.
    clip
        Largest norm of the gradient; 0 turns clipping off.
    average
        Decay of the moving average of the parameters that is evaluated and sampled from; 0 turns it off.
    evaluate_every, checkpoint_every
        In steps.
    label
        Name of the clamped module that takes a sample's label, one neuron for each class; empty where there is none.
    label_drop
        Share of the samples whose label is left out, so that the network also learns to do without.
    beyond
        How far samplers go beyond the linear filter (:class:`Beyond`), unless told otherwise; 1 is the network's own.
    update
        Who changes the parameters: ``host``, by ``optimiser``; or ``device``, by a rule of its own (docs/learning.md).
        A run can be resumed with the other.
    update_rate
        Longest step of a parameter that the device changes, as a part of the learning rate.
    update_soft
        Contrast from which on its steps are the longest ones.
    update_momentum
        Its moving average of the contrast loses one part in 2**update_momentum a step; 0 does without.
    weight_decay
        Part of each weight that a step of either takes away, times the learning rate (and, on the device, the
        update rate).
    """

    recipe: str
    data: str
    network: Network
    start: str = "random"
    edm: Edm = field(default_factory=Edm)
    steps: int = 1000
    batch: int = 32
    seed: int = 0
    estimator: Estimator = Estimator.SYMMETRIC
    free_steps: int = 60
    nudged_steps: int = 24
    beta: float = 1 / 16
    temperature: float = 0.0
    auto_beta: bool = False
    optimiser: str = "adam"
    learning_rate: float = 3e-3
    gain_rate: float = 1.0
    bias_rate: float = 1.0
    rate_by_size: bool = False
    warm_up: int = 20
    clip: float = 0.0
    average: float = 0.0
    evaluate_every: int = 100
    checkpoint_every: int = 100
    label: str = ""
    label_drop: float = 0.1
    beyond: float = 1.0
    update: str = "host"
    update_rate: float = 0.5
    update_soft: float = 0.003
    update_momentum: int = 3
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise RunError(f"{name} of a training run must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "gain_rate", "bias_rate", "clip", "update_rate", "update_soft", "weight_decay"):
            value = getattr(self, name)
            if not isfinite(value) or value < 0:
                raise RunError(f"{name} of a training run must be finite and at least 0, not {value}")
        if not 0 <= self.average < 1:
            raise RunError(f"average of a training run must be at least 0 and below 1, not {self.average}")
        if self.optimiser not in (choices := ("adam", "momentum", "sgd")):
            raise RunError(f"optimiser of a training run must be one of {', '.join(choices)}, not {self.optimiser}")
        if self.start not in ("random", "wiener") and not self.start.endswith(".safetensors"):
            raise RunError(f"start of a training run must be random, wiener or a .safetensors file, not {self.start}")
        if self.label and self.label not in (names := [module.name for module in self.network if module.clamped]):
            raise RunError(f"label of a training run must name one of the clamped modules {names}, not '{self.label}'")
        if not 0 <= self.label_drop <= 1:
            raise RunError(f"label_drop of a training run must be from 0 to 1, not {self.label_drop}")
        if not isfinite(self.beyond) or self.beyond < 0:
            raise RunError(f"beyond of a training run must be finite and at least 0, not {self.beyond}")
        if self.estimator is Estimator.FREE:
            raise RunError("estimator of a training run must be symmetric or one-sided, not free: it gives no contrast")
        if self.update not in ("host", "device"):
            raise RunError(f"update of a training run must be host or device, not {self.update}")
        if self.update_momentum not in range(8):
            raise RunError(f"update_momentum of a training run must be from 0 to 7, not {self.update_momentum}")
        if self.update == "device" and (self.auto_beta or self.clip):
            raise RunError(
                "A device that changes its parameters itself shows nobody its contrasts: give beta a number and clip 0"
            )
        self.schedule(0).check(self.network)

    @property
    def classes(self) -> int:
        """Number of classes that a label tells apart; 0 where there are no labels."""
        return self.network[self.label].size if self.label else 0

    def schedule(self, seed: int) -> Schedule:
        """The phases of a step, with the device's noise seed."""
        return Schedule(self.free_steps, self.nudged_steps, self.beta, self.estimator, self.temperature, seed)

    def to_json(self) -> dict[str, Any]:
        """JSON values; the network as TOML.

        What came later is left out where it changes nothing: a run from before then keeps its digest.
        """
        values = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in _LATER or getattr(self, item.name) != item.default
        }
        return values | {"network": network_to_toml(self.network), "edm": asdict(self.edm)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read :meth:`to_json`'s values.

        Raises
        ------
        RunError
            If a value is missing, unknown or out of range.
        """
        try:
            made = dict(values)
            made["network"] = network_from_toml(made["network"])
            made["edm"] = Edm(**made["edm"])
            made["estimator"] = Estimator(made["estimator"])
            return cls(**made)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"The run's configuration is not one of this version ({error})") from None
