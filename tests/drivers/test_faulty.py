"""A bad wire: every fault does what it says, is written down, and is the same for the same seed."""

import itertools
import json

import pytest

from equipoise.drivers.address import SERIAL, Scheme, parse_address
from equipoise.drivers.faulty import FAULTS, LONGEST_DELAY, Faults, FaultyTransport, Mischief
from equipoise.drivers.framing import encode_frame
from equipoise.drivers.transport import Transport
from equipoise.sim.model_device import ModelTransport, model_device
from equipoise.substrate.errors import DeviceError, LinkError

from .peer import GEOMETRY

FRAMES = [encode_frame(1, number, bytes([number + 1]) * 6) for number in range(200)]


class Loop(Transport):
    """What is sent comes back."""

    description = "loop:"

    def __init__(self) -> None:
        self.passed: list[bytes] = []
        self.back = b""
        self.resets = 0
        self.closed = False

    def send(self, data: bytes) -> None:
        self.passed.append(data)

    def receive(self, deadline: float) -> bytes:
        data, self.back = self.back, b""
        return data

    def reset(self) -> None:
        self.resets += 1
        self.passed.append(b"reset")

    def close(self) -> None:
        self.closed = True


def carry(fault: str, rate: float = 1.0, seed: int = 0, frames=FRAMES, log=None):
    """What comes of frames sent one by one."""
    loop = Loop()
    wire = FaultyTransport(loop, Mischief(Faults(**{fault: rate}), seed, log))
    for frame in frames:
        wire.send(frame)
    return loop.passed, loop


def test_without_faults_all_comes_as_it_was_sent():
    loop = Loop()
    wire = FaultyTransport(loop, Mischief(Faults()))
    wire.send(b"\0" + b"".join(FRAMES))
    assert b"".join(loop.passed) == b"\0" + b"".join(FRAMES)
    whole = b"".join(FRAMES)
    received = b""
    for cut in range(0, len(whole), 7):
        loop.back = whole[cut : cut + 7]
        received += wire.receive(0.0)
    assert received == whole
    assert wire.description == "fault+loop:"


def test_drop():
    passed, _ = carry("drop")
    assert any(not part for part in passed) or len(passed) < len(FRAMES)
    kept = {len(part) for part in passed}
    assert kept <= {0, len(FRAMES[0]) - 1}


def test_flip():
    for frame, part in zip(FRAMES, carry("flip")[0], strict=True):
        assert sum((a ^ b).bit_count() for a, b in zip(frame, part, strict=True)) == 1


def test_duplicate():
    lengths = {len(part) for part in carry("duplicate")[0]}
    assert lengths == {2 * len(FRAMES[0]), len(FRAMES[0]) + 1}


def test_truncate():
    for frame, part in zip(FRAMES, carry("truncate", frames=FRAMES)[0], strict=False):
        assert len(part) < len(frame)


def test_merge():
    assert b"".join(carry("merge")[0]).count(0) == 0


def test_reorder():
    passed, _ = carry("reorder", 0.3)
    assert sorted(b"".join(passed)) != [] and b"".join(passed) != b"".join(FRAMES)
    arrived = [part + b"\0" for part in b"".join(passed).split(b"\0")[:-1]]
    places = [FRAMES.index(frame) for frame in arrived if frame in FRAMES]
    assert any(later < earlier for earlier, later in itertools.pairwise(places))


def test_delay(monkeypatch):
    slept = []
    monkeypatch.setattr("equipoise.drivers.faulty.time.sleep", slept.append)
    passed, _ = carry("delay")
    assert b"".join(passed) == b"".join(FRAMES)
    assert len(slept) == len(FRAMES) and min(slept) >= 0 and max(slept) <= LONGEST_DELAY


def test_cut():
    loop = Loop()
    wire = FaultyTransport(loop, Mischief(Faults(cut=1.0)))
    for _ in range(2):
        with pytest.raises(LinkError, match=r"^fault\+loop: was cut, on purpose: open it again$"):
            wire.send(FRAMES[0])
    assert loop.closed and FRAMES[0].startswith(b"".join(loop.passed)) and b"".join(loop.passed) != FRAMES[0]
    with pytest.raises(LinkError):
        wire.receive(0.0)


