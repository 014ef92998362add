"""Estimating a board's model: first its readout, then neurons and couplings from the forces at its equilibria."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.optimize import least_squares

from ..drivers.analog.board import Limits
from ..substrate.errors import DeviceError
from .measure import Measured
from .model import NETWORK_TERMS, READOUT_TERMS, Model, jacobian, nominal
from .plan import Plan

__all__ = ["Fit", "fit_board", "predict"]

Array = NDArray[np.float64]

PRIOR = {
    "read_offset": 0.05, "clamp_offset": 0.05, "bias_offset": 0.05, "target_offset": 0.05, "bus_a_offset": 0.05,
    "bus_b_offset": 0.05, "even": 0.02, "fourth": 0.02, "before": 0.02, "after": 0.02, "read_bow": 0.05,
}  # fmt: skip
"""How far parts are expected to be off, one standard deviation; :data:`USUAL` for all others."""

USUAL = 0.1

OUTLYING = 6.0
"""Robust standard deviations beyond which a residual is an outlier."""

STUCK = 0.02
"""Volts that a channel must move between the references to count as alive."""


@dataclass(frozen=True, slots=True)
class Fit:
    """An estimate.

    Attributes
    ----------
    model, uncertainty
        Values, and one standard deviation of each, term by term.
    residual
        What equilibria miss of the readings (V, N), in volts; 0 where nothing was fitted.
    expected
        Standard deviation (N,) that the readings have.
    chi
        Residual over what is expected (root of the reduced chi square), for readout and network.
    readings
        Number of readings that were used of each channel, (N,).
    outliers
        Vectors with a residual beyond :data:`OUTLYING`.
    """

    model: Model
    uncertainty: Model
    residual: Array
    expected: Array
    chi: tuple[float, float]
    readings: NDArray[np.int64]
    outliers: tuple[int, ...]


def fit_board(plan: Plan, measured: Measured) -> Fit:
    """Fit the model to all vectors but those that are held out.

    Raises
    ------
    DeviceError
        If a channel of the readout is stuck, or bends so much that no model of it can be trusted.
    """
    limits = plan.limits
    # A median of three has 0.67 standard deviations of one reading.
    spread = np.sqrt(np.mean(measured.spread**2, axis=0, where=measured.valid))
    expected = np.maximum(0.67 * spread, 0.05 * limits.lsb)
    model, uncertainty, residual, first = _fit_readout(plan, measured, expected)
    model, of_network, of_equilibria, second = _fit_network(plan, measured, expected, model)
    residual += of_equilibria
    scale = 1.4826 * np.median(np.abs(residual[residual.any(axis=1)]), axis=0)
    limit = OUTLYING * np.maximum(scale, expected)
    outlying = np.any((np.abs(residual) > limit) & measured.valid, axis=1)
    used = np.array([vector.stage not in {"held-out", "end"} for vector in plan.vectors])
    return Fit(
        model,
        replace(uncertainty, **{name: getattr(of_network, name) for name in NETWORK_TERMS}),
        residual,
        expected,
        (first, second),
        measured.valid[used].sum(axis=0),
        tuple(int(number) for number in np.flatnonzero(outlying)),
    )


def predict(plan: Plan, model: Model) -> Array:
    """What the board would read (V, N) by ``model``, without noise."""
    limits, predicted = plan.limits, []
    for vector in plan.vectors:
        if vector.drive is None:
            volts = np.full(limits.neurons, vector.reference)
        else:
            volts = model.equilibrium(limits, plan.wirings[vector.wiring], vector.drive)
        predicted.append(model.seen(limits, volts))
    return np.array(predicted)


def _fit_readout(plan: Plan, measured: Measured, expected: Array) -> tuple[Model, Model, Array, float]:
    limits, n = plan.limits, plan.limits.neurons
    rows = np.array([vector.stage in {"references", "crosstalk"} for vector in plan.vectors])
    references = np.array([vector.stage == "references" for vector in plan.vectors])
    _refuse_stuck(measured.volts[references], limits)
    told = np.array([v.drive.clamp if v.drive else np.full(n, v.reference) for v in plan.vectors])[rows]
    by_clamp = np.array([v.drive is not None for v in plan.vectors])[rows][:, None]
    weight = measured.valid[rows] / np.hypot(expected, limits.reference_uncertainty)
    base, sizes = nominal(limits), np.array([PRIOR.get(name, USUAL) for name in READOUT_TERMS])[:, None]

    def made(x: Array) -> Model:
        return replace(base, **dict(zip(READOUT_TERMS, x.reshape(len(READOUT_TERMS), n) * sizes, strict=True)))

    def miss(x: Array) -> Array:
        model = made(x)
        volts = np.where(by_clamp, told * np.exp(model.clamp_gain) + model.clamp_offset, told)
        return np.concatenate([((model.seen(limits, volts) - measured.volts[rows]) * weight).ravel(), x])

    found = least_squares(miss, np.zeros(len(READOUT_TERMS) * n), x_scale="jac")
    count = int(measured.valid[rows].sum())
    chi = float(np.sqrt(np.sum(found.fun[: weight.size] ** 2) / max(count - found.x.size, 1)))
    covariance = np.linalg.inv(found.jac.T @ found.jac) * max(chi, 1.0) ** 2
    residual = np.zeros(measured.volts.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        residual[rows] = np.where(weight > 0, found.fun[: weight.size].reshape(weight.shape) / weight, 0.0)
    return made(found.x), made(np.sqrt(np.diag(covariance))), residual, chi


def _refuse_stuck(volts: Array, limits: Limits) -> None:
    moved = np.ptp(volts, axis=0)
    if np.any(moved < STUCK):
        channel = int(np.argmin(moved))
        raise DeviceError(
            f"Channel {channel} of the readout is stuck at {np.median(volts[:, channel]):.4g} V: it moves by "
            f"{moved[channel]:.2g} V over references from {min(limits.references):g} to {max(limits.references):g} V; "
            "check its converter and its cable"
        )
    # A converter that stops short reads two references alike, which no gain, offset and bow explain.
    steps = np.abs(np.diff(volts, axis=0)) / np.abs(np.diff(np.array(limits.references)))[:, None]
    if np.any(steps < 0.5):
        channel = int(np.argmin(steps.min(axis=0)))
        raise DeviceError(
            f"Channel {channel} of the readout saturates within its range: between two references it moves "
            f"{steps[:, channel].min():.2g} V a volt; check its amplifier's supply"
        )


class _Terms:
    """The network's terms as one vector of numbers of order 1, and back."""

    def __init__(self, base: Model) -> None:
        self.base = base
        self._shapes = {name: getattr(base, name).shape for name in NETWORK_TERMS}
        sizes = [int(np.prod(shape)) for shape in self._shapes.values()]
        self._ends = np.cumsum([0, *sizes])
        self.scale = np.concatenate(
            [np.full(size, PRIOR.get(name, USUAL)) for name, size in zip(NETWORK_TERMS, sizes, strict=True)]
        )

    def part(self, name: str) -> slice:
        at = NETWORK_TERMS.index(name)
        return slice(int(self._ends[at]), int(self._ends[at + 1]))

    def model(self, x: Array) -> Model:
        values = {name: (x * self.scale)[self.part(name)].reshape(shape) for name, shape in self._shapes.items()}
        return replace(self.base, **values)

    def free(self) -> Array:
        """Basis (n, m) of what measurements can tell: the gauges are fixed here.

        Equilibria stay the same if all forces on a neuron are multiplied by one number, or if what a channel gains
        where it senses or pushes is lost in its drive. So in each channel and side the mean logarithms of sense and of
        push are 0; at each neuron push and sense have the same mean logarithm (the scale that makes couplings as
        symmetric as they can be); and the mean logarithm of the bias gains is 0.
        """
        n, k = self._shapes["sense_a"]
        rows = []
        for name in ("sense_a", "sense_b", "push_a", "push_b"):
            for p in range(k):
                row = np.zeros(len(self.scale))
                row[self.part(name)].reshape(n, k)[:, p] = 1
                rows.append(row)
        for i in range(n):
            row = np.zeros(len(self.scale))
            for name, sign in (("sense_a", -1), ("sense_b", -1), ("push_a", 1), ("push_b", 1)):
                row[self.part(name)].reshape(n, k)[i] = sign
            rows.append(row)
        row = np.zeros(len(self.scale))
        row[self.part("bias_gain")] = 1
        rows.append(row)
        return np.asarray(null_space(np.array(rows) * self.scale))


