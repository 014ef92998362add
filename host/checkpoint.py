"""Checkpoints: parameters, moving average and optimiser of one step, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..substrate.errors import ParameterError, RunError
from ..substrate.parameters import Parameters
from .auto_beta import Tuned
from .optimisers import Moments
from .run import Run

__all__ = ["Checkpoint", "load_checkpoint", "save_checkpoint"]

_KEPT = 2
"""Checkpoints kept: the newest, and the one before in case that is damaged."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of training after a step: never changed, only followed by the next.

    Attributes
    ----------
    parameters
        The float master copy; where the device learns, what it holds, guard bits included.
    average
        Moving average of the parameters.
    moments
        Of the optimiser.
    tuned
        The measured beta; None where it is not measured, or not yet.
    momentum
        Contrast sums that a device which learns went on from; None if the host made the step.
    """

    parameters: Parameters
    average: Parameters
    moments: Moments
    tuned: Tuned | None = None
    momentum: NDArray[np.int64] | None = None

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.moments.step


def save_checkpoint(run: Run, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, whole or not at all, and drop old ones."""
    network, moments, step = run.config.network, checkpoint.moments, checkpoint.step
    tensors: dict[str, NDArray[Any]] = {}
    tensors |= {f"parameters/{name}": leaf for name, leaf in checkpoint.parameters.tensors(network).items()}
    tensors |= {f"average/{name}": leaf for name, leaf in checkpoint.average.tensors(network).items()}
    tensors |= {"optimiser/first": moments.first, "optimiser/second": moments.second}
    if checkpoint.momentum is not None:
        tensors["device/momentum"] = checkpoint.momentum
    metadata = {"step": str(step), "config": _config_digest(run)}
    if moments.since:
        metadata["since"] = str(moments.since)
    if checkpoint.tuned is not None:
        metadata["tuned"] = json.dumps(asdict(checkpoint.tuned))
    tensors = {name: np.ascontiguousarray(leaf) for name, leaf in tensors.items()}
    content = save(tensors, metadata | {"sha256": _digest(tensors, metadata)})
    path = run.write(f"checkpoints/step-{step:08d}.safetensors", content)
    for old in sorted((run.path / "checkpoints").glob("step-*.safetensors"))[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def load_checkpoint(run: Run) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that is whole, and what is wrong with newer ones; None if there has been none yet.

    Raises
    ------
    RunError
        If there are checkpoints, but none is whole; or the run's configuration is another than they were made with.
    """
    paths = sorted((run.path / "checkpoints").glob("step-*.safetensors"), reverse=True)
    damaged: list[str] = []
    for path in paths:
        try:
            return _load(path, run), damaged
        except (SafetensorError, ParameterError, KeyError, ValueError, TypeError, OSError) as error:
            damaged.append(f"checkpoint '{path}' is damaged and was passed over ({error})")
    if paths:
        raise RunError(f"No checkpoint of '{run.path}' is whole: {damaged[0]}")
    return None, damaged


def _digest(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> str:
    """SHA-256 of all that a checkpoint says: safetensors has none, and one flipped bit is a wrong number."""
    total = hashlib.sha256(json.dumps(dict(sorted(metadata.items()))).encode())
    for name, leaf in sorted(tensors.items()):
        total.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
        total.update(leaf.tobytes())
    return total.hexdigest()


def _config_digest(run: Run) -> str:
    """Of all that decides the result, but for who makes the updates: that may change as a run is resumed."""
    values = {name: value for name, value in run.config.to_json().items() if name != "update"}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _load(path: Path, run: Run) -> Checkpoint:
    network = run.config.network
    with safe_open(path, framework="np") as file:
        metadata = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    if metadata.pop("sha256") != _digest(tensors, metadata):
        raise ValueError("its checksum is wrong")
    if metadata["config"] != _config_digest(run):
        raise RunError(
            f"Checkpoint '{path}' was made with another configuration than '{run.path / 'config.json'}' has now: "
            "put the old one back, or begin a new run"
        )
    step = int(metadata["step"])
    tuned = Tuned(**json.loads(metadata["tuned"])) if "tuned" in metadata else None
    groups = {
        group: Parameters.from_tensors(
            network,
            {name.removeprefix(f"{group}/"): leaf for name, leaf in tensors.items() if name.startswith(f"{group}/")},
        )
        for group in ("parameters", "average")
    }
    first, second = tensors["optimiser/first"], tensors["optimiser/second"]
    size = len(groups["parameters"].vector())
    if first.shape != (size,) or second.shape != (size,):
        raise ParameterError(f"moments must have shape ({size},), not {first.shape} and {second.shape}")
    momentum = tensors.get("device/momentum")
    if momentum is not None and momentum.shape != (size,):
        raise ParameterError(f"momentum must have shape ({size},), not {momentum.shape}")
    moments = Moments(step, first, second, int(metadata.get("since", 0)))
    return Checkpoint(groups["parameters"], groups["average"], moments, tuned, momentum)
