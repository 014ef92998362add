"""Training where the device changes its parameters itself: by what rule, and how its memory and checkpoints meet."""

from __future__ import annotations

from dataclasses import replace

from ..substrate.interface import Substrate
from ..substrate.learning import Learnt, Memory, Rule
from ..substrate.phases import Minibatch, Schedule
from .audit import Auditor
from .checkpoint import Checkpoint
from .config import TrainConfig
from .optimisers import Moments, learning_rate

__all__ = ["OUTPUTS_EVERY", "DeviceLearning", "step_rule"]

OUTPUTS_EVERY = 10
"""Steps from one whose outputs are read, and whose loss is known, to the next."""


def step_rule(config: TrainConfig, step: int) -> Rule:
    """The rule of a step, counted from 0: rates follow the same warm-up and cosine as those of the host."""
    network = config.network
    rate = config.update_rate * learning_rate(config, step)
    shares = [network.outputs / module.size if config.rate_by_size else 1.0 for module in network]
    return Rule(
        tuple(rate * share for share in shares),
        rate * config.gain_rate,
        rate * config.bias_rate,
        config.update_soft,
        config.update_momentum,
        rate * config.weight_decay,
    )


class DeviceLearning:
    """A device that learns, from one checkpoint to the next.

    Parameters
    ----------
    config
        What is trained.
    device
        The device.
    auditor
        Compares the first step after a checkpoint with the golden model.
    """

    def __init__(self, config: TrainConfig, device: Substrate, auditor: Auditor) -> None:
        self._config, self._device, self._auditor = config, device, auditor
        self._known: Memory | None = None

    def begin(self, checkpoint: Checkpoint) -> None:
        """Load what a checkpoint holds. After steps of the host the device has its parameters, and no momentum."""
        memory = Memory.of(self._config.network, checkpoint.parameters)
        if checkpoint.momentum is not None:
            memory = replace(memory, momentum=checkpoint.momentum)
        self._device.restore(memory)
        self._known = memory

    def step(self, step: int, minibatch: Minibatch, schedule: Schedule) -> tuple[Learnt, bool]:
        """Have the device learn from a minibatch, and whether that was audited."""
        rule = step_rule(self._config, step)
        known, self._known = self._known, None
        audited = known is not None and self._auditor.due_to_learn(step + 1)
        outputs = audited or (step + 1) % OUTPUTS_EVERY == 0 or step + 1 == self._config.steps
        learnt = self._device.learn(minibatch, schedule, rule, outputs=outputs)
        if audited and known is not None:
            self._auditor.compare_learnt(step + 1, known, minibatch, schedule, rule, learnt, self._device)
        return learnt, audited

    def collect(self, step: int, before: Checkpoint) -> Checkpoint:
        """Read what the device holds after ``step`` steps.

        The moving average takes the parameters in as if they had been these since the checkpoint ``before``.
        """
        memory = self._known = self._device.memory()
        parameters = memory.parameters(self._config.network)
        average = parameters
        if self._config.average:
            decay = min(self._config.average ** (step - before.step), step / (step + 9))
            average = before.average.map(lambda old, new: decay * old + (1 - decay) * new, parameters)
        moments = Moments.zeros(len(memory.fine), step)
        return Checkpoint(parameters, average, moments, None, memory.momentum)
