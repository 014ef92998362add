"""The rules of streams, for every component of the link: what is offered stays until it is taken."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, flipped

from .monitors import NEVER, assert_kept, assume_kept


def streams_of(component: wiring.Component) -> dict[str, Flow]:
    """Names of the streams of a component, and which way they go."""
    found = {}
    for name, member in component.signature.members.items():
        if member.is_signature and {"valid", "ready", "payload"} == set(member.signature.members):
            found[name] = member.flow
    return found


class KeepsStreams(wiring.Component):
    """A component between an environment that keeps its offers, and assertions that it keeps its own.

    ``called_off`` says when an offer may go all the same: by the name of the stream, the signals that say so.
    """

    def __init__(self, component: wiring.Component, called_off=lambda component: {}) -> None:
        self._component, self._called_off = component, called_off
        super().__init__(component.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = self._component
        wiring.connect(m, flipped(self), self._component)
        called_off = self._called_off(self._component)
        for name, flow in streams_of(self._component).items():
            rule = assume_kept if flow is Flow.In else assert_kept
            rule(m, getattr(self._component, name), name, called_off.get(name, NEVER))
        return m
