"""The tracker against matrices that are known and move, and against converged Lanczos along training."""

import numpy as np
import pytest
import torch
from cases import CASE
from curvature.planted import of_matrix, quadratic
from torch import Tensor, nn
from torch.nn.functional import one_hot

import thalweg as tw
from thalweg import optim, sweep
from thalweg.curvature import Tracker, gauss_newton, hessian
from thalweg.data import digits
from thalweg.errors import UsageError
from thalweg.optim import stability_limit
from thalweg.population import Population, Problem
from thalweg.spectra import Operator, top_eigenvalues


def _edge() -> tw.Problem:
    """Digits by squared error on a smooth network, as the study of the edge of stability has them, but fewer."""
    x, targets = digits().train.take(torch.arange(100))
    return tw.Problem(
        lambda: tw.nets.mlp(64, 16, 16, 10, activation="tanh"),
        (x, one_hot(torch.as_tensor(targets), 10).float()),
        "squared_error",
        metrics={},
    )


class Exact:
    """Converged Lanczos in the tracker's place, from two vectors: one alone may be orthogonal to what is sought."""

    def __init__(self, problem: tw.Problem, every: int) -> None:
        self.problem, self.every = problem, every
        self.values: list[np.ndarray] = []

    def __call__(self, step: int, population: Population) -> None:
        found = [top_eigenvalues(hessian(self.problem, population), 2, tolerance=3e-3, seed=seed) for seed in (0, 1)]
        self.values.append(np.max([one.values[:, 0] for one in found], axis=0))


@pytest.mark.parametrize("rule", [optim.SGD(1.0), optim.Momentum(0.6, 0.9)], ids=["gradient descent", "momentum"])
def test_along_the_edge_of_stability_it_needs_few_products_and_stays_near(rule: optim.Rule) -> None:
    problem = _edge()
    tracker, exact = Tracker(problem), Exact(problem, every=10)
    tw.train(problem, tw.Recipe(rule, 400, evaluate=0), [901], observe=[tracker, exact])
    reading = tracker.reading
    values = reading["largest eigenvalue"]
    assert values.shape == (401, 1)
    assert values.max() > 0.9 * stability_limit(rule)
    assert np.median(reading["products"]) <= 5
    short = 1 - values[::10] / np.array(exact.values)
    assert short.min() > -1e-3
    assert (short > 0.02).sum() <= 1  # of 41: that none is higher is likely, not certain
    assert reading.cost.hvps == reading["products"].max(1).sum()


class Powers(nn.Module):
    """Sum of c_i x_i^4 / 12, whose Hessian is diag(c_i x_i^2): its eigenvectors never turn."""

    def __init__(self, sizes: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.ones_like(sizes))
        self.register_buffer("sizes", sizes)

    def forward(self, inputs: Tensor) -> Tensor:
        return (self.sizes * self.x**4 / 12).sum().expand(len(inputs), 1)


