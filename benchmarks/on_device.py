"""What docs/generate.md says of sampling on the device, measured on a trained run.

    python benchmarks/on_device.py quality RUN ADDRESS    # the same samples as host-driven, within error
    python benchmarks/on_device.py cost RUN ADDRESS       # bytes, cycles and seconds of an image, either way

Prints tables in Markdown.
"""

from __future__ import annotations

import sys
import time
from unittest import mock

import numpy as np

from equipoise.benchmarks.quality import loaded
from equipoise.drivers.gateware import GatewareDevice
from equipoise.host import sampler as host_sampler
from equipoise.host.data import SIGMA_DATA, load_data
from equipoise.host.device_sampler import sample_on_device
from equipoise.host.devices import open_device
from equipoise.host.quality.distances import distance, maximum_mean_discrepancy, sliced_wasserstein
from equipoise.host.random import device_seed
from equipoise.host.sampler import Sampler, sample
from equipoise.host.studies.statistics import Interval
from equipoise.sim.golden_sampling import UPDATE
from equipoise.sim.noise import NoiseStream
from equipoise.substrate.codes import NOISE_VARIANCE
from equipoise.substrate.formats import FORMATS

COUNT = 512
STEPS = {Sampler.HEUN: 18, Sampler.EULER: 36, Sampler.ANCESTRAL: 36}
"""Of each sampler, for about as many denoiser calls."""


class DeviceNoise:
    """The noise of a device's rows, in the host's place: a row for each call."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._seed, self._row = device_seed(seed, "sample", 0), {"sample": 0, "ancestral": 1}[purpose]

    def normal(self, size: tuple[int, int]) -> np.ndarray:
        drawn = NoiseStream(self._seed, np.arange(size[0]), UPDATE, self._row).take(size[1])
        self._row += 1
        return np.asarray(drawn / np.sqrt(NOISE_VARIANCE))


def show(interval: Interval) -> str:
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"


def quality(path: str, address: str) -> None:
    """Samples of the device and of the host, against real data and against each other; then from the same noise."""
    with open_device(address) as device:
        config = loaded(path, device)
        data = load_data(config.data)
        size, discrepancy = data.train.shape[1], maximum_mean_discrepancy(data.test)
        measures = (("sliced Wasserstein", sliced_wasserstein), ("MMD^2", discrepancy))
        print("| sampler | measure | device to data | host to data | device to host | host to host, another seed |")
        print("|---|---|---|---|---|---|")
        apart = []
        for kind, steps in STEPS.items():
            options = {"sampler": kind, "steps": steps}
            first, second = (sample(device, config, COUNT, size, seed=seed, **options) for seed in (1, 2))
            own = sample_on_device(device, config, COUNT, seed=3, **options)
            for name, measure in measures:
                pairs = ((own, data.test), (first, data.test), (own, first), (second, first))
                found = " | ".join(show(distance(measure, a, b)) for a, b in pairs)
                print(f"| {kind} | {name} | {found} |", flush=True)
            with mock.patch.object(host_sampler, "generator", DeviceNoise):
                hosted = sample(device, config, COUNT, size, seed=3, **options)
            gap = np.abs(own - hosted).max(axis=1) / SIGMA_DATA
            apart.append((kind, gap, np.abs(hosted).max(axis=1) > FORMATS.state.limit * SIGMA_DATA))
        print("\n| sampler | half within | 95 % within | largest | largest, of samples within the states' range |")
        print("|---|---|---|---|---|")
        for kind, gap, beyond in apart:
            print(f"| {kind} | {np.median(gap):.5f} | {np.quantile(gap, 0.95):.5f} | {gap.max():.2f} "
                  f"| {gap[~beyond].max():.2f} ({np.count_nonzero(beyond)} are beyond) |")  # fmt: skip


def cost(path: str, address: str) -> None:
    """What an image takes, host-driven and on the device: the second time, so that all is loaded."""
    count, steps = 16, 18
    with open_device(address) as device:
        assert isinstance(device, GatewareDevice)
        config = loaded(path, device)
        size = load_data(config.data).train.shape[1]
        ways = {
            "host": lambda: sample(device, config, count, size, steps=steps),
            "device": lambda: sample_on_device(device, config, count, steps=steps),
        }
        print("| driven by | bytes to the device | bytes from it | cycles | seconds |\n|---|---|---|---|---|")
        for name, way in ways.items():
            way()
            cycles: list[int] = []
            runs = {call: getattr(device, call) for call in ("run", "generate")}

            def counted(*arguments: object, call: str, runs=runs, cycles=cycles) -> object:
                result = runs[call](*arguments)
                cycles.append(result.cycles)
                return result

            before, begin = device.session.counters, time.monotonic()
            with mock.patch.multiple(device, **{
                call: lambda *arguments, call=call: counted(*arguments, call=call) for call in runs
            }):  # fmt: skip
                way()
            seconds, after = time.monotonic() - begin, device.session.counters
            moved = [(after[key] - before[key]) / count for key in ("bytes_sent", "bytes_received")]
            print(
                f"| {name} | {moved[0]:,.0f} | {moved[1]:,.0f} | {sum(cycles) / count:,.0f} | {seconds / count:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("quality", "cost"):
        raise SystemExit(__doc__)
    {"quality": quality, "cost": cost}[sys.argv[1]](*sys.argv[2:])
