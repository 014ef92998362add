"""What is proved of the gateware, and that none of it holds for broken designs (``docs/formal.md``)."""

from contextlib import ExitStack
from unittest import mock

import pytest
from amaranth.lib.crc.catalog import CRC32_BZIP2

from equipoise.gateware import arithmetic
from equipoise.gateware.link import framing
from equipoise.gateware.link.access import SpaceAccess
from equipoise.gateware.link.cobs import CobsDecoder, CobsEncoder
from equipoise.gateware.link.command import CommandProcessor
from equipoise.gateware.link.framing import FrameReceiver, FrameSender
from equipoise.gateware.sequencer import Sequencer
from equipoise.substrate.formats import FORMATS
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import Hello

from . import broken, frames, numbers, requests, runs, streams
from .sby import check

pytestmark = pytest.mark.formal

GEOMETRY = Geometry(
    lanes=2, contexts=2, modules=4, neurons=16, rows=64, groups=4, levels=2, sample_words=256, output_words=64
)
HELLO = Hello(bytes(8), bytes(8), 1, 2048, GEOMETRY)


class StuckMatch(frames.StandInCrc):
    """A checksum unit that is content with everything."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.match_detected.eq(1)
        return m


class Unstarted(frames.StandInCrc):
    """A checksum unit that never starts anew."""

    def elaborate(self, platform):
        self.start = 0
        return super().elaborate(platform)


def executes_once(*change):
    return requests.ExecutesOnce(with_change(CommandProcessor(HELLO), *change), GEOMETRY)


def returns_to_idle(*change):
    return runs.ReturnsToIdle(with_change(Sequencer(GEOMETRY), *change), GEOMETRY)


def with_change(component, *change):
    for one in change:
        broken.changed(component, one)
    return component


def keeps_its_block():
    decoder = CobsDecoder()
    return broken.changed(decoder, broken.forgetful_of_zeros(decoder))


def payload_goes_with_the_request(receiver):
    return {"payload": receiver.request.valid & receiver.request.ready}


STAND_IN = (framing, "CRC32_ETHERNET", frames.StandInCrc.make)

PROOFS = {
    # name: what makes the property, the mode, its depth, and what is replaced for it
    "crc": (frames.CrcIsRight, "prove", 1, ()),
    "receiver": (lambda: frames.ReceiverHandsOverGoodFrames(FrameReceiver()), "prove", 1, (STAND_IN,)),
    "sender": (lambda: frames.SenderSendsGoodFrames(FrameSender()), "prove", 1, (STAND_IN,)),
    "resynchronises": (frames.DecoderResynchronises, "prove", 1, ()),
    "executes once": (executes_once, "prove", 1, ()),
    "returns to idle": (returns_to_idle, "prove", 1, ()),
    "keeps: decoder": (lambda: streams.KeepsStreams(CobsDecoder()), "prove", 2, ()),
    "keeps: receiver": (
        lambda: streams.KeepsStreams(FrameReceiver(), payload_goes_with_the_request), "prove", 4, (),
    ),
    "keeps: sender": (lambda: streams.KeepsStreams(FrameSender()), "prove", 2, ()),
    "keeps: access": (lambda: streams.KeepsStreams(SpaceAccess(GEOMETRY)), "prove", 2, ()),
    "keeps: encoder": (lambda: streams.KeepsStreams(CobsEncoder()), "bmc", 24, ()),
    **{
        f"clip to {name}": (lambda width=width, top=top: numbers.ClipIsRight(width, top), "bmc", 1, ())
        for name, width, top in (
            ("state", 18, FORMATS.state.top), ("bus", 50, FORMATS.bus.top), ("slope", 40, FORMATS.slope.top),
            ("rail", 46, FORMATS.rail),
        )
    },
    **{
        f"round by {shift}": (lambda shift=shift: numbers.RoundIsRight(48, shift), "bmc", 1, ())
        for shift in (0, 1, 3, 4, 6, 8, 10, 12, 13, 14)
    },
    "round by dt_shift": (lambda: numbers.RoundIsRight(43, variable=4), "bmc", 1, ()),
}  # fmt: skip

COVERS = {
    "receiver": 26, "sender": 14, "resynchronises": 12, "returns to idle": 80,
    "clip to bus": 1, "round by 6": 1,
}  # fmt: skip
"""Proofs whose situation is shown to come about within so many cycles: none of them holds for want of it."""

BROKEN = {
    "a CRC with another polynomial": (
        "crc", None, "a step of CRC-32", ((frames, "CRC32_ETHERNET", CRC32_BZIP2),),
    ),
    "a receiver that is content with every CRC": (
        "receiver", None, "invariant: a frame waits",
        ((framing, "CRC32_ETHERNET", StuckMatch.make),),
    ),
    "a receiver that never starts its CRC anew": (
        "receiver", None, "invariant: the unit is fed with every byte of a frame",
        ((framing, "CRC32_ETHERNET", Unstarted.make),),
    ),
    "a sender that never starts its CRC anew": (
        "sender", None, "invariant: the unit is fed with header and payload",
        ((framing, "CRC32_ETHERNET", Unstarted.make),),
    ),
    "a decoder that keeps its block after 0x00": (
        None, lambda: frames.DecoderResynchronises(keeps_its_block),
        "invariant: bytes up to the next code", (),
    ),
    "a processor that takes no request for a repeated one": (
        None, lambda: executes_once(broken.cleared("repeated")), "invariant: repeated or not", (),
    ),
    "a processor that expects the same request again": (
        None, lambda: executes_once(broken.held("expected")), "invariant: expected", (),
    ),
    "a sequencer that counts no steps": (
        None, lambda: returns_to_idle(broken.held("step")), "every pass done lowers the rank", (),
    ),
    "a sequencer that stays with its first samples": (
        None, lambda: returns_to_idle(broken.held("sample")), "every pass done lowers the rank", (),
    ),
    "a sequencer that stays with a row of a reverse process": (
        None, lambda: returns_to_idle(broken.held("row")), "every pass done lowers the rank", (),
    ),
    "a clip that wraps at the low end": (
        "clip to bus", None, "the nearest value in the range", ((arithmetic, "clip", broken.wrapping_clip),),
    ),
    "a rounding without room for the carry": (
        "round by 6", None, "rounded half up, whatever the value",
        ((arithmetic, "round_shift", broken.wrapping_round),),
    ),
    "a shift that does not round": (
        "round by 6", None, "rounded half up, whatever the value",
        ((arithmetic, "round_shift", broken.truncating_shift),),
    ),
}  # fmt: skip
"""name: the proof that is repeated, or a property of its own; what must fail (at least); what is replaced."""


def run(make, folder, depth, mode, replaced):
    with ExitStack() as stack:
        for patch in replaced:
            stack.enter_context(mock.patch.object(*patch))
        component = make()
        commands = "setattr -unset init w:*old*" if isinstance(component, frames.DecoderResynchronises) else ""
        return check(component, folder, depth, mode, commands)


@pytest.mark.parametrize("name", PROOFS)
def test_it_is_proved(name, tmp_path):
    make, mode, depth, replaced = PROOFS[name]
    verdict = run(make, tmp_path, depth, mode, replaced)
    assert verdict.status == "PASS", (verdict.failed, verdict.log)


@pytest.mark.parametrize("name", COVERS)
def test_it_is_not_proved_for_want_of_the_situation(name, tmp_path):
    make, _, _, replaced = PROOFS[name]
    verdict = run(make, tmp_path, COVERS[name], "cover", replaced)
    assert verdict.status == "PASS", (verdict.failed, verdict.log)


@pytest.mark.parametrize("name", BROKEN)
def test_it_is_not_proved_of_a_broken_design(name, tmp_path):
    proof, make, message, replaced = BROKEN[name]
    mode, depth = "prove", 1
    if proof is not None:
        make, mode, depth, sound = PROOFS[proof]
        replaced = (*sound, *replaced)
    verdict = run(make, tmp_path, depth, mode, replaced)
    assert verdict.status in ("FAIL", "UNKNOWN"), verdict.log
    assert message in verdict.failed, verdict.failed


STREAMS = {
    "decoder": (CobsDecoder, "plain"), "receiver": (FrameReceiver, "request"), "sender": (FrameSender, "plain"),
    "access": (lambda: SpaceAccess(GEOMETRY), "sink"), "encoder": (CobsEncoder, "encoded"),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_a_withdrawn_offer_is_noticed(name, tmp_path):
    kind, stream = STREAMS[name]
    component = kind()
    broken.changed(component, broken.withdrawn(getattr(component, stream)))
    _, mode, depth, _ = PROOFS[f"keeps: {name}"]
    verdict = check(streams.KeepsStreams(component), tmp_path, min(depth, 12), mode)
    assert verdict.status in ("FAIL", "UNKNOWN")
    assert all("is kept until it is taken" in message for message in verdict.failed) and verdict.failed
