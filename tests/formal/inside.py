"""Signals within a component, which a proof by induction needs: what the ports show does not tell every state."""

from collections.abc import Callable

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import wiring


class Inside:
    """A look into ``component``. Ask before it is elaborated; the signals returned follow those within.

    Amaranth keeps what it has built a module from in private attributes; only these tests rely on them.
    """

    def __init__(self, component: wiring.Component | None) -> None:
        self._watched: list[Callable[[Module], None]] = []
        if component is not None:
            self._enter(component)

    def _enter(self, component: wiring.Component) -> None:
        inner = component.elaborate

        def elaborate(platform: object) -> Module:
            m = inner(platform)
            for watch in self._watched:
                watch(m)
            return m

        component.elaborate = elaborate

    def signal(self, name: str, shape: int | range) -> Signal:
        """The register or wire of this name."""

        def find(m: Module) -> Value:
            (found,) = (signal for signal in m._driving if signal.name == name)
            return Value.cast(found)

        return self._follow(name, Shape.cast(shape).width, find)

    def state(self, name: str) -> Signal:
        """Whether the state machine is in this state."""
        return self._follow(f"state_{name}", 1, lambda m: m._generated["fsm"].ongoing(name))

    def part(self, width: int, find: Callable[[Module], Value]) -> Signal:
        """What ``find`` finds in the module."""
        return self._follow("part", width, find)

    def inside(self, name: str) -> "Inside":
        """A look into the submodule of this name."""
        deeper = Inside(None)
        self._watched.append(lambda m: deeper._enter(getattr(m.submodules, name)))
        return deeper

    def _follow(self, name: str, width: int, find: Callable[[Module], Value]) -> Signal:
        copy = Signal(width, name=f"inside_{name.lower().replace(' ', '_')}")

        def watch(m: Module) -> None:
            m.d.comb += copy.eq(find(m))

        self._watched.append(watch)
        return copy
