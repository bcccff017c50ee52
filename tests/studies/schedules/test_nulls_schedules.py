"""SCH1 to SCH3 where they are false: the experiments must not find that they hold.

The runs are shorter than what SCH2 and SCH3 are about: what is judged there is the interval alone.
"""

import pytest

from thalweg.schedules import Schedule
from thalweg.studies import Lab
from thalweg.studies.schedules import comparison, decays, language, warmup


def test_sch1_does_not_hold_without_warmup_in_both_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "ARMS", {warmup.BARE: 0, warmup.WARM: 0})
    monkeypatch.setattr(warmup, "GRIDS", {"post-norm": (-7, -5, 1)})
    (finding,) = warmup.experiment(Lab())
    rates, _ = finding.verdict.parts
    assert rates.interval.low > 0  # the grid reached
    assert (rates.outcome, finding.verdict.outcome) == ("fails", "fails")


def test_sch1_does_not_hold_where_nothing_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "GRIDS", {"post-norm": (-30, -29, 1)})
    (finding,) = warmup.experiment(Lab())
    _, gradients = finding.verdict.parts
    assert (gradients.outcome, finding.verdict.outcome) == ("fails", "fails")
    assert gradients.interval.estimate == pytest.approx(1, abs=0.01)


def with_shapes(monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> None:
    """Some schedules replaced by others, in short runs."""
    real = language.shapes

    def shapes(steps: int) -> dict[str, Schedule]:
        made = real(steps)
        return made | {name: made[other] for name, other in changed.items()}

    monkeypatch.setattr(language, "shapes", shapes)
    monkeypatch.setattr(comparison, "STEPS", {"quick": 25, "full": 25})


@pytest.mark.parametrize("seed", [0, 1])
def test_sch2_and_sch3_do_not_hold_where_all_schedules_are_one(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    with_shapes(monkeypatch, {"cosine": "constant", "inverse square root": "constant"})
    outcomes = {finding.verdict.claim.id: finding.verdict.weakest.outcome for finding in decays(Lab(seed=seed))}
    assert outcomes == {"SCH2": "fails", "SCH3": "fails"}
