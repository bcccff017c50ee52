"""Planted nulls of IMP1 and IMP6: where one solution fits no rule chooses, and other penalties are not the one."""

from dataclasses import replace

import numpy as np

from thalweg.studies import Lab
from thalweg.studies.implicit import minimum_norm, penalty
from thalweg.studies.implicit.minimum_norm import ADAM, PROJECTION, SCALE, SIGN, ends, judged, problems

LAB = Lab("quick", 500, progress=None)
SEEDS = [500_000, 500_001, 500_002]


def outcomes(claim, parts) -> dict[str, str]:
    """Of the parts that are given."""
    return {
        part.id: part.rule.judge(parts[part.id].low, parts[part.id].high) for part in claim.parts if part.id in parts
    }


def test_with_more_examples_than_features_no_rule_chooses() -> None:
    found = outcomes(minimum_norm.CLAIM, judged(ends(problems(SEEDS, 40, 10), SEEDS, 0)))
    assert found[PROJECTION] == "holds"
    assert found[ADAM] == found[SIGN] == found[SCALE] == "fails"


def test_a_rule_that_does_not_come_to_zero_loss_says_nothing(monkeypatch) -> None:
    monkeypatch.setattr(minimum_norm, "STEPS", 50)
    assert not any(one.known for one in judged(ends(problems(SEEDS), SEEDS, 0)).values())


def test_every_rule_of_the_span_is_judged_from_every_start() -> None:
    found = ends(problems(SEEDS), SEEDS, 0)
    assert set(outcomes(minimum_norm.CLAIM, judged(found)).values()) == {"holds"}
    for rule in range(3):
        one = found.from_scales[10.0]
        away = one["distance to the projection"].copy()
        away[rule, 1] = 1e-3
        arrays = {name: one[name] for name in one.reading.arrays} | {"distance to the projection": away}
        moved = replace(one, reading=replace(one.reading, arrays=arrays))
        parts = judged(replace(found, from_scales=found.from_scales | {10.0: moved}))
        assert outcomes(minimum_norm.CLAIM, parts)[PROJECTION] == "fails"


def test_no_wrong_coefficient_is_third_order() -> None:
    for coefficient in penalty.WRONG:
        found = penalty.judged(penalty.measured(500_000, 4, coefficient, epoch=False))
        named = outcomes(penalty.CLAIM, found)
        assert {name: one for name, one in named.items() if name.startswith(penalty.MODIFIED)} == {
            f"{penalty.MODIFIED}, {name}": "fails" for name in (penalty.PRODUCT, penalty.NETWORK)
        }


def test_steps_on_a_quadratic_are_away_by_what_the_exponential_says() -> None:
    found = penalty.one_step_error(lambda theta: 2 * (theta**2).sum(), [[1.0], [3.0]], penalty.RATES)
    rates = np.array(penalty.RATES)
    np.testing.assert_allclose(found["error"][0, 0], np.exp(-4 * rates) - (1 - 4 * rates), rtol=1e-6)
