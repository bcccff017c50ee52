"""Lines and planes: exact on quadratics, the center as evaluated directly, errors that cover, nothing changed."""

from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE, CASES, Case, X, Y, every, fingerprint
from curvature.planted import of_matrix
from torch import Tensor, nn

import thalweg as tw
from thalweg import landscape
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import evaluate
from thalweg.randomness import generator
from thalweg.statistics import student_t

DETERMINISTIC = [case for case in CASES if not case.stochastic]


def _vector(size: int, number: int) -> Tensor:
    return torch.randn(size, generator=generator(5, "vector", number), dtype=torch.float64)


def test_every_value_on_a_quadratic_is_exact() -> None:
    draw = torch.randn(12, 12, generator=generator(0, "matrix"), dtype=torch.float64)
    matrix = draw + draw.T
    problem = of_matrix(matrix)
    center, first, second = problem.initialize(1), _vector(12, 0), _vector(12, 1)
    surface = landscape.plane(problem, center, directions=(first, second), span=(-2.0, 3.0), resolution=11)
    a, b = surface.coordinates
    assert (a[0], a[-1], len(b)) == (-2.0, 3.0, 11)
    x = center.theta[0] + torch.tensor(a)[:, None, None] * first + torch.tensor(b)[:, None] * second
    wanted = 0.5 * torch.einsum("abi,ij,abj->ab", x, matrix, x)
    np.testing.assert_allclose(surface["loss"][0], wanted, rtol=1e-12, atol=1e-12 * wanted.abs().max())
    assert not surface.reading.standard_errors["loss"].any()
    whole = landscape.line(problem, center, direction=first, span=2.0, resolution=5)
    np.testing.assert_allclose(whole["loss"][0, 2:], surface["loss"][0, [4, 6, 8], 4], rtol=1e-12)


@every(DETERMINISTIC)
@pytest.mark.parametrize("plan", ["auto", "looped"])
def test_points_are_what_a_module_says_there_and_nothing_is_changed(case: Case, plan: str) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(2)
    theta, buffers = population.theta.clone(), {k: v.clone() for k, v in population.buffers.items()}
    template = fingerprint(problem.template)
    surface = landscape.plane(problem, population, resolution=3, span=0.5, plan=plan)
    assert fingerprint(problem.template) == template
    assert torch.equal(population.theta, theta)
    assert all(torch.equal(population.buffers[name], buffer) for name, buffer in buffers.items())
    for member in range(2):
        for i, a in enumerate(surface.coordinates[0]):
            theta = population.theta[member] + a * surface.directions[0][member] - 0.5 * surface.directions[1][member]
            there = population[member].with_theta(theta[None])
            wanted = evaluate(problem, there, problem.data.train, plan="looped")
            for name, values in wanted.items():
                assert surface[name][member, i, 0] == pytest.approx(float(values[0]), rel=1e-9)


def test_the_center_is_a_direct_evaluation_bit_for_bit_on_every_path_through_it() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    population = problem.initialize([3])
    direct = evaluate(problem, population, problem.data.train)
    for on in ("train", tw.Sample("train", 100)):
        plane = landscape.plane(problem, population, resolution=5, on=on)
        line = landscape.line(problem, population, resolution=7, seed=4, on=on)
        for name in ("loss", "accuracy"):
            assert plane[name][0, 2, 2] == line[name][0, 3] == float(direct[name][0])
            assert plane.reading.standard_errors[name][0, 2, 2] == 0