def _powers(sizes: list[float]) -> tw.Problem:
    data = torch.zeros(4, 1, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    return tw.Problem(
        lambda: Powers(torch.tensor(sizes, dtype=torch.float64)), data, lambda out, y: (out - y).squeeze(1)
    )


def test_eigenvalues_that_cross_without_mixing_are_found_after_some_readings() -> None:
    """The hardest case: an eigenvector stays one, and becomes that of the largest."""
    problem = _powers([1.0] * 12)
    tracker, start, wanted = Tracker(problem), problem.initialize(1), []
    for step in range(90):
        curvatures = torch.linspace(0.1, 1.2, 12, dtype=torch.float64)
        curvatures[3] = 0.4 + 0.02 * step  # passes all that are above it
        tracker(step, start.with_theta(curvatures.sqrt()[None]))
        wanted.append(float(curvatures.max()))
    found = tracker.reading["largest eigenvalue"][:, 0]
    missed = np.flatnonzero(found < 0.98 * np.array(wanted))
    assert len(missed) <= 25
    assert (found <= np.array(wanted) + 1e-12).all()
    np.testing.assert_allclose(found[70:], wanted[70:], rtol=1e-3)


def test_the_largest_in_magnitude_is_not_the_largest() -> None:
    for spectrum, largest in ((np.array([-9.0, *np.linspace(-1, 1, 30), 5.0]), 5.0), (np.linspace(-4, -0.5, 20), -0.5)):
        problem = quadratic(spectrum)
        tracker = Tracker(problem, tolerance=1e-6)
        for step in range(3):
            tracker(step, problem.initialize(2))
        np.testing.assert_allclose(tracker.reading["largest eigenvalue"], largest, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_small_and_singular_matrices_are_complete(size: int) -> None:
    for matrix in (torch.diag(-torch.arange(1.0, size + 1)), torch.zeros(size, size), torch.eye(size)):
        problem = of_matrix(matrix.double())
        tracker = Tracker(problem)
        for step in range(3):
            tracker(step, problem.initialize(1))
        largest = float(torch.linalg.eigvalsh(matrix)[-1])
        np.testing.assert_allclose(tracker.reading["largest eigenvalue"], largest, atol=1e-12)


def test_residuals_bound_the_distance_to_an_eigenvalue() -> None:
    spectrum = 1 / np.arange(1, 121) ** 1.5
    problem = quadratic(spectrum)
    tracker = Tracker(problem, tolerance=1e-3, max_products=5)
    for step in range(20):
        tracker(step, problem.initialize(1))
    reading = tracker.reading
    values, residuals = reading["largest eigenvalue"][:, 0], reading["residual"][:, 0]
    assert (np.abs(values[:, None] - spectrum).min(1) <= residuals + 1e-12).all()
    assert (values <= 1 + 1e-12).all()
    assert residuals[0] > 1e-3  # five products did not do for a search that begins at random
    assert not tracker.converged[0, 0]
    assert tracker.converged[-1, 0]
    assert values[-1] == pytest.approx(1, rel=1e-3)
    assert (reading["products"] <= 5).all()


def test_members_are_apart() -> None:
    """One that is not finite is not a number; the others have what they have alone."""
    problem = _edge()
    rule = optim.SGD(sweep.values([0.5, 3e38, 1.0]))
    together = Tracker(problem)
    run = tw.train(problem, tw.Recipe(rule, 12, evaluate=0), [0], observe=together, plan="looped")
    assert run.diverged_at[1] > 0
    values = together.reading["largest eigenvalue"]
    assert np.isnan(values[-1, 1])
    for member, rate in ((0, 0.5), (2, 1.0)):
        alone = Tracker(problem)
        tw.train(problem, tw.Recipe(optim.SGD(rate), 12, evaluate=0), [0], observe=alone, plan="looped")
        np.testing.assert_allclose(alone.reading["largest eigenvalue"][:, 0], values[:, member], rtol=1e-4)
        assert (alone.reading["products"][:, 0] == together.reading["products"][:, member]).mean() > 0.8


def test_a_member_that_is_finite_again_is_read_again() -> None:
    problem = quadratic(np.array([1.0, 2.0, 3.0, 7.0]))
    start = problem.initialize(2)
    sick = start.with_theta(start.theta * torch.tensor([[1.0], [torch.nan]], dtype=torch.float64))
    nan = torch.tensor([[1.0], [torch.nan]], dtype=torch.float64).expand(2, 4)
    tracker = Tracker(problem, diagonal_scaling=lambda step, population, slots: nan if step == 1 else torch.ones(4))
    for step, population in enumerate((start, sick, start)):
        tracker(step, population)
    np.testing.assert_allclose(tracker.reading["largest eigenvalue"], [[7, 7], [7, np.nan], [7, 7]], rtol=1e-9)


def test_a_preconditioned_matrix_follows_what_the_rule_remembers() -> None:
    problem, rule = _edge(), optim.RMSprop(1e-3)
    exact: list[float] = []

    h = optim.StepHyperparameters({"lr": 1e-3, "eps": 1e-8}, 1)
    kept: list[Tensor] = []

    def balanced(step: int, population: Population, slots: dict[str, Tensor]) -> Tensor:
        kept.append((optim.preconditioner(rule, slots, h) + 1e-3).rsqrt())
        return kept[-1]

    def wanted(step: int, population: Population) -> None:
        A = hessian(problem, population).scaled(kept[-1])
        exact.append(top_eigenvalues(A, 2, tolerance=1e-3).values[0, 0])

    tracker = Tracker(problem, diagonal_scaling=balanced)
    tw.train(problem, tw.Recipe(rule, 12, evaluate=0), [3], observe=[tracker, wanted])
    np.testing.assert_allclose(tracker.reading["largest eigenvalue"][:, 0], exact, rtol=0.02)
    assert len({float(one.sum()) for one in kept}) == 13


def test_the_matrix_may_be_another_and_the_sample_is_drawn_once() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population, on = problem.initialize(2), tw.Sample("train", 9, seed=1)
    sampled: list[object] = []

    def doubled(problem: Problem, population: Population, *, on: object) -> Operator:
        sampled.append(on)
        return hessian(problem, population, on=on).scaled(torch.full((43,), 2**0.5, dtype=torch.float64), "twice")

    for matrix, wanted in ((gauss_newton, gauss_newton), (doubled, doubled)):
        tracker = Tracker(problem, matrix=matrix, on=on, tolerance=1e-8)
        for step in range(2):
            tracker(step, population)
        exact = top_eigenvalues(wanted(problem, population, on=on), 1, tolerance=1e-10).values[:, 0]
        np.testing.assert_allclose(tracker["largest eigenvalue"][0], exact, rtol=1e-7)
        assert tracker.reading.sample_size == 9
        assert tracker.reading.notes[0].startswith("On 9 of 24 train examples")
    assert tracker.reading.name == "largest eigenvalue of the twice"
    assert sampled[0] is sampled[1]


def test_masked_parameters_have_no_curvature() -> None:
    problem = quadratic(np.linspace(1, 5, 9))
    mask = torch.arange(9) > 2
    population = problem.initialize(1).with_mask(mask)
    tracker = Tracker(problem, tolerance=1e-6)
    tracker(0, population)
    block = problem.template.matrix[3:, 3:]
    wanted = float(torch.linalg.eigvalsh(block)[-1])
    assert tracker.reading["largest eigenvalue"][0, 0] == pytest.approx(wanted, rel=1e-9)


def test_the_figure_has_a_rule_a_limit() -> None:
    problem = CASE["mlp"].problem()
    rule = optim.SGD(sweep.values([0.1, 0.5]))
    tracker = Tracker(problem, every=2)
    tw.train(problem, tw.Recipe(rule, 6), 2, observe=tracker)
    reading = tracker.reading
    assert reading.coordinate("step").tolist() == [0, 2, 4, 6]
    plain = tracker.figure()
    assert [type(mark).__name__ for mark in plain.panels[0].marks] == ["Line"]
    np.testing.assert_allclose(plain.panels[0].marks[0].y, reading["largest eigenvalue"].mean(1))
    limited = tracker.figure([4, 4, 20, 20])
    assert [getattr(mark, "value", None) for mark in limited.panels[0].marks] == [None, None, 4, 20]
    np.testing.assert_allclose(limited.panels[0].marks[1].high, reading["largest eigenvalue"][:, 2:].max(1))
    assert tracker.figure(20.0).panels[0].marks[1].value == 20
    with pytest.raises(UsageError, match="one for each of the 4 members"):
        tracker.figure([1.0, 2.0])
    with pytest.raises(UsageError, match=r"write stability_limit\(rule, training.MemberGrid\(recipe, seeds\).at\(step"):
        tracker.figure(stability_limit(rule))
    grid = tw.training.MemberGrid(tw.Recipe(rule, 6), [0, 1])
    crossed = tracker.figure(stability_limit(rule, grid.at(1)))
    assert [mark.value for mark in crossed.panels[0].marks[2:]] == [4, 20]


def test_wrong_uses() -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match="has been given no step yet"):
        _ = Tracker(problem).reading
    with pytest.raises(UsageError, match="Tracker tolerance must be above 0; got 0"):
        Tracker(problem, tolerance=0)
    with pytest.raises(UsageError, match="Tracker every must be a whole number"):
        Tracker(problem, every=0)
    with pytest.raises(UsageError, match="Tracker matrix must be a function such as"):
        Tracker(problem, matrix="hesian")
    with pytest.raises(UsageError, match="Tracker on must be a Sample such as"):
        Tracker(problem, on=3)
    with pytest.raises(UsageError, match="Tracker problem must be a Problem"):
        Tracker(tw.Recipe(optim.SGD(0.1), 1))
    tracker = Tracker(problem)
    tracker(1, problem.initialize(1))
    with pytest.raises(UsageError, match="step 1 came after step 1; make one for each run"):
        tracker(1, problem.initialize(1))
    with pytest.raises(UsageError, match="it had 1 members, and now 2"):
        tracker(2, problem.initialize(2))
