"""Sampling on the device: the same samples as the host's samplers make from the same noise, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from equipoise.drivers.gateware import GatewareDevice
from equipoise.drivers.session import Session
from equipoise.host import sampler as host_sampler
from equipoise.host.data import load_data
from equipoise.host.device_sampler import reverse_program, sample_on_device
from equipoise.host.optimisers import clip_parameters
from equipoise.host.random import device_seed
from equipoise.host.sampler import Sampler, sample
from equipoise.host.start import start_parameters
from equipoise.host.supervision import Supervised
from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden
from equipoise.sim.golden_sampling import UPDATE
from equipoise.sim.model_device import ModelTransport, model_device, open_model_wire
from equipoise.sim.noise import NoiseStream
from equipoise.substrate.codes import NOISE_VARIANCE
from equipoise.substrate.errors import CapabilityError, LinkError
from equipoise.substrate.network import Coupling, Module
from equipoise.substrate.parameters import Parameters

from .runs import small_config

TABLED = [kind for kind in Sampler if kind is not Sampler.LANGEVIN]


class DeviceNoise:
    """The noise of a device's rows, in the host's place: a row for each call."""

    def __init__(self, seed: int, row: int) -> None:
        self._seed, self._row = device_seed(seed, "sample", 0), row

    def normal(self, size: tuple[int, int]) -> np.ndarray:
        drawn = NoiseStream(self._seed, np.arange(size[0]), UPDATE, self._row).take(size[1])
        self._row += 1
        return drawn / np.sqrt(NOISE_VARIANCE)


@pytest.fixture
def device_noise(monkeypatch):
    """Let the host's samplers begin with the noise that a device would draw."""
    rows = {"sample": 0, "ancestral": 1}
    monkeypatch.setattr(host_sampler, "generator", lambda seed, purpose: DeviceNoise(seed, rows[purpose]))


def ready(folder, device, **overrides):
    """A device with parameters near the best linear denoiser's."""
    config = small_config(folder, (4,), start="wiener", **overrides)
    device.configure(config.network)
    parameters = start_parameters(config, load_data(config.data)).map(np.copy)
    for number, coupling in enumerate(config.network.couplings):
        if "hidden" in (coupling.a, coupling.b):
            parameters.gain[number][:] *= 0.3
    device.write(clip_parameters(parameters)[0])
    return config


@pytest.mark.parametrize("kind", TABLED)
@pytest.mark.parametrize("warm", [False, True])
def test_the_table_is_the_sampler(tmp_path, device_noise, kind, warm):
    """In floating point, the table makes what the host's sampler makes step by step."""
    with FloatModel() as device:
        config = ready(tmp_path, device)
        options = {"steps": 7, "sampler": kind, "seed": 3, "warm": warm}
        hosted = sample(device, config, 40, 4, **options)
        assert np.abs(hosted).max() < 2  # beyond, a host clips what a network sees
        assert np.allclose(sample_on_device(device, config, 40, **options), hosted, atol=1e-9)


@pytest.mark.parametrize("kind", TABLED)
def test_fixed_point_stays_near(tmp_path, device_noise, kind):
    """Rounding of factors and states moves no number of a sample by more than a few steps of the state format."""
    with Golden() as device:
        config = ready(tmp_path, device)
        hosted = sample(device, config, 40, 4, steps=7, sampler=kind, seed=3)
        error = np.abs(sample_on_device(device, config, 40, steps=7, sampler=kind, seed=3) - hosted)
    assert 0 < error.max() < 16 * 2**-13


def test_samples_depend_on_the_seed_and_their_number_alone(tmp_path):
    with Golden() as device:
        config = ready(tmp_path, device)
        options = {"steps": 4, "sampler": Sampler.ANCESTRAL}
        many = sample_on_device(device, config, 40, **options)
        assert np.array_equal(sample_on_device(device, config, 3, **options), many[:3])
        assert not np.array_equal(sample_on_device(device, config, 3, seed=1, **options), many[:3])
        assert len(np.unique(many[:, 0])) > 38


