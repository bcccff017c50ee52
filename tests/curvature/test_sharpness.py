"""Sharpness against closed forms: trust regions, traces, boxes and Fisher matrices that are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASE, DETERMINISTIC, Case, every
from curvature.planted import away, matrix_of, of_matrix, quadratic, relu_network
from scipy.optimize import brentq
from torch import Tensor, nn

import thalweg as tw
from thalweg.curvature import average_case_sharpness, fisher_rao_norm, keskar_sharpness, worst_case_sharpness
from thalweg.errors import ModelError, UsageError
from thalweg.population import Population
from thalweg.randomness import generator
from thalweg.results.result import Result

SPECTRA = {
    "positive": np.linspace(0.1, 3, 60),
    "falling": 1 / np.arange(1, 121) ** 1.5,
    "indefinite": np.array([-9.0, *np.linspace(-1, 1, 30), 5.0]),
    "rank deficient": np.array([0.0] * 25 + [1.0, 2.0, 7.0]),
    "negative": np.linspace(-4, -0.5, 20),
}
MEASURES: dict[str, Callable[..., Result]] = {
    "worst case": worst_case_sharpness,
    "adaptive worst case": lambda *args, **names: worst_case_sharpness(*args, adaptive=True, **names),
    "average case": lambda *args, **names: average_case_sharpness(*args, samples=6, **names),
    "adaptive average case": lambda *args, **names: average_case_sharpness(*args, adaptive=True, samples=6, **names),
    "keskar": keskar_sharpness,
    "fisher-rao": fisher_rao_norm,
}
PERTURBED = [name for name in MEASURES if name != "fisher-rao"]


def _main(found: Result) -> np.ndarray:
    return next(iter(found.reading.arrays.values()))


def _trust_region(matrix: Tensor, gradient: Tensor, radius: float) -> float:
    """max g.d + d.A d/2 over |d| <= radius for the gradient g: (mu - A) d = g for the mu >= lambda_max, 0 that fits."""
    values, vectors = np.linalg.eigh(matrix.numpy())
    along = vectors.T @ gradient.numpy()

    def rise(d: np.ndarray) -> float:
        return float(along @ d + values @ d**2 / 2)

    if values.max() < 0 and np.linalg.norm(along / values) <= radius:
        return rise(-along / values)
    excess = lambda mu: np.linalg.norm(along / (mu - values)) - radius  # noqa: E731
    top = max(values.max(), 0.0)
    return rise(along / (brentq(excess, top + 1e-13, top + np.linalg.norm(along) / radius + 1, xtol=1e-15) - values))


@pytest.mark.parametrize("name", SPECTRA)
def test_the_worst_case_of_a_quadratic_is_the_trust_regions_solution(name: str) -> None:
    problem, matrix, radii = quadratic(SPECTRA[name]), matrix_of(SPECTRA[name]), [0.01, 0.1, 1.0, 5.0]
    population = away(problem, 4)
    found = worst_case_sharpness(problem, population, radius=radii, steps=60)
    assert found.reading.dims["sharpness"] == ("member", "radius")
    np.testing.assert_array_equal(found.reading.coordinate("radius"), radii)
    for member in range(4):
        gradient = matrix @ population.theta[member]
        wanted = np.array([_trust_region(matrix, gradient, radius) for radius in radii])
        assert (found["sharpness"][member] <= wanted * (1 + 1e-9)).all()  # a lower bound, by points of the ball
        np.testing.assert_allclose(found["sharpness"][member], wanted, rtol=0.01)


@pytest.mark.parametrize("name", SPECTRA)
def test_twenty_steps_do_within_the_usual_radius(name: str) -> None:
    problem, matrix = quadratic(SPECTRA[name]), matrix_of(SPECTRA[name])
    population = away(problem, 4)
    found = worst_case_sharpness(problem, population)["sharpness"]
    wanted = [_trust_region(matrix, matrix @ theta, 0.05) for theta in population.theta]
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_the_adaptive_worst_case_is_the_plain_one_of_the_scaled_matrix() -> None:
    """With delta = |theta| u it is the trust region of T A T and T A theta for T = diag |theta|."""
    problem, matrix = quadratic(SPECTRA["positive"]), matrix_of(SPECTRA["positive"])
    population = away(problem, 3)
    found = worst_case_sharpness(problem, population, radius=0.5, adaptive=True, steps=60)["sharpness"]
    sizes = population.theta.abs()
    wanted = [
        _trust_region(size[:, None] * matrix * size, size * (matrix @ theta), 0.5)
        for size, theta in zip(sizes, population.theta, strict=True)
    ]
    np.testing.assert_allclose(found, wanted, rtol=0.01)


def test_at_a_stationary_point_the_ascent_starts_at_random() -> None:
    """The rise is radius^2 lambda_max / 2, which no gradient shows; several starts are at least as good as one."""
    problem = quadratic(np.linspace(-3, 10, 40))
    minimum = problem.initialize(2).with_theta(torch.zeros(2, 40, dtype=torch.float64))
    found = {count: worst_case_sharpness(problem, minimum, radius=0.3, steps=60, restarts=count) for count in (1, 4)}
    np.testing.assert_allclose(found[1]["sharpness"], 0.5 * 0.09 * 10, rtol=0.01)
    assert (found[4]["sharpness"] >= found[1]["sharpness"]).all()
    assert found[4].reading.cost.backwards == 4 * 2 * 61 + 2


class _Waves(nn.Module):
    """A loss with a low hill along the gradient and a high one on the other side."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: Tensor) -> Tensor:
        x = self.x
        return (0.3 * torch.exp(-((x - 1) ** 2)) + 3 * torch.exp(-((x + 3) ** 2) * 4)).expand(len(inputs), 1)


