"""What the layer-wise method has by factors, and which method is taken."""

import pytest

import thalweg as tw

from .models import population_of, problem_of

BY_GRADIENTS = {
    "perceptron": set(),
    "convnet": set(),
    "scaled": {"bias", "shift", "unused"},
    "tied": {"square"},
    "convolutions": {"groups.weight"},
    "lookups": {"both.weight"},
    "attention": {"attention.in_proj_weight", "attention.in_proj_bias", "norm.weight", "norm.bias"},
}


@pytest.mark.parametrize("name", BY_GRADIENTS)
def test_what_is_had_by_gradients(name: str) -> None:
    problem = problem_of(name)
    ways = tw.ntk.empirical_cost(problem, population_of(problem)).ways
    assert {parameter for parameter, way in ways.items() if way == "gradients"} == BY_GRADIENTS[name]
    assert list(ways) == [entry.name for entry in problem.layout]


def test_convolutions_and_embeddings_of_a_resnet_and_a_transformer_are_had_by_factors() -> None:
    for name in ("resnet", "transformer"):
        problem = problem_of(name)
        ways = tw.ntk.empirical_cost(problem, population_of(problem)).ways
        kinds = {entry.name: entry.kind for entry in problem.layout}
        assert all((kinds[one] == "norm") == (way == "gradients") for one, way in ways.items())


def test_counts_of_a_perceptron_are_known() -> None:
    problem = problem_of("perceptron")  # 4-5-6-3, 8 examples
    cost = tw.ntk.empirical_cost(problem, population_of(problem))
    forward = 4 * 5 + 5 * 6 + 6 * 3
    parameters, pairs = forward + 5 + 6 + 3, 8 * 8
    assert cost.counts["jacobian"] == 8 * forward * 7 + pairs * 9 * parameters // 2
    assert cost.counts["products"] == 8 * 3 * 3 * forward + pairs // 2 * 3 * 2 * forward
    contracted = pairs * (4 + 5 + 6) + pairs * 9 * ((5 + 1) + (6 + 1) + (3 + 1))
    assert cost.counts["layers"] == 8 * forward * 4 + contracted // 2
    assert cost.method == "layers"


def test_what_cannot_be_followed_is_had_by_gradients_and_says_why() -> None:
    problem = problem_of("blocked")
    cost = tw.ntk.empirical_cost(problem, population_of(problem))
    assert set(cost.ways.values()) == {"gradients"}
    assert "no_grad" in cost.note
    assert cost.note in tw.ntk.empirical(problem, population_of(problem)).reading.notes
