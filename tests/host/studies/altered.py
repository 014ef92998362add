"""Devices with one thing wrong, and a study run on a device without a command."""

from dataclasses import replace

from equipoise.host.studies.journal import Journal
from equipoise.host.studies.study import Findings, Setting, Study, Verdict
from equipoise.sim.float_model import FloatModel
from equipoise.sim.golden import Golden


class Silent:
    def expect(self, count):
        self.expected, self.done = count, 0

    def advance(self):
        self.done += 1


def run_study(study: Study, device, path, *, seed: int = 0, reduced: bool = True) -> Findings:
    """Findings at reduced size; the bar must end full."""
    bar = Silent()
    journal = Journal(path / f"{study.name}.jsonl", {"seed": seed, "device": repr(device)})
    findings = study.run(Setting(device, device.identity.address, reduced, seed, bar, journal))
    assert bar.done == bar.expected
    assert findings.text and findings.figures
    return findings


def verdicts(findings: Findings) -> dict[str, Verdict]:
    return {claim.name: claim.verdict for claim in findings.claims}


def broken(findings: Findings) -> set[str]:
    return {claim.name for claim in findings.claims if claim.verdict is Verdict.BROKEN}


class Altered(FloatModel):
    """The float model, but each run goes through ``alter(minibatch, schedule)`` first."""

    def __init__(self, alter):
        super().__init__()
        self._alter = alter

    def run(self, minibatch, schedule):
        return super().run(*self._alter(minibatch, schedule))


class Hot(Golden):
    """The golden model, ``factor`` times as hot as it was asked to be."""

    def __init__(self, factor: float = 1.2):
        super().__init__()
        self._factor = factor

    def run(self, minibatch, schedule):
        return super().run(minibatch, replace(schedule, temperature=self._factor * schedule.temperature))
