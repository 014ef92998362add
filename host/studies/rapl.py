"""Energy that this machine's processors have used, where Linux lets one read it (RAPL, ``/sys/class/powercap``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from ...substrate.errors import DeviceError

__all__ = ["POWERCAP", "Rapl"]

POWERCAP = Path("/sys/class/powercap")
"""Where Linux keeps the counters."""


class Rapl:
    """The energy counters of all processor packages.

    Raises
    ------
    DeviceError
        If there are none, or they may not be read, saying why.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        # intel-rapl:0 is a package, intel-rapl:0:0 a part of it; AMD's counters have the same names.
        self._zones = sorted(zone for zone in root.glob("intel-rapl:*") if zone.name.count(":") == 1)
        if not self._zones:
            raise DeviceError(f"this machine has no energy counters under {root}")
        try:
            self._read()
            self._ranges = [int((zone / "max_energy_range_uj").read_text()) for zone in self._zones]
        except PermissionError:
            raise DeviceError(f"the energy counters under {root} may be read by root only") from None
        except (OSError, ValueError) as error:
            raise DeviceError(f"the energy counters under {root} cannot be read ({error})") from None

    def measure(self, work: Callable[[], None], seconds: float) -> tuple[float, float, int]:
        """Do ``work`` again and again for at least ``seconds``.

        Returns
        -------
        tuple
            Joules of all packages, seconds, and how often the work was done.
        """
        before, begin, done = self._read(), perf_counter(), 0
        while done == 0 or perf_counter() - begin < seconds:
            work()
            done += 1
        spent, after = perf_counter() - begin, self._read()
        # A counter that comes to its end begins at zero again; within seconds it does so once at most.
        used = [(b - a) % (top + 1) for a, b, top in zip(before, after, self._ranges, strict=True)]
        return sum(used) * 1e-6, spent, done

    def _read(self) -> list[int]:
        return [int((zone / "energy_uj").read_text()) for zone in self._zones]