class _Cliff(_Waves):
    """A gradient that ends in infinity."""

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.where(self.x > 2, torch.inf, self.x).expand(len(inputs), 1)


def _of_one(model: type[nn.Module]) -> tuple[tw.Problem, Population]:
    data = torch.zeros(4, 1), torch.zeros(4, 1)
    problem = tw.Problem(model, data, lambda output, target: (output - target).squeeze(1), dtype=torch.float64)
    return problem, problem.initialize(1)


def test_where_the_loss_is_infinite_the_ascent_steps_back() -> None:
    assert worst_case_sharpness(*_of_one(_Cliff), radius=3.0)["sharpness"][0] == pytest.approx(2, rel=0.01)


def test_it_says_whether_ascents_had_settled() -> None:
    """A few steps do within a small ball, not in a large one; where a smaller ball has a higher point, neither."""
    problem = quadratic(SPECTRA["indefinite"])
    population = away(problem, 3)
    theta = population.theta.clone()
    theta[1, 5] = torch.nan
    found = worst_case_sharpness(problem, population.with_theta(theta), radius=[1e-3, 5.0], steps=8)
    assert found.converged.tolist() == [[True, False], [False, False], [True, False]]
    assert found["converged"].dtype == bool
    long = worst_case_sharpness(problem, population, radius=5.0, steps=200)
    assert long.converged.tolist() == [True] * 3
    leap = worst_case_sharpness(*_of_one(_Waves), radius=[1.0, 4.0], steps=1)
    assert not leap.converged[0, 1]


def test_what_is_lower_does_not_count() -> None:
    """At a maximum nothing rises; and where one step leaps over the hill, a smaller ball's rise counts."""
    problem = quadratic(SPECTRA["negative"])
    top = problem.initialize(1).with_theta(torch.zeros(1, 20, dtype=torch.float64))
    assert worst_case_sharpness(problem, top, steps=1)["sharpness"][0] == 0
    found = worst_case_sharpness(*_of_one(_Waves), radius=[4.0, 1.0], steps=1)["sharpness"][0]
    np.testing.assert_allclose(found, 0.3 - 0.3 / np.e)


def test_restarts_find_what_one_start_does_not() -> None:
    problem, population = _of_one(_Waves)
    one, several = (worst_case_sharpness(problem, population, radius=3.2, restarts=n)["sharpness"][0] for n in (1, 8))
    base = 0.3 / np.e
    assert one == pytest.approx(0.3 - base, rel=0.01)
    assert several == pytest.approx(3 - base, rel=0.01)


def test_a_larger_ball_rises_no_less_in_whatever_order_radii_come() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(3)
    radii = [1.0, 0.01, 10.0, 0.1, 3.0]
    found = worst_case_sharpness(problem, population, radius=radii, steps=5)["sharpness"]
    assert (np.diff(found[:, np.argsort(radii)]) > 0).all()


