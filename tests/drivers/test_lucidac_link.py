"""JSON lines with a LUCIDAC: answers, and each way in which one can be wrong, on a wire within this process."""

import json

import pytest

from equipoise.drivers.lucidac.link import LONGEST, JsonLines
from equipoise.substrate.errors import DeviceError, LinkError

from .lucidac_emulator import Script


def answered(envelope: dict, **fields) -> bytes:
    return json.dumps({"id": envelope["id"], "type": envelope["type"], "msg": {}, "code": 0, **fields}).encode() + b"\n"


def test_a_request_is_an_envelope_on_a_line():
    wire = Script(lambda sent: answered(sent, msg={"pong": 1}))
    link = JsonLines(wire)
    assert link.request("ping", {"a": 1}) == {"pong": 1}
    assert link.request("ping", {}) == {"pong": 1}
    assert [(sent["type"], sent["msg"]) for sent in wire.sent] == [("ping", {"a": 1}), ("ping", {})]
    assert wire.sent[0]["id"] != wire.sent[1]["id"]
    assert link.counters == {"requests": 2, "skipped_lines": 0, "stale_messages": 0}
    link.close()
    assert wire.closed == 1


@pytest.mark.parametrize("content", [{"msg": None}, {"msg": {}}])
def test_an_answer_may_be_empty(content):
    assert JsonLines(Script(lambda sent: answered(sent, **content))).request("set_circuit", {}) == {}


def test_logs_blank_lines_and_what_came_for_others_are_passed_over():
    def answer(sent: dict) -> bytes:
        late = {"id": "of an earlier request", "type": "set_circuit", "msg": {}, "code": 0}
        data = {"type": "run_data", "msg": {"id": "an earlier run", "data": [[0.5]]}}
        log = {"type": "log", "time": 1, "msg": "hello"}
        lines = b"".join(json.dumps(line).encode() + b"\n" for line in (log, late, data))
        return b"\n\r\n" + lines + answered(sent, msg={"own": True})

    link = JsonLines(Script(answer))
    assert link.request("set_circuit", {}) == {"own": True}
    assert link.counters["stale_messages"] == 2


def test_a_console_echoes_and_prints():
    def answer(sent: dict) -> bytes:
        return json.dumps(sent).encode() + b"\r\nRun starts.\r\n" + answered(sent, msg={"own": True})

    link = JsonLines(Script(answer), chatty=True)
    assert link.request("get_entities", {}) == {"own": True}
    assert link.counters["skipped_lines"] == 1


def wrong(answer, kind: type[Exception] = DeviceError, **settings) -> str:
    with pytest.raises(kind) as caught:
        JsonLines(Script(answer), **settings).request("ping", {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            lambda sent: answered(sent, error="no such entity", code=407),
            "lucidac:script refused 'ping': no such entity (code 407)",
        ),
        (lambda sent: answered(sent, code=2), "lucidac:script refused 'ping': no reason given (code 2)"),
        (
            lambda sent: b'{"msg": {}, "error": "Cannot read message", "code": -2}\n',
            "lucidac:script did not understand 'ping': Cannot read message",
        ),
        (
            lambda sent: b"SSH-2.0-OpenSSH_9.2p1 Debian-2\n",
            "lucidac:script answered 'ping' with 'SSH-2.0-OpenSSH_9.2p1 Debian-2': check that a LUCIDAC is there",
        ),
        (
            lambda sent: b'{"id": \xff\xfe, half of it' + b"x" * 99 + b"\n",
            "lucidac:script answered 'ping' with '{\"id\": \ufffd\ufffd, half of it" + "x" * 39 + "...': "
            "check that a LUCIDAC is there",
        ),
        (
            lambda sent: b"[1, 2]\n",
            "lucidac:script answered 'ping' with '[1, 2]': check that a LUCIDAC is there",
        ),
    ],
)
def test_wrong_answers(answer, message):
    assert wrong(answer) == message


def test_an_answer_of_another_type_or_shape():
    other = wrong(lambda sent: answered(sent, type="help"))
    assert other.startswith("lucidac:script answered 'ping' with '{\"id\": ")
    shape = wrong(lambda sent: answered(sent, msg=[1]))
    assert shape.endswith("...': check that a LUCIDAC is there")


def test_a_damaged_envelope_is_no_console_text():
    assert "answered 'ping' with '{\"id\": 1,'" in wrong(lambda sent: b'{"id": 1, \n', chatty=True)


def test_no_answer():
    message = "lucidac:script did not answer 'ping' within 5 s: check that nobody else runs it, then open it again"
    assert wrong(lambda sent: b"", LinkError) == message
    assert wrong(lambda sent: answered(sent)[:-1], LinkError) == message  # all but the end of the line


def test_an_answer_that_is_late_is_not_taken_for_the_next():
    late = []

    def answer(sent: dict) -> bytes:
        late.append(answered(sent, msg={"number": len(late)}))
        return b"" if len(late) == 1 else late[0] + late[1]

    link = JsonLines(Script(answer))
    with pytest.raises(LinkError):
        link.request("ping", {})
    assert link.request("ping", {}) == {"number": 1}
    assert link.counters["stale_messages"] == 1


def test_a_line_without_end():
    assert wrong(lambda sent: b"x" * (LONGEST + 200)).startswith(
        "lucidac:script answered 'ping' with a line without end, 'xxx"
    )