def test_intervals_of_a_subsample_cover() -> None:
    """At 24 points, over 200 subsamples of 60 of 300 examples: 93 to 97 %, and far less than without the center."""
    x = torch.randn(300, 5, generator=generator(0, "x"), dtype=torch.float64)
    problem = tw.Problem(lambda: tw.nets.mlp(5, 6, 3), (x, torch.arange(300) % 3), dtype=torch.float64)
    center = problem.initialize(1)
    exact = landscape.plane(problem, center, resolution=5, span=0.7)
    axes = [direction[0] for direction in exact.directions]
    covered, widths = [], []
    for seed in range(200):
        on = tw.Sample("train", 60, seed)
        some = landscape.plane(problem, center, directions=axes, resolution=5, span=0.7, on=on)
        error = some.reading.standard_errors["loss"][0]
        away = error > 0
        covered.append((np.abs(some["loss"][0] - exact["loss"][0]) <= 1.96 * error)[away].mean())
        widths.append(error[away].mean())
    spread = np.std(covered) / 200**0.5
    assert 0.93 - 2 * spread <= np.mean(covered) <= 0.97 + 2 * spread
    losses = tw.evaluation.Evaluator(problem, center, problem.data.train).by_example()["loss"]
    assert np.mean(widths) < 0.7 * float(losses.std() / 60**0.5)


def test_points_that_are_not_finite_stay_so_and_are_counted() -> None:
    problem = tw.Problem(lambda: nn.Linear(4, 1), (X, X[:, :1]), "squared_error")
    surface = landscape.line(problem, problem.initialize(1), span=(0.0, 1e30), resolution=3, direction="layer")
    assert np.isnan(surface["loss"][0, 1:]).all()
    assert np.isfinite(surface["loss"][0, 0])
    assert np.isnan(surface.reading.standard_errors["loss"][0, 1:]).all()
    assert any("2 of 3 points are not finite" in note for note in surface.reading.notes)


def test_metrics_are_not_given_where_the_loss_is_not_finite() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (X, Y))
    line = landscape.line(problem, problem.initialize(1), span=(0.0, 1e30), resolution=3, direction="layer")
    assert np.isnan(line["accuracy"][0, 1:]).all()
    assert np.isnan(line.reading.standard_errors["accuracy"][0, 1:]).all()


def test_members_go_their_own_ways() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    for buffer in population.running.values():
        if buffer.is_floating_point():
            buffer.add_(torch.rand(buffer.shape, generator=generator(0, "buffers"), dtype=torch.float64))
    for statistics in ("frozen", "recompute"):
        together = landscape.plane(problem, population, resolution=3, statistics=statistics)
        for member in range(3):
            alone = landscape.plane(problem, population[member], resolution=3, statistics=statistics)
            np.testing.assert_allclose(together["loss"][member], alone["loss"][0], rtol=1e-9)


@pytest.mark.parametrize("count", [2, 64, 65, 129])
def test_any_number_of_points(count: int) -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(1)
    whole = landscape.line(problem, population, span=(0.1, 1.0), resolution=count)
    some = landscape.line(problem, population, span=(0.1, 1.0), resolution=2, on=tw.Sample("train", 12))
    assert whole["loss"].shape == (1, count)
    ends = landscape.line(problem, population, span=(0.1, 1.0), resolution=2)
    np.testing.assert_allclose(whole["loss"][0, [0, -1]], ends["loss"][0], rtol=1e-9)
    assert some.reading.sample_size == 12


def test_notes_say_on_which_examples_and_under_which_policy() -> None:
    problem = CASE["batchnorm"].problem()
    population, count = problem.initialize(1), len(problem.data.train)
    whole = landscape.plane(problem, population, resolution=2)
    policy = "running statistics of normalization layers"
    assert whole.reading.notes[0] == f"On all {count} train examples; {policy}: frozen."
    own = tw.data.LazyExamples([(x, y) for x, y in zip(*problem.data.train.slice(0, 11), strict=True)])
    some = landscape.line(problem, population, resolution=2, on=tw.Sample(own, 7), statistics="recompute")
    assert some.reading.notes[0] == f"On 7 of 11 examples; {policy}: recompute."
    plain = CASE["mlp"].problem()
    line = landscape.line(plain, plain.initialize(1), resolution=2, on=tw.Sample("train", 7))
    assert line.reading.notes[0] == f"On 7 of {len(plain.data.train)} train examples."


