"""A board behind lines of text: what it is told, and what becomes of its answers."""

from pathlib import Path

import numpy as np
import pytest

from equipoise.drivers.analog.board import Drive, Sensors, Wiring
from equipoise.drivers.analog.scpi_board import open_serial_board, open_visa_board
from equipoise.substrate.errors import CapabilityError, DeviceError, LinkError, MismatchError

from .instruments import TOY, Toy, served

WIRING = Wiring(
    np.array([[0.5], [1.0]]), np.array([[0.25], [-1.0]]), np.array([True, False]), np.array([False, True])
)  # fmt: skip


def drive(**changes):
    values = {
        "bias": np.array([0.0, 0.1]), "clamp": np.array([1.0, 0.0]), "target": np.array([0.0, -0.5]),
        "drive_a": np.ones(1), "drive_b": np.ones(1),
    }  # fmt: skip
    return Drive(**(values | changes))


@pytest.fixture
def connect(tmp_path):
    """Opens a board with profile TOY, changed as told, behind a toy that answers as told."""
    contexts = []

    def connect(toy, *changes, kind="tcp"):
        text = TOY
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "toy.toml"
        path.write_text(text)
        context = served(toy, kind)
        contexts.append(context)
        resource = context.__enter__()
        if kind == "pty":
            board = open_serial_board(resource.removeprefix("ASRL").removesuffix("::INSTR"), path)
        else:
            board = open_visa_board(resource, path)
        contexts.append(board)
        return board

    yield connect
    for context in reversed(contexts):
        context.__exit__(None, None, None)


@pytest.mark.parametrize("kind", ["tcp", "pty"])
def test_one_message_a_phase_and_only_what_changed(connect, kind):
    toy = Toy()
    board = connect(toy, kind=kind)
    assert board.identity.serial == "7"
    board.wire(WIRING)
    reading = board.phase(drive(restart=True))
    again = board.phase(drive(nudge=0.125, averages=4))
    assert toy.messages == [
        "*IDN?",
        "ERR?",
        "A 0 0.5,1;B 0,0 0.25;B 0,1 -1;CL 1,0;OUT 0,1;ERR?",
        "BIAS 0,0.1;CLV 1,0;TGT 0,-0.5;DA 1;DB 1;NU 0;AV 1;RST;GO;SETT?;READ?;OVER?;ERR?",
        "NU 0.125;AV 4;GO;SETT?;READ?;OVER?;ERR?",
    ]
    assert np.array_equal(reading.volts, [0.5, -0.25])
    assert (reading.settled, reading.overload.any()) == (True, False)
    assert again.settled
    assert board.counters()["messages"] == 3


def test_what_is_beyond_the_limits_is_not_sent(connect):
    toy = Toy()
    board = connect(toy)
    toy.messages.clear()
    with pytest.raises(CapabilityError) as raised:
        board.phase(drive(bias=np.array([0.0, -2.5])))
    assert str(raised.value) == "Biases must be within +-2 V on this board, not -2.5 at 1"
    with pytest.raises(
        CapabilityError, match=r"^Weights of side a must be within \+-2 on this board, not nan at \(0, 0\)$"
    ):
        board.wire(Wiring(np.full((2, 1), np.nan), WIRING.b, WIRING.clamped, WIRING.output))
    assert toy.messages == []


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"READ?": "0.5"}, "answers 'read' with 1 values, not 2"),
        ({"READ?": "0.5,nan"}, "answers 'read' with no reading (nan) as value 1"),
        ({"READ?": "9.91E37,0"}, "answers 'read' with no reading (9.91E37) as value 0"),
        ({"READ?": "0.5,volts"}, "answers 'read' with 'volts' as value 1, not a number"),
        ({"OVER?": "0,2"}, "answers 'overload' with '0,2', not 0 or 1 a neuron"),
        ({"SETT?": "maybe"}, "answers 'settled' with 'maybe', not 0 or 1"),
        ({"ERR?": '-222,"Data out of range"'}, 'reports -222,"Data out of range"'),
    ],
)
def test_nonsense_is_one_error(connect, answers, message):
    toy = Toy()
    board = connect(toy)
    toy.answers |= answers
    with pytest.raises(DeviceError) as raised:
        board.phase(drive())
    text = str(raised.value)
    assert text.startswith("visa:TCPIP::127.0.0.1::") and message in text and "\n" not in text


