"""Profiles: the shipped ones, and what is said of wrong ones."""

import pytest

from equipoise.drivers.analog.profile import COMMANDS, Wait
from equipoise.drivers.analog.profile_file import profile_from_toml, read_profile
from equipoise.substrate.errors import DeviceError

from .instruments import TOY


@pytest.mark.parametrize(("name", "neurons", "wait"), [("reference", 8, Wait.ANSWER), ("rack", 3, Wait.REPEAT)])
def test_shipped_profiles(name, neurons, wait):
    profile = read_profile(name)
    assert profile.limits.neurons == neurons
    assert profile.settle.wait is wait
    assert list(profile.commands) == [name for name in COMMANDS if name in profile.commands]


def test_a_rack_sets_each_output_of_its_converter_once():
    pins = [pin for command in read_profile("rack").commands.values() for pin in command.pins]
    assert sorted(pins) == list(range(1, 24))  # and 24 is the nudge


def test_commands_as_strings_and_as_tables():
    text = TOY.replace('"NU {value}"', '{ send = "NU {value}", scale = 2, offset = 1.5 }')
    command = profile_from_toml(text).commands["nudge"]
    assert (command.send, command.scale, command.offset, command.to) == ("NU {value}", 2.0, 1.5, "board")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("neurons = 2", 'neurons = "2"', "line 6: 'limits.neurons' must be an integer, not '2'"),
        ("neurons = 2", "neurons = true", "line 6: 'limits.neurons' must be an integer, not True"),
        ("gain = 2.0", "gain = -2.0", "line 9: 'limits.gain' must be above 0, not -2.0"),
        ("lsb = 0.001", "lsb = nan", "line 15: 'limits.lsb' must be a number, not nan"),
        ("weight = 2.0\n", "", "line 5: 'limits.weight' is missing"),
        ("timeout = 0.3", "timeout = 0", "line 20: 'link.timeout' must be above 0, not 0.0"),
        ('wait = "answer"', 'wait = "soon"', "line 23: 'settle.wait' must be one of answer, poll, repeat, not 'soon'"),
        ('nudge = "NU {value}"\n', "", "line 28: 'commands.nudge' is missing: the board cannot do without it"),
        ('settled = "SETT?"\n', "", "line 28: 'commands.settled' is missing: settle.wait is 'answer'"),
        ("NU {value}", "NU {amount}", "line 38: 'commands.nudge' has no place {amount}; it may have {value}"),
        ("NU {value}", "NU", "line 38: 'commands.nudge' must have a place {value} or {values}"),
        ("NU {value}", "NU {value", "line 38: 'commands.nudge' has a wrong place in 'NU {value': "
         "expected '}' before end of string"),
        ('"GO"', "3", "line 41: 'commands.start' must be a string or a table with 'send', not 3"),
        ('"GO"', '{ send = "GO", to = "meter" }', "line 41: 'commands.start' goes to 'meter', which is none of board"),
        ('"GO"', '{ to = "board" }', "line 41: 'commands.start' must have 'send'"),
        ('"GO"', '{ send = "GO", pin = 3 }', "line 41: 'commands.start' has no key 'pin'; it may have "
         "send, to, scale, offset, pins"),
        ('"NU {value}"', '{ send = "NU {value}", scale = 0 }', "line 38: 'commands.nudge' must not have scale 0"),
        ('"BIAS {values}"', '{ send = "{pin} {value}", pins = [1] }',
         "line 33: 'commands.bias' must have 2 pins, one for each value, not 1"),
        ("timeout = 0.3", 'terminator = ""', "line 20: 'link.terminator' must hold something, not ''"),
        ("timeout = 0.3", "baud = 0", "line 20: 'link.baud' must be above 0, not 0"),
        ("limit = 0.3", "limit = -1", "line 24: 'settle.limit' must be above 0, not -1.0"),
        ("tolerance = 0.01", "tolerance = -1", "line 26: 'settle.tolerance' must be at least 0, not -1.0"),
        ("[-1.0, 1.0]", '["a", 1.0]', "line 17: 'limits.references' must be numbers within +-2 V, not ['a', 1.0]"),
        ("[-1.0, 1.0]", "[1.0, 9.0]", "line 17: 'limits.references' must be numbers within +-2 V, not [1.0, 9.0]"),
        ("[-1.0, 1.0]", "[1.0, 1.0]", "line 17: 'limits.references' must rise from each to the next, not [1.0, 1.0]"),
        ('"READ?"', '""', "line 43: 'commands.read' must not be empty"),
        ("A {channel} {values}", "A {channel} {value}", "line 29: 'commands.weights_a' must have a place {neuron} or "
         "{pin}, or all values would go to the same"),
        ("DA {values}", "DA {value}", "line 36: 'commands.drive_a' must have a place {channel} or "
         "{pin}, or all values would go to the same"),
        ("[settle]", "[setle]", "line 22: 'setle' is unknown; known are board, limits, link, settle, commands, "
         "instruments"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_line(old, new, message):
    assert TOY.count(old) >= 1
    with pytest.raises(DeviceError) as raised:
        profile_from_toml(TOY.replace(old, new, 1), "b.toml")
    assert str(raised.value) == f"Profile 'b.toml', {message}"


def test_an_unknown_command():
    with pytest.raises(DeviceError, match=r"^Profile 'profile', line 49: 'commands.shout' is unknown; known are weig"):
        profile_from_toml(TOY + 'shout = "HEY"\n')


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DeviceError) as raised:
        read_profile(tmp_path / "none.toml")
    assert str(raised.value) == (
        f"Profile '{tmp_path}/none.toml' cannot be read (No such file or directory): "
        "give a file, or one of rack, reference"
    )
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(DeviceError, match=r"is not UTF-8 text: byte 5 is wrong$"):
        read_profile(tmp_path / "bad.toml")
    (tmp_path / "bad.toml").write_text("[board\n")
    with pytest.raises(DeviceError, match=r"is not valid TOML: .*line 1"):
        read_profile(tmp_path / "bad.toml")