def _fit_network(plan: Plan, measured: Measured, expected: Array, base: Model) -> tuple[Model, Model, Array, float]:
    limits = plan.limits
    numbers = [i for i, vector in enumerate(plan.vectors) if vector.stage in {"biases", "couplings", "nudges"}]
    states = base.true(limits, measured.volts)
    terms = _Terms(base)
    basis, x = terms.free(), np.zeros(len(terms.scale))

    for _ in range(2):  # the second time with weights from the first
        now = terms.model(x)
        # To first order, a force is what the equilibrium misses, times the slope there.
        solve = {}
        for i in numbers:
            vector = plan.vectors[i]
            assert vector.drive is not None
            inverse = np.linalg.inv(now.slope(limits, plan.wirings[vector.wiring], vector.drive, states[i]))
            solve[i] = -inverse * (measured.valid[i] / expected)[:, None]

        def miss(y: Array, solve: dict[int, Array] = solve) -> Array:
            model = terms.model(basis @ y)
            rows = [
                solve[i] @ model.force(limits, plan.wirings[v.wiring], v.drive, states[i])
                for i in numbers
                if (v := plan.vectors[i]).drive is not None
            ]
            return np.concatenate([*rows, basis @ y])

        def slope(y: Array, solve: dict[int, Array] = solve) -> Array:
            model, rows = terms.model(basis @ y), []
            for i in numbers:
                v = plan.vectors[i]
                assert v.drive is not None
                by = jacobian(model, limits, plan.wirings[v.wiring], v.drive, states[i])
                rows.append(solve[i] @ np.concatenate([by[name] for name in NETWORK_TERMS], axis=1))
            return np.concatenate([np.concatenate(rows) * terms.scale @ basis, basis])

        large = basis.shape[1] > 400
        found = least_squares(
            miss, basis.T @ x, slope, x_scale=1.0, tr_solver="lsmr" if large else "exact", xtol=1e-6, ftol=1e-6,
            tr_options={"maxiter": 500} if large else {},
        )  # fmt: skip
        x = basis @ found.x
    missed = found.fun[: len(numbers) * limits.neurons].reshape(len(numbers), limits.neurons)
    count = int(measured.valid[numbers].sum())
    chi = float(np.sqrt(np.sum(missed**2) / max(count - basis.shape[1], 1)))
    covariance = np.linalg.inv(found.jac.T @ found.jac) * max(chi, 1.0) ** 2
    spread = np.sqrt(np.sum((basis @ covariance) * basis, axis=1))
    residual = np.zeros(measured.volts.shape)
    residual[numbers] = missed * expected
    return terms.model(x), terms.model(spread), residual, chi
