"""Parameters to begin a training run with."""

from __future__ import annotations

import numpy as np

from ..substrate.errors import RunError
from ..substrate.formats import FORMATS
from ..substrate.network import Network
from ..substrate.parameters import Parameters
from .baselines import Wiener
from .config import TrainConfig
from .data import Dataset
from .random import generator

__all__ = ["check_data", "start_parameters"]

_SCALE = 2.0
"""Length of the columns of U and V in the linear filter: gains shrink by its square, into their range."""

_DRIVE, _BIAS = 2.0, 1.0
"""What hidden neurons start with: strong enough that their quartic bends."""

_RAILED_DRIVE = _RAILED_BIAS = 4.0
"""The same for railed modules, for each unit of stiffness: strong enough that they meet their rails."""

_BALANCE = 2.0
"""How much longer than drawn a railed module's coupling is at its clamped end, and shorter at its own."""


def check_data(config: TrainConfig, data: Dataset) -> None:
    """Raise :class:`RunError` if the data does not fit the network's clamped and output modules."""
    size = data.train.shape[1]
    taken = config.network.inputs - config.classes
    for what, need in (("clamped modules", taken), ("output module", config.network.outputs)):
        if need != size:
            raise RunError(
                f"Data set '{data.name}' has samples of {size} numbers, but the network's {what} have {need} neurons"
            )
    if not config.label:
        return
    if data.train_labels is None or data.test_labels is None:
        raise RunError(f"Data set '{data.name}' has no labels, but the network has a module '{config.label}' for them")
    if (last := max(int(data.train_labels.max()), int(data.test_labels.max()))) >= config.classes:
        raise RunError(
            f"Data set '{data.name}' has a label {last}, but module '{config.label}' has neurons for "
            f"0 to {config.classes - 1}"
        )


def start_parameters(config: TrainConfig, data: Dataset) -> Parameters:
    """Initial parameters; with start ``wiener``, the linear filter in the coupling from input to output.

    Raises
    ------
    RunError
        If the network has no coupling for the filter.
    ParameterError
        If they come from a file that cannot be read, or is of another network.
    """
    if config.start.endswith(".safetensors"):
        return Parameters.load(config.start, config.network)
    network, rng = config.network, generator(config.seed, "start")
    parameters = Parameters.random(network, rng)
    if config.start == "random":
        return parameters
    sources = [module.name for module in network if module.clamped and module.name != config.label]
    number = next(
        (
            n
            for n, c in enumerate(network.couplings)
            if len(sources) == 1 and {c.a, c.b} == {sources[0], network.output}
        ),
        None,
    )
    if number is None:
        raise RunError("start 'wiener' needs one clamped module, coupled to the output module")
    if config.label:
        _silence(network, parameters, config.label)
    driven = _driven(network, parameters, sources[0], rng)
    return _with_filter(config, network, driven, number, Wiener(data.train))


def _driven(network: Network, parameters: Parameters, source: str, rng: np.random.Generator) -> Parameters:
    """Drive each hidden module, and give it random biases; ``_DRIVE`` is a deviation, for inputs of variance 1.

    Without it hidden neurons stay where they are linear, and for long learn nothing that the filter does not do;
    without biases they are odd functions of the input.
    """
    U, V, bias = list(parameters.U), list(parameters.V), parameters.bias.copy()
    for number, coupling in enumerate(network.couplings):
        hidden = coupling.b if coupling.a == source else coupling.a
        if source not in (coupling.a, coupling.b) or hidden == network.output:
            continue
        drives = U[number] @ V[number].T
        railed = network[hidden].railed
        soft = float(network.stiffness[network.slices[hidden]].mean())
        drive, most = (_RAILED_DRIVE * soft, _RAILED_BIAS * soft) if railed else (_DRIVE, _BIAS)
        scale = np.sqrt(drive / np.sqrt(np.sum(drives**2) / network[hidden].size))
        # The hidden end has more neurons and larger states; if they are railed, this much more of the product goes to
        # the other end, or the bus that carries its side of the contrast would saturate.
        balance = _BALANCE if railed else 1.0
        to_source = balance if coupling.a == source else 1 / balance
        U[number], V[number] = U[number] * scale * to_source, V[number] * scale / to_source
        bias[:, network.slices[hidden]] = rng.uniform(-most, most, network[hidden].size)
    return Parameters(tuple(U), tuple(V), parameters.gain, bias)


def _silence(network: Network, parameters: Parameters, label: str) -> None:
    """Let the label push nothing on the output yet: the start is the filter, whatever the class."""
    for number, coupling in enumerate(network.couplings):
        if {coupling.a, coupling.b} == {label, network.output}:
            (parameters.U if coupling.a == network.output else parameters.V)[number][:] = 0.0


def _with_filter(
    config: TrainConfig, network: Network, parameters: Parameters, number: int, wiener: Wiener
) -> Parameters:
    """Put the filter into one coupling.

    With C = Q diag(v) Q^T, the filter's output in the units of the network is Q diag(g) Q^T (c_in y) + bias, where
    g = (v / (v + sigma^2) - c_skip) / (c_in c_out) and bias = Q diag(sigma^2 / (v + sigma^2)) Q^T mu / c_out.
    """
    edm = config.edm
    rank = min(network.couplings[number].rank, len(wiener.variances))
    directions, variances = wiener.directions[:, :rank], wiener.variances[:rank]
    sigma = edm.sigmas()[:, None]
    stiffness = network.stiffness[network.slices[network.output]]
    shrink = variances / (variances + sigma**2)
    gains = (shrink - edm.c_skip(sigma)) / (edm.c_in(sigma) * edm.c_out(sigma)) / _SCALE**2
    mean = (1 - shrink) * (wiener.mean @ directions) @ directions.T / edm.c_out(sigma)

    def column(matrix: np.ndarray) -> np.ndarray:
        full = np.zeros_like(matrix)
        full[:, :rank] = _SCALE * directions
        return full

    U, V, gain = list(parameters.U), list(parameters.V), list(parameters.gain)
    to_output = V if network.couplings[number].b == network.output else U
    U[number], V[number] = column(U[number]), column(V[number])
    to_output[number] = to_output[number] * stiffness[:, None]
    full_gain = np.zeros_like(gain[number])
    full_gain[:, :rank] = np.clip(gains, -FORMATS.gain.limit, FORMATS.gain.limit)
    gain[number] = full_gain
    bias = parameters.bias.copy()
    bias[:, network.slices[network.output]] = mean * stiffness
    return Parameters(tuple(U), tuple(V), tuple(gain), np.clip(bias, -FORMATS.site.limit, FORMATS.site.limit))
