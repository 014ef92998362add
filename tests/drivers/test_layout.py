"""Tables and packed parameters: walked as the gateware walks them, they are the network again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.drivers.layout import Area, Layout, spans
from equipoise.substrate.codes import Codes, encode_parameters
from equipoise.substrate.energy import energy, force
from equipoise.substrate.errors import CapabilityError
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.parameters import Parameters
from equipoise.substrate.protocol import table_masks

from .networks import networks, whole_parameters

LANES = st.sampled_from([1, 2, 3, 8])


def codes_of(network: Network, parameters: Parameters) -> Codes:
    """Codes that are the parameters, which are whole numbers."""
    constants = encode_parameters(network, Parameters.zeros(network))
    whole = parameters.map(lambda leaf: leaf.astype(np.int64))
    return replace(constants, U=whole.U, V=whole.V, gain=whole.gain, bias=whole.bias)


def words_of(packed, space: str) -> list[np.ndarray]:
    return [words for area, words in packed.items() if area.space == space]


class Walk:
    """What the gateware makes of the tables: bits of ``docs/gateware.md`` and the ``Space`` docs, not of the driver."""

    def __init__(self, modules, ends, weights, gains):
        self.weights = weights.astype(float)
        self.gains = gains.astype(float)
        self.modules = [
            {
                "neurons": range(int(low) & 0xFFFF, (int(low) & 0xFFFF) + (int(low) >> 16)),
                "ends": [self._end(int(ends[number])) for number in self._range(int(high))],
                "clamped": bool(int(high) >> 30 & 1),
                "output": bool(int(high) >> 31),
            }
            for low, high in modules
        ]

    @staticmethod
    def _range(high: int) -> range:
        return range(high & 0xFFFF, (high & 0xFFFF) + (high >> 16 & 0x3FFF))

    @staticmethod
    def _end(word: int) -> dict[str, int]:
        return {"row": word & 0xFFFF, "group": word >> 16 & 0x3FFF, "side": word >> 30 & 1, "clamped": word >> 31}

    def buses(self, states) -> dict[tuple[int, int], np.ndarray]:
        """Raw bus of each (group, side)."""
        buses = {}
        for module in self.modules:
            for end in module["ends"]:
                rows = self.weights[end["row"] : end["row"] + len(module["neurons"])]
                assert (end["group"], end["side"]) not in buses
                buses[end["group"], end["side"]] = states[list(module["neurons"])] @ rows
        return buses

    def force(self, states, level: int) -> np.ndarray:
        """Force of the couplings on each neuron."""
        buses, total = self.buses(states), np.zeros(len(states))
        for module in self.modules:
            for end in module["ends"]:
                drive = self.gains[level, end["group"]] * buses[end["group"], 1 - end["side"]]
                for offset, neuron in enumerate(module["neurons"]):
                    total[neuron] += self.weights[end["row"] + offset] @ drive
        return total

    def energy(self, states, level: int) -> float:
        """Energy of the couplings."""
        buses = self.buses(states)
        return -sum(
            float(self.gains[level, group] @ (bus * buses[group, 1]))
            for (group, side), bus in buses.items()
            if side == 0
        )


@settings(max_examples=80, deadline=None)
@given(network=networks(), lanes=LANES, seed=st.integers(0, 2**32))
def test_walking_the_tables_gives_the_network(network, lanes, seed):
    rng = np.random.default_rng(seed)
    layout = Layout(network, Geometry(lanes=lanes, contexts=1))
    parameters = whole_parameters(network, rng)
    parameters.bias[:] = 0
    packed = layout.pack(codes_of(network, parameters))
    gains = np.stack(words_of(packed, "gains"))
    walk = Walk(layout.module_table(), layout.end_table(), words_of(packed, "weights")[0], gains)

    for name, table in (("modules", layout.module_table()), ("ends", layout.end_table())):
        missing = ~np.array(table_masks(layout.geometry)[name], np.uint32)
        assert not np.any(table.reshape(-1, len(missing)) & missing), "every bit that is set is one that the device has"
    assert [(list(m["neurons"]), m["clamped"], m["output"]) for m in walk.modules] == [
        (list(range(s.start, s.stop)), module.clamped, module.name == network.output)
        for module, s in zip(network, network.slices.values(), strict=True)
    ]
    rows = [row for m in walk.modules for end in m["ends"] for row in range(end["row"], end["row"] + len(m["neurons"]))]
    assert sorted(rows) == list(range(layout.rows)), "every row belongs to one neuron of one end"
    sides = {(end["group"], end["side"]): m for m in walk.modules for end in m["ends"]}
    assert sorted(sides) == [(group, side) for group in range(layout.groups) for side in (0, 1)]
    for module in walk.modules:
        for end in module["ends"]:
            assert end["clamped"] == sides[end["group"], 1 - end["side"]]["clamped"]
        assert [end["group"] for end in module["ends"]] == sorted(end["group"] for end in module["ends"])

    states = rng.integers(-5, 6, network.neurons).astype(float)
    silent = Network(
        tuple(Module(m.name, m.size, 0.0, 0.0, m.clamped) for m in network),
        network.couplings,
        network.output,
        levels=network.levels,
    )
    for level in range(network.levels):
        levels = np.array([level])
        np.testing.assert_array_equal(walk.force(states, level), force(silent, parameters, states[None], levels)[0])
        assert walk.energy(states, level) == energy(silent, parameters, states[None], levels)[0]


@settings(max_examples=50, deadline=None)
@given(network=networks(), lanes=LANES, seed=st.integers(0, 2**32))
def test_what_is_packed_unpacks(network, lanes, seed):
    codes = codes_of(network, whole_parameters(network, np.random.default_rng(seed)))
    layout = Layout(network, Geometry(lanes=lanes, contexts=1))
    unpacked = layout.unpack(layout.pack(codes))
    for leaf, expected in zip(
        (*unpacked.U, *unpacked.V, *unpacked.gain, unpacked.bias),
        (*codes.U, *codes.V, *codes.gain, codes.bias),
        strict=True,
    ):
        assert leaf.dtype == np.int64
        np.testing.assert_array_equal(leaf, expected)


def test_lanes_beyond_the_rank_are_zero():
    network = Network((Module("x", 2, clamped=True), Module("y", 1)), (Coupling("x", "y", 3),), "y")
    ones = Parameters.zeros(network).map(np.ones_like)
    packed = Layout(network, Geometry(lanes=2)).pack(codes_of(network, replace(ones, V=(2 * ones.V[0],))))
    np.testing.assert_array_equal(packed[Area("weights", 0, 6)], [[1, 1], [1, 1], [1, 0], [1, 0], [2, 2], [2, 0]])
    np.testing.assert_array_equal(packed[Area("gains", 0, 2)], [[1, 1], [1, 0]])


SMALL = Network(
    (Module("x", 4, clamped=True), Module("y", 3), Module("z", 2)),
    (Coupling("x", "y", 5), Coupling("y", "z", 2)),
    "y",
    dt=1 / 16,
    levels=2,
)


def test_sizes_of_a_small_network():
    layout = Layout(SMALL, Geometry(lanes=4, sample_words=100, output_words=30))
    assert layout.groups == 3
    assert layout.rows == 2 * 4 + 3 * 3 + 2
    assert layout.record(nudged=True) == 1 + 4 + 3
    assert layout.record(nudged=False) == 1 + 4
    assert layout.batch_limit == 10
    assert Layout(SMALL, Geometry(lanes=4, sample_words=100)).batch_limit == 12
    assert Layout(SMALL, Geometry(lanes=4)).batch_limit == 256


def test_areas_of_parameters_and_sums():
    layout = Layout(SMALL, Geometry(lanes=4))
    assert list(layout.pack(codes_of(SMALL, Parameters.zeros(SMALL)))) == [
        Area("weights", 0, 19),
        Area("gains", 0, 3),
        Area("biases", 0, 9),
        Area("gains", 512, 3),
        Area("biases", 1024, 9),
    ]
    assert layout.contrast_areas([1]) == [
        Area("weight_contrast", 0, 19),
        Area("gain_contrast", 512, 3),
        Area("bias_contrast", 1024 + 4, 5),
    ]


@pytest.mark.parametrize(
    ("name", "limit", "need", "what"),
    [
        ("modules", 2, 3, "modules"),
        ("neurons", 8, 9, "neurons"),
        ("groups", 2, 3, "channel groups"),
        ("rows", 18, 19, "rows of weight memory"),
        ("levels", 1, 2, "noise levels"),
        ("sample_words", 7, 8, "words for a sample"),
        ("output_words", 2, 3, "words for the outputs of a sample"),
    ],
)
def test_a_network_that_does_not_fit(name, limit, need, what):
    fitting = {"modules": 3, "neurons": 16, "groups": 4, "rows": 19, "levels": 2, "sample_words": 8, "output_words": 3}
    Layout(SMALL, Geometry(lanes=4, **fitting))
    with pytest.raises(CapabilityError) as raised:
        Layout(SMALL, Geometry(lanes=4, **{**fitting, name: limit}))
    assert str(raised.value) == (
        f"The network needs {need} {what}, the device has {limit}: "
        f"use a smaller network, or a device built with {name} of at least {need}"
    )


def test_a_network_without_couplings_has_no_ends():
    layout = Layout(Network((Module("x", 2), Module("y", 1, clamped=True)), (), "x"), Geometry())
    assert layout.rows == layout.groups == 0
    assert layout.end_table().shape == (0,)
    np.testing.assert_array_equal(layout.module_table(), [[2 << 16, 1 << 31], [2 | 1 << 16, 1 << 30]])


@pytest.mark.parametrize(
    ("mask", "gap", "expected"),
    [
        ([0, 0], 0, []),
        ([1, 1, 0, 1], 0, [(0, 2), (3, 4)]),
        ([1, 1, 0, 1, 0, 0, 1], 1, [(0, 4), (6, 7)]),
        ([0, 1], 5, [(1, 2)]),
    ],
)
def test_spans(mask, gap, expected):
    assert spans(np.array(mask, bool), gap) == [slice(*span) for span in expected]
