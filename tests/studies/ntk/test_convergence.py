"""NTK5: predictions of a spectrum are right where a kernel is constant, and wrong where they must be."""

import numpy as np
import pytest
import torch
from studies.ntk.planted import outcome

from thalweg.results import Reading
from thalweg.statistics import POSITIVE, interval
from thalweg.studies import Lab
from thalweg.studies.ntk import convergence
from thalweg.studies.ntk.modes import (
    Followed,
    followed,
    rate_error,
    steps_by_smallest,
    steps_error,
    steps_to_level,
    tail_error,
)
from thalweg.studies.ntk.setting import largest_rate
from thalweg.studies.ntk.subsets import TRAIN, Sets, analytic

LAB = Lab("quick", 900, progress=None)
STEPS = torch.tensor(sorted({0, *np.geomspace(1, 400, 120).round().astype(int).tolist()}), dtype=torch.float64)
VALUES = torch.linspace(0.02, 0.5, 6, dtype=torch.float64)


def linear(speeds: torch.Tensor | float = 1.0) -> Followed:
    """Two kernels of one spectrum, whose modes decay at their rates, or these times as fast."""
    draw = torch.Generator().manual_seed(0)
    vectors, _ = torch.linalg.qr(torch.randn(2, 6, 6, generator=draw, dtype=torch.float64))
    kernel = vectors @ (VALUES[:, None] * vectors.mT)
    first = torch.randn(2, 1, 6, generator=draw, dtype=torch.float64)
    decay = torch.exp(STEPS[:, None] * torch.log1p(-0.5 * VALUES) * speeds)
    return Followed(0.5, STEPS, (first * decay) @ vectors.mT, kernel, kernel)


def test_a_constant_kernel_is_predicted_exactly():
    one = linear()
    assert rate_error(one, one.first) == pytest.approx(0, abs=1e-9)
    assert steps_error(one, one.first) == pytest.approx(0, abs=1e-9)
    assert tail_error(one) == pytest.approx(0, abs=1e-6)


def test_modes_that_end_at_once_have_a_rate():
    one = linear(1e4)
    assert (rate_error(one, one.first) > 100).all()


def test_modes_that_are_faster_err_by_how_much():
    one = linear(1.2)
    assert rate_error(one, one.first) == pytest.approx(0.2, rel=1e-6)
    assert steps_error(one, one.first) == pytest.approx(0.2, abs=0.01)


def test_a_mode_that_hardly_has_a_share_hardly_counts():
    speeds = torch.ones(6, dtype=torch.float64)
    speeds[2] = 2.0
    one = linear(speeds)
    _, vectors = torch.linalg.eigh(one.first)
    shares = (one.residual[:, 0][:, None] @ vectors).squeeze(1).square()
    assert rate_error(one, one.first) == pytest.approx((shares[:, 2] / shares.sum(1)).numpy(), rel=1e-6)


def test_other_spectra_are_wrong():
    one = linear()
    assert rate_error(one, one.first, common=True).min() > 0.1
    assert rate_error(one, 1.5 * one.first).min() > 0.2
    assert steps_error(one, 1.5 * one.first).min() > 0.2


def test_the_smallest_eigenvalue_bounds_the_steps_and_is_right_of_one_mode():
    one = linear()
    bound = steps_by_smallest(one)
    assert bound == pytest.approx(np.log(0.01) / (2 * np.log(1 - 0.5 * 0.02)))
    assert (bound > steps_to_level(one, one.loss)).all()
    alone = torch.exp(2 * STEPS * np.log(1 - 0.5 * 0.02)).expand(2, -1)
    np.testing.assert_allclose(steps_to_level(one, alone), bound, rtol=1e-9)


def test_a_level_that_is_not_reached_takes_for_ever():
    assert np.isinf(steps_to_level(linear(), torch.full((2, len(STEPS)), 0.5))).all()


def test_a_narrow_network_is_not_predicted_and_a_wide_one_is_more_nearly():
    sets = Sets.of(list(range(900, 904)))
    rate = convergence.SPEED * largest_rate(analytic(sets, "relu")["analytic"][:, :TRAIN])
    narrow, wide = (followed(LAB, sets, "ReLU", width, rate, 200) for width in (8, 256))
    errors = {name: rate_error(one, one.first) for name, one in (("narrow", narrow), ("wide", wide))}
    verdict = outcome(convergence.CLAIM, "ReLU, rates", interval.mean(errors["narrow"], bounds=POSITIVE))
    assert verdict == "fails"
    assert errors["wide"].mean() < 0.05 < errors["narrow"].mean()


def test_the_experiment_says_what_it_found_and_is_undecided_below_its_budget(monkeypatch):
    for name, value in (("WIDTH", 16), ("WIDTHS", {"full": (16,)}), ("STEPS", 250), ("TAIL", 40)):
        monkeypatch.setattr(convergence, name, value)
    (finding,) = convergence.experiment(Lab("full", 900, progress=None))
    assert finding.verdict.outcome == "undecided"
    assert "16 of 1,024 units" in finding.verdict.words
    assert len(finding.sentences) == 6
    assert finding.sentences[-1].startswith("NTK5 lacks budget, not seeds")
    for reading in finding.readings:
        assert Reading.from_json(reading.to_json()).to_json() == reading.to_json()
    for figure in finding.figures:
        figure.to_matplotlib()