def test_keskars_maximum_over_the_box_of_a_diagonal_quadratic() -> None:
    """Each coordinate is on its own: at the corner where it is convex, at its top or the corner where it is concave."""
    values = torch.tensor([3.0, 0.0, 0.5, 2.0, -1.0, -4.0], dtype=torch.float64)
    problem, epsilons = of_matrix(torch.diag(values)), [1e-3, 5e-4, 0.2]
    draw = away(problem, 4).theta
    draw[:, 5] = 0.02  # its top, at 0, is inside of the widest box
    population = problem.initialize(4).with_theta(draw)
    found = keskar_sharpness(problem, population, epsilon=epsilons, steps=60)
    assert found.reading.units["sharpness"] == "%"
    for place, epsilon in enumerate(epsilons):
        half = epsilon * (draw.abs() + 1)
        top = torch.where(values < 0, -draw, torch.copysign(half, draw)).clamp(-half, half)
        rise = (values * (draw * top + top.square() / 2)).sum(1)
        loss = (values * draw.square()).sum(1) / 2
        np.testing.assert_allclose(found["loss"], loss)
        np.testing.assert_allclose(found["sharpness"][:, place], 100 * rise / (1 + loss), rtol=0.01)


def test_what_rescaling_between_layers_of_relu_leaves() -> None:
    problem, scale = relu_network(), 7.0
    population = problem.initialize(4)
    moved = population.theta.clone()
    moved[:, population.layout["0.weight"].columns] *= scale
    moved[:, population.layout["2.weight"].columns] /= scale
    rescaled = population.with_theta(moved)
    for measure in (
        lambda where: worst_case_sharpness(problem, where, radius=0.3, adaptive=True),
        lambda where: average_case_sharpness(problem, where, radius=0.3, adaptive=True),
        lambda where: fisher_rao_norm(problem, where),
    ):
        before, after = measure(population), measure(rescaled)
        np.testing.assert_allclose(_main(after), _main(before), rtol=0.01)
        np.testing.assert_allclose(after["loss"], before["loss"])
    for measure in (worst_case_sharpness, keskar_sharpness):
        before, after = measure(problem, population), measure(problem, rescaled)
        assert (np.abs(_main(after) / _main(before) - 1) > 0.2).all()


@pytest.mark.parametrize("name", MEASURES)
@every(DETERMINISTIC)
def test_members_alone_are_members_together_and_stay_as_they_were(case: Case, name: str) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(3)
    theta, buffers = population.theta.clone(), {key: value.clone() for key, value in population.buffers.items()}
    together = MEASURES[name](problem, population)
    for member in range(3):
        alone = MEASURES[name](problem, population[member])
        np.testing.assert_allclose(_main(alone)[0], _main(together)[member], rtol=1e-6)
    assert _main(together).shape == (3,)
    assert torch.equal(population.theta, theta)
    assert all(torch.equal(population.buffers[key], value) for key, value in buffers.items())


@pytest.mark.parametrize("name", MEASURES)
def test_a_member_that_is_not_finite_is_nan_and_leaves_the_others(name: str) -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(4)
    theta = population.theta.clone()
    theta[1, 5], theta[2, 7] = torch.nan, torch.inf
    found = MEASURES[name](problem, population.with_theta(theta))
    assert np.isnan(_main(found)[1:3]).all()
    assert np.isnan(found["loss"][1:3]).all()
    np.testing.assert_allclose(_main(found)[[0, 3]], _main(MEASURES[name](problem, population))[[0, 3]], rtol=1e-9)


@pytest.mark.parametrize("name", PERTURBED)
def test_masked_parameters_stay_zero_and_count_nowhere(name: str) -> None:
    """A quadratic restricted to some columns is the quadratic of their block."""
    matrix, kept = matrix_of(np.linspace(0.1, 3, 12)), torch.arange(12) % 3 != 0
    whole, part = of_matrix(matrix), of_matrix(matrix[kept][:, kept])
    masked = away(whole, 2).with_mask(kept)
    cut = part.initialize(2).with_theta(masked.theta[:, kept])
    options: dict[str, Any] = {"samples": 400} if "average" in name else {"steps": 60}
    measure = (
        keskar_sharpness if name == "keskar" else worst_case_sharpness if "worst" in name else average_case_sharpness
    )
    if name != "keskar":
        options |= {"radius": 0.5, "adaptive": "adaptive" in name}
    ours, theirs = measure(whole, masked, **options), measure(part, cut, **options)
    if "average" in name:
        error = np.hypot(ours.reading.standard_errors["sharpness"], theirs.reading.standard_errors["sharpness"])
        assert (np.abs(ours["sharpness"] - theirs["sharpness"]) < 4 * error).all()
    else:
        np.testing.assert_allclose(ours["sharpness"], theirs["sharpness"], rtol=1e-3)


