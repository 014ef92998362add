"""A session against a peer that keeps the device's side of the link, over good and bad wires."""

import socket
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from equipoise.drivers.framing import encode_frame
from equipoise.drivers.requests import Request, read_requests, run_request, write_requests
from equipoise.drivers.session import Session
from equipoise.drivers.socket import SocketTransport
from equipoise.substrate.errors import DeviceError, LinkError, MismatchError
from equipoise.substrate.formats import COMPACT, FORMATS
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import MAX_PAYLOAD, REGISTERS, Feature, Hello, Operation, Status

from .peer import GEOMETRY, MemoryDevice, Wire, serve


def open_session(device: MemoryDevice, **options) -> tuple[Session, Wire]:
    wire = Wire(device, **options)
    return Session(wire, deadline=0.0), wire


def echo(payload: bytes) -> Request:
    return Request(Operation.ECHO, payload, "ECHO", expects=len(payload))


def words(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(2**15), 2**15, (rows, GEOMETRY.lanes))


def test_says_hello_after_ending_what_noise_began():
    device = MemoryDevice()
    device.take(b"\x05noise of a host that died")
    session, wire = open_session(device)
    assert wire.sent[0].startswith(b"\0")
    assert session.hello == device.hello


def test_reads_what_it_wrote_in_frames_of_whole_rows():
    device = MemoryDevice()
    session, _ = open_session(device)
    session.write("weights", 3, words(500))
    np.testing.assert_array_equal(session.read("weights", 3, 500), words(500))
    writes = [payload for operation, payload in device.executed if operation == Operation.WRITE]
    assert len(writes) == 4
    assert max(map(len, writes)) <= MAX_PAYLOAD
    assert {(len(payload) - 3) % 8 for payload in writes} == {0}


def test_reads_single_words_as_a_vector_and_registers_unsigned():
    device = MemoryDevice()
    session, _ = open_session(device)
    session.write("biases", 0, [-1, 2, -32768])
    np.testing.assert_array_equal(session.read("biases", 0, 3), [-1, 2, -32768])
    device.set_register("cycles", 2**32 - 1)
    row = next(row for row, register in enumerate(REGISTERS) if register.name == "cycles")
    assert session.read("registers", row)[0] == 2**32 - 1


def test_a_burst_is_sent_without_waiting():
    device = MemoryDevice()
    session, wire = open_session(device)
    sent = len(wire.sent)
    session.burst(
        [
            *write_requests("samples", 0, np.arange(600), GEOMETRY),
            run_request(1.0),
            *read_requests("outputs", 0, 512, GEOMETRY),
        ]
    )
    assert len(wire.sent) == sent + 1


def test_no_more_is_under_way_than_the_buffer_holds():
    device = MemoryDevice(buffer=1500)
    session, wire = open_session(device)
    session.write("samples", 0, np.arange(1024))
    assert all(len(data) <= 1500 + 1 for data in wire.sent)
    np.testing.assert_array_equal(session.read("samples", 0, 1024), np.arange(1024))


def test_a_write_waits_for_the_reads_before_it():
    device = MemoryDevice()
    lost = {2: b""}
    wire = Wire(device, mangle=lost.pop)
    session = Session(wire, deadline=0.0)
    read, write = read_requests("biases", 0, 1, GEOMETRY), write_requests("biases", 0, [7], GEOMETRY)
    answers = session.burst([*read, *write])
    assert answers[0].payload == b"\0\0"
    assert device.memory["biases"][0] == 7


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), faults=st.sampled_from([0.02, 0.1, 0.2]), buffer=st.sampled_from([1100, 4096]))
def test_every_request_is_executed_once_and_in_order_over_a_bad_wire(seed, faults, buffer):
    device = MemoryDevice(buffer=buffer)
    wire = Wire(device, faults, seed)
    session = Session(wire, deadline=0.0, retries=1000)
    expected = []
    for number in range(4):
        requests = [
            *write_requests("weights", 0, words(200, number), GEOMETRY),
            run_request(0.0),
            *read_requests("weights", 0, 200, GEOMETRY),
            echo(bytes([number])),
        ]
        answers = session.burst(requests)
        expected += [(request.operation, request.payload) for request in requests]
        read = b"".join(answer.payload for answer in answers if len(answer.payload) > 1)
        assert read == words(200, number).astype("<i2").tobytes()
        assert answers[-1].payload == bytes([number])
    assert device.executed == expected
    assert device.register("runs") == 4


def test_sequence_numbers_wrap(monkeypatch):
    monkeypatch.setattr("equipoise.drivers.session.secrets.randbelow", lambda limit: limit - 20)
    device = MemoryDevice()
    session = Session(Wire(device, 0.1, seed=1), deadline=0.0, retries=1000)
    answers = session.burst([echo(bytes([number])) for number in range(100)])
    assert [answer.payload[0] for answer in answers] == list(range(100))
    assert len(device.executed) == 100