def test_labels_are_told(tmp_path):
    data = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", data=data.normal(size=(60, 4)), labels=np.arange(60) % 3)
    with Golden() as device:
        config = small_config(tmp_path, (4,))
        network = config.network
        modules = (Module("label", 3, clamped=True), *network.modules)
        network = replace(network, modules=modules, couplings=(*network.couplings, Coupling("label", "output", 3)))
        config = replace(config, network=network, label="label", data=str(tmp_path / "data.npz"))
        device.configure(network)
        parameters = Parameters.zeros(network)
        parameters.U[-1][:], parameters.gain[-1][:] = np.eye(3), 1.0
        parameters.V[-1][:3] = 0.5 * np.eye(3)
        device.write(parameters)
        options = {"steps": 4, "sampler": Sampler.EULER}
        told = sample_on_device(device, config, 3, labels=np.array([0, 2, -1]), **options)
        free = sample_on_device(device, config, 3, **options)
    assert np.array_equal(np.argmax(np.abs(told - free)[:2, :3], axis=1), [0, 2])
    assert np.array_equal(told[2], free[2])


def test_progress_counts_samples(tmp_path):
    told = []
    with Golden() as device:
        config = ready(tmp_path, device)
        sample_on_device(device, config, 40, steps=4, progress=lambda *done: told.append(done))
    assert told == [(32, 40), (40, 40)]


def test_over_the_link(tmp_path):
    """Driver and tables lead to the same samples, and after the first run the link carries little beside them."""
    with GatewareDevice(Session(open_model_wire())) as device, Golden() as golden:
        config = ready(tmp_path, device)
        ready(tmp_path, golden)
        options = {"steps": 4, "sampler": Sampler.HEUN}
        assert np.array_equal(
            sample_on_device(device, config, 40, **options), sample_on_device(golden, config, 40, **options)
        )
        for name, states in device.states().items():
            assert np.array_equal(states, golden.states()[name][-len(states) :])
        before = device.session.counters
        sample_on_device(device, config, 32, **options)
        spent = {name: device.session.counters[name] - before[name] for name in ("bytes_sent", "bytes_received")}
    assert spent["bytes_received"] < 32 * 4 * 2 + 500 and spent["bytes_sent"] < 500


def test_a_flipped_bit_in_the_table_is_found_and_the_samples_made_again(tmp_path):
    board = model_device()
    with GatewareDevice(Session(ModelTransport(board))) as device:
        config = ready(tmp_path, device)
        first = sample_on_device(device, config, 3, steps=4)
        board.memory["schedule"][2, 1] ^= 1 << 13
        assert np.array_equal(sample_on_device(device, config, 3, steps=4), first)
        assert device.health()["host_memory_faults"] == 1


class Cut(ModelTransport):
    """A wire that can be cut."""

    cut = False

    def send(self, data):
        if self.cut:
            raise LinkError("The wire is cut")
        super().send(data)


def test_a_wire_that_breaks(tmp_path):
    """Samples come from the device once it is back, and its states too."""
    wires = []

    def opener():
        wires.append(Cut(model_device()))
        return GatewareDevice(Session(wires[-1]))

    with Supervised(opener) as device:
        config = ready(tmp_path, device)
        first, states = sample_on_device(device, config, 3, steps=4), device.states()
        wires[-1].cut = True
        assert np.array_equal(sample_on_device(device, config, 3, steps=4), first)
        wires[-1].cut = True
        assert np.array_equal(device.states()["free"], states["free"])
    assert len(wires) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance": 2.0}, "guidance 2 takes two denoisers, of which a device has one"),
        ({"sampler": Sampler.LANGEVIN}, "langevin measures and amplifies the device's noise on the host"),
        ({"steps": 2}, r"a factor of 4\.\d+ \(row 2\) goes too far in one step .* end at 3\.99997: take more steps"),
        ({"steps": 65}, "must have 2 to 128 rows, not 130: take fewer noise levels"),
        ({"count": 65537}, "at most 65536 samples of one seed, not 65537: use more seeds"),
    ],
)
def test_what_a_device_cannot_do_is_refused(tmp_path, options, message):
    with Golden() as device:
        config = ready(tmp_path, device)
        with pytest.raises(CapabilityError, match=message):
            sample_on_device(device, config, **{"count": 1} | options)


def test_a_device_that_cannot_says_so(tmp_path):
    with Golden(compact=1) as device:
        config = ready(tmp_path, device)
        with pytest.raises(CapabilityError, match=r"cannot run the reverse process on its own: let the host do it"):
            sample_on_device(device, config, 1)


def test_a_network_of_two_inputs_is_refused(tmp_path):
    config = small_config(tmp_path, (4,))
    modules = (*config.network.modules, Module("more", 2, clamped=True))
    config = replace(config, network=replace(config.network, modules=modules))
    with pytest.raises(CapabilityError, match="A device samples one clamped module, not 2: input, more"):
        reverse_program(config, 4, Sampler.EULER)
