"""Running a study on any device, without the command."""

import pytest

from equipoise.host.studies import load
from equipoise.host.studies.journal import Journal
from equipoise.host.studies.study import Setting


class Counter:
    """Progress that counts."""

    def __init__(self):
        self.expected = self.done = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def expect(self, count):
        self.expected = count

    def advance(self):
        self.done += 1


@pytest.fixture
def study(tmp_path):
    """Runs a study by name; gives its findings."""

    def run(name, device, *, seed=0, reduced=True):
        progress = Counter()
        journal = Journal(tmp_path / f"{name}.jsonl", {"device": device.identity.uid})
        found = load(name).run(Setting(device, device.identity.address, reduced, seed, progress, journal))
        assert progress.done == progress.expected > 0
        return found

    return run


def verdicts(findings):
    """Verdict of each claim by its name."""
    return {claim.name: claim.verdict.value for claim in findings.claims}