@pytest.mark.parametrize(
    "answers", [{"READ?": "9.9E37,-0.25"}, {"READ?": "0.5,-0.25", "OVER?": "1,0"}, {"READ?": "inf,0"}]
)
def test_overload_is_told_by_neuron(connect, answers):
    toy = Toy(answers)
    reading = connect(toy).phase(drive())
    assert reading.overload.tolist() == [True, False]
    assert np.all(np.isfinite(reading.volts))


def test_a_command_that_is_refused_makes_no_answer(connect):
    """As most instruments do: what follows in the message is dropped, and only the error queue knows."""
    toy = Toy()
    board = connect(toy)
    toy.answers = {"*IDN?": toy.answers["*IDN?"]}
    with pytest.raises(LinkError, match=r"did not answer 'SETT\?' within 0\.6 s"):
        board.phase(drive())
    toy.answers = Toy().answers
    toy.messages.clear()
    board.phase(drive())
    assert toy.messages[0] == "*IDN?"
    assert toy.messages[1].startswith("BIAS 0,0.1;CLV 1,0;")  # all of it again: what arrived is unknown


def test_an_instrument_that_was_switched_off_and_on_is_noticed(connect):
    toy = Toy({"ESR?": "128"})
    board = connect(toy, ('error = "ERR?"', 'error = "ERR?"\nstatus = "ESR?"'))  # it was on before that: no news
    toy.answers["ESR?"] = "36"  # other bits are the error queue's
    board.wire(WIRING)
    board.phase(drive())
    toy.answers["ESR?"] = "+160"
    with pytest.raises(DeviceError, match=r"was switched off and on, and has lost its settings: check its power, then"):
        board.phase(drive(nudge=0.1))
    toy.answers["ESR?"] = "0"
    toy.messages.clear()
    board.phase(drive(nudge=0.1))
    assert toy.messages[0] == "A 0 0.5,1;B 0,0 0.25;B 0,1 -1;CL 1,0;OUT 0,1;ERR?;ESR?"
    assert toy.messages[1].startswith("BIAS 0,0.1;CLV 1,0;TGT 0,-0.5;DA 1;DB 1;NU 0.1;")
    toy.answers["ESR?"] = "on"
    with pytest.raises(DeviceError, match=r"answers 'status' with 'on', not the number of a register$"):
        board.phase(drive())


class Changing(dict):
    """Answers of which some are taken from a list, one after the other, and the last of it for ever."""

    def __init__(self, answers, key, values):
        super().__init__(answers)
        self.key, self.values = key, list(values)

    def __getitem__(self, key):
        if key != self.key:
            return super().__getitem__(key)
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]


def test_waits_by_asking_again(connect):
    toy = Toy()
    board = connect(toy, ('wait = "answer"', 'wait = "poll"'))
    toy.answers = Changing(toy.answers, "SETT?", ["0", "0", "1"])
    assert board.phase(drive()).settled
    assert [message for message in toy.messages if "SETT?" in message] == ["SETT?;ERR?"] * 3
    toy.answers = Toy({"SETT?": "0"}).answers
    assert not board.phase(drive()).settled


def test_waits_until_readings_agree(connect):
    toy = Toy()
    board = connect(toy, ('wait = "answer"', 'wait = "repeat"'), ('settled = "SETT?"\n', ""))
    toy.answers = Changing(toy.answers, "READ?", ["0,0", "0.5,0", "0.505,0", "0.5,0"])
    reading = board.phase(drive())
    assert reading.settled
    assert reading.volts.tolist() == [0.5, 0.0]
    assert len(toy.answers.values) == 1


