"""Measures of many networks against one at a time and closed forms; rankings with planted answers."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.generalization import bounds

DIGITS = tw.data.digits().subset(train=300, test=100)


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 10), DIGITS, dtype=torch.float64)


@pytest.fixture(scope="module")
def final(problem: tw.Problem) -> tw.Population:
    recipe = tw.Recipe(tw.optim.Adam(0.01), steps=120, batch_size=50, evaluate=1)
    return tw.train(problem, recipe, seeds=[500, 501, 502], progress=None).final


def test_members_do_not_depend_on_who_else_is_measured(problem: tw.Problem, final: tw.Population) -> None:
    initial = problem.initialize([500, 501, 502])
    few = {"draws": 2, "sharpness_steps": 2, "progress": None}
    all_of_them = bounds.complexity_measures(problem, final, initial=initial, **few)
    assert len(all_of_them.reading.arrays) >= 18
    alone = bounds.complexity_measures(problem, final[1], initial=initial[1], **few)
    for name in all_of_them.reading.arrays:
        if name != "sharpness":  # in a ball of the median length
            assert all_of_them[name][1] == pytest.approx(alone[name][0], rel=1e-6), name


def test_what_is_known_of_them(problem: tw.Problem, final: tw.Population) -> None:
    found = bounds.complexity_measures(problem, final, draws=2, sharpness_steps=2, progress=None)
    assert found["norm"] == pytest.approx(final.theta.norm(dim=1).numpy())
    loss = tw.evaluate(problem, final, on="train")["loss"].numpy()
    assert found["loss"] == pytest.approx(loss)
    probabilities = tw.evaluation.outputs(problem, final, on="train").softmax(2)
    entropy = -(probabilities * probabilities.log()).sum(2).mean(1).numpy()
    assert found["entropy"] == pytest.approx(entropy)
    assert "PAC-Bayes" not in found.reading.arrays
    assert (found["path norm"] <= found["product of Frobenius norms"] * 1.0001).all()


def test_the_path_norm_sums_over_paths() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(3, 2, 2), (torch.eye(3), torch.tensor([0, 1, 0])), dtype=torch.float64)
    population = problem.initialize(2)
    for member in range(2):
        module = population.module(member).requires_grad_(False)
        first, last = module.hidden1, module.output
        total = sum(float(last.bias[k]) ** 2 for k in range(2))
        for j, k in itertools.product(range(2), range(2)):
            out = float(last.weight[k, j]) ** 2
            total += out * float(first.bias[j]) ** 2
            total += sum(out * float(first.weight[j, i]) ** 2 for i in range(3))
        assert bounds.path_norm(problem, population)[member] == pytest.approx(total**0.5)


def test_rescaling_layers_leaves_paths_and_changes_norms(problem: tw.Problem, final: tw.Population) -> None:
    theta = final.theta.clone()
    views = problem.layout.views(theta)
    views["hidden1.weight"] *= 5
    views["hidden1.bias"] *= 5
    views["output.weight"] /= 5
    other = final.with_theta(theta)
    assert bounds.path_norm(problem, other) == pytest.approx(bounds.path_norm(problem, final))
    first, second = (bounds.layer_norms(problem, one).product("spectral") for one in (final, other))
    assert not np.allclose(first, second, rtol=1e-3)


def test_path_norms_are_of_rectifiers() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 4, 10, activation="tanh"), DIGITS)
    with pytest.raises(ModelError, match="ReLU"):
        bounds.path_norm(problem, problem.initialize(1))


def test_flatness_is_a_standard_deviation() -> None:
    """Weights 1, each the answer to an input of its own: the error with noise is Phi(-1/sigma), 0.1 at 1/1.2816.

    With the variance in the place of the standard deviation it would be 0.609.
    """
    x = torch.eye(200)
    problem = tw.Problem(lambda: nn.Linear(200, 1, bias=False), (x, torch.ones(200, 1)), "logistic")
    at = problem.initialize(1).with_theta(torch.ones(1, 200))
    found = bounds.flatness(problem, at, rise=0.1, draws=15, progress=None)
    # Phi's slope at -1.2816 is 0.1755, so that the error of the share of 3,000, 0.0055, is 0.031 of 1/sigma.
    assert 1 / found["sigma"][0] == pytest.approx(1.2816, abs=4 * 0.031)
    double = at.with_theta(torch.full((1, 200), 2.0))
    own, plain = (
        bounds.flatness(problem, double, rise=0.1, draws=3, relative=relative, progress=None)["sigma"][0]
        for relative in (True, False)
    )
    assert plain == pytest.approx(2 * own, rel=0.01)


def test_a_network_that_diverged_has_no_measure(problem: tw.Problem, final: tw.Population) -> None:
    theta = final.theta.clone()
    theta[2] = torch.nan
    found = bounds.complexity_measures(
        problem, final.with_theta(theta), draws=1, sharpness_steps=1, progress=None, on=tw.Sample("train", 100)
    )
    for name, values in found.reading.arrays.items():
        assert np.isnan(values[2]), name
        assert not np.isnan(values[:2]).any(), name


def grid() -> dict[str, np.ndarray]:
    cells = list(itertools.product([8, 16, 32], [0.1, 0.2], [0, 1]))
    return {name: np.array([cell[place] for cell in cells]) for place, name in enumerate(("width", "rate", "seed"))}


def test_planted_rankings() -> None:
    axes, rng = grid(), np.random.default_rng(0)
    gap = 0.1 * np.log2(axes["width"]) + axes["rate"] + 0.001 * axes["seed"]
    measures = {"gap": gap, "opposite": -gap, "width alone": axes["width"], "constant": np.ones(12)}
    measures |= {f"chance {place}": rng.normal(size=12) for place in range(200)}
    found = bounds.ranking(measures, gap, axes)
    assert found["granulated Kendall"][:4].tolist() == [1, -1, 0.5, 0]
    assert found["worst sign error"][:4].tolist() == [0, 1, 0.5, 0.5]
    assert found.reading.coordinate("axis").tolist() == ["width", "rate"]
    assert found["pairs"].tolist() == [3 * 2 * 2, 3 * 2]
    chance = found["granulated Kendall"][4:]
    assert abs(chance.mean()) < 4 * chance.std() / 200**0.5
    assert found.table().columns["measure"][0] == "gap"
    assert found.figure().panels[0].y.names[-1] == "gap"


def test_right_on_average_and_wrong_in_one_place() -> None:
    axes = grid()
    gap = np.log2(axes["width"]) + axes["rate"]
    measure = np.log2(axes["width"]) - axes["rate"]
    found = bounds.ranking({"one": measure}, gap, axes)
    assert found["Kendall by axis"][0].tolist() == [1, -1]
    assert found["worst environment"][0] == "rate: 0.1, 0.2"
    assert found["worst sign error"][0] == 1
    assert found["sign error"][0] == pytest.approx(1 / 4)  # of three environments of widths, and one of rates


def test_pairs_within_the_noise_are_left_out() -> None:
    axes = grid()
    gap = 0.1 * np.log2(axes["width"]) + 0.001 * axes["rate"]
    found = bounds.ranking({"one": gap}, gap, axes, noise=0.01)
    assert found["pairs"].tolist() == [12, 0]
    assert np.isnan(found["Kendall by axis"][0, 1])
    assert found["granulated Kendall"][0] == 1


def test_granulated_kendall_is_scipys_along_an_axis() -> None:
    rng = np.random.default_rng(1)
    gap, measure = rng.normal(size=(2, 9))
    found = bounds.ranking({"one": measure}, gap, {"width": np.arange(9)})
    assert found["granulated Kendall"][0] == pytest.approx(float(tw.statistics.kendall(measure, gap)))


def test_rankings_need_a_grid(problem: tw.Problem, final: tw.Population) -> None:
    with pytest.raises(UsageError, match="no two of these do"):
        bounds.ranking({"one": [1.0, 2.0]}, [1.0, 2.0], {"seed": [0, 1]})
    with pytest.raises(UsageError, match="a number a network"):
        bounds.ranking({"one": [1.0, 2.0, 3.0]}, [1.0, 2.0], {"width": [0, 1]})
    with pytest.raises(UsageError, match="noise"):
        bounds.ranking({"one": [1.0, 2.0]}, [1.0, 2.0], {"width": [0, 1]}, noise=-1)
    found = bounds.complexity_measures(problem, final, draws=1, sharpness_steps=1, progress=None)
    with pytest.raises(UsageError, match="Got none"):
        found.ranked([0.1, 0.2, 0.3])
    ranked = found.ranked([0.1, 0.2, 0.3], axes={"lr": np.array([1, 2, 3])})
    assert len(ranked["granulated Kendall"]) == len(found.reading.arrays)
