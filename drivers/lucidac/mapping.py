"""Mapping: the circuit that computes a network with given parameters, of one sample and one phase.

Network states are ``scale`` times machine units, and time is stretched so that leaks stay on lanes without the factor
ten: neuron i, at integrator x_i = s_i / scale, follows ::

    dx_i/dt = k0 pace ( (bias_i + nudge target_i) / scale - (stiffness_i + nudge) x_i - quartic_i scale^2 x_i^3
                        + sum_j W_ij x_j ),      pace = 1 / max(1, stiffness_i + beta, quartic_i scale^2 / 10)

where bias holds what the clamped modules push, and W = U diag(gain) V^T and its transpose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...substrate.errors import DataError, ParameterError
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from .circuit import CHANNELS, CONSTANT, FAST, INTEGRATORS, LARGEST, Circuit, Lane, multiplier, multiplier_inputs
from .plan import Action, Plan, plan

__all__ = ["Mapping", "Phase"]

Array = NDArray[np.float64]

FOLLOW = LARGEST
"""Rate, in units of k0, at which an integrator that is a bus follows its sum: as fast as a lane can make it."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of one sample.

    Attributes
    ----------
    nudge
        0, beta or -beta.
    initial
        Where the integrators in use begin, (plan.integrators,) in machine units.
    """

    nudge: float
    initial: Array


class Mapping:
    """A network on a LUCIDAC.

    Parameters
    ----------
    network
        The network.
    scale
        Network units of a machine unit, above 0: states may be within +-scale.

    Raises
    ------
    CapabilityError
        If the network does not fit, naming the limit and the need.
    """

    def __init__(self, network: Network, scale: float) -> None:
        self.network, self.scale = network, scale
        self.plan: Plan = plan(network)
        self.channels = next(channels for channels in CHANNELS if channels >= self.plan.integrators)
        self._stiffness = network.stiffness[self.plan.neurons]
        self._quartic = network.quartic[self.plan.neurons]
        output = np.zeros(network.neurons, dtype=bool)
        output[network.slices[network.output]] = True
        self._output = output[self.plan.neurons]
        self._cubic = self._quartic * scale**2

    def pace(self, beta: float) -> float:
        """Network time per 1/k0, at most 1; the same for all phases of a run with ``beta``."""
        return float(1 / max(1.0, (self._stiffness + beta * self._output).max(), self._cubic.max() / LARGEST))

    def seconds(self, steps: int, beta: float) -> float:
        """Machine time of ``steps`` relaxation steps."""
        return steps * self.network.dt / (FAST * self.pace(beta))

    def check(self, parameters: Parameters) -> None:
        """Raise :class:`ParameterError` if a coupling needs a coefficient beyond what lanes have, at any level."""
        pace = self.pace(0.0)
        for action in self.plan.actions:
            coupling = self.network.couplings[action.coupling]
            for level in range(self.network.levels):
                for lane in self._action(action, parameters, level, pace):
                    if not abs(lane.coefficient) <= LARGEST:
                        raise ParameterError(
                            f"Coupling '{coupling}' needs a coefficient of {lane.coefficient:.3g} at level {level}, "
                            f"and a lane of a LUCIDAC has +-{LARGEST:g}: lower its U, V or gain"
                        )

    def bias(self, parameters: Parameters, level: int, clamped: Array) -> Array:
        """Bias of each free neuron, with what the ``clamped`` states (inputs,) push; in network units."""
        network = self.network
        states = np.zeros(network.neurons)
        states[network.clamped] = clamped
        force: Array = parameters.bias[level].copy()
        for coupling, u, v, gain in zip(network.couplings, parameters.U, parameters.V, parameters.gain, strict=True):
            a, b = network.slices[coupling.a], network.slices[coupling.b]
            if network[coupling.a].clamped:
                force[b] += (states[a] @ u * gain[level]) @ v.T
            elif network[coupling.b].clamped:
                force[a] += (states[b] @ v * gain[level]) @ u.T
        return np.asarray(force[self.plan.neurons])

    def circuit(
        self, parameters: Parameters, level: int, bias: Array, target: Array | None, phase: Phase, beta: float
    ) -> Circuit:
        """The circuit of a phase.

        Parameters
        ----------
        bias
            Of the free neurons, as :meth:`bias` gives it.
        target
            Of the output module, (outputs,); None in a run without one.
        beta
            Strength of the run's nudged phases, which sets the pace of all of them.

        Raises
        ------
        DataError
            If a bias is beyond what a lane has, naming the neuron.
        CapabilityError
            If an initial condition is out of range.
        """
        pace = self.pace(beta)
        leak, drive = self._stiffness.copy(), bias / self.scale
        if target is not None:
            leak[self._output] += phase.nudge
            drive[self._output] += phase.nudge * target / self.scale
        lanes = [Lane(place, pace * value, place) for place, value in enumerate(leak)]
        for place, value in enumerate(pace * drive):
            if not abs(value) <= LARGEST:
                raise DataError(
                    f"A sample drives {self.name(place)} with a bias of {value * self.scale / pace:.3g}, and a LUCIDAC "
                    f"has +-{LARGEST * self.scale / pace:.3g}: open it with a larger scale, or weaken the couplings"
                )
            lanes.append(Lane(CONSTANT, -value, place))
        for place, square, cube in self.plan.cubes:
            lanes += [Lane(place, 1.0, entry) for entry in multiplier_inputs(square)]
            first, second = multiplier_inputs(cube)
            lanes += [Lane(multiplier(square), 1.0, first), Lane(place, 1.0, second)]
            lanes.append(Lane(multiplier(cube), pace * float(self._cubic[place]), place))
        for action in self.plan.actions:
            lanes += self._action(action, parameters, level, pace)
        initial = np.zeros(INTEGRATORS)
        initial[: self.plan.integrators] = -phase.initial
        return Circuit(
            tuple(Lane(lane.source, float(lane.coefficient), lane.target) for lane in lanes),
            tuple(float(value) for value in initial),
            self.channels,
        )

    def states(self, machine: Array, clamped: Array) -> Array:
        """States (N,) of the network: of integrators (plan.integrators,) in machine units, and clamped (inputs,)."""
        states = np.zeros(self.network.neurons)
        states[self.network.clamped] = clamped
        states[self.plan.neurons] = self.scale * machine[: len(self.plan.neurons)]
        return states

    def name(self, integrator: int) -> str:
        """What an integrator is: a neuron of a module, or a bus of a coupling."""
        if integrator < len(self.plan.neurons):
            neuron = self.plan.neurons[integrator]
            module = next(name for name, part in self.network.slices.items() if neuron < part.stop)
            return f"neuron {neuron - self.network.slices[module].start} of module '{module}'"
        action = next(action for action in self.plan.actions if integrator in action.buses)
        return f"bus {action.buses.index(integrator)} of coupling '{self.network.couplings[action.coupling]}'"

    def _action(self, action: Action, parameters: Parameters, level: int, pace: float) -> list[Lane]:
        """Lanes of what one module does to another. An integrator negates: a pull has a negative coefficient."""
        u, v = parameters.U[action.coupling], parameters.V[action.coupling]
        gain = parameters.gain[action.coupling][level]
        inward, outward = (u, v) if action.forward else (v, u)
        if not action.buses:
            weights = -pace * (outward * gain) @ inward.T
            return [
                Lane(source, weights[row, column], target)
                for row, target in enumerate(action.targets)
                for column, source in enumerate(action.sources)
            ]
        lanes = []
        for channel, bus in enumerate(action.buses):
            reach = float(np.abs(inward[:, channel]).sum()) or 1.0  # the sum of states within +-1 is within this
            shares = inward[:, channel] / reach
            if bus < INTEGRATORS:
                lanes += [
                    Lane(source, -FOLLOW * share, bus) for source, share in zip(action.sources, shares, strict=True)
                ]
                lanes.append(Lane(bus, FOLLOW, bus))
            else:
                summing, one = multiplier_inputs(bus - INTEGRATORS)
                lanes += [Lane(source, share, summing) for source, share in zip(action.sources, shares, strict=True)]
                lanes.append(Lane(CONSTANT, 1.0, one))
            pulls = -pace * gain[channel] * reach * outward[:, channel]
            lanes += [Lane(bus, pull, target) for pull, target in zip(pulls, action.targets, strict=True)]
        return lanes
