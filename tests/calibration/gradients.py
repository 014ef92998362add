"""Gradients of a virtual board with 6 neurons and 3 channels, against those of its own loss."""

from dataclasses import replace

import numpy as np

from equipoise.drivers.analog.device import AnalogDevice
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.phases import Minibatch, Schedule

NETWORK = Network(
    (Module("x", 2, clamped=True), Module("h", 2), Module("y", 2)), (Coupling("x", "h", 1), Coupling("h", "y", 2)), "y"
)


def gradient_error(one, correction, away=0.05):
    """One minus the cosine of the gradient for biases to that of the board's own loss ``away`` volts from it."""
    rng = np.random.default_rng(3)
    parameters = Parameters.random(NETWORK, rng)
    parameters.bias[:, ~NETWORK.clamped] = 0.3 * rng.standard_normal((1, 4))
    device = AnalogDevice(one, correction, address="test:", averages=1000)
    device.configure(NETWORK)
    device.write(parameters)
    inputs = rng.standard_normal((3, 2))
    nowhere = Minibatch(inputs, np.zeros(3, int), np.zeros((3, 2)))
    device.run(nowhere, Schedule(beta=1 / 4))  # feels the temperature
    layout = device._layout

    def settled(moved):
        drives = (layout.nudged(layout.drive(moved, nowhere, j, 1), 0.0, restart=True) for j in range(3))
        return np.array([one.exact(correction.drive(drive))[4:] for drive in drives])

    minibatch = replace(nowhere, target=settled(parameters) + away * rng.choice([-1, 1], (3, 2)))
    given, own = device.run(minibatch, Schedule(beta=1 / 4)).contrast.bias[0], np.zeros(6)
    for i in range(2, 6):
        losses = []
        for step in (-1e-4, 1e-4):
            moved = parameters.map(np.copy)
            moved.bias[0, i] += step
            losses.append(0.5 * np.sum((settled(moved) - minibatch.target) ** 2) / 3)
        own[i] = (losses[0] - losses[1]) / 2e-4
    return 1 - given @ own / np.linalg.norm(given) / np.linalg.norm(own), device
