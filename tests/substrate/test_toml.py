"""Networks as TOML: round trips and exact messages."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.substrate.errors import NetworkError
from equipoise.substrate.network import Coupling, Module, Network
from equipoise.substrate.toml import network_from_toml, network_to_toml, read_network

from .examples import SMALL

TEXT = """
output = "y"
[[module]]
name = "x"
size = 4
clamped = true
[[module]]
name = "y"
size = 2
stiffness = [1, 1.5]
[[coupling]]
a = "x"
b = "y"
rank = 3
"""

CONSTANTS = st.floats(0, 1e300) | st.integers(0, 5)


@st.composite
def any_networks(draw: st.DrawFn) -> Network:
    names = draw(
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=4, unique=True)
    )
    modules = []
    for number, name in enumerate(names):
        size = draw(st.integers(1, 5))
        constant = CONSTANTS | st.tuples(*[CONSTANTS] * size)
        modules.append(Module(name, size, draw(constant), draw(constant), clamped=number > 0 and draw(st.booleans())))
    pairs = [(names[0], name) for name in names[1:]]
    couplings = [Coupling(*pair, draw(st.integers(1, 99))) for pair in pairs if draw(st.booleans())]
    dt = 2.0 ** -draw(st.integers(0, 15))
    return Network(tuple(modules), tuple(couplings), names[0], dt, draw(st.integers(1, 64)))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(any_networks())
def test_round_trip(network: Network) -> None:
    assert network_from_toml(network_to_toml(network)) == network
    railed = replace(network, modules=tuple(replace(module, railed=True) for module in network))
    assert network_from_toml(network_to_toml(railed)) == railed


def test_defaults_are_those_of_network_and_module() -> None:
    x, y = Module("x", 4, clamped=True), Module("y", 2, stiffness=(1.0, 1.5))
    assert network_from_toml(TEXT) == Network((x, y), (Coupling("x", "y", 3),), "y")


def test_read_network(tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    path.write_text(network_to_toml(SMALL), encoding="utf-8")
    assert read_network(path) == SMALL


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rank = 3", "rank = ", "Not valid TOML: Invalid value (at line 14, column 8)"),
        ("rank = 3", "rnak = 3", "Key 'rnak' of coupling 'x-y' is unknown; known are a, b, rank"),
        ("rank = 3", "", "Key 'rank' of coupling 'x-y' is missing"),
        ("rank = 3", "rank = 3.0", "Key 'rank' of coupling 'x-y' must be an integer, not 3.0"),
        ("rank = 3", "rank = 0", "Rank of coupling x-y must be an integer of at least 1, not 0"),
        ('a = "x"', "", "Key 'a' of coupling number 1 is missing"),
        ('a = "x"', 'a = "z"', "Coupling z-y ends at 'z', which is not a module"),
        ("size = 4", "size = true", "Key 'size' of module 'x' must be an integer, not True"),
        ("size = 4", "size = 0", "Size of module 'x' must be an integer of at least 1, not 0"),
        ('name = "y"', "", "Key 'name' of module number 2 is missing"),
        ("clamped = true", "clamped = 1", "Key 'clamped' of module 'x' must be true or false, not 1"),
        ("[1, 1.5]", "[1]", "Stiffness of module 'y' must be one number or 2, not 1"),
        ("[1, 1.5]", "[1, -2]", "Stiffness of module 'y' must be finite and at least 0, not -2"),
        ("[1, 1.5]", "nan", "Stiffness of module 'y' must be finite and at least 0, not nan"),
        (
            "[1, 1.5]",
            "[1, true]",
            "Key 'stiffness' of module 'y' must be a number or a list of numbers, not [1, True]",
        ),
        (
            "clamped = true",
            "frozen = true",
            "Key 'frozen' of module 'x' is unknown; known are name, size, stiffness, quartic, clamped, railed",
        ),
        (
            'output = "y"',
            'output = "y"\nmodules = 2',
            "Key 'modules' of the network is unknown; known are output, dt, levels, module, coupling",
        ),
        ('output = "y"', "", "Key 'output' of the network is missing"),
        ('output = "y"', "output = 1", "Key 'output' of the network must be a string, not 1"),
        ('output = "y"', 'output = "x"', "Output module 'x' must not be clamped"),
        (
            'output = "y"',
            'output = "y"\ndt = 0.1',
            "Step dt must be a power of two from 2**-15 to 1, not 0.1",
        ),
        (
            'output = "y"',
            'output = "y"\nlevels = "8"',
            "Key 'levels' of the network must be an integer, not '8'",
        ),
    ],
)
def test_errors_name_file_key_and_value(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert TEXT.count(old) == 1
    text = TEXT.replace(old, new)
    with pytest.raises(NetworkError) as error:
        network_from_toml(text)
    assert str(error.value) == message
    path = tmp_path / "network.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(NetworkError) as error:
        read_network(path)
    assert str(error.value) == f"File '{path}': {message}"


def test_a_table_where_tables_are_due() -> None:
    with pytest.raises(NetworkError) as error:
        network_from_toml('output = "y"\n[module]\nname = "y"\nsize = 1')
    assert str(error.value) == "Key 'module' of the network must be tables, [[module]], not {'name': 'y', 'size': 1}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "network.toml"
    with pytest.raises(NetworkError) as error:
        read_network(path)
    assert str(error.value) == f"Network cannot be read from '{path}': No such file or directory"
    path.write_bytes(b"output = '\xff'")
    with pytest.raises(NetworkError) as error:
        read_network(path)
    assert str(error.value) == f"File '{path}': not UTF-8 text, byte 10 is wrong"
