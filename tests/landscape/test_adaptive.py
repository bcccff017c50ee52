"""Surfaces from few of their points: exact on polynomials, within the tolerance, honest where it cannot be kept."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import thalweg as tw
from thalweg import landscape
from thalweg.errors import UsageError
from thalweg.evaluation.sample import sampled
from thalweg.landscape.adaptive import HELD_OUT, Filled, fill, through
from thalweg.landscape.leja import leja
from thalweg.randomness import generator

AXIS = np.linspace(-1, 1, 51)
Array = NDArray[np.float64]


class Counted:
    """Rows of values on the grid, given out by number and counted."""

    def __init__(self, *rows: Array) -> None:
        self.values, self.asked = np.stack([row.ravel() for row in rows]), 0

    def __call__(self, numbers: NDArray[np.int64]) -> Array:
        self.asked += len(numbers)
        return self.values[:, numbers]


def _filled(
    whole: Counted,
    sample: Counted | None = None,
    tolerance: float = 0.01,
    seed: int = 0,
    least: Array | float = -np.inf,
) -> Filled:
    rows, stream = slice(len(whole.values)), np.random.default_rng(seed)
    return fill(whole, sample, [AXIS, AXIS], judged=rows, tolerance=tolerance, stream=stream, least=least)


X, Y = np.meshgrid(AXIS, AXIS, indexing="ij")
BASIN = np.log1p(6 * (X - 0.1) ** 2 + 2 * (Y + 0.2) ** 2 + 2 * X * Y)


def test_every_beginning_of_lejas_order_interpolates_polynomials_exactly() -> None:
    order = leja(AXIS)
    assert sorted(order) == list(range(51))
    assert set(AXIS[order[:3]]) == {-1, 0, 1}
    for count in (3, 8, 15, 25):
        matrix = through(AXIS, order[:count], np.eye(count)[None])[0]
        for power in range(count):
            np.testing.assert_allclose(matrix @ AXIS[order[:count]] ** power, AXIS**power, atol=1e-10)
        assert np.array_equal(matrix[order[:count]], np.eye(count))  # a known value stays, to the bit
        assert np.abs(matrix).sum(1).max() < 15  # Lebesgue's constant: errors of values are not blown up


def test_points_of_any_unit_and_place_do_as_well() -> None:
    for scale, shift in ((1e-6, 0.0), (1e6, 3e6)):
        axis = scale * AXIS + shift
        known = leja(axis)[:13]
        values = np.cos((axis[known] - shift) / scale)
        np.testing.assert_allclose(through(axis, known, values[None])[0], np.cos(AXIS), atol=1e-8)


def test_a_polynomial_takes_the_fewest_points_and_is_exact() -> None:
    whole = Counted(X**2 * Y - 3 * Y**2 + X)
    found = _filled(whole)
    assert whole.asked == 25 + HELD_OUT == found.evaluated.sum()
    np.testing.assert_allclose(found.values, whole.values, atol=1e-12)
    assert found.worst.max() < 1e-12


@pytest.mark.parametrize("tolerance", [0.03, 0.01, 0.001])
def test_a_smooth_basin_is_within_the_tolerance_everywhere(tolerance: float) -> None:
    whole = Counted(BASIN, 5 * BASIN[::-1])
    found = _filled(whole, tolerance=tolerance)
    off = np.abs(found.values - whole.values).max(1) / np.ptp(whole.values, axis=1)
    assert (off <= tolerance).all()
    assert whole.asked == found.evaluated.sum() < 0.25 * BASIN.size + HELD_OUT
    assert np.array_equal(found.values[:, found.evaluated], whole.values[:, found.evaluated])
    assert (found.worst > 0).all()
    assert (found.worst <= tolerance / 2).all()


def test_what_cannot_be_negative_is_not_interpolated_to_less_than_zero() -> None:
    hill = np.exp(-12 * ((X - 0.3) ** 2 + Y**2))
    found = _filled(Counted(hill, hill - 0.5), tolerance=0.1, least=np.array([[0.0], [-np.inf]]))
    assert not found.evaluated.all()
    loss, below = found.values
    assert (below + 0.5).min() < 0  # what the polynomials say
    assert loss.min() == 0
    np.testing.assert_allclose(loss, np.maximum(below + 0.5, 0), atol=1e-12)


def test_a_cheaper_function_near_by_takes_most_of_the_work() -> None:
    sample = Counted(BASIN + 0.05 * np.sin(X + Y))
    whole = Counted(BASIN)
    found = _filled(whole, sample)
    alone = Counted(BASIN)
    _filled(alone)
    assert whole.asked < 0.6 * alone.asked
    assert sample.asked > whole.asked
    assert np.abs(found.values - whole.values).max() <= 0.01 * np.ptp(BASIN)


def test_the_worst_held_out_point_covers_its_share_of_the_surface() -> None:
    """At most 12 % of all points are farther off than the worst of 24, in 95 % of draws."""
    rough = BASIN + 0.01 * np.sin(9 * X) * np.cos(8 * Y)
    beyond = []
    for seed in range(200):
        found = _filled(Counted(rough), tolerance=0.05, seed=seed)
        off = np.abs(found.values[0] - rough.ravel()) / np.ptp(rough)
        assert not found.evaluated.all()
        beyond.append((off > found.worst[0]).mean())
    share = np.mean(np.array(beyond) > 1 - 0.05 ** (1 / HELD_OUT))
    assert share <= 0.05 + 2 * (0.05 * 0.95 / 200) ** 0.5


@pytest.mark.parametrize(("kind", "why"), [("noise", "smooth"), ("cliff", "smooth"), ("hole", "not finite")])
def test_what_is_not_smooth_is_evaluated_everywhere(kind: str, why: str) -> None:
    values = {
        "noise": np.random.default_rng(0).normal(size=X.shape),
        "cliff": np.sign(X + 0.3 * Y),
        "hole": np.where(X + Y > 1.2, np.nan, BASIN),
    }[kind]
    whole = Counted(values)
    found = _filled(whole)
    assert found.evaluated.all()
    assert np.isnan(found.worst).all()
    assert why in found.why
    assert whole.asked == X.size
    np.testing.assert_array_equal(found.values, whole.values)


def _problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 32, 32, 10), tw.data.digits())


def test_a_plane_from_few_points_is_the_whole_plane_within_the_tolerance() -> None:
    problem = _problem()
    run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.1), 150, 128, evaluate=0), [0, 1])
    whole = landscape.plane(problem, run.final, resolution=41)
    few = landscape.plane(problem, run.final, resolution=41, tolerance=0.01)
    span = np.ptp(whole["loss"], axis=(1, 2))
    assert (np.abs(few["loss"] - whole["loss"]).max((1, 2)) <= 0.01 * span).all()
    seen = few["evaluated"]
    np.testing.assert_allclose(few["loss"][seen], whole["loss"][seen], rtol=1e-5)
    assert few["loss"][0, 20, 20] == whole["loss"][0, 20, 20]  # the center is a direct evaluation
    errors = few.reading.standard_errors["loss"]
    assert not errors[seen].any()
    assert (errors[~seen] > 0).all()
    assert few.reading.cost.forwards < whole.reading.cost.forwards / 8
    assert any(f"Member 1: Evaluated at {seen[1].sum()} of 1681 points" in note for note in few.reading.notes)
    few.figure(member=1)
    alone = landscape.plane(problem, run.final[1], resolution=41, tolerance=0.01)  # as beside another member
    np.testing.assert_allclose(alone["loss"][0], few["loss"][1], rtol=1e-5)
    assert np.array_equal(alone["evaluated"][0], seen[1])


def test_a_metric_that_is_not_smooth_is_given_only_where_it_was_evaluated() -> None:
    problem = _problem()
    run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.1), 300, 128, evaluate=0))
    few = landscape.plane(problem, run.final, resolution=41, tolerance=0.01)
    assert np.array_equal(np.isnan(few["accuracy"]), ~few["evaluated"])
    said = "They miss more of accuracy, which is given only where it was evaluated"
    assert any(said in note for note in few.reading.notes)
    assert np.isfinite(few["loss"]).all()


def test_a_member_that_is_not_finite_does_not_keep_others_from_being_seen() -> None:
    problem = _problem()
    population = problem.initialize(3).copy()
    population.theta[1, 5] = torch.nan
    for options in ({"tolerance": 0.02}, {"directions": "none"}):
        surface = landscape.plane(problem, population, resolution=21, span=0.5, **options)
        assert np.isnan(surface["loss"][1]).all()
        assert np.isfinite(surface["loss"][[0, 2]]).all()
        assert "Not finite, so not seen: member 1." in surface.reading.notes
        alone = landscape.plane(problem, population[2], resolution=21, span=0.5, **options)
        np.testing.assert_allclose(alone["loss"][0], surface["loss"][2], rtol=1e-5)
    with pytest.raises(UsageError, match="No member of the population is finite"):
        landscape.plane(problem, population[1], resolution=3)


def test_a_sample_of_examples_keeps_its_own_errors() -> None:
    problem = _problem()
    center = problem.initialize(1)
    whole = landscape.plane(problem, center, resolution=31, on=tw.Sample("train", 300))
    few = landscape.plane(problem, center, resolution=31, on=tw.Sample("train", 300), tolerance=0.02)
    mine, wanted = few.reading.standard_errors["loss"], whole.reading.standard_errors["loss"]
    seen = few["evaluated"]
    np.testing.assert_allclose(mine[seen], wanted[seen], rtol=1e-4)
    near = mine[~seen] / wanted[~seen]  # the error of the nearest point evaluated
    low, high = np.quantile(near, [0.02, 0.98])
    assert 0.5 < low < high < 3  # beside the center, where errors vanish, it is larger than needed
    assert np.median(near) == pytest.approx(1, abs=0.2)


def test_a_surface_that_is_not_smooth_says_so() -> None:
    x = torch.arange(4.0)[:, None]
    problem = tw.Problem(
        lambda: torch.nn.Linear(1, 1),
        (x, x),
        lambda outputs, targets: torch.floor(outputs).square().mean() + 0 * targets.sum(),
        metrics={},
    )
    few = landscape.plane(problem, problem.initialize(1), resolution=15, directions="none", tolerance=0.01)
    assert few["evaluated"].all()
    assert any("Every point was evaluated: the loss is not smooth enough" in note for note in few.reading.notes)
    small = landscape.plane(problem, problem.initialize(1), resolution=9, directions="none", tolerance=0.01)
    assert any("a grid of 81 points is too small to leave any out" in note for note in small.reading.notes)


@pytest.mark.parametrize("tolerance", [0, 1.0, "much", float("nan")])
def test_what_cannot_be_meant(tolerance: object) -> None:
    problem = _problem()
    with pytest.raises(UsageError, match="plane tolerance must be"):
        landscape.plane(problem, problem.initialize(1), tolerance=tolerance)  # type: ignore[arg-type]


def test_a_sample_that_counts_nothing_is_done_without() -> None:
    """Of many examples, few count, none of which is among those drawn for the cheaper loss."""
    x = torch.randn(1_200, 3, generator=generator(0, "sparse"))
    kept = torch.arange(1_200) == 700
    kept[sampled(1_200, 256, 0)] = False
    assert kept.any()
    y = torch.where(kept, 1, -100)
    every, only = ((x, y), (x[kept], y[kept]))
    found = []
    for data in (every, only):
        problem = tw.Problem(
            lambda: torch.nn.Linear(3, 2), data, tw.losses.CrossEntropy(ignore_index=-100), dtype=torch.float64
        )
        center = problem.initialize(1)
        found.append(landscape.plane(problem, center, resolution=31, tolerance=0.02))
    assert not found[0]["evaluated"].all()
    np.testing.assert_allclose(found[0]["loss"], found[1]["loss"], rtol=1e-6)
