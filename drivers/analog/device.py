"""AnalogDevice: an analog board as a substrate. Phases run on the board, contrasts are formed on the host."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from ...substrate.contrast import contrast
from ...substrate.errors import CapabilityError, DeviceError
from ...substrate.interface import Identity, Substrate
from ...substrate.network import Network
from ...substrate.parameters import Parameters
from ...substrate.phases import Estimator, Minibatch, Result, Saturations, Schedule
from .board import AnalogBoard, Drive, Reading
from .correction import AsMade, Correction
from .layout import Layout
from .standard import CHECK_MINUTES, Check, Standard, refuse_drifted
from .uncertainty import contrast_doubt, contrast_error

__all__ = ["BATCH_LIMIT", "ORDERS", "USABLE", "AnalogDevice"]

Array = NDArray[np.float64]

BATCH_LIMIT = 1024
"""Largest minibatch: a board works on one sample at a time, and the host keeps the readings."""

ORDERS = ("+-", "+--+")
"""Orders of nudged phases. The second one reads each twice, so that a drift of constant speed cancels."""

USABLE = 0.1
"""Largest error of a gradient, as a part of its norm, at which a beta counts as usable."""

_READINGS = 12
"""Most readings of one phase: where a fifth of them are outliers, no two agree in one phase of millions."""

_AGREE = 6
"""So many standard deviations may two readings of a neuron be apart."""


class AnalogDevice(Substrate):
    """A network on an analog board.

    A sample starts from 0 V and runs free until the board says that it has settled. A board cannot store the state it
    settled to, so before a phase with the other nudge it runs free again, and comes back to where both must start. By
    how much it misses that is reported as ``return_volts`` in :meth:`health`.

    Steps of the schedule mean nothing to a board, which stops when nothing moves; a temperature is refused. Clamped
    values and targets beyond the board's range are held at its end and counted as saturations.

    Parameters
    ----------
    board
        What to run on; closed with the device.
    correction
        What turns wanted into told and read into meant; none if None.
    address
        The address it was opened by.
    order
        One of :data:`ORDERS`.
    averages
        Readings that the board averages, at least 1.
    standard
        What the board is held against before a run, every ``check_minutes``; 0, or without a standard, never. A board
        that is not refused though it has drifted is told to ``listener``.

    Attributes
    ----------
    listener
        Told what is worth a look.
    """

    def __init__(
        self,
        board: AnalogBoard,
        correction: Correction | None = None,
        *,
        address: str,
        order: str = "+-",
        averages: int = 1,
        standard: Standard | None = None,
        check_minutes: float = CHECK_MINUTES,
    ) -> None:
        if order not in ORDERS:
            raise CapabilityError(f"Order of nudged phases must be one of {', '.join(ORDERS)}, not '{order}'")
        if averages < 1:
            raise CapabilityError(f"Readings averaged must be at least 1, not {averages}")
        if not isfinite(check_minutes) or check_minutes < 0:
            raise CapabilityError(
                f"Minutes between checks of a calibration must be at least 0 and finite, not {check_minutes:g}"
            )
        self.listener: Callable[[str], None] = lambda message: None
        self._standard, self._seconds = standard, 60 * check_minutes
        self._checked = time.monotonic()  # who opened the board has just done so
        self._board = board
        self._correction = correction or AsMade(board.limits.lsb)
        self._address, self._order, self._averages = address, order, averages
        self._layout: Layout | None = None
        self._parameters: Parameters | None = None
        self._states: dict[str, Array] | None = None
        self._health: dict[str, int | float] = {"runs": 0, "samples": 0, "return_volts": 0.0}

    @property
    def identity(self) -> Identity:
        """What the board is; ``details`` has its limits and the calibration record in use."""
        board, limits = self._board.identity, self._board.limits
        return Identity(
            address=self._address,
            kind="analog",
            uid=f"{board.maker},{board.model},{board.serial}",
            build=board.firmware,
            batch_limit=BATCH_LIMIT,
            thermal=False,
            deterministic=False,
            details={
                "calibration": self._correction.record,
                "calibration_state": self._standard.state if self._standard else "none",
                "order": self._order,
                "averages": self._averages,
                "check_minutes": self._seconds / 60 if self._standard else 0.0,
                "limits": {**asdict(limits), "references": list(limits.references)},
            },
        )

    def configure(self, network: Network) -> None:
        """Lay out ``network`` on the board's first neurons and channels.

        Raises
        ------
        CapabilityError
            If it does not fit, see :class:`~.layout.Layout`.
        """
        self._parameters, self._states = None, None
        self._layout = Layout(network, self._board.limits)

    def write(self, parameters: Parameters) -> None:
        """Set the weights.

        Raises
        ------
        ParameterError
            If a value is beyond what the board can be told, naming coupling or module.
        DeviceError
            If no network has been configured.
        """
        if self._layout is None:
            raise DeviceError("The analog board has no network: call configure first")
        self._layout.check(parameters)
        self._wire(self._layout, parameters.map(np.copy))

    def read(self) -> Parameters:
        """The parameters as written: a board rounds within its resolution, and cannot be asked.

        Raises
        ------
        DeviceError
            If none have been written.
        """
        return self._ready()[1].map(np.copy)

    def run(self, minibatch: Minibatch, schedule: Schedule) -> Result:
        """Run a minibatch through the phases, one sample after the other.

        ``residual`` is the mean force that the network has at what was read: relaxation left over, mismatch that is
        not corrected, and errors of the readout.

        Raises
        ------
        DataError, CapabilityError
            If minibatch or schedule fit neither network nor board.
        DeviceError
            If a neuron is overloaded or does not settle, naming it, or no parameters have been written.
        CalibrationError
            If a check is due and finds that the board has drifted; parameters must be written anew then.
        """
        if self._seconds and time.monotonic() - self._checked >= self._seconds:
            self.check()
        layout, parameters = self._ready()
        network = layout.network
        schedule.check(network)
        minibatch.check(network, schedule)
        if minibatch.initial is not None:
            raise CapabilityError(f"{self.identity.address} begins every run from zero: leave out initial states")
        if schedule.temperature:
            raise CapabilityError(
                f"An analog board has no noise to set: temperature must be 0, not {schedule.temperature:g}"
            )
        if len(minibatch) > BATCH_LIMIT:
            raise CapabilityError(f"A minibatch must have at most {BATCH_LIMIT} samples, not {len(minibatch)}")
        self._states = None
        begin = time.perf_counter()
        self._feel(layout, parameters)
        minibatch, beyond = layout.hold(minibatch)
        held = self._correction.held
        shape = (len(minibatch), network.neurons)
        free, plus, minus, error = np.empty(shape), np.empty(shape), np.empty(shape), np.empty(shape)
        last, doubts = free, []
        for j in range(len(minibatch)):
            wanted = layout.drive(parameters, minibatch, j, self._averages)
            free[j], reading = self._phase(wanted, 0.0, restart=True)
            error[j] = layout.states(self._correction.uncertainty(reading))
            if schedule.estimator is Estimator.ONE_SIDED:
                plus[j], _ = self._phase(wanted, schedule.beta)
            elif schedule.estimator is Estimator.SYMMETRIC:
                plus[j], minus[j] = self._both(wanted, schedule.beta, free[j])
            if schedule.estimator is not Estimator.FREE:
                symmetric = schedule.estimator is Estimator.SYMMETRIC
                moved = plus[j] - (minus[j] if symmetric else free[j])
                nudged = layout.nudged(wanted, schedule.beta, restart=False)
                drawn = self._correction.doubt(nudged, layout.spread(free[j]), layout.spread(moved), both=symmetric)
                doubts.append([layout.states(draw) for draw in drawn])
        # A clamped neuron is where it is in all phases, whatever the readout says of it.
        plus[:, network.clamped] = minus[:, network.clamped] = free[:, network.clamped]
        error[:, network.clamped] = 0.0
        result = None
        if schedule.estimator is not Estimator.FREE:
            other, scale = free, schedule.beta
            last = plus
            if schedule.estimator is Estimator.SYMMETRIC:
                other, scale, last = minus, 2 * schedule.beta, minus if self._order[-1] == "-" else plus
            result = contrast(network, parameters, minibatch, plus, other, scale)
            wrong = contrast_error(network, parameters, minibatch, free, error, scale)
            draws = np.array(doubts).reshape(len(minibatch), -1, network.neurons)
            draws[:, :, network.clamped] = 0.0
            doubt = contrast_doubt(network, parameters, minibatch, free, draws, scale)
            self._judge(result, wrong, doubt, schedule.beta)
        self._states = {"free": free, "last": last}
        self._health["runs"] += 1
        self._health["samples"] += len(minibatch)
        return Result(
            outputs=free[:, network.slices[network.output]].copy(),
            contrast=result,
            residual=layout.residual(parameters, free, minibatch),
            saturations=self._saturations(beyond, held),
            seconds={"device": time.perf_counter() - begin, "link": 0.0},
        )

    def check(self) -> Check | None:
        """Hold the board against its standard now; what was found, or None if there is none.

        Raises
        ------
        CalibrationError
            If it has drifted, unless the record is to be used all the same. Parameters must be written anew then.
        DeviceError
            If the board fails, or no parameters have been written.
        """
        layout, parameters = self._ready()
        if self._standard is None:
            return None
        self._parameters, begin = None, time.monotonic()
        found = self._standard.check()
        self._checked = time.monotonic()
        self._health["checks"] = self._health.get("checks", 0) + 1
        self._health["check_seconds"] = self._checked - begin
        self._health["check_missed_lsb"] = float(found.missed.max())
        if self._standard.strict:
            refuse_drifted(found)
        elif found.reason:
            self.listener(f"the board has drifted, and is used all the same: {found.reason}")
        self._correction.at(found.temperature)
        self._wire(layout, parameters)
        return found

    def states(self) -> dict[str, Array]:
        """Corrected states of all samples of the last run, ``free`` and ``last``, each (B, N), in network units.

        Raises
        ------
        DeviceError
            If nothing has run since :meth:`configure`, or the last run failed.
        """
        if self._states is None:
            raise DeviceError("The analog board has no states: run a minibatch first")
        return {name: states.copy() for name, states in self._states.items()}

    def health(self) -> dict[str, int | float]:
        """Counters of the board, and how good gradients are.

        ``gradient_uncertainty`` is one standard deviation of the last gradient's error over its norm: noise of readings
        as far as the correction knows it, and ``correction_uncertainty``, of the correction itself.
        ``smallest_beta`` is where it would be a tenth; infinite if the correction alone is less sure. ``held_clamps``
        and the like count corrected values beyond what the board can be told. ``return_volts`` is the
        largest distance seen between free states of one sample. ``temperature`` is the board's at the start of the last
        run, in degrees Celsius, if it has a sensor. ``check_missed_lsb`` is by how much the worst channel
        missed its standard in the last of ``checks``, in steps of the readout.
        """
        return {**self._board.counters(), **self._health}

    def close(self) -> None:
        """Close the board."""
        self._layout, self._parameters, self._states = None, None, None
        self._board.close()

    def _ready(self) -> tuple[Layout, Parameters]:
        if self._layout is None or self._parameters is None:
            raise DeviceError("The analog board has no parameters: call configure and write first")
        return self._layout, self._parameters

    def _wire(self, layout: Layout, parameters: Parameters) -> None:
        self._parameters = None  # until the board has them
        self._board.wire(self._correction.wiring(layout.wiring(parameters)))
        self._parameters = parameters

    def _feel(self, layout: Layout, parameters: Parameters) -> None:
        """Ask for the board's temperature, and correct for it."""
        temperature = self._board.sensors().temperature
        if temperature is not None:
            self._health["temperature"] = temperature
        if self._correction.at(temperature):
            self._wire(layout, parameters)

    def _both(self, wanted: Drive, beta: float, free: Array) -> tuple[Array, Array]:
        """States with the positive and with the negative nudge, averaged over all phases of the order."""
        found: dict[str, list[Array]] = {"+": [], "-": []}
        for before, sign in pairwise(sign for sign in "0" + self._order):
            if before not in {"0", sign}:
                again, _ = self._phase(wanted, 0.0)
                missed = float(np.abs(again - free).max()) * self._ready()[0].volts
                self._health["return_volts"] = max(self._health["return_volts"], missed)
            found[sign].append(self._phase(wanted, beta if sign == "+" else -beta)[0])
        return np.mean(found["+"], axis=0), np.mean(found["-"], axis=0)

    def _phase(self, wanted: Drive, beta: float, *, restart: bool = False) -> tuple[Array, Reading]:
        """Run one phase; corrected states (N,) in network units, and what was read."""
        layout, _ = self._ready()
        reading, moved = self._agreed(self._correction.drive(layout.nudged(wanted, beta, restart=restart)))
        name = {0: "free", 1: "positive", -1: "negative"}[int(np.sign(beta))]
        if over := layout.names(reading.overload):
            raise DeviceError(
                f"Overload in the {name} phase at {over}: lower gains or weights there, or check the board's supply"
            )
        if not reading.settled:
            worst = int(np.argmax(moved[: layout.network.neurons]))
            who = layout.names(np.arange(len(moved)) == worst)
            raise DeviceError(
                f"The board did not settle in the {name} phase, {who} moved by "
                f"{moved[worst]:.2g} V: weaken the couplings, lower beta, or let it take longer"
            )
        return layout.states(self._correction.states(reading)), reading

    def _agreed(self, drive: Drive) -> tuple[Reading, Array]:
        """Run a phase, and read it until two readings of every neuron agree: an answer may be late, or an outlier.

        Returns
        -------
        Reading, array (N,)
            What was read, and by how much the last two readings differ, in volts.

        Raises
        ------
        DeviceError
            If they still do not agree, naming the neurons.
        """
        layout, _ = self._ready()
        readings = [self._board.phase(drive)]
        # No more than what is known of the noise, or an answer that is late would pass where nudges are small.
        tolerance = _AGREE * self._correction.uncertainty(readings[0])
        while len(readings) < _READINGS:
            readings.append(self._board.phase(replace(drive, restart=False)))  # from where it has settled
            volts = np.sort([reading.volts for reading in readings], axis=0)
            gaps = np.diff(volts, axis=0)
            if not layout.names(apart := gaps.min(axis=0) > tolerance):
                # The two that agree best, and what agrees with them: half of the others may be wrong on one side.
                best = np.take_along_axis(volts, gaps.argmin(axis=0)[None], axis=0)
                near = np.abs(volts - best) <= tolerance
                agreed = replace(readings[-1], volts=np.sum(volts * near, axis=0) / near.sum(axis=0))
                return agreed, np.abs(readings[-1].volts - readings[-2].volts)
        worst = int(np.argmax((gaps.min(axis=0) * apart)[: layout.network.neurons]))
        raise DeviceError(
            f"No two of {_READINGS} readings of {layout.names(apart)} agree within {1e3 * tolerance[worst]:.2g} mV, "
            f"they are from {volts[0, worst]:.4g} to {volts[-1, worst]:.4g} V: check the board's readout and wire"
        )

    def _saturations(self, beyond: int, before: dict[str, int]) -> Saturations:
        """What was held in a run: wanted values beyond the range, and those that the correction moved there."""
        now = {kind: count - before[kind] for kind, count in self._correction.held.items()}
        for kind, count in now.items():
            self._health[f"held_{kind}"] = self._health.get(f"held_{kind}", 0) + count
        return Saturations(
            state=beyond + now.get("clamps", 0) + now.get("targets", 0),
            force=now.get("biases", 0) + now.get("nudges", 0),
        )

    def _judge(self, found: Parameters, error: float, doubt: float, beta: float) -> None:
        """Tell how good a gradient is, from the norms of its error by noise and by what the correction is not sure of.

        Noise counts for less the larger beta is, doubt does not.
        """
        size = float(np.linalg.norm(found.vector()))
        part, sure = (error / size, doubt / size) if size else (float("inf"), float("inf"))
        self._health["gradient_uncertainty"] = float(np.hypot(part, sure))
        self._health["correction_uncertainty"] = sure
        usable = np.sqrt(USABLE**2 - sure**2) if sure < USABLE else 0.0
        self._health["smallest_beta"] = float(beta * part / usable) if usable else float("inf")