def test_a_lost_request_is_made_good_without_a_deadline():
    device = MemoryDevice()
    lost = {4: b""}
    wire = Wire(device, mangle=lost.pop)
    session = Session(wire, deadline=60.0)
    answers = session.burst([echo(bytes([number])) for number in range(8)])
    assert [answer.payload[0] for answer in answers] == list(range(8))
    assert session.counters["timeouts"] == 0
    assert session.counters["retries"] == 6, "the lost third and the five after it, which were refused"


def test_counts_what_goes_over_the_wire():
    device = MemoryDevice()
    lost = {2: b""}
    wire = Wire(device, mangle=lost.pop)
    session = Session(wire, deadline=0.0)
    before = session.counters
    assert before["requests"] == before["answers"] == 1
    assert before["bytes_sent"] == len(wire.sent[0])
    session.burst([echo(b"once")])
    after = session.counters
    assert after["requests"] == 3
    assert after["answers"] == 2
    assert after["retries"] == after["timeouts"] == 1
    assert after["bytes_sent"] == sum(map(len, wire.sent))


def test_damaged_answers_are_counted():
    wire = Wire(MemoryDevice(), faults=0.2, seed=3)
    session = Session(wire, deadline=0.0, retries=1000)
    session.burst([echo(bytes(20))] * 50)
    assert session.counters["crc_errors"] > 0
    assert session.counters["framing_errors"] > 0


def test_gives_up_when_nobody_answers():
    wire = Wire(MemoryDevice(), mangle=lambda number, frame: b"")
    with pytest.raises(LinkError) as raised:
        Session(wire, deadline=0.0, retries=2)
    assert str(raised.value) == (
        "wire: gave no good answer to HELLO, sent 3 times with a deadline of 0 s: "
        "check that it runs and its cable, then open it again"
    )
    assert len(wire.sent) == 3
    assert wire.closed == 1


def test_gives_up_when_one_request_never_gets_through():
    device = MemoryDevice()
    wire = Wire(device, mangle=lambda number, frame: b"" if b"poison" in frame else frame)
    session = Session(wire, deadline=0.0, retries=2)
    with pytest.raises(LinkError, match=r"^wire: gave no good answer to ECHO, sent 3 times with a deadline of 0 s"):
        session.burst([echo(b"fine"), echo(b"poison"), echo(b"fine")])
    with pytest.raises(DeviceError) as raised:
        session.read("registers")
    assert str(raised.value) == "wire: is closed after an error or by the caller: open it again"


def test_a_refused_request_names_operation_space_and_row():
    device = MemoryDevice()
    session, _ = open_session(device)
    device.memory["weights"] = device.memory["weights"][:100]
    with pytest.raises(DeviceError) as raised:
        session.read("weights", 90, 20)
    assert str(raised.value) == (
        "wire: refused READ of weights, rows 90 to 109 with BAD_ADDRESS: host and gateware disagree, "
        "rebuild the gateware with this version of Equipoise"
    )
    assert session.read("weights", 99).shape == (1, 4), "the session goes on"


def test_a_reset_in_mid_session_is_told():
    device = MemoryDevice()
    session, _ = open_session(device)
    device.reset()
    with pytest.raises(DeviceError) as raised:
        session.write("biases", 5, [1])
    assert str(raised.value) == (
        "wire: was reset before WRITE of biases, row 5: open it again, and configure and write it anew"
    )


def test_another_session_on_the_same_device_is_told():
    device = MemoryDevice()
    session, _ = open_session(device)
    device.take(encode_frame(Operation.HELLO, (session._sequence + 40000) % 2**16, b"new!"))
    with pytest.raises(DeviceError) as raised:
        session.read("registers")
    assert str(raised.value) == (
        "wire: follows another session: another program has opened it; let only one use it at a time"
    )


@pytest.mark.parametrize(
    ("served", "message"),
    [
        (
            0,
            "wire: speaks protocol version 0, this host version 1: rebuild the gateware with this version of Equipoise",
        ),
        (2, "wire: speaks protocol version 2, this host version 1: update this host"),
    ],
)
def test_a_device_that_refuses_the_version(served, message):
    with pytest.raises(MismatchError) as raised:
        open_session(MemoryDevice(version=served))
    assert str(raised.value) == message


def hello(**changes) -> bytes:
    fields = {name: getattr(MemoryDevice().hello, name) for name in Hello.__slots__}
    return Hello(**{**fields, **changes}).pack()