def test_a_line_to_another_population() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    start, end = problem.initialize([0, 1]), problem.initialize([2, 3])
    line = landscape.line(problem, start, to=end, resolution=11)
    beyond = landscape.line(problem, start, to=end, span=1.0, resolution=3)
    assert beyond.coordinates[0].tolist() == [-1, 0, 1]
    with pytest.raises(UsageError, match="along a direction or to a population; leave one of them out"):
        landscape.line(problem, start, to=end, direction="filter")
    assert line.coordinates[0][[0, -1]].tolist() == [0, 1]
    np.testing.assert_allclose(line["loss"][:, 0], evaluate(problem, start, problem.data.train)["loss"], rtol=1e-12)
    np.testing.assert_allclose(line["loss"][:, -1], evaluate(problem, end, problem.data.train)["loss"], rtol=1e-9)


def test_masked_parameters_do_not_move() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    mask = torch.rand(43, generator=generator(0, "mask")) < 0.5
    surface = landscape.plane(problem, problem.initialize(1).with_mask(mask), resolution=3)
    assert all(not direction[:, ~mask].any() for direction in surface.directions)


def test_surfaces_are_apart_by_the_largest_difference_over_the_larger_range() -> None:
    problem = of_matrix(torch.eye(2, dtype=torch.float64))
    center = problem.initialize(1).with_theta(torch.zeros(1, 2, dtype=torch.float64))
    flat, steep = (landscape.line(problem, center, direction=torch.tensor([size, 0.0])) for size in (1.0, 3.0))
    assert flat.change(flat).tolist() == [0]
    assert flat.change(steep) == pytest.approx([(4.5 - 0.5) / 4.5])  # x^2 / 2 and 9 x^2 / 2 on [-1, 1]
    assert steep.change(flat).tolist() == flat.change(steep).tolist()
    few = landscape.line(problem, center, resolution=3)
    with pytest.raises(UsageError, match=r"got \(1, 51\) and \(1, 3\)"):
        flat.change(few)


def test_figures() -> None:
    problem = CASE["mlp"].problem()
    population = problem.initialize(2)
    line = landscape.line(problem, population, resolution=5, on=tw.Sample("train", 10))
    drawn, error = line.figure(member=1).panels[0].marks[0], line.reading.standard_errors["loss"][1]
    assert int(line.reading.degrees_of_freedom["loss"]) == 9
    np.testing.assert_allclose(drawn.high - drawn.y, student_t.factor(9) * error, rtol=1e-9, atol=1e-12)
    evaluated = line.figure("evaluated").panels[0].marks[0]
    assert evaluated.low is None
    np.testing.assert_array_equal(evaluated.y, np.ones(5))
    plane = landscape.plane(problem, population, resolution=4)
    assert plane.figure("accuracy").title == "accuracy on a plane"
    assert plane.relief().panels[0].z.unit == "nats"
    with pytest.raises(UsageError, match="There is no member 2; the surface has 2"):
        plane.figure(member=2)
    with pytest.raises(UsageError, match="A line has no relief"):
        line.relief()


def _noisy() -> nn.Module:
    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(1)

    return Noisy(4, 3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"resolution": 1}, "plane resolution must be a whole number of at least 2; got 1"),
        ({"span": 0}, "plane span must be a number above 0"),
        ({"span": (1.0, -1.0)}, "or two that ascend"),
        ({"directions": "filters"}, "plane directions is one of filter, layer, member, none; got 'filters'"),
        ({"directions": [torch.zeros(43)]}, "A plane needs two directions"),
        ({"directions": [torch.zeros(43), torch.zeros(7)]}, r"direction 2 has shape \(7,\), but theta has \(2, 43\)"),
        ({"directions": [torch.ones(43), torch.full((43,), torch.nan)]}, "direction 2 is not finite for member 0"),
        ({"directions": [torch.ones(43), -2 * torch.ones(43)]}, "Direction 2 is zero or lies along those before it"),
        ({"directions": [torch.zeros(43), torch.ones(43)]}, "Direction 1 is zero"),
        ({"directions": None}, "plane directions must be how to draw them, or two tensors"),
        ({"span": "1"}, "plane span must be a number above 0"),
        ({"span": (0.0, 1.0, 2.0)}, "plane span must be a number above 0"),
        ({"seed": 1.5}, "plane seed must be a whole number"),
        ({"on": "valid"}, "plane on is one of train, test; got 'valid'"),
        ({"on": "test"}, "has no test examples"),
        ({"on": 500}, r'plane on must be a Sample such as Sample\("train", 1_000\)'),
        ({"on": tw.Sample("train", 1)}, "plane on a sample needs at least 2 examples"),
        ({"statistics": "interpolate"}, 'statistics="interpolate" needs a line to another population'),
        ({"statistics_count": 1}, "plane statistics_count must be a whole number of at least 2; got 1"),
        ({"statistics": "batch"}, "statistics is one of frozen, interpolate, recompute; got 'batch'"),
    ],
)
def test_what_cannot_be_meant(arguments: dict[str, Any], sentence: str) -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match=sentence):
        landscape.plane(problem, problem.initialize(2), **arguments)
    noisy = tw.Problem(_noisy, (X, Y))
    with pytest.raises(ModelError, match="draws random numbers in evaluation mode, so points cannot be compared"):
        landscape.plane(noisy, noisy.initialize(1))