def test_reset_in_the_middle_of_a_frame_and_not_by_answers():
    passed, loop = carry("reset", frames=FRAMES[:50])
    assert loop.resets == 50
    assert b"".join(part for part in passed if part != b"reset") == b"".join(FRAMES[:50])
    assert passed[1] == b"reset" and passed[0] + passed[2] == FRAMES[0]
    loop.back = FRAMES[0]
    wire = FaultyTransport(loop, Mischief(Faults(reset=1.0)))
    assert wire.receive(0.0) == FRAMES[0]
    assert loop.resets == 50


def test_a_wire_that_cannot_reset_says_so():
    class Plain(Loop):
        reset = Transport.reset

    with pytest.raises(DeviceError, match=r"^fault\+loop: cannot reset its device from here: leave out the fault"):
        FaultyTransport(Plain(), Mischief(Faults(reset=0.1)))
    with pytest.raises(DeviceError, match=r"^loop: cannot be reset from here: do it by hand$"):
        Plain().reset()


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault not in ("cut", "delay")])
def test_the_same_seed_does_the_same_and_all_is_written_down(fault, tmp_path):
    log = tmp_path / "faults.jsonl"
    first, second, other = (carry(fault, 0.3, seed, log=log)[0] for seed in (7, 7, 8))
    assert first == second != other
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert 30 < len(records) < 90
    assert {record["fault"] for record in records} == {fault}
    assert {record["way"] for record in records} == {"to device"}
    assert all(0 < record["frame"] <= len(FRAMES) and record["what"] for record in records)


def test_it_goes_on_where_it_was_when_opened_again():
    mischief, device = Mischief(Faults(cut=0.3), 1), model_device(GEOMETRY)
    survived = []
    for _ in range(20):
        wire = FaultyTransport(ModelTransport(device), mischief)
        try:
            for number, frame in enumerate(FRAMES):  # noqa: B007
                wire.send(frame)
        except LinkError:
            survived.append(number)
    assert len(set(survived)) > 1


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_rates_are_probabilities(rate):
    with pytest.raises(DeviceError, match=r"^Rate of the fault 'merge' must be from 0 to 1, not "):
        Faults(merge=rate)


def test_a_log_that_cannot_be_written(tmp_path):
    with pytest.raises(DeviceError, match=r"^Log of faults .* cannot be written \(No such file or directory\)"):
        Mischief(Faults(), log=tmp_path / "none" / "log")


SCHEMES = {
    "serial": SERIAL,
    "loop": Scheme("loop", "a loop", lambda: None, options={"lanes": int}, wire=lambda **options: Loop()),
    "float": Scheme("float", "no wire", lambda: None),
}


def test_an_address_with_faults(tmp_path):
    address = parse_address(f"fault+loop:?drop=0.01&lanes=3&seed=5&log={tmp_path}/a&cut=0.5", SCHEMES)
    assert address.scheme is SCHEMES["loop"] and address.options == {"lanes": 3}
    assert address.mischief.faults == Faults(drop=0.01, cut=0.5)
    assert parse_address("fault+serial:/dev/ttyS0?baud=9600", SCHEMES).options == {"baud": 9600}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fault+float:", "Device address 'fault+float:' must have one of serial:, loop: after 'fault+': no other has"),
        ("fault+fault+loop:", "Device address 'fault+fault+loop:' must have one of serial:, loop: after 'fault+'"),
        (
            "fault+loop:?drop=much",
            "Option 'drop' of device address 'fault+loop:?drop=much' must be a number, not 'much'",
        ),
        ("fault+loop:?drop=0&drop=1", "Option 'drop' of device address 'fault+loop:?drop=0&drop=1' is given twice"),
        ("fault+loop:?drop=2", "Rate of the fault 'drop' must be from 0 to 1, not 2"),
        ("fault+loop:?dorp=0.1", "Option 'dorp' of device address 'loop:?dorp=0.1' is unknown; known are: lanes"),
    ],
)
def test_addresses_that_cannot_be(text, message):
    with pytest.raises(DeviceError) as raised:
        parse_address(text, SCHEMES)
    assert str(raised.value).startswith(message)
