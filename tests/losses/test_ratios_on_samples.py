"""Means of weighted losses on samples: ratios, their standard errors and their control variates, by simulation."""

import numpy as np
import pytest
import torch
from losses.weighted_cases import IGNORED
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import DataError
from thalweg.evaluation import Conditions, Points, weighted_sums
from thalweg.landscape import line
from thalweg.randomness import generator

COUNT, SAMPLE, DRAWS = 400, 60, 300


def padded() -> tw.Problem:
    """Tokens whose number differs tenfold between examples, and with it their loss."""
    draw = generator(0, "ratios")
    tokens = torch.randint(5, (COUNT, 10), generator=draw)
    lengths = torch.randint(1, 11, (COUNT, 1), generator=draw)
    targets = torch.where(tokens.roll(-1, 1) < 3, tokens, tokens.roll(-1, 1) * (lengths < 5))
    targets = targets.masked_fill(torch.arange(10) >= lengths, IGNORED)
    targets[::9] = IGNORED
    model = lambda: nn.Sequential(nn.Embedding(5, 4), nn.Tanh(), nn.Linear(4, 5))  # noqa: E731
    loss = tw.losses.CrossEntropy([1.0, 2.0, 0.5, 3.0, 1.0], IGNORED)
    return tw.Problem(model, (tokens, targets), loss, dtype=torch.float64)


def test_estimates_center_on_the_ratio_and_err_as_they_say() -> None:
    """Loss and accuracy at three points, over 300 samples of 60 of 400: bias below noise, and errors within 15 %."""
    problem = padded()
    ends = [problem.initialize([seed]) for seed in (0, 1)]
    weights = torch.tensor([[0.5, 0.5], [0.0, 1.0], [-0.4, 1.4]])
    exact = weighted_sums(problem, ends, weights)
    found: dict[str, list[np.ndarray]] = {"loss": [], "accuracy": []}
    said: dict[str, list[np.ndarray]] = {"loss": [], "accuracy": []}
    for seed in range(DRAWS):
        some = weighted_sums(problem, ends, weights, on=tw.Sample("train", SAMPLE, seed))
        for name in found:
            found[name].append(some.means[name][0])
            said[name].append(some.standard_errors[name][0])
    for name in found:
        off = np.array(found[name]) - exact.means[name][0]
        spread, claimed = off.std(0, ddof=1), np.sqrt((np.array(said[name]) ** 2).mean(0))
        assert (np.abs(off.mean(0)) < 4 * spread / DRAWS**0.5).all(), name
        np.testing.assert_allclose(claimed, spread, rtol=0.15, err_msg=name)


def test_the_first_anchor_is_a_control_variate() -> None:
    """Close to it a sample errs far less than by its own ratio, and at it not at all."""
    problem = padded()
    start = problem.initialize([0])
    near = start.with_theta(start.theta + 0.05 * problem.initialize([1]).theta)
    sample = tw.Sample("train", SAMPLE, 1)
    found = weighted_sums(problem, [start, near], [[1.0, 0.0], [0.0, 1.0]], on=sample)
    assert found.means["loss"][0, 0] == pytest.approx(float(tw.evaluate(problem, start)["loss"]), rel=1e-12)
    assert found.standard_errors["loss"][0, 0] == 0
    alone = tw.evaluation.by_example(problem, near, sample)
    ratio = (alone["loss weight"] * alone["loss"]).nansum() / alone["loss weight"].sum()
    residual = alone["loss weight"] * (alone["loss"].nan_to_num(0) - ratio) / alone["loss weight"].mean()
    assert 0 < found.standard_errors["loss"][0, 1] < 0.3 * float(residual.std()) / SAMPLE**0.5


def test_the_error_is_that_of_the_formula() -> None:
    """sqrt((1 - n/N) / n) times the standard deviation of w (l - R)/mean w there less that at the first anchor."""
    problem = padded()
    ends = [problem.initialize([seed]) for seed in (0, 1)]
    sample = tw.Sample("train", SAMPLE, 2)
    points = Points(ends, Conditions.of("test", problem, on=sample))
    means, errors = points.at(0, torch.tensor([[0.0, 1.0]]))

    def residuals(population: tw.Population) -> tuple[Tensor, Tensor]:
        found = tw.evaluation.by_example(problem, population, sample)
        values, weights = found["loss"][0].nan_to_num(0), found["loss weight"][0]
        ratio = (weights * values).sum() / weights.sum()
        return weights * (values - ratio) / weights.mean(), ratio

    (there, ratio), (here, base) = residuals(ends[1]), residuals(ends[0])
    wanted = float((there - here).std()) * ((1 - SAMPLE / COUNT) / SAMPLE) ** 0.5
    assert errors["loss"][0] == pytest.approx(wanted, rel=1e-10)
    exact = tw.evaluate(problem, ends[0])["loss"][0] + ratio - base
    assert means["loss"][0] == pytest.approx(float(exact), rel=1e-12)


def test_the_fisher_rao_norm_errs_as_it_says() -> None:
    problem = padded()
    members = problem.initialize([0])
    exact = tw.curvature.fisher_rao_norm(problem, members)["squared norm"][0]
    found, said = [], []
    for seed in range(DRAWS):
        reading = tw.curvature.fisher_rao_norm(problem, members, on=tw.Sample("train", 40, seed)).reading
        found.append(reading["squared norm"][0])
        said.append(reading.standard_errors["squared norm"][0])
    spread = np.std(found, ddof=1) / (1 - 40 / COUNT) ** 0.5  # the error is that of a population without end
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / DRAWS**0.5 + 0.05 * spread
    assert np.sqrt(np.mean(np.square(said))) == pytest.approx(spread, rel=0.15)


def test_samples_that_count_nothing_have_no_mean() -> None:
    problem = padded()
    members = problem.initialize([0])
    nothing = problem.data.train.select(torch.arange(0, COUNT, 9))
    for measure in (
        lambda: tw.evaluate(problem, members, nothing),
        lambda: weighted_sums(problem, [members, members], [[0.5, 0.5]], on=tw.Sample(nothing, 20)),
        lambda: tw.curvature.hessian(problem, members, on=nothing),
        lambda: tw.curvature.worst_case_sharpness(problem, members, on=nothing),
        lambda: line(problem, members, resolution=3, on=nothing),
    ):
        with pytest.raises(DataError, match=r"counts none of the \d+ examples .* draw a larger Sample"):
            measure()
    found = tw.evaluation.by_example(problem, members, nothing)
    assert found["loss"].isnan().all()
    assert (found["loss weight"] == 0).all()