@pytest.mark.parametrize(
    ("greeting", "error", "message"),
    [
        (
            hello(version=5, oldest=3),
            MismatchError,
            "wire: speaks protocol versions 3 to 5, this host version 1: update this host",
        ),
        (hello(version=0, oldest=0), MismatchError, "wire: speaks protocol version 0, this host version 1: rebuild"),
        (hello(map_hash=bytes(8)), MismatchError, "wire: has register map 0000000000000000, this host "),
        (hello(map_hash=bytes(8))[:40], MismatchError, "wire: has register map 0000000000000000, this host "),
        (b"\1\1", DeviceError, "wire: answered HELLO with 2 bytes: it is no Equipoise device"),
        (hello()[:-1], DeviceError, "wire: answered HELLO with nonsense: HELLO must have "),
        (
            hello(formats=type(FORMATS)(weight=type(FORMATS.weight)(16, 13))),
            MismatchError,
            "wire: keeps weight in Q2.13, this host in Q1.14: rebuild the gateware",
        ),
        (hello(formats=COMPACT), MismatchError, "wire: keeps bus in Q4.11, this host in Q4.13: rebuild the gateware"),
        (hello(geometry=Geometry(compact=1)), MismatchError, "wire: keeps bus in Q4.13, this host in Q4.11: rebuild"),
    ],
)
def test_a_device_that_is_not_ours_is_refused_when_opened(greeting, error, message):
    device = MemoryDevice()
    device.greeting = greeting
    wire = Wire(device)
    with pytest.raises(error) as raised:
        Session(wire, deadline=0.0)
    assert str(raised.value).startswith(message)
    assert wire.closed


def test_a_compact_device_is_ours():
    device = MemoryDevice()
    device.greeting = hello(geometry=Geometry(compact=1), formats=COMPACT, features=Feature(0))
    told = open_session(device)[0].hello
    assert told.formats == COMPACT and told.geometry.compact and Feature.THERMAL not in told.features


def test_a_later_device_that_still_serves_this_version_is_taken():
    device = MemoryDevice()
    device.greeting = hello(version=4, oldest=1)
    assert open_session(device)[0].hello.version == 4


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((99, b""), "wire: answered READ of registers, row 0 with the unknown status 99"),
        ((Status.OK, b"123"), "wire: answered READ of registers, row 0 with 3 bytes, not 4"),
    ],
)
def test_nonsense_is_not_passed_on(monkeypatch, answer, message):
    device = MemoryDevice()
    session, _ = open_session(device)
    monkeypatch.setattr(device, "_execute", lambda frame, repeated: answer)
    with pytest.raises(DeviceError) as raised:
        session.read("registers")
    assert str(raised.value) == message


def test_an_interrupted_burst_ends_the_session():
    device = MemoryDevice()
    session, wire = open_session(device)
    wire.receive = lambda deadline: (_ for _ in ()).throw(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        session.read("registers")
    with pytest.raises(DeviceError, match="open it again"):
        session.read("registers")


@pytest.mark.parametrize(("sequence", "operation"), [(5, Operation.HELLO), (6, Operation.ECHO)])
def test_answers_to_an_earlier_session_are_not_taken(monkeypatch, sequence, operation):
    monkeypatch.setattr("equipoise.drivers.session.secrets.randbelow", lambda limit: 6)
    device = MemoryDevice()
    wire = Wire(device)
    wire._arrived = encode_frame(operation, sequence, device.greeting.replace(b"board 01", b"board 99"))
    assert Session(wire, deadline=0.0).hello.board == b"board 01"


def test_the_deadline_counts_from_the_last_answer():
    class Drip(Wire):
        """One answer at a time."""

        def receive(self, deadline: float) -> bytes:
            assert time.monotonic() < deadline <= time.monotonic() + 60.0
            answer, self._arrived = self._arrived.split(b"\0", 1)
            return answer + b"\0"

    session = Session(Drip(MemoryDevice()), deadline=60.0)
    session.burst([echo(b"1"), echo(b"2"), echo(b"3")])
    assert session.counters["timeouts"] == 0


def test_over_a_socket_with_a_peer_in_a_thread():
    near, far = socket.socketpair()
    device = MemoryDevice()
    thread = serve(device, far)
    session = Session(SocketTransport(near, "pair:"))
    session.write("weights", 0, words(512))
    np.testing.assert_array_equal(session.read("weights", 0, 512), words(512))
    session.close()
    session.close()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: write_requests("weights", 0, [[1, 2]], GEOMETRY),
            "Words for weights must have 4 in a row, not shape (1, 2)",
        ),
        (
            lambda: write_requests("biases", 0, [32768], GEOMETRY),
            "Words for biases must be from -32768 to 32767, not 32768",
        ),
        (
            lambda: write_requests("registers", 0, [-1], GEOMETRY),
            "Words for registers must be from 0 to 4294967295, not -1",
        ),
        (lambda: read_requests("weights", 510, 3, GEOMETRY), "Rows of weights must be from 0 to 511, not 510 to 512"),
    ],
)
def test_requests_that_cannot_be(call, message):
    with pytest.raises(ValueError) as raised:
        call()
    assert str(raised.value) == message
