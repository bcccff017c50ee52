"""The study of tickets at quick scale, with times that are made up: no verdict of a test is to depend on a clock."""

from collections.abc import Callable, Mapping

import pytest
from studies.quick import claims_of
from studies.tickets.times import seconds_of
from torch import Tensor

from thalweg.studies.tickets import hardware
from thalweg.tickets import Latencies

VERDICTS = {
    "LTH1": "holds",
    "LTH2": "undecided",
    "LTH3": "holds",
    "LTH4": "undecided",
    "LTH5": "undecided",
    "LTH6": "fails",
    "LTH7": "undecided",
    "LTH8": "holds",
    "LTH9": "holds",
    "LTH10": "holds",
}


def called_once(arms: Mapping[str, Callable[[Tensor], object]], inputs: Tensor, rounds: int) -> Latencies:
    """Every arm is called, and takes as long as was made up."""
    for arm in arms.values():
        arm(inputs)
    return Latencies.of(tuple(arms), seconds_of(tuple(arms), rounds))


def test_verdicts_at_quick_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "timed", called_once)
    found = claims_of("tickets")
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    assert all(claim["parts"] for name, claim in found.items() if name != "LTH10")
