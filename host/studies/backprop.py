"""Backpropagation through the relaxation: the gradient by PyTorch, with every step of the free phase unrolled."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ...substrate.errors import ToolError
from ...substrate.network import RAIL, Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Minibatch

__all__ = ["backprop", "load_torch"]


@cache
def load_torch() -> Any:
    """PyTorch.

    Raises
    ------
    ToolError
        If it is not installed.
    """
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise ToolError(f"PyTorch is not installed ({error}): pip install 'equipoise[backprop]'") from None
    torch.set_num_threads(1)  # these products are small: more threads wait for one another
    return torch


def backprop(network: Network, parameters: Parameters, minibatch: Minibatch, steps: int) -> Parameters:
    """Descent direction of the mean cost after ``steps`` free steps from zero, -dC/dparameters.

    It is the gradient of what the device does, not of the equilibrium: they agree when the steps are enough to settle.
    """
    torch = load_torch()
    leaves = [torch.tensor(leaf, dtype=torch.float64, requires_grad=True) for leaf in parameters.leaves()]
    count = len(network.couplings)
    u, v, gain, bias = leaves[:count], leaves[count : 2 * count], leaves[2 * count : 3 * count], leaves[-1]
    levels = torch.tensor(minibatch.levels)
    drive = [each[levels] for each in gain]
    free, railed = torch.tensor(~network.clamped), torch.tensor(network.railed)
    stiffness, quartic = torch.tensor(network.stiffness), torch.tensor(network.quartic)
    states = torch.zeros((len(minibatch), network.neurons), dtype=torch.float64)
    states[:, ~free] = torch.tensor(minibatch.clamped, dtype=torch.float64)
    begin = states
    for _ in range(steps):
        parts = dict.fromkeys(network.slices, 0.0)
        for number, coupling in enumerate(network.couplings):
            a, b = states[:, network.slices[coupling.a]], states[:, network.slices[coupling.b]]
            parts[coupling.a] = parts[coupling.a] + (drive[number] * (b @ v[number])) @ u[number].T
            parts[coupling.b] = parts[coupling.b] + (drive[number] * (a @ u[number])) @ v[number].T
        push = torch.cat(
            [torch.zeros_like(begin[:, rows]) + parts[name] for name, rows in network.slices.items()], dim=1
        )
        force = push + bias[levels] - stiffness * states - quartic * states**3
        states = torch.where(free, states + network.dt * force, begin)
        states = torch.where(railed, states.clamp(-RAIL, RAIL), states)
    miss = states[:, network.slices[network.output]] - torch.tensor(minibatch.target)
    cost = (miss**2).sum() / 2 / len(minibatch)
    gradients = torch.autograd.grad(cost, leaves)
    found = parameters.replace(-np.concatenate([each.numpy().ravel() for each in gradients]))
    found.bias[:, network.clamped] = 0.0
    return found