def test_spans_are_numbers_of_any_kind_or_two() -> None:
    problem = CASE["mlp"].problem()
    for span in (np.float32(0.5), [-0.5, 0.5], (np.float64(-0.5), 0.5)):
        assert landscape.line(problem, problem.initialize(1), span=span, resolution=3).coordinates[0][0] == -0.5


def test_a_line_to_a_population_ends_there_whatever_its_mask() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    ends = []
    for seed in (0, 1):
        mask = torch.rand(problem.layout.parameters, generator=generator(seed, "mask")) < 0.5
        ends.append(problem.initialize([seed]).with_mask(mask))
    line = landscape.line(problem, ends[0], to=ends[1], resolution=3)
    assert line["loss"][0, 2] == pytest.approx(float(evaluate(problem, ends[1], problem.data.train)["loss"]), rel=1e-12)


def test_estimates_that_owe_their_change_to_a_few_examples_say_so() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), tw.data.digits())
    run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.1), 400, 64, evaluate=0))
    near = landscape.line(problem, run.final, span=0.1, resolution=5, on=tw.Sample("train", 100))
    assert any("fewer than 30 of the examples" in note for note in near.reading.notes)
    fresh = landscape.line(problem, problem.initialize(1), span=0.5, resolution=5, on=tw.Sample("train", 400))
    assert not any("fewer than 30 of the examples" in note for note in fresh.reading.notes)


def test_points_at_once_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Watched(tw.evaluation.Points):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            seen.append(len(self.theta))

    monkeypatch.setattr(landscape.surface, "Points", Watched)
    model = lambda: tw.nets.mlp(64, 32, 10)  # noqa: E731
    row = 4 * tw.Problem(model, tw.data.digits()).layout.parameters
    planes = []
    for budget in (row // 2, 5 * row, 2**30):
        problem = tw.Problem(model, tw.data.digits(), memory_budget=budget)
        planes.append(landscape.plane(problem, problem.initialize(1), resolution=3)["loss"])
    assert seen == [1, 5, 9]
    for loss in planes[:2]:
        np.testing.assert_allclose(loss, planes[2], rtol=1e-5)


def test_a_plane_of_eigenvectors_curves_by_their_eigenvalues() -> None:
    draw = torch.randn(9, 9, generator=generator(3, "matrix"), dtype=torch.float64)
    problem = of_matrix(draw @ draw.T)
    origin = problem.initialize(2).with_theta(torch.zeros(2, 9, dtype=torch.float64))
    top = tw.spectra.top_eigenvalues(tw.curvature.hessian(problem, origin), 2, tolerance=1e-10)
    plane = landscape.plane(problem, origin, directions=(top.vectors[:, 0], top.vectors[:, 1]), resolution=3)
    values = top.values / 2  # of a unit along one
    for member in range(2):
        assert plane["loss"][member, [0, 2], 1] == pytest.approx(values[member, 0], rel=1e-8)
        assert plane["loss"][member, 1, [0, 2]] == pytest.approx(values[member, 1], rel=1e-8)
