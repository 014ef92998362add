"""Networks: layout, and exact messages."""

from collections.abc import Callable

import numpy as np
import pytest

from equipoise.substrate.errors import NetworkError
from equipoise.substrate.network import Coupling, Module, Network

from .examples import SMALL

X, Y = Module("x", 2, clamped=True), Module("y", 3)


def test_neurons_are_numbered_module_after_module() -> None:
    assert SMALL.neurons == 12
    assert SMALL.slices == {"x": slice(0, 3), "h": slice(3, 7), "c": slice(7, 9), "y": slice(9, 12)}
    assert list(np.flatnonzero(SMALL.clamped)) == [0, 1, 2, 7, 8]
    assert (SMALL.inputs, SMALL.outputs) == (5, 3)
    assert list(SMALL.stiffness) == [1, 1, 1, 1.0, 1.5, 0.8, 1.2, 1, 1, 1, 1, 1]
    assert list(SMALL.quartic) == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 1, 1, 0, 1, 2]
    assert SMALL["h"] is SMALL.modules[1]
    assert [module.name for module in SMALL] == ["x", "h", "c", "y"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Module("", 1), "Name of a module must be a non-empty string, not ''"),
        (lambda: Module("x", 0), "Size of module 'x' must be an integer of at least 1, not 0"),
        (lambda: Module("x", 2.0), "Size of module 'x' must be an integer of at least 1, not 2.0"),
        (lambda: Module("x", 2, stiffness=(1.0,)), "Stiffness of module 'x' must be one number or 2, not 1"),
        (lambda: Module("x", 2, quartic=-1.0), "Quartic of module 'x' must be finite and at least 0, not -1"),
        (
            lambda: Module("x", 2, stiffness=(1.0, float("inf"))),
            "Stiffness of module 'x' must be finite and at least 0, not inf",
        ),
        (lambda: Network((), (), "y"), "A network must have at least 1 module, not 0"),
        (lambda: Network((Y, Y), (), "y"), "Module name 'y' is used 2 times; names must be unique"),
        (lambda: Network((X, Y), (), "z"), "Output must be one of the modules ['x', 'y'], not 'z'"),
        (lambda: Network((X, Y), (), "x"), "Output module 'x' must not be clamped"),
        (lambda: Network((X, Y), (), "y", dt=0.3), "Step dt must be a power of two from 2**-15 to 1, not 0.3"),
        (lambda: Network((X, Y), (), "y", levels=0), "Number of noise levels must be an integer of at least 1, not 0"),
        (
            lambda: Network((X, Y), (Coupling("x", "z", 1),), "y"),
            "Coupling x-z ends at 'z', which is not a module",
        ),
        (lambda: Network((X, Y), (Coupling("y", "y", 1),), "y"), "Coupling y-y must join two different modules"),
        (
            lambda: Network((X, Y), (Coupling("x", "y", 1), Coupling("y", "x", 1)), "y"),
            "Coupling y-x is given twice; add its ranks into one coupling",
        ),
        (
            lambda: Network((X, Y), (Coupling("x", "y", 0),), "y"),
            "Rank of coupling x-y must be an integer of at least 1, not 0",
        ),
        (
            lambda: Network((X, Module("c", 1, clamped=True), Y), (Coupling("x", "c", 1),), "y"),
            "Coupling x-c joins two clamped modules, which moves nothing",
        ),
    ],
)
def test_errors_name_module_or_coupling_and_value(make: Callable[[], object], message: str) -> None:
    with pytest.raises(NetworkError) as error:
        make()
    assert str(error.value) == message


def test_equal_networks_are_equal() -> None:
    assert Network((X, Y), (Coupling("x", "y", 1),), "y") == Network([X, Y], [Coupling("x", "y", 1)], "y")
    assert Network((X, Y), (Coupling("x", "y", 1),), "y") != Network((X, Y), (Coupling("x", "y", 2),), "y")
