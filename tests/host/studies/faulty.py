"""Devices with a fault each, around a sound one: what the studies are there to catch."""

from dataclasses import replace

import numpy as np

from equipoise.substrate.interface import Substrate
from equipoise.substrate.phases import Estimator, Minibatch


class Faulty(Substrate):
    """Passes everything on to the device within; a fault changes one thing."""

    def __init__(self, within):
        self.within = within

    @property
    def identity(self):
        return replace(self.within.identity, address="faulty:", kind="faulty", uid=type(self).__name__)

    def configure(self, network):
        self.network = network
        self.within.configure(network)

    def write(self, parameters):
        self.within.write(parameters)

    def read(self):
        return self.within.read()

    def run(self, minibatch, schedule):
        return self.within.run(minibatch, schedule)

    def states(self):
        return self.within.states()

    def health(self):
        return self.within.health()

    def close(self):
        self.within.close()


class SignError(Faulty):
    """The nudge has the wrong sign: both nudged phases, and so the contrast, are turned round."""

    def run(self, minibatch, schedule):
        result = super().run(minibatch, schedule)
        if result.contrast is None:
            return result
        if schedule.estimator is Estimator.SYMMETRIC:
            return replace(result, contrast=result.contrast.map(np.negative))
        # One-sided at -beta is what makes the symmetric mean of +beta and -beta: 2 symmetric - one-sided, negated.
        both = self.within.run(minibatch, replace(schedule, estimator=Estimator.SYMMETRIC)).contrast
        return replace(result, contrast=result.contrast.map(lambda one, mean: one - 2 * mean, both))


class DeadZone(Faulty):
    """Nudges smaller than ``width`` do not move the states: the pull beta (target - s) of such an output is lost."""

    width = 1 / 32

    def run(self, minibatch, schedule):
        if minibatch.target is None or schedule.estimator is Estimator.FREE:
            return super().run(minibatch, schedule)
        settled = super().run(minibatch, replace(schedule, estimator=Estimator.FREE)).outputs
        # A target where the output is anyway pulls at nothing.
        felt = schedule.beta * np.abs(minibatch.target - settled) >= self.width
        target = np.where(felt, minibatch.target, settled)
        return super().run(Minibatch(minibatch.clamped, minibatch.levels, target), schedule)


class OneSided(Faulty):
    """Runs the one-sided estimator whichever is asked for."""

    def run(self, minibatch, schedule):
        if schedule.estimator is Estimator.SYMMETRIC:
            schedule = replace(schedule, estimator=Estimator.ONE_SIDED)
        return super().run(minibatch, schedule)


class Noisy(Faulty):
    """Adds read-out noise to every contrast: nothing is wrong, but there is not enough to go by."""

    deviation = 0.03

    def run(self, minibatch, schedule):
        result = super().run(minibatch, schedule)
        if result.contrast is None:
            return result
        rng = np.random.default_rng(int(schedule.beta * 2**14))
        size = self.deviation / (schedule.beta * np.sqrt(result.contrast.vector().size))
        return replace(result, contrast=result.contrast.map(lambda leaf: leaf + rng.normal(0, size, leaf.shape)))
