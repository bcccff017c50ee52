"""CON2: trained bends pass, and do not where the bend is not trained, or held in few random dimensions."""

import numpy as np
import pytest

from thalweg import connectivity, optim
from thalweg.connectivity import Curve
from thalweg.figures import Figure
from thalweg.studies import Lab
from thalweg.studies.connectivity import curve
from thalweg.studies.connectivity.curve import ERROR, RATIO, SHARE, Joined, judged
from thalweg.studies.connectivity.setting import DIGITS, Ends, Shared, trained
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
    interval = judged({DIGITS.name: one})[part]
    return interval.low, interval.high


def test_trained_bends_join(found: Joined) -> None:
    assert _outcomes(found.curve) == {SHARE: "holds", ERROR: "holds"}
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
    assert _outcomes(line)[SHARE] == "fails"


def test_without_mnist1d_its_part_is_undecided_and_says_why(found: Joined) -> None:
    verdict = curve.CLAIM.judge(parts=judged({DIGITS.name: found.curve}), ran={"steps": 600})
    assert verdict.outcome == "undecided"
    assert "at full scale alone" in verdict.reason


def test_the_setting_in_which_it_is_higher_decides(found: Joined) -> None:
    both = judged({DIGITS.name: found.held[3], "MNIST-1D": found.curve})
    assert both[SHARE].estimate > 0.9
    assert both[RATIO].estimate == pytest.approx(curve.ratio(found.curve).mean())
    assert (curve.ratio(found.curve) >= 1).all()


def test_a_finding_has_its_figures_and_says_what_was_found(ends: Ends) -> None:
    lab = LAB.on((curve.CLAIM,))
    finding = curve.found(lab, Shared(ends.few(2)))
    assert [type(one) for one in finding.figures] == [Figure, Figure]
    assert any("random subspace" in sentence for sentence in finding.sentences)
    assert finding.verdict.claim is curve.CLAIM
