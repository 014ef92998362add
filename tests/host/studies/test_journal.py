"""The journal: an interrupted study goes on where it was, and nothing else is taken over."""

import json

import numpy as np
import pytest

from equipoise.host.studies.journal import Journal
from equipoise.host.studies.study import Setting
from equipoise.sim.float_model import FloatModel
from equipoise.substrate.errors import RunError

from .conftest import Counter

HEAD = {"study": "toy", "seed": 0, "size": "full", "device": {"uid": "a"}, "version": "1"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "measurements.jsonl"


def setting(journal):
    return Setting(FloatModel(), "float:", True, 0, Counter(), journal)


def test_a_measurement_is_made_once(path):
    first = setting(Journal(path, HEAD))
    value = first.measure("a", lambda: {"x": np.arange(3) / 3, 1: (1, 2)})
    assert value == {"x": [0.0, 1 / 3, 2 / 3], "1": [1, 2]}
    second = setting(Journal(path, HEAD))
    assert second.journal.resumed == 1
    assert second.measure("a", lambda: pytest.fail("measured again")) == value
    assert second.progress.done == 1


def test_numbers_come_back_as_they_were(path):
    values = [0.1 + 0.2, float("inf"), 1e-300]
    Journal(path, HEAD).add("a", values)
    assert Journal(path, HEAD)["a"] == values


@pytest.mark.parametrize("change", [{"seed": 1}, {"size": "reduced"}, {"device": {"uid": "b"}}, {"version": "2"}])
def test_nothing_is_taken_over_from_another_setting(path, change):
    Journal(path, HEAD).add("a", 1)
    assert "a" not in Journal(path, HEAD | change)
    assert "a" not in Journal(path, HEAD)  # and the other has begun anew


def test_a_line_cut_short_is_measured_again(path):
    journal = Journal(path, HEAD)
    journal.add("a", 1)
    journal.add("b", 2)
    part = path.with_name("measurements.jsonl.part")
    part.write_bytes(part.read_bytes()[:-4])
    again = Journal(path, HEAD)
    assert ("a" in again, "b" in again) == (True, False)
    again.add("b", 3)
    assert Journal(path, HEAD)["b"] == 3


def test_a_closed_journal_is_kept_but_not_resumed(path):
    journal = Journal(path, HEAD)
    journal.add("a", 1)
    journal.close()
    assert [json.loads(line).get("key") for line in path.read_text().splitlines()] == [None, "a"]
    assert Journal(path, HEAD).resumed == 0


def test_a_damaged_journal_is_one_clear_error(path):
    path.with_name("measurements.jsonl.part").write_text("no json\n")
    with pytest.raises(RunError, match=r"Journal '.*\.part' cannot be read \(.*\): delete it to begin anew"):
        Journal(path, HEAD)


def test_a_key_is_used_once(path):
    each = setting(Journal(path, HEAD))
    each.measure("a", lambda: 1)
    with pytest.raises(ValueError, match="must measure 'a' once, not twice"):
        each.measure("a", lambda: 2)


def test_random_numbers_depend_on_seed_and_purpose_alone(path):
    journal = Journal(path, HEAD)
    draws = {
        (seed, name): Setting(FloatModel(), "float:", True, seed, Counter(), journal).rng(name, 3).normal()
        for seed in (0, 1)
        for name in "ab"
    }
    assert len(set(draws.values())) == 4
    assert setting(journal).rng("a", 3).normal() == draws[0, "a"]
