"""Instruments that answer wrongly, late, or not at all: on sockets and terminals, with pyvisa-py and with pyserial."""

import socket

import pytest

from equipoise.drivers.analog.instrument import Instrument
from equipoise.drivers.analog.serial_lines import SerialLines
from equipoise.drivers.analog.visa import VisaWire
from equipoise.substrate.errors import DeviceError, LinkError, MismatchError

from .instruments import IDN, served

TIMEOUT = 0.2

WIRES = {
    "socket": ("tcp", lambda resource: VisaWire(resource, 115200, "\n")),
    "terminal": ("pty", lambda resource: VisaWire(resource, 115200, "\n")),
    "lines": ("pty", lambda resource: SerialLines(resource.removeprefix("ASRL")[: -len("::INSTR")], 115200, "\n")),
}


@pytest.fixture(params=WIRES)
def connect(request):
    """Connects to an instrument that answers as told."""
    kind, open_wire = WIRES[request.param]
    opened = []

    def connect(answer, **options):
        context = served(answer, kind)
        instrument = Instrument(open_wire(context.__enter__()), timeout=TIMEOUT, **options)
        opened.append((instrument, context))
        return instrument

    yield connect
    for instrument, context in opened:
        instrument.close()
        context.__exit__(None, None, None)


def test_identity(connect):
    identity = connect(lambda message: f"{IDN}\n".encode()).identify("Lab,Toy*")
    assert (identity.maker, identity.model, identity.serial, identity.firmware) == ("Lab", "Toy board", "7", "1.0")


def test_another_instrument(connect):
    instrument = connect(lambda message: f"{IDN}\n".encode())
    with pytest.raises(MismatchError) as raised:
        instrument.identify("Lab,Other board,*")
    assert str(raised.value) == (
        f"{instrument.description} is '{IDN}', the profile is for 'Lab,Other board,*': "
        "give the address of that board, or the profile of this one"
    )


def test_nobody_answers(connect):
    instrument = connect(lambda message: b"")
    with pytest.raises(DeviceError) as raised:
        instrument.identify()
    assert str(raised.value) == (
        f"{instrument.description} does not answer *IDN? within 0.2 s: check power, cable, address and terminator"
    )


def test_an_answer_without_an_end(connect):
    with pytest.raises(DeviceError, match=r"does not answer \*IDN\? within 0\.2 s"):
        connect(lambda message: IDN.encode()).identify()


@pytest.mark.parametrize("answer", [b"hello\n", b",,,\n", b"a,b,c,d,e\n"])
def test_garbage_for_an_identity(connect, answer):
    with pytest.raises(DeviceError, match=r"answers \*IDN\? with '.*', not 'maker,model,serial,firmware': this is not"):
        connect(lambda message: answer).identify()


def test_bytes_that_are_no_text(connect):
    with pytest.raises(LinkError, match=r"sends what is not text \(b'\\xff\\xfe"):
        connect(lambda message: b"\xff\xfe\x80\x81\n").identify()


def test_late_answers_are_not_taken_for_others(connect):
    """Answers that each come when the next question is asked, as seen of a session after a timeout."""
    held = [b""]

    def answer(message):
        if message == "*IDN?":
            late, held[0] = held[0], b""
            return late + f"{IDN}\n".encode()
        if message == "SLOW?":
            held[0] = b"slow\n"
            return b""
        return f"{message.lower()}\n".encode()

    instrument = connect(answer)
    instrument.identify()
    with pytest.raises(LinkError, match=r"did not answer 'SLOW\?' within 0\.2 s: check that the profile"):
        instrument.ask(["SLOW?"], 1)
    assert instrument.ask(["QUICK?"], 1) == ["quick?"]
    assert instrument.counters == {"messages": 2, "timeouts": 1, "late_answers": 1, "instrument_errors": 0}


def test_an_instrument_that_was_busy_answers_all_that_it_was_asked(connect):
    """Also the questions by which it was tried to find the end of late answers."""
    held, busy = [], [False]

    def answer(message):
        held.append(IDN if message == "*IDN?" else message.lower())
        if busy[0]:
            return b""
        said = "".join(f"{line}\n" for line in held).encode()
        held.clear()
        return said

    instrument = connect(answer)
    instrument.identify()
    busy[0] = True
    for message in (r"did not answer 'SLOW\?' within 0\.2 s", r"no longer answers \*IDN\?"):
        with pytest.raises(LinkError, match=message):
            instrument.ask(["SLOW?"], 1)
    busy[0] = False
    assert instrument.ask(["QUICK?"], 1) == ["quick?"]
    assert instrument.ask(["OTHER?"], 1) == ["other?"]


