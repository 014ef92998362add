"""Layout: which neuron and channel of a board does what for a network, and in which units."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...substrate.energy import force
from ...substrate.errors import CapabilityError, ParameterError
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Minibatch
from .board import Drive, Limits, Wiring

__all__ = ["Layout"]

Array = NDArray[np.float64]

EQUAL = 1e-9
"""Relative difference up to which stiffnesses, or quartics, count as equal."""


class Layout:
    """A network on a board: neurons in network order on the board's first neurons, couplings on its first channels.

    The board's stiffness and quartic are fixed by its parts, a network's are not, so there are two scales. Forces are
    multiplied by ``force = stiffness of the board / stiffness of the network``, which only changes how long relaxation
    takes. A state of 1 is ``volts = sqrt(force * quartic of the network / quartic of the board)``, which makes the
    cubic terms agree. A weight stays what it is; a drive gain and beta are times ``force``; a bias is times both.

    Attributes
    ----------
    network
        The network.
    volts
        Volts of a state of 1.
    force
        Factor on all forces.

    Raises
    ------
    CapabilityError
        If the board has too few neurons or channels, if no scale gives the network's stiffness and quartic, or if
        neurons are to reach their rails.
    """

    def __init__(self, network: Network, limits: Limits) -> None:
        self.network, self._limits = network, limits
        if railed := [module.name for module in network if module.railed and not module.clamped]:
            raise CapabilityError(
                f"Module '{railed[0]}' is to reach its rails, which a board takes for an overload: "
                "leave out railed, and set quartic above 0"
            )
        channels = sum(coupling.rank for coupling in network.couplings)
        for what, need, have in (
            ("neurons", network.neurons, limits.neurons),
            ("rank channels", channels, limits.channels),
        ):
            if need > have:
                raise CapabilityError(f"The board has {have} {what}, the network needs {need}: take a smaller network")
        stiffness, quartic = _one(network, "stiffness"), _one(network, "quartic")
        if stiffness <= 0 or limits.stiffness <= 0 or (quartic > 0) != (limits.quartic > 0):
            raise CapabilityError(
                f"The board's neurons have stiffness {limits.stiffness:g} and quartic {limits.quartic:g} /V^2, and no "
                f"scale gives a network's {stiffness:g} and {quartic:g}: "
                f"set stiffness above 0 and quartic {'above' if limits.quartic > 0 else 'to'} 0"
            )
        self.force = limits.stiffness / stiffness
        # Without cubic terms every scale will do: the one that makes the board's range the devices' usual +-4.
        self.volts = float(np.sqrt(self.force * quartic / limits.quartic)) if quartic else limits.volts / 4
        ends = np.cumsum([0, *(coupling.rank for coupling in network.couplings)])
        self._channels = [slice(int(a), int(b)) for a, b in pairwise(ends)]

    def check(self, parameters: Parameters) -> None:
        """Raise :class:`ParameterError` if a parameter is beyond what the board can be told, naming it."""
        parameters.check(self.network)
        limits, network = self._limits, self.network
        for index, coupling in enumerate(network.couplings):
            for what, values, most in (
                ("U", parameters.U[index], limits.weight),
                ("V", parameters.V[index], limits.weight),
                ("Gain", parameters.gain[index], limits.gain / self.force),
            ):
                _within(f"{what} of coupling '{coupling}'", values, most)
        for name, part in network.slices.items():
            _within(f"Bias of module '{name}'", parameters.bias[:, part], limits.bias / (self.force * self.volts))

    def wiring(self, parameters: Parameters) -> Wiring:
        """Weights and switches. Neurons that the network has no use for are clamped, to 0 V."""
        network, limits = self.network, self._limits
        a, b = np.zeros((2, limits.neurons, limits.channels))
        for coupling, channels, u, v in zip(network.couplings, self._channels, parameters.U, parameters.V, strict=True):
            a[network.slices[coupling.a], channels] = u
            b[network.slices[coupling.b], channels] = v
        clamped, output = np.ones(limits.neurons, dtype=bool), np.zeros(limits.neurons, dtype=bool)
        clamped[: network.neurons] = network.clamped
        output[network.slices[network.output]] = True
        return Wiring(a, b, clamped, output)

    def hold(self, minibatch: Minibatch) -> tuple[Minibatch, int]:
        """``minibatch`` with clamped values and targets held within the board's range, and how many had to be."""
        most = self._limits.volts / self.volts
        arrays = [minibatch.clamped] if minibatch.target is None else [minibatch.clamped, minibatch.target]
        count = sum(int((np.abs(array) > most).sum()) for array in arrays)
        held = [np.clip(array, -most, most) for array in arrays]
        return replace(minibatch, clamped=held[0], target=held[1] if len(held) > 1 else None), count

    def drive(self, parameters: Parameters, minibatch: Minibatch, sample: int, averages: int) -> Drive:
        """What a sample's free phase is run with."""
        network, limits = self.network, self._limits
        level = minibatch.levels[sample]
        bias, clamp, target = np.zeros((3, limits.neurons))
        gain = np.zeros(limits.channels)
        bias[: network.neurons] = parameters.bias[level] * (self.force * self.volts)
        clamp[: network.neurons][network.clamped] = minibatch.clamped[sample] * self.volts
        if minibatch.target is not None:
            target[network.slices[network.output]] = minibatch.target[sample] * self.volts
        for channels, gains in zip(self._channels, parameters.gain, strict=True):
            gain[channels] = gains[level] * self.force
        return Drive(bias, clamp, target, drive_a=gain, drive_b=gain.copy(), averages=averages)

    def nudged(self, drive: Drive, beta: float, *, restart: bool) -> Drive:
        """``drive`` with the nudge of a phase.

        Raises
        ------
        CapabilityError
            If the board's nudge does not reach so far.
        """
        nudge = beta * self.force
        if abs(nudge) > self._limits.nudge:
            raise CapabilityError(
                f"Beta must be at most {self._limits.nudge / self.force:g} on this board, not {abs(beta):g}"
            )
        return replace(drive, nudge=nudge, restart=restart)

    def states(self, volts: Array) -> Array:
        """States (N,) of the network, from voltages of all neurons of the board."""
        return volts[: self.network.neurons] / self.volts

    def spread(self, states: Array) -> Array:
        """Voltages (N,) of all neurons of the board, from states of the network; 0 where it has none."""
        volts = np.zeros(self._limits.neurons)
        volts[: self.network.neurons] = states * self.volts
        return volts

    def residual(self, parameters: Parameters, states: Array, minibatch: Minibatch) -> float:
        """Mean |force| on free neurons at ``states`` (B, N)."""
        left = force(self.network, parameters, states, minibatch.levels)
        return float(np.abs(left[:, ~self.network.clamped]).mean())

    def names(self, mask: NDArray[np.bool_]) -> str:
        """Those neurons of the network that are in ``mask``, as ``neuron 5 (image[1])``; empty if there are none."""
        found = []
        for name, part in self.network.slices.items():
            found += [f"neuron {i} ({name}[{i - part.start}])" for i in range(part.start, part.stop) if mask[i]]
        return ", ".join(found)


def _one(network: Network, term: str) -> float:
    """The value of ``term`` that all free neurons have."""
    values = getattr(network, term)[~network.clamped]
    if np.ptp(values) > EQUAL * np.abs(values).max():
        raise CapabilityError(
            f"All neurons of a board have one {term}, the network's have {values.min():g} to {values.max():g}: "
            f"give all modules that are not clamped the same {term}"
        )
    return float(values[0])


def _within(what: str, values: Array, most: float) -> None:
    wrong = np.abs(values) > most
    if np.any(wrong):
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise ParameterError(
            f"{what} must be within +-{most:g} on this board, not {values[row, column]:g} at ({row}, {column})"
        )
