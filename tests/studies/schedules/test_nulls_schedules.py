"""SCH1 to SCH3 where they are false: the experiments must not find that they hold.

The runs are shorter than what SCH2 and SCH3 are about: what is judged there is the interval alone. Where two arms are
one they agree exactly, of which nothing can be said; so what is measured of each gets a little noise of its own.
"""

import numpy as np
import pytest

from thalweg.schedules import Schedule
from thalweg.studies import Lab
from thalweg.studies.schedules import comparison, decays, language, warmup


def test_sch1_does_not_hold_without_warmup_in_both_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    real, rng = warmup.final_losses, np.random.default_rng(0)

    def noisy(*given) -> np.ndarray:
        losses = real(*given)
        return losses * (1 + 0.005 * rng.standard_normal(losses.shape))

    monkeypatch.setattr(warmup, "final_losses", noisy)
    monkeypatch.setattr(warmup, "ARMS", {warmup.BARE: 0, warmup.WARM: 0})
    monkeypatch.setattr(warmup, "GRIDS", {"post-norm": (-7, -5, 1)})
    (finding,) = warmup.experiment(Lab())
    rates, _ = finding.verdict.parts
    assert rates.interval.low > 0  # the grid reached
    assert (rates.outcome, finding.verdict.outcome) == ("fails", "fails")


def test_sch1_does_not_hold_where_nothing_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """At rates at which the gradient changes in its last digits alone."""
    monkeypatch.setattr(warmup, "GRIDS", {"post-norm": (-17, -16, 1)})
    (finding,) = warmup.experiment(Lab())
    _, gradients = finding.verdict.parts
    assert (gradients.outcome, finding.verdict.outcome) == ("fails", "fails")
    assert gradients.interval.estimate == pytest.approx(1, abs=0.02)


def with_shapes(monkeypatch: pytest.MonkeyPatch, changed: dict[str, str]) -> None:
    """Some schedules replaced by others, in short runs whose losses get noise."""
    real, trained, rng = language.shapes, comparison.each_at_its_rate, np.random.default_rng(0)

    def shapes(steps: int) -> dict[str, Schedule]:
        made = real(steps)
        return made | {name: made[other] for name, other in changed.items()}

    def noisy(*given) -> tuple[np.ndarray, np.ndarray]:
        course, windows = trained(*given)
        by_seed, by_cell = (rng.normal(0, 0.002, shape) for shape in ((*windows.shape[:2], 1), windows.shape))
        return course, windows + by_seed + by_cell

    monkeypatch.setattr(language, "shapes", shapes)
    monkeypatch.setattr(comparison, "each_at_its_rate", noisy)
    monkeypatch.setattr(comparison, "STEPS", {"quick": 25, "full": 25})


@pytest.mark.parametrize("seed", [0, 1])
def test_sch2_and_sch3_do_not_hold_where_all_schedules_are_one(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    with_shapes(monkeypatch, {"cosine": "constant", "inverse square root": "constant"})
    outcomes = {finding.verdict.claim.id: finding.verdict.weakest.outcome for finding in decays(Lab(seed=seed))}
    assert outcomes == {"SCH2": "fails", "SCH3": "fails"}