def test_a_bus_is_cleared_after_a_timeout(monkeypatch):
    """A socket is not: its library never comes back if the other side is gone."""
    cleared = []
    with served(lambda message: b"") as resource:
        wire = VisaWire(resource, 9600, "\n")
        monkeypatch.setattr(wire._resource, "clear", lambda: cleared.append(1))
        instrument = Instrument(wire, timeout=0.1)
        for bus in (False, True):
            wire._clears = bus
            instrument._stale = True
            with pytest.raises(LinkError, match="no longer answers"):
                instrument.ask(["READ?"], 1)
            assert len(cleared) == bus
        instrument.close()


def test_one_that_has_died_is_not_asked_on(connect):
    alive = [True]
    instrument = connect(lambda message: f"{IDN}\n".encode() if alive[0] else b"")
    instrument.identify()
    alive[0] = False
    for message in (r"did not answer 'READ\?' within 0\.2 s", r"no longer answers \*IDN\?: switch it off and on"):
        with pytest.raises(LinkError, match=message):
            instrument.ask(["READ?"], 1)


def test_what_an_instrument_reports_goes_into_the_error(connect):
    queue = ['-113,"Undefined header"', '+0,"No error"']

    def answer(message):
        if message == "*IDN?":
            return f"{IDN}\n".encode()
        return f"{queue.pop(0)}\n".encode() if message == "SYST:ERR?" else b""

    instrument = connect(answer, error="SYST:ERR?")
    instrument.identify()
    with pytest.raises(
        LinkError, match=r"did not answer 'REED\?' within 0\.2 s; it reports -113,\"Undefined header\"$"
    ):
        instrument.ask(["X 1", "REED?"], 1)
    assert queue == []


def test_too_many_answers(connect):
    instrument = connect(lambda message: f"{IDN}\n".encode() if message == "*IDN?" else b"1;2;3\n")
    instrument.identify()
    with pytest.raises(DeviceError, match=r"gave 3 answers to 2 queries \('1;2;3'\): check that the profile"):
        instrument.ask(["A?", "B?"], 2)
    assert instrument.counters["messages"] == 1


def test_answers_on_lines_of_their_own(connect):
    instrument = connect(lambda message: f"{message}\n".encode() if message.endswith("?") else b"", join="\n")
    assert instrument.ask(["X 1", "A?", "B?"], 2) == ["A?", "B?"]


def test_a_closed_instrument(connect):
    instrument = connect(lambda message: b"")
    instrument.close()
    instrument.close()
    with pytest.raises(DeviceError, match=r"is closed: open it again$"):
        instrument.ask(["A?"], 1)


def test_one_that_takes_nothing_costs_only_itself(monkeypatch):
    """pyvisa-py waits for ever for a socket to take bytes."""
    monkeypatch.setattr("equipoise.drivers.analog.instrument.HANGING", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        resource = f"TCPIP::127.0.0.1::{listener.getsockname()[1]}::SOCKET"
        instrument = Instrument(VisaWire(resource, 115200, "\n"), timeout=0.05)
        for _ in range(2):
            with pytest.raises(LinkError, match=r"takes nothing for 0\.3 s: switch it off and on, open it again$"):
                instrument.ask(["X" * 20_000_000], 0)
        instrument.close()


def test_small_messages_do_not_wait_for_each_other():
    """With the socket's delay on, the second of two small messages waits for an acknowledgement, 40 ms."""
    with served(lambda message: b"") as resource:
        wire = VisaWire(resource, 115200, "\n")
        session = wire._resource.visalib.sessions[wire._resource.session]
        assert session.interface.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        wire.close()


def test_a_port_where_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeviceError, match=rf"^visa:TCPIP::127\.0\.0\.1::{port}::SOCKET "):
        instrument = Instrument(VisaWire(f"TCPIP::127.0.0.1::{port}::SOCKET", 115200, "\n"), timeout=TIMEOUT)
        try:
            instrument.identify()
        finally:
            instrument.close()


@pytest.mark.parametrize("resource", ["nonsense", "ASRL/dev/none::INSTR"])
def test_resources_that_do_not_open(resource):
    with pytest.raises(DeviceError, match=rf"^visa:{resource} cannot be opened \(.*\): check the resource's name"):
        VisaWire(resource, 115200, "\n")
