"""Several minima: the tree over the known saddles of a potential, and what its pictures show."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from connectivity.planted import members, ring
from connectivity.potentials import MUELLER_BROWN_MINIMA, MUELLER_BROWN_SADDLES, mueller_brown
from torch import nn

import thalweg as tw
from thalweg.connectivity import Curve, SpanningTree, spanning_tree, string
from thalweg.connectivity.spanning_tree import Join
from thalweg.data import Examples
from thalweg.errors import UsageError
from thalweg.population import Population

TRAINED = tw.Recipe(tw.optim.Momentum(0.1), 60, 50, evaluate=1)


@pytest.fixture(scope="module")
def tree() -> SpanningTree:
    problem = mueller_brown()
    recipe = tw.Recipe(tw.optim.SGD(3e-4), 300)

    def join(first: Population, second: Population) -> Curve:
        return string(problem, first, second, recipe, pivots=19, between=9)

    return spanning_tree(problem, members(problem, list(MUELLER_BROWN_MINIMA.values())), join)


def test_the_saddles_of_mueller_and_brown(tree: SpanningTree) -> None:
    upper, lower = MUELLER_BROWN_SADDLES
    assert sorted(tree.edges[:1]) == [(1, 2)]
    assert tree.edges[-1] in ((0, 1), (0, 2))  # the way from the deep basin to both others is over one saddle
    minima = list(MUELLER_BROWN_MINIMA)
    wanted = [[minima[0], upper, upper], [upper, minima[1], lower], [upper, lower, minima[2]]]
    np.testing.assert_allclose(tree["saddle"], wanted, atol=0.5)
    assert (tree["path"] <= tree["straight line"]).all()
    assert tree["straight line"][0, 2] > 10
    assert tree.converged
    assert (tree["tried"] == tree["tried"].T).all()


def test_every_path_that_was_tried_is_there(tree: SpanningTree) -> None:
    for (i, j), (curve, member) in tree.curves.items():
        assert tree["tried"][i, j]
        assert tree["path"][i, j] == min(tree["straight line"][i, j], curve["loss"][0, member].max())
        rows = list(MUELLER_BROWN_MINIMA.values())
        assert curve.control[0].theta[member].tolist() == pytest.approx(rows[i])
        assert curve.control[-1].theta[member].tolist() == pytest.approx(rows[j])


def test_the_disconnectivity_graph_joins_every_minimum_once(tree: SpanningTree) -> None:
    figure = tree.figure()
    basins, minima = figure.panels[0].marks
    assert sorted(minima.y) == pytest.approx(sorted(MUELLER_BROWN_MINIMA), abs=1e-3)
    joined = np.split(basins.y[:-1], np.flatnonzero(np.isnan(basins.y))[:-1])
    assert [np.nanmax(part) for part in joined] == [tree["path"][edge] for edge in tree.edges]
    first, second = tree.edges[0]
    assert {joined[0][0], joined[0][-1]} == {tree["path"][first, first], tree["path"][second, second]}
    assert len(figure.panels) == 2
    assert tree.facts()["minima"] == "3"


def test_without_rounds_it_is_the_tree_of_straight_lines() -> None:
    problem = mueller_brown()
    nets = members(problem, list(MUELLER_BROWN_MINIMA.values()))
    found = spanning_tree(problem, nets, rounds=0)
    assert not found.converged
    assert not found["tried"].any()
    np.testing.assert_array_equal(found["path"], found["straight line"])


def test_minima_of_a_ring_are_joined_at_no_height() -> None:
    angle = torch.tensor([0.0, 1.9, 3.7], dtype=torch.float64)
    problem = ring()
    found = spanning_tree(problem, members(problem, torch.stack([angle.cos(), angle.sin()], dim=1)), rounds=1)
    assert found["straight line"][0, 1] > 0.1
    assert found["saddle"].max() < 0.02


def test_paths_are_on_the_examples_of_the_lines_whatever_these_are_called() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    recipe, train = tw.Recipe(tw.optim.SGD(0.1), 1, 50), problem.data.train
    one, other = (train.select(torch.arange(start, start + 100)) for start in (0, 100))

    def on(examples: Examples) -> Join:
        return lambda first, second: string(problem, first, second, recipe, pivots=1, on=examples)

    nets, few = tw.train(problem, TRAINED, seeds=3).final, {"rounds": 1, "points": 3}
    with pytest.raises(UsageError, match=r"On all 100 examples\. Got: On all 100 examples, but others"):
        spanning_tree(problem, nets, on(other), on=one, **few)
    copied = Examples(one.inputs.clone(), one.targets.clone())

    def reworded(first: Population, second: Population) -> Curve:
        curve = on(copied)(first, second)
        return replace(curve, reading=replace(curve.reading, notes=("A hundred.",)))

    found = spanning_tree(problem, nets, reworded, on=one, **few)
    assert found["tried"].any()
    np.testing.assert_allclose(found["path"].diagonal(), tw.evaluate(problem, nets, one)["loss"], rtol=1e-5)


def test_paths_have_the_running_statistics_of_the_lines() -> None:
    model = lambda: nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))  # noqa: E731
    problem = tw.Problem(model, tw.data.digits())
    recipe, nets = tw.Recipe(tw.optim.SGD(0.1), 1, 50), tw.train(problem, TRAINED, seeds=2).final

    def by(**options: int) -> Join:
        return lambda first, second: string(problem, first, second, recipe, pivots=1, statistics_count=50, **options)

    few = {"rounds": 1, "points": 3, "statistics_count": 50}
    with pytest.raises(UsageError, match="seed"):
        spanning_tree(problem, nets, by(seed=1), **few)
    assert spanning_tree(problem, nets, by(seed=1), seed=1, **few)["tried"].any()


def test_arguments_that_cannot_be_meant() -> None:
    problem = ring()
    nets = members(problem, [[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(UsageError, match="at least 2 minima"):
        spanning_tree(problem, nets[0])
    with pytest.raises(UsageError, match="join"):
        spanning_tree(problem, nets, 3)
    with pytest.raises(UsageError, match="a Curve"):
        spanning_tree(problem, nets, lambda first, second: first)
    recipe = tw.Recipe(tw.optim.SGD(0.1), 1)
    with pytest.raises(UsageError, match="whose first sample is the one"):
        spanning_tree(
            problem, nets, lambda first, second: string(problem, first, second, recipe, on=tw.Sample("train", 2))
        )
