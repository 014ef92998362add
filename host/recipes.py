"""Recipes: networks and settings that are known to work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..substrate.errors import RunError
from ..substrate.network import Coupling, Module, Network
from .config import TrainConfig
from .data import load_data
from .edm import Edm

__all__ = ["RECIPES", "recipe", "with_network"]


def _network(
    size: int, hidden: int, ranks: tuple[int, int, int], edm: Edm, *,
    dt: float, stiffness: float = 1.0, quartic: float = 1.0, railed: bool = False,
) -> Network:  # fmt: skip
    """Input, hidden and output module, all joined; the output has no quartic, so that it can be linear in its input."""
    modules = (
        Module("input", size, clamped=True),
        Module("hidden", hidden, stiffness, quartic, railed=railed),
        Module("output", size, quartic=0.0),
    )
    couplings = (
        Coupling("input", "hidden", ranks[0]),
        Coupling("hidden", "output", ranks[1]),
        Coupling("input", "output", ranks[2]),
    )
    return Network(modules, couplings, "output", dt=dt, levels=edm.levels)


def _digits(size: int, data: str) -> TrainConfig:
    """The full recipe: starts as the best linear filter, and learns what that cannot do.

    Hidden neurons bend at their rails alone, so all relax at one rate, and a few long steps do for what a quartic needs
    a hundred for: docs/ablation.md.
    """
    edm = Edm(levels=32)
    return TrainConfig(
        "digits", data, _network(size, 256, (64, 64, 64), edm, dt=1.0, stiffness=0.5, quartic=0.0, railed=True),
        start="wiener", edm=edm, steps=4000, batch=128, free_steps=12, nudged_steps=6, beta=1 / 8, learning_rate=6e-3,
        rate_by_size=True, average=0.995, evaluate_every=400, checkpoint_every=50, beyond=2.0,
    )  # fmt: skip


def _digits_labels(size: int, data: str) -> TrainConfig:
    """The full recipe, told the class: a module for labels is clamped too, and drives hidden and output neurons."""
    config = _digits(size, data)
    labels = load_data(data).train_labels
    if labels is None:
        raise RunError(f"Data set '{data}' has no labels: use digits, or a .npz file with arrays data and labels")
    network = config.network
    count = int(labels.max()) + 1
    modules = (Module("label", count, clamped=True), *network.modules)
    couplings = (*network.couplings, Coupling("label", "hidden", count), Coupling("label", "output", count))
    return replace(config, recipe="digits-labels", label="label", beyond=1.25, network=replace(
        network, modules=modules, couplings=couplings
    ))  # fmt: skip


def _digits_quick(size: int, data: str) -> TrainConfig:
    """A few minutes on the simulated gateware, from random parameters."""
    edm = Edm(levels=8, sigma_min=0.1, sigma_max=5.0)
    return TrainConfig(
        "digits-quick", data, _network(size, 32, (8, 8, 32), edm, dt=0.25), edm=edm,
        steps=300, batch=32, free_steps=30, nudged_steps=12, beta=1 / 8, learning_rate=1.5e-2, average=0.95,
        evaluate_every=100, checkpoint_every=10,
    )  # fmt: skip


def _points(size: int, data: str) -> TrainConfig:
    """Two-dimensional sets: moons, swiss-roll, gaussians. As the full recipe, whose start has neurons that bend."""
    edm = Edm(levels=32, sigma_min=0.02)
    return TrainConfig(
        "points", data, _network(size, 128, (8, 8, 2), edm, dt=1.0, stiffness=0.5, quartic=0.0, railed=True),
        start="wiener", edm=edm, steps=1500, batch=128, free_steps=12, nudged_steps=6, beta=1 / 8, learning_rate=6e-3,
        average=0.99, evaluate_every=150, checkpoint_every=50,
    )  # fmt: skip


def _points_small(size: int, data: str) -> TrainConfig:
    """The same with a network that fits an iCEBreaker."""
    edm = Edm(levels=8, sigma_min=0.1)
    return TrainConfig(
        "points-small", data, _network(size, 24, (6, 6, 2), edm, dt=0.125), edm=edm,
        steps=600, batch=32, learning_rate=5e-3, average=0.98, evaluate_every=100, checkpoint_every=50,
    )  # fmt: skip


def _points_board(size: int, data: str) -> TrainConfig:
    """A network that fits an analog board of 8 neurons and 4 channels: all free neurons have one quartic, a small one.

    So the output can be nearly linear in its input. A board works on one sample after the other, so there are few.
    """
    edm = Edm(levels=8, sigma_min=0.1)
    modules = (
        Module("input", size, clamped=True),
        Module("hidden", 4, quartic=0.25),
        Module("output", size, quartic=0.25),
    )
    couplings = (Coupling("input", "hidden", 1), Coupling("hidden", "output", 1), Coupling("input", "output", 2))
    return TrainConfig(
        "points-board", data, Network(modules, couplings, "output", dt=0.125, levels=edm.levels), edm=edm,
        steps=100, batch=16, beta=1 / 8, learning_rate=2e-2, average=0.95, evaluate_every=100, checkpoint_every=20,
    )  # fmt: skip


RECIPES: dict[str, tuple[str, Callable[[int, str], TrainConfig]]] = {
    "digits-quick": ("digits", _digits_quick),
    "digits": ("digits", _digits),
    "digits-labels": ("digits", _digits_labels),
    "points": ("moons", _points),
    "points-small": ("moons", _points_small),
    "points-board": ("moons", _points_board),
}
"""For each recipe its own data set, and how it is made for samples of a size."""


def recipe(name: str, data: str | None = None, **overrides: Any) -> TrainConfig:
    """Configuration of a recipe, for its own data set or another, with some of its settings replaced.

    Raises
    ------
    RunError
        If there is no such recipe, or a setting is out of range.
    DataError
        If the data cannot be used.
    """
    if name not in RECIPES:
        raise RunError(f"Recipe '{name}' is not known; choose from {', '.join(RECIPES)}")
    own_data, make = RECIPES[name]
    data = data or own_data
    config = make(load_data(data).train.shape[1], data)
    if overrides.get("update") == "device":  # whose checkpoints cost time on the link
        config = replace(config, checkpoint_every=4 * config.checkpoint_every)
    return replace(config, **overrides)


def with_network(config: TrainConfig, network: Network) -> TrainConfig:
    """The configuration with another network: as many noise levels as that has, and phases that last as long.

    Steps are as many more as the network's are shorter: a recipe with few long ones says nothing of how many a network
    needs whose neurons bear short ones only.
    """
    ratio = config.network.dt / network.dt
    return replace(
        config,
        network=network,
        edm=replace(config.edm, levels=network.levels),
        free_steps=max(1, round(config.free_steps * ratio)),
        nudged_steps=max(1, round(config.nudged_steps * ratio)),
    )
