"""The self-test: opens a device, makes the checks one after the other, and reports."""

from __future__ import annotations

from collections.abc import Callable

from ...drivers.address import SERIAL, parse_address
from ...drivers.gateware import GatewareDevice
from ...drivers.serial import BAUD
from ...substrate.errors import DeviceError, EquipoiseError, LinkError, MismatchError
from ..devices import SCHEMES, open_device
from .checks import Bench, Check, Fault, Progress, Report
from .link import check_echo
from .memories import check_memories
from .reverse import check_reverse
from .runs import check_multipliers, check_noise, check_training_step, check_update

__all__ = ["CHECKS", "self_test"]

CHECKS: dict[str, Callable[[Bench], str]] = {
    "link echo": check_echo,
    "memories": check_memories,
    "multipliers": check_multipliers,
    "noise": check_noise,
    "training step": check_training_step,
    "update": check_update,
    "reverse process": check_reverse,
}
"""The checks that follow HELLO, by name."""


def self_test(
    address: str, expect: str | None = None, seed: int = 0, progress: Progress = lambda name, done, total: None
) -> Report:
    """Test the gateware device at ``address``.

    Parameters
    ----------
    address
        A device of kind gateware: ``sim:``, ``serial:``, ``tcp:``.
    expect
        The build id that it must have, 16 hexadecimal digits.
    seed
        Of patterns, weights and samples.
    progress
        Told how far it is.

    Raises
    ------
    DeviceError
        If the address is wrong, cannot be opened on this machine, or is no gateware. (That nobody answers there, or
        something else than this host's gateware, is a result.)
    """
    report = Report(address)
    try:
        device = open_device(address)
    except (LinkError, MismatchError) as error:
        report.checks.append(Check("hello", False, f"{error}{_hint(address)}"))
        return report
    with device:
        if not isinstance(device, GatewareDevice):
            raise DeviceError(
                f"{address} is no gateware but of kind '{device.identity.kind}': give a sim:, serial: or tcp: device"
            )
        bench = Bench(device, seed, progress)
        report.checks.append(_greet(bench, report, expect))
        for name, check in CHECKS.items():
            if bench.session.open:
                report.checks.append(_make(name, check, bench))
            else:
                report.checks.append(Check(name, None, "not made: the link is gone"))
    return report


def _hint(address: str) -> str:
    """What else to look at if nobody answers: a board that hears another baud rate takes all for noise."""
    parsed = parse_address(address, SCHEMES)
    return f"; or is {parsed.options.get('baud', BAUD)} not its baud rate?" if parsed.scheme.name == SERIAL.name else ""


def _greet(bench: Bench, report: Report, expect: str | None) -> Check:
    """Note what the device says of itself; compare its build id."""
    hello = bench.session.hello
    report.build, report.board, report.geometry = hello.build.hex(), hello.board.hex(), dict(hello.geometry.words())
    told = f"build {report.build}, board {report.board}, {hello.geometry}, {hello.clock / 1e6:g} MHz"
    if expect is not None and report.build != expect.lower():
        return Check("hello", False, f"another bitstream than expected, build {expect.lower()}: {told}; flash it again")
    return Check("hello", True, told)


def _make(name: str, check: Callable[[Bench], str], bench: Bench) -> Check:
    try:
        with bench.steps(name):
            return Check(name, True, check(bench))
    except (Fault, EquipoiseError) as error:
        return Check(name, False, str(error))
