"""CON2: trained bends pass, and do not where the bend is not trained, or held in few random dimensions."""

import numpy as np
import pytest

from thalweg import connectivity, optim
from thalweg.connectivity import Curve
from thalweg.figures import Figure
from thalweg.statistics import interval
from thalweg.studies import Lab
from thalweg.studies.connectivity import curve
from thalweg.studies.connectivity.curve import ERROR, RATIO, SHARE, Joined, judged, of_counts
from thalweg.studies.connectivity.setting import DIGITS, Ends, trained
from thalweg.training import Recipe

LAB = Lab("quick", 500, progress=None)


@pytest.fixture(scope="module")
def ends() -> Ends:
    return trained(LAB, DIGITS, list(range(500_000, 500_009)))


@pytest.fixture(scope="module")
def found(ends: Ends) -> Joined:
    return curve.joined(LAB, ends)


def _outcomes(one: Curve) -> dict[str, str]:
    """Of every part, on digits alone."""
    return {part.id: part.rule.judge(*_ends(one, part.id)) for part in curve.CLAIM.parts if part.id != RATIO}


def _ends(one: Curve, part: str) -> tuple[float, float]:
    found = judged({DIGITS.name: one})[part]
    return found.low, found.high


def test_trained_bends_join(found: Joined) -> None:
    outcomes = _outcomes(found.curve)
    assert outcomes[SHARE] == "holds"
    assert outcomes[ERROR] in ("holds", "undecided")  # where the errors of all pairs agree it is undecided
    assert (100 * found.curve.height("error") < 1).all()
    assert found.permuted is not None
    assert (found.permuted["line loss height"] > 0.3).all()
    assert (found.permuted.share_of_line() < 0.05).all()


def test_bends_held_in_few_random_dimensions_do_not(found: Joined) -> None:
    for held in found.held.values():
        assert _outcomes(held)[SHARE] == "fails"
    shares = [held.share_of_line().mean() for _, held in sorted(found.held.items())]
    assert shares[0] > 0.9
    assert shares == sorted(shares, reverse=True)


def test_untrained_bends_do_not(ends: Ends) -> None:
    line = connectivity.bezier(ends.problem, ends.first, ends.second, Recipe(optim.SGD(0.0), 1, 50), points=21)
    np.testing.assert_allclose(line.share_of_line(), 1, rtol=1e-3)
    assert judged({DIGITS.name: line})[SHARE].estimate == pytest.approx(1, rel=1e-3)


def test_errors_that_agree_leave_the_decision_to_the_other_setting() -> None:
    agree, known, above = np.full(6, 0.07), np.array([0.1, 0.2, 0.3, 0.2, 0.1, 0.3]), np.full(6, 50.0)
    assert of_counts([agree, known]) == interval.mean(known, bounds=(0, 100))
    assert of_counts([agree]).high > 2
    assert of_counts([above, known]).high > 50
    assert of_counts([10 * known, known]).estimate == pytest.approx(2)
    assert np.isnan(of_counts([np.array([np.nan, 0.0]), known]).estimate)


def test_without_mnist1d_its_part_is_undecided_and_says_why(found: Joined) -> None:
    verdict = curve.CLAIM.judge(parts=judged({DIGITS.name: found.curve}), ran={"steps": 600})
    assert verdict.outcome == "undecided"
    assert "at full scale alone" in verdict.reason


def test_the_setting_in_which_it_is_higher_decides(found: Joined) -> None:
    both = judged({DIGITS.name: found.held[3], "MNIST-1D": found.curve})
    assert both[SHARE].estimate > 0.9
    assert both[RATIO].estimate == pytest.approx(np.exp(np.log(curve.ratio(found.curve)).mean()))
    assert (curve.ratio(found.curve) >= 1).all()


def test_a_finding_has_its_figures_and_says_what_was_found(found: Joined) -> None:
    finding = curve.finding(LAB.on((curve.CLAIM,)), [found])
    assert [type(one) for one in finding.figures] == [Figure, Figure]
    assert any("random subspace" in sentence for sentence in finding.sentences)
    assert finding.verdict.claim is curve.CLAIM
