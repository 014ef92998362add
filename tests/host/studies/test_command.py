"""The command ``equipoise study``: what it leaves behind, its exit codes, and how it goes on after an interrupt."""

import json
import sys
from functools import partial
from types import ModuleType

import pytest

from equipoise.host.studies import registry
from equipoise.host.studies.study import Claim, Findings, Study, Verdict
from equipoise.host.studies.style import draw, label


class Toy:
    """A study of three quick measurements, with the verdict that it is told, that can be interrupted."""

    def __init__(self):
        self.verdict, self.measured, self.interrupt = Verdict.HELD, [], None

    def run(self, setting):
        setting.progress.expect(3)
        for number in range(3):
            setting.measure(f"number {number}", lambda number=number: self.one(number))
        claim = Claim("it is so", "above <1>", "2 & more", self.verdict, {"value": float("nan")})
        with draw() as figure:
            axes = figure.add_subplot()
            axes.plot([1, 2], [1, 2], label="line")
            label(axes, "beta (units of stiffness)", "error", log="xy")
        numbers = {"size": "reduced" if setting.reduced else "full", "draw": setting.rng("toy").normal()}
        return Findings([claim], numbers, {"toy": figure}, "It was expected to be so.")

    def one(self, number):
        if number == self.interrupt:
            raise KeyboardInterrupt
        self.measured.append(number)
        return number


@pytest.fixture
def toy(monkeypatch):
    """Stands in the registry in place of all studies."""
    toy = Toy()
    module = ModuleType("toy_study")
    module.STUDY = Study("toy", "A toy", "Is it so?", toy.run)
    monkeypatch.setitem(sys.modules, "toy_study", module)
    monkeypatch.setattr(registry, "STUDIES", {"toy": "toy_study"})
    monkeypatch.setattr("equipoise.host.studies.STUDIES", registry.STUDIES)
    return toy


@pytest.fixture
def study(call):
    """Calls the command for studies."""
    return partial(call, "study")


def test_what_it_leaves_behind(study, toy, tmp_path):
    code, out, err = study("toy", "--seed", 3)
    assert code == 0
    assert out.endswith("Page: runs/studies-golden/toy.html\n")
    assert "toy: 3/3" in err
    folder = tmp_path / "runs/studies-golden/toy"
    assert {path.name for path in folder.iterdir()} == {
        "measurements.jsonl", "paragraph.txt", "result.json", "toy.png", "toy.svg",
    }  # fmt: skip
    assert (folder / "paragraph.txt").read_text() == "It was expected to be so.\n"
    result = json.loads((folder / "result.json").read_text())
    assert (result["study"], result["seed"], result["size"], result["device"]["kind"]) == ("toy", 3, "full", "golden")
    assert result["claims"] == [
        {
            "name": "it is so", "expected": "above <1>", "measured": "2 & more", "verdict": "held",
            "numbers": {"value": None},
        }
    ]  # fmt: skip
    assert set(result["versions"]) == {"equipoise", "python", "numpy", "scipy", "matplotlib"}
    page = (tmp_path / "runs/studies-golden/toy.html").read_text()
    assert "above &lt;1&gt;" in page
    assert "equipoise study toy --device golden: --size full --seed 3" in page
    assert 'src="data:image/svg+xml;base64,' in page
    assert "http" not in page.partition("base64,")[0]


@pytest.mark.parametrize(
    ("verdict", "code", "words"),
    [("held", 0, "held"), ("undecided", 0, "not enough data"), ("broken", 1, "did not hold")],
)
def test_the_exit_code_is_the_verdict(study, toy, verdict, code, words):
    toy.verdict = Verdict(verdict)
    found, out, err = study("toy", "--out", "a")
    assert found == code
    assert words in out
    assert ("did not hold: toy (it is so)" in err) == (code == 1)


def test_findings_of_another_seed_or_device_are_not_lost(study, toy, tmp_path):
    assert study("toy", "--out", "a")[0] == 0
    kept = (tmp_path / "a/toy/result.json").read_bytes()
    for arguments in (("--seed", 4), ("--device", "float:"), ("--size", "reduced")):
        code, _, err = study("toy", "--out", "a", *arguments)
        assert code == 1
        assert err.endswith(
            "equipoise: What 'a/toy' holds is of golden, golden, seed 0, full: choose another --out, or delete it\n"
        )
    assert (tmp_path / "a/toy/result.json").read_bytes() == kept
    assert study("toy", "--out", "a")[0] == 0


def test_json_is_one_object_and_nothing_else(study, toy):
    code, out, _ = study("all", "--json", "--out", "a", "--size", "reduced")
    found = json.loads(out)
    assert code == 0
    assert found["page"] == "a/toy.html"
    assert [(each["study"], each["numbers"]["size"]) for each in found["studies"]] == [("toy", "reduced")]


def test_ctrl_c_and_on(study, toy, tmp_path):
    toy.interrupt = 1
    code, _, err = study("toy", "--out", "a")
    assert code == 130
    assert err.endswith("Interrupted. The same command goes on where it was.\n")
    assert not (tmp_path / "a/toy/result.json").exists()
    toy.interrupt = None
    code, _, err = study("toy", "--out", "a")
    assert code == 0
    assert "toy: takes over 1 measurements of the call of 20" in err
    assert toy.measured == [0, 1, 2]
    study("toy", "--out", "a")
    assert toy.measured == [0, 1, 2] * 2  # who asks again measures again


def test_another_seed_or_size_is_not_taken_over(study, toy):
    toy.interrupt = 2
    for arguments in ((), ("--seed", 1), ("--seed", 1, "--size", "reduced")):
        assert study("toy", "--out", "a", *arguments)[0] == 130
    assert toy.measured == [0, 1] * 3


def test_the_list(study):
    code, out, _ = study("--list", "--json")
    studies = json.loads(out)["studies"]
    assert code == 0
    assert [each["name"] for each in studies] == list(registry.STUDIES)
    assert all(each["question"].endswith("?") for each in studies)
    assert {"unbiased", "bias-order", "bias-bound", "relaxation"} <= {each["name"] for each in studies}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing"], 1, "equipoise: Study 'nothing' is not known; choose from unbiased, bias-order"),
        ([], 2, "choose one of unbiased, bias-order"),
        (["unbiased", "--device", "golden:x"], 1, "equipoise: Device address 'golden:x'"),
        (["unbiased", "--out", "file"], 1, "equipoise: 'file' is a file: choose another folder with --out\n"),
    ],
)
def test_errors_are_one_line(study, tmp_path, arguments, code, message):
    (tmp_path / "file").touch()
    found, out, err = study(*arguments)
    assert (found, out) == (code, "")
    assert message in err.replace("\n│ ", " ")