def test_without_a_command_for_it_neurons_are_brought_to_zero(connect):
    toy = Toy()
    board = connect(toy, ('restart = "RST"\n', ""))
    board.wire(WIRING)
    board.phase(drive(nudge=0.1))
    toy.messages.clear()
    board.phase(drive(nudge=0.1, restart=True))
    assert toy.messages == [
        "CLV 0,0;NU 0;CL 1,1;GO;SETT?;READ?;OVER?;ERR?",
        "CLV 1,0;NU 0.1;CL 1,0;GO;SETT?;READ?;OVER?;ERR?",
    ]


def test_without_a_command_for_it_readings_are_averaged_here(connect):
    toy = Toy({"REF 1?": "1,1"})
    board = connect(toy, ('averages = "AV {value}"\n', ""))
    toy.answers = Changing(toy.answers, "READ?", ["0.5,0", "0.7,0", "0.9,0"])
    assert board.phase(drive(averages=3)).volts.tolist() == [pytest.approx(0.7), 0.0]
    board.reference(1.0, averages=3)
    assert toy.messages[-3:] == ["REF 1?;ERR?"] * 3


def test_sensors_are_asked_in_one_message(connect):
    toy = Toy()
    assert connect(toy).sensors() == Sensors(25.5, 11.9)
    assert toy.messages[-1] == "TEMP?;SUPP?;ERR?"


def test_a_board_without_sensors_is_not_asked(connect):
    toy = Toy()
    board = connect(toy, ('temperature = "TEMP?"\nsupply = "SUPP?"\n', ""))
    assert board.sensors() == Sensors()
    assert toy.messages[-1] == "ERR?"


@pytest.mark.parametrize(("answer", "message"), [("9.9E37", "with an overload"), ("9.91E37", "with no reading")])
def test_a_broken_sensor_is_an_error(connect, answer, message):
    with pytest.raises(DeviceError, match=f"answers 'supply' {message}"):
        connect(Toy({"SUPP?": answer})).sensors()


def test_references(connect):
    toy = Toy({"REF 1?": "1.001,0.999"})
    board = connect(toy)
    assert board.reference(1.0, averages=3).volts.tolist() == [1.001, 0.999]
    assert toy.messages[-1] == "AV 3;REF 1?;ERR?"
    with pytest.raises(CapabilityError, match=r"^References of this board are -1, 1 V, not 0\.5$"):
        board.reference(0.5)


def test_what_a_board_cannot_do(connect):
    board = connect(Toy())
    with pytest.raises(
        CapabilityError, match=r"^This board cannot record in time: profile '.*toy.toml' has no command"
    ):
        board.record(drive(), 2, 1e-3)


def test_another_board_than_the_profile_is_for(connect):
    with pytest.raises(MismatchError, match=r"is 'Lab,Other,1,2', the profile is for 'Lab,Toy board,\*'"):
        connect(Toy({"*IDN?": "Lab,Other,1,2"}))


def test_sizes_are_asked(connect):
    sized = ('error = "ERR?"', 'error = "ERR?"\nsizes = "SIZE?"')
    assert connect(Toy({"SIZE?": "5,3"}), sized).limits.neurons == 5
    with pytest.raises(DeviceError, match=r"tells sizes 'many', not its numbers of neurons and channels$"):
        connect(Toy({"SIZE?": "many"}), sized)


def test_a_rack_of_two_instruments(connect, tmp_path):
    meter = Toy({"MEAS?": "1.0,-0.5"})
    with served(meter) as resource:
        toy = Toy()
        board = connect(
            toy,
            ("[limits]", f'[instruments]\nmeter = "{resource}"\n\n[limits]'),
            ('"READ?"', '{ to = "meter", send = "MEAS?", scale = 2 }'),
            ('"BIAS {values}"', '{ send = "S{pin} {value}", pins = [7, 9], scale = 10, offset = 1 }'),
        )
        reading = board.phase(drive())
        board.close()
    assert reading.volts.tolist() == [0.5, -0.25]
    assert toy.messages[2].startswith("S7 1;S9 2;CLV")
    assert meter.messages == ["*IDN?", "ERR?", "MEAS?;ERR?"]


def test_a_profile_that_is_not_there():
    with pytest.raises(DeviceError, match=r"^Profile 'none\.toml' cannot be read"):
        open_visa_board("TCPIP::127.0.0.1::1::SOCKET", Path("none.toml"))
