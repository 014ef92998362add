"""Training: minibatch, three phases on the device, update, write back; until the steps of the run are done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..drivers.analog.device import AnalogDevice
from ..substrate.errors import CalibrationError, CapabilityError, ForgottenError, RunError
from ..substrate.interface import Substrate
from ..substrate.learning import LEARN_BATCH_LIMIT, Learnt
from ..substrate.phases import Minibatch, Result, Schedule
from .analog import calibration_warning
from .audit import Auditor
from .auto_beta import Tuned, tune
from .baselines import REPORT_SIGMAS, baseline_errors
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .conditioning import drop_labels, with_labels
from .config import TrainConfig
from .data import Dataset, load_data
from .evaluation import denoising_errors, gradient_cosine
from .guidance import Beyond
from .images import save_arrays
from .learning import DeviceLearning
from .optimisers import Clipping, Moments, Optimiser, clip_gradient, clip_parameters
from .random import device_seed, generator
from .run import Run
from .sampler import sample
from .start import check_data, start_parameters
from .supervision import Supervised

__all__ = ["Progress", "prepare", "train"]

Array = NDArray[np.float64]

_RESIDUAL_WARNING = 1.0
"""Residual over beta above which the free phase is too short for beta: its drift counts for more than the nudge."""

_FORGOTTEN_LIMIT = 10
"""So often may a device forget what it has learned since the same checkpoint before it is given up."""

_SAME_DEVICE = ("kind", "uid", "build")
"""What of an identity must be the same for a resumed run to be the uninterrupted one."""

_SHOWN_SAMPLES = {True: 30, False: 1000}
"""Samples generated at the end: of images, and of points."""

_ANALOG_SAMPLES, _ANALOG_TEST = 32, 128
"""The most on an analog board, which works on one after the other; and the most that are held out there."""


class Progress:
    """Who is told how training goes: nobody, unless a subclass listens."""

    def begin(self, total: int, first: int) -> None:
        """Training of ``total`` steps begins at step ``first``."""

    def step(self, record: dict[str, Any]) -> None:
        """A step was done; its metrics."""

    def evaluation(self, record: dict[str, Any]) -> None:
        """An evaluation was done; its metrics."""

    def tuned(self, record: dict[str, Any]) -> None:
        """Beta was measured; what came out."""

    def warning(self, message: str) -> None:
        """Something is worth a look."""

    def end(self) -> None:
        """Training has ended."""


def train(run: Run, device: Substrate, progress: Progress) -> dict[str, Any]:
    """Train a run to its end, from its newest checkpoint if it has one.

    On a deterministic device the result is the same, bit for bit, however often the run was interrupted: data order,
    noise and device seeds depend on the run's seed and the step alone. Ctrl-C ends it at once: the step under
    way is dropped, and the one before is in a checkpoint.

    Returns
    -------
    dict
        What the command line reports: step, errors, baselines, seconds, interrupted.

    Raises
    ------
    EquipoiseError
        If data, device or run directory fail. What was reached is in the run's checkpoints.
    """
    with run.locked():
        training = _Training(run, device, progress)
        try:
            return training.go_on()
        finally:
            progress.end()


def prepare(config: TrainConfig, device: Substrate) -> Dataset:
    """Load the data, and configure the device; nothing is written to a disk before this has gone well.

    Raises
    ------
    EquipoiseError
        If data, network, minibatch and device do not fit each other.
    """
    data = load_data(config.data)
    check_data(config, data)
    device.configure(config.network)
    limit = device.identity.batch_limit
    if config.update == "device":
        if not device.identity.learns:
            raise device.cannot_learn()
        limit = min(limit, LEARN_BATCH_LIMIT)
    if config.batch > limit:
        raise CapabilityError(f"batch {config.batch} is more than this device takes at once ({limit}): lower it")
    return data


class _Training:
    def __init__(self, run: Run, device: Substrate, progress: Progress) -> None:
        self.run, self.device, self.progress = run, device, progress
        self.config: TrainConfig = run.config
        data = prepare(self.config, device)
        self.digest = data.digest
        self.data: Dataset = _fewer(data) if device.identity.kind == "analog" else data
        self.optimiser = Optimiser(self.config, self.config.network)
        self.auditor = Auditor(self.config, device.identity)
        self.learning = DeviceLearning(self.config, device, self.auditor) if self.config.update == "device" else None
        self.seconds = {"device": 0.0, "link": 0.0, "host": 0.0}
        self.warned = False
        self.reached = self._begin()
        if warning := calibration_warning(device.identity):
            self._warn(warning, self.reached.step)
        if isinstance(device, Supervised | AnalogDevice):
            device.listener = lambda message: self._warn(message, self.reached.step)

    def _begin(self) -> Checkpoint:
        checkpoint, damaged = load_checkpoint(self.run)
        for message in damaged:
            self._warn(message, checkpoint.step if checkpoint else 0)
        begun_on = self.run.device()
        self.run.record_device(self.device.identity)
        if checkpoint is None:
            self.run.forget_after(-1)
            measured = baseline_errors(self.data)
            self.run.log("baselines", data=self.digest, sigmas=list(REPORT_SIGMAS), **measured)
            parameters, _ = clip_parameters(start_parameters(self.config, self.data))
            return Checkpoint(parameters, parameters, Moments.zeros(self.optimiser.size))
        self.run.forget_after(checkpoint.step)
        if any(r["kind"] == "baselines" and r["data"] != self.digest for r in self.run.metrics()):
            raise RunError(
                f"Data set '{self.config.data}' is another than '{self.run.path}' was begun with: "
                "put the old one back, or begin a new run"
            )
        now = asdict(self.device.identity)
        self.run.log(
            "resumed",
            step=checkpoint.step,
            update=self.config.update,
            device={name: now[name] for name in _SAME_DEVICE},
        )
        if any(begun_on.get(name, now[name]) != now[name] for name in _SAME_DEVICE):
            begun, here = (" ".join(str(device.get(name)) for name in _SAME_DEVICE) for device in (begun_on, now))
            self._warn(
                f"begun on {begun}, resumed on {here}: the result need not be that of an uninterrupted run",
                checkpoint.step,
            )
        return checkpoint

    def go_on(self) -> dict[str, Any]:
        config, first = self.config, self.reached.step
        self.progress.begin(config.steps, first)
        interrupted = False
        try:
            if self._lacks_evaluation():
                self._evaluate()
            if self.learning is not None:
                self._learn(self.learning)
            for chosen in self._batches(self.reached.step):
                # A step is taken by this one assignment: wherever Ctrl-C falls, what is saved belongs together.
                self.reached, record = self._step(chosen)
                self.progress.step(record)
                step = self.reached.step
                if step % config.checkpoint_every == 0 or step == config.steps:
                    save_checkpoint(self.run, self.reached)
                if self._is_evaluated(step):
                    self._evaluate()
            self._sample()
            self._check()
        except KeyboardInterrupt:
            interrupted = True
            save_checkpoint(self.run, self.reached)
        except CalibrationError as error:
            self.run.log("warning", step=self.reached.step, message=f"training ended: {error}")
            raise
        kind = "interrupted" if interrupted else "finished"
        self.run.log(kind, step=self.reached.step, seconds=self.seconds)
        return self._summary(interrupted)

    def _learn(self, learning: DeviceLearning) -> None:
        """Have the device learn to the end; from the last checkpoint again whenever it has forgotten.

        What was reached is a checkpoint here, not the last step: only those are known to the last bit.
        """
        begun, times = -1, 0
        while self.reached.step < self.config.steps:
            first = self.reached.step
            begun, times = first, times + 1 if first == begun else 1
            try:
                learning.begin(self.reached)
                for step, chosen in enumerate(self._batches(first), first):
                    self._learn_step(learning, step, chosen)
                    if (step + 1) % self.config.checkpoint_every == 0 or self._is_evaluated(step + 1):
                        begin = perf_counter()
                        self.reached = learning.collect(step + 1, self.reached)
                        self.seconds["link"] += perf_counter() - begin
                        save_checkpoint(self.run, self.reached)
                    if self._is_evaluated(step + 1):
                        self._evaluate()
                        learning.begin(self.reached)
            except ForgottenError as error:
                if times == _FORGOTTEN_LIMIT:
                    raise
                self.run.forget_after(self.reached.step)
                self._warn(f"{error}; goes on from the checkpoint of step {self.reached.step}", self.reached.step)

    def _learn_step(self, learning: DeviceLearning, step: int, chosen: NDArray[np.int64]) -> None:
        """One step of a device that learns; its metrics are known where its outputs are read."""
        begin = perf_counter()
        minibatch, clipped_samples = self._minibatch(chosen, step)
        schedule = self.config.schedule(device_seed(self.config.seed, "device", step))
        prepared = perf_counter()
        learnt, audited = learning.step(step, minibatch, schedule)
        end = perf_counter()
        if audited:
            self.run.log("audit", step=step + 1)
        spent = {"device": learnt.seconds.get("device", end - prepared), "link": learnt.seconds.get("link", 0.0)}
        spent["host"] = end - begin - spent["device"] - spent["link"]
        for part, seconds in spent.items():
            self.seconds[part] += seconds
        if learnt.outputs is None or minibatch.target is None:
            return
        loss = 0.5 * float(np.mean(np.sum((learnt.outputs - minibatch.target) ** 2, axis=1)))
        clipping = Clipping(False, learnt.clips.parameter)
        record = self._record(
            step + 1, learnt, loss, clipping, clipped_samples, spent, schedule.beta, full_steps=learnt.clips.step
        )
        self.progress.step(record)
        self._watch(step + 1, learnt, schedule.beta)

    def _is_evaluated(self, step: int) -> bool:
        return step % self.config.evaluate_every == 0 or step == self.config.steps

    def _lacks_evaluation(self) -> bool:
        """Whether the run was cut off between a checkpoint and the evaluation that belongs to it."""
        step = self.reached.step
        found = any(record["kind"] == "evaluation" and record["step"] == step for record in self.run.metrics())
        return self._is_evaluated(step) and not found

    def _batches(self, first: int) -> Iterator[NDArray[np.int64]]:
        """Numbers (B,) of the training samples of each step from ``first`` on, each epoch in an order of its own."""
        train, batch = self.data.train, self.config.batch
        epoch, order = -1, np.zeros(0, np.int64)
        for step in range(first, self.config.steps):
            places = np.arange(step * batch, (step + 1) * batch)
            chosen = np.empty(batch, np.int64)
            for number in np.unique(places // len(train)):
                if number != epoch:
                    epoch = int(number)
                    order = generator(self.config.seed, "order", epoch).permutation(len(train))
                here = places // len(train) == number
                chosen[here] = order[places[here] % len(train)]
            yield chosen

    def _step(self, chosen: NDArray[np.int64]) -> tuple[Checkpoint, dict[str, Any]]:
        """One step: from what was reached to what comes next, and its metrics."""
        config, reached, step = self.config, self.reached, self.reached.step
        tuned = self._tune()
        begin = perf_counter()
        minibatch, clipped_samples = self._minibatch(chosen, step)
        target = minibatch.target
        schedule = _tuned(config, tuned).schedule(device_seed(config.seed, "device", step))
        result, spent = self._run(minibatch, schedule)
        if self.auditor.due(step + 1):
            self.auditor.compare(step + 1, reached.parameters, minibatch, schedule, result)
            self.run.log("audit", step=step + 1)
        assert result.contrast is not None and target is not None  # TrainConfig allows no estimator without
        direction, norm, clipped = clip_gradient(result.contrast, config.clip)
        updated, moments = self.optimiser.update(reached.parameters, direction, reached.moments)
        parameters, clipped_parameters = clip_parameters(updated)
        average = parameters
        if config.average:
            decay = min(config.average, (step + 1) / (step + 10))
            average = reached.average.map(lambda old, new: decay * old + (1 - decay) * new, parameters)
        loss = 0.5 * float(np.mean(np.sum((result.outputs - target) ** 2, axis=1)))
        spent["host"] = perf_counter() - begin - spent["device"] - spent["link"]
        for part, seconds in spent.items():
            self.seconds[part] += seconds
        clipping = Clipping(clipped, clipped_parameters)
        record = self._record(
            step + 1, result, loss, clipping, clipped_samples, spent, schedule.beta, gradient_norm=norm
        )
        self._watch(step + 1, result, schedule.beta)
        return Checkpoint(parameters, average, moments, tuned and tuned.after(loss)), record

    def _minibatch(self, chosen: NDArray[np.int64], step: int) -> tuple[Minibatch, int]:
        """What a step shows the device of some training samples, and how many numbers had to be clipped."""
        config, clean = self.config, self.data.train[chosen]
        rng = generator(config.seed, "noise", step)
        sigma = config.edm.draw(rng, len(clean))
        noisy = clean + sigma[:, None] * rng.normal(size=clean.shape)
        minibatch, clipped = config.edm.minibatch(noisy, sigma, clean)
        labels = None if self.data.train_labels is None else self.data.train_labels[chosen]
        return with_labels(config, minibatch, drop_labels(config, labels, step)), clipped

    def _tune(self) -> Tuned | None:
        """What beta to use: measured, where that is asked for, before the first step and where it is due again."""
        tuned = self.reached.tuned
        if not self.config.auto_beta or (tuned is not None and not tuned.due):
            return tuned
        self.device.write(self.reached.parameters)
        tuned, measured = tune(self.device, self.config, self.data, self.reached.step)
        # Of the step it is first used in: a run resumed before that measures again.
        self.progress.tuned(self.run.log("operating-point", step=self.reached.step + 1, **measured))
        return tuned

    def _run(self, minibatch: Minibatch, schedule: Schedule) -> tuple[Result, dict[str, float]]:
        """Write the parameters and run; the wall time on the device and on the link."""
        begin = perf_counter()
        self.device.write(self.reached.parameters)
        written = perf_counter()
        result = self.device.run(minibatch, schedule)
        end = perf_counter()
        on_device = result.seconds.get("device", end - begin)
        on_link = result.seconds["link"] + written - begin if "link" in result.seconds else 0.0
        return result, {"device": on_device, "link": on_link}

    def _record(
        self, step: int, result: Result | Learnt, loss: float, clipping: Clipping, samples: int,
        spent: dict[str, float], beta: float, **more: float,
    ) -> dict[str, Any]:  # fmt: skip
        return self.run.log(
            "step",
            step=step,
            loss=loss,
            beta=beta,
            residual=result.residual,
            **more,
            clipped={**asdict(clipping), "samples": samples},
            saturations=asdict(result.saturations),
            cycles=result.cycles,
            relax_cycles=result.relax_cycles,
            relax_steps=result.relax_steps,
            seconds=spent,
        )

    def _watch(self, step: int, result: Result | Learnt, beta: float) -> None:
        """Warn, once, when the free phase is too short for beta.

        Not where neurons rest at their rails: what pushes them there is in a device's residual too.
        """
        if self.config.network.railed.any():
            return
        ratio = result.residual / beta
        if ratio > _RESIDUAL_WARNING and not self.warned:
            self.warned = True
            self._warn(
                f"the free phase ends at |ds/dt| = {result.residual:.2g}, {ratio:.1f} times beta: "
                "give it more free_steps, or a larger beta",
                step,
            )

    def _warn(self, message: str, step: int) -> None:
        self.run.log("warning", step=step, message=message)
        self.progress.warning(message)

    def _evaluate(self) -> None:
        step = self.reached.step
        self.device.write(self.reached.average)
        errors, images = denoising_errors(self.device, self.config, self.data, step)
        cosine = gradient_cosine(self.device, _tuned(self.config, self.reached.tuned), self.data, step)
        save_arrays(self.run, "images.npz", images)
        record = self.run.log("evaluation", step=step, sigmas=list(REPORT_SIGMAS), error=errors, cosine=cosine)
        self.progress.evaluation(record)
        self.run.log("health", step=step, **self.device.health())

    def _sample(self) -> None:
        self.device.write(self.reached.average)
        count = _SHOWN_SAMPLES[len(self.data.shape) > 1]
        if self.device.identity.kind == "analog":
            count = min(count, _ANALOG_SAMPLES)
        labels = np.arange(count) % self.config.classes if self.config.classes else None
        size = self.data.train.shape[1]
        beyond = Beyond(self.data.train, self.config.beyond)
        samples = sample(self.device, self.config, count, size, seed=self.config.seed, labels=labels, beyond=beyond)
        save_arrays(self.run, "samples.npz", {"samples": self.data.original(samples)})

    def _check(self) -> None:
        """Hold an analog board against its calibration at the end, too: it may have drifted since the last check."""
        if not isinstance(self.device, AnalogDevice):
            return
        try:
            self.device.check()
        except CalibrationError as error:
            self._warn(f"the last steps may be spoilt: {error}", self.reached.step)
        self.run.log("health", step=self.reached.step, **self.device.health())

    def _summary(self, interrupted: bool) -> dict[str, Any]:
        records = self.run.metrics()
        baselines = next(r for r in records if r["kind"] == "baselines")
        evaluations = [r for r in records if r["kind"] == "evaluation"]
        return {
            "run": str(self.run.path),
            "step": self.reached.step,
            "interrupted": interrupted,
            "sigmas": list(REPORT_SIGMAS),
            "error": evaluations[-1]["error"] if evaluations else None,
            "first_error": evaluations[0]["error"] if evaluations else None,
            "cosine": evaluations[-1]["cosine"] if evaluations else None,
            "baselines": {name: baselines[name] for name in ("wiener", "identity", "mean")},
            "seconds": self.seconds,
        }


def _fewer(data: Dataset) -> Dataset:
    """``data`` with so few samples held out that an analog board gets through them: for baselines, too."""
    labels = None if data.test_labels is None else data.test_labels[:_ANALOG_TEST]
    return replace(data, test=data.test[:_ANALOG_TEST], test_labels=labels)


def _tuned(config: TrainConfig, tuned: Tuned | None) -> TrainConfig:
    """The configuration, with the beta that was measured, if one was."""
    return replace(config, beta=tuned.beta) if tuned else config