def test_batches_weigh_by_their_sizes_and_a_sample_is_drawn_at_random() -> None:
    x = torch.randn(700, 4, generator=generator(0, "x"), dtype=torch.float64)
    problem = tw.Problem(lambda: tw.nets.mlp(4, 6, 3), (x, torch.arange(700) % 3), dtype=torch.float64)
    population = problem.initialize(2)
    turned = problem.data.train.select(torch.arange(700).flip(0))
    sample = tw.Sample("train", 600, seed=2)
    for name, measure in MEASURES.items():
        whole = measure(problem, population)
        np.testing.assert_allclose(_main(measure(problem, population, on=turned)), _main(whole), rtol=1e-6)
        some = measure(problem, population, on=sample)
        drawn = measure(problem, population, on=sample.draw(problem).examples)
        np.testing.assert_array_equal(_main(drawn), _main(some))
        assert (whole.reading.sample_size, some.reading.sample_size) == (700, 600), name
        assert some.reading.notes[-1] == "On 600 of 700 train examples, in evaluation mode."


def test_a_seed_gives_the_same_reading_and_another_other_noise() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    population = problem.initialize(2)
    found = [average_case_sharpness(problem, population, seed=seed)["sharpness"] for seed in (3, 3, 4)]
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).all()


@pytest.mark.parametrize("name", MEASURES)
def test_readings_say_where_they_come_from(name: str) -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    told: list[Any] = []
    found = MEASURES[name](problem, problem.initialize(2), progress=told.append)
    reading = found.reading
    np.testing.assert_allclose(found.figure().panels[0].marks[0].y, _main(found))
    assert told[-1].done == told[-1].total
    assert [one.done for one in told] == list(range(1, len(told) + 1)) or name == "fisher-rao"
    assert reading.provenance.dtype == "float64"
    assert reading.cost.forwards > 0
    assert reading.notes
    assert tw.results.Reading.from_json(reading.to_json()).name == reading.name


@pytest.mark.parametrize(
    ("measure", "arguments", "sentence"),
    [
        (worst_case_sharpness, {"radius": 0}, "radius must be above 0 and finite; got 0"),
        (
            worst_case_sharpness,
            {"radius": [0.1, np.inf]},
            "worst_case_sharpness radius must be above 0 and finite; got inf",
        ),
        (worst_case_sharpness, {"radius": []}, "radius must be above 0 and finite"),
        (worst_case_sharpness, {"radius": "big"}, "radius must be a number such as 0.05"),
        (worst_case_sharpness, {"radius": True}, "radius must be a number such as 0.05"),
        (worst_case_sharpness, {"adaptive": 1}, "adaptive must be True or False; got 1"),
        (worst_case_sharpness, {"seed": 1.5}, "seed must be a whole number such as 0; got 1.5"),
        (worst_case_sharpness, {"steps": 0}, "steps must be a whole number of at least 1; got 0"),
        (worst_case_sharpness, {"restarts": 1.5}, "restarts must be a whole number"),
        (worst_case_sharpness, {"on": 5}, "on must be a Sample such as .*; got 5"),
        (worst_case_sharpness, {"on": "test"}, "has no test examples; write on='train', or give some"),
        (
            average_case_sharpness,
            {"samples": 3},
            "average_case_sharpness samples must be a whole number of at least 4; got 3",
        ),
        (average_case_sharpness, {"radius": -1.0}, "radius must be above 0"),
        (
            average_case_sharpness,
            {"adaptive": "yes"},
            "average_case_sharpness adaptive must be True or False; got 'yes'",
        ),
        (keskar_sharpness, {"epsilon": float("nan")}, "epsilon must be above 0 and finite; got nan"),
        (keskar_sharpness, {"steps": 2.0}, "steps must be a whole number of at least 1; got 2.0"),
        (fisher_rao_norm, {"on": "validation"}, "on is one of train, test; got 'validation'"),
    ],
)
def test_what_cannot_be_meant(measure: Callable[..., Result], arguments: dict[str, Any], sentence: str) -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match=sentence):
        measure(problem, problem.initialize(1), **arguments)


@pytest.mark.parametrize("name", MEASURES)
def test_wrong_problems_populations_and_random_models(name: str) -> None:
    problem = CASE["mlp"].problem()
    with pytest.raises(UsageError, match="population must be a Population"):
        MEASURES[name](problem, problem.initialize(1).theta)
    with pytest.raises(UsageError, match="problem must be a Problem"):
        MEASURES[name](None, problem.initialize(1))

    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.randn_like(x))

    noisy = tw.Problem(lambda: Noisy(4, 3), (CASE["mlp"].inputs, CASE["mlp"].targets))
    with pytest.raises(ModelError, match="draws random numbers in evaluation mode"):
        MEASURES[name](noisy, noisy.initialize(1))
