"""Parameters to begin with: the linear filter is the best one, and hidden neurons are where they bend."""

import numpy as np
import pytest

from equipoise.host.baselines import REPORT_SIGMAS, baseline_errors
from equipoise.host.data import load_data
from equipoise.host.evaluation import denoising_errors
from equipoise.host.optimisers import clip_parameters
from equipoise.host.recipes import recipe
from equipoise.host.start import start_parameters
from equipoise.sim.golden import Golden
from equipoise.substrate.errors import RunError

from .runs import small_config


def test_the_full_recipe_starts_as_the_wiener_filter():
    """With the hidden module off, the device denoises as the filter does, to within the table's steps in sigma."""
    config, data = recipe("digits"), load_data("digits")
    parameters, clipped = clip_parameters(start_parameters(config, data))
    assert clipped < 32  # weights of the pixels that never change
    for number, coupling in enumerate(config.network.couplings):
        if "hidden" in (coupling.a, coupling.b):
            parameters.gain[number][:] = 0.0
    with Golden() as device:
        device.configure(config.network)
        device.write(parameters)
        errors, _ = denoising_errors(device, config, data, 0)
    assert len(errors) == len(REPORT_SIGMAS)
    assert errors == pytest.approx(baseline_errors(data)["wiener"], rel=0.01)


def test_hidden_neurons_are_driven():
    config, data = recipe("digits"), load_data("digits")
    parameters = start_parameters(config, data)
    inputs = np.random.default_rng(0).normal(size=(2000, 64))
    drive = inputs @ parameters.U[0] @ parameters.V[0].T
    assert np.sqrt(np.mean(drive**2)) == pytest.approx(2.0, rel=0.05)
    bias = parameters.bias[:, config.network.slices["hidden"]]
    assert np.ptp(bias) > 3.6 and np.all(bias == bias[0])


def test_a_filter_needs_a_way_to_the_output(tmp_path):
    config = small_config(tmp_path)
    from dataclasses import replace

    network = replace(config.network, couplings=config.network.couplings[:2])
    with pytest.raises(RunError, match=r"^start 'wiener' needs one clamped module, coupled to the output module$"):
        start_parameters(replace(config, network=network, start="wiener"), load_data(config.data))
