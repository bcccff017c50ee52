"""Alignment: never less similar, alone as among many, warm starts, by hand, and what is refused."""

import numpy as np
import pytest
import torch
from connectivity.alignment.planted import recovered, shuffled
from scipy.optimize import linear_sum_assignment
from torch import nn

import thalweg as tw
from thalweg.connectivity import ActivationMatching, StraightThrough, align, align_together
from thalweg.errors import ModelError, UsageError
from thalweg.population import Problem
from thalweg.randomness import generator

METHODS = ["weights", "activations", ActivationMatching("covariance"), StraightThrough(steps=10)]
every = pytest.mark.parametrize("method", METHODS, ids=str)


@pytest.fixture(scope="module")
def digits() -> Problem:
    return Problem(lambda: tw.nets.mlp(64, 12, 12, 10), tw.data.digits().subset(train=300, test=100))


@every
def test_functions_stay_and_members_do_not_depend_on_each_other(digits: Problem, method: str) -> None:
    reference, members = digits.initialize([0, 1, 2]), digits.initialize([3, 4, 5])
    found = align(digits, reference, members, method)
    before, after = (tw.evaluation.outputs(digits, one) for one in (members, found.population))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-5)
    alone = align(digits, reference[1], members[1], method)
    for name, order in found.permutations.items():
        assert order[1].equal(alone.permutations[name][0])
    assert alone.population.theta[0].equal(found.population.theta[1])
    assert found["similarity after"].shape == (2, 3)


def test_weights_are_never_less_similar_and_the_seed_decides(digits: Problem) -> None:
    reference, members = digits.initialize([0]), digits.initialize(range(1, 7))
    found = align(digits, reference, members)
    assert (found["distance after"] < found["distance before"]).all()
    near = reference.with_theta(reference.theta + 0.01 * torch.randn_like(reference.theta))
    assert (align(digits, reference, near)["moved"] == 0).all()
    again = align(digits, reference, members)
    assert again.population.theta.equal(found.population.theta)


def test_a_warm_start_goes_on_from_there(digits: Problem) -> None:
    reference, members = digits.initialize([0]), digits.initialize([1, 2])
    first = align(digits, reference, members)
    again = align(digits, reference, members, start=first.permutations)
    assert again.population.theta.equal(first.population.theta)
    assert (again["sweeps"] == 1).all()


def test_activations_are_at_least_as_alike_as_before(digits: Problem) -> None:
    found = align(digits, digits.initialize([0]), digits.initialize([1, 2]), "activations")
    assert (found["correlation after"] > found["correlation before"] + 0.1).all()
    assert found["correlation after"].max() <= 1 + 1e-5


def test_correlations_are_those_of_numpy(digits: Problem) -> None:
    problem = Problem(lambda: tw.nets.mlp(64, 12, 10), digits.data)
    one, other = problem.initialize([0]), problem.initialize([1])
    x = digits.data.train.slice(0, len(digits.data.train))[0]
    units = [torch.relu(p.module(0).hidden1(x)).detach().double().numpy() for p in (one, other)]
    with np.errstate(invalid="ignore"):  # units of ReLU that are never active
        table = np.nan_to_num(np.corrcoef(*units, rowvar=False)[:12, 12:])
    rows, columns = linear_sum_assignment(table, maximize=True)
    found = align(problem, one, other, "activations", on="train")
    assert found["correlation after"].item() == pytest.approx(table[rows, columns].mean(), abs=1e-5)


def test_straight_through_is_no_worse_than_weights_halfway(digits: Problem) -> None:
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=60, batch_size=50, evaluate=1)
    final = tw.train(digits, recipe, 4, progress=None).final
    found = align(digits, final[:2], final[2:], StraightThrough(steps=30), on="train", progress=None)
    assert (found["loss halfway after"] <= found["loss halfway by weights"]).all()
    assert (found["loss halfway after"] < found["loss halfway by weights"]).any()
    by_weights = align(digits, final[:2], final[2:]).population
    for when, other in (("before", final[2:]), ("by weights", by_weights)):
        middle = final[:2].with_theta((final[:2].theta + other.theta) / 2)
        direct = tw.evaluate(digits, middle, on="train")["loss"].numpy()
        assert found[f"loss halfway {when}"] == pytest.approx(direct, rel=1e-5)
    assert (found["loss halfway by weights"] < 0.7 * found["loss halfway before"]).all()
    assert "the lowest loss on all 300 train examples are kept" in found.reading.notes[0]
    halfway = final[:2].with_theta((final[:2].theta + found.population.theta) / 2)
    assert found["loss halfway after"] == pytest.approx(
        tw.evaluate(digits, halfway, on="train")["loss"].numpy(), rel=1e-5
    )


def test_what_finished_means_is_said_of_each_method(digits: Problem) -> None:
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=60, batch_size=50, evaluate=1)
    final = tw.train(digits, recipe, 4, progress=None).final
    reference, members = final[:2], final[2:]
    for method in ("weights", "activations"):
        found = align(digits, reference, members, method)
        assert found.converged
        assert not any("members" in note for note in found.reading.notes)
    half, whole = (
        align(digits, reference, members, StraightThrough(steps=steps), on="train", progress=None) for steps in (16, 32)
    )
    assert half.converged
    assert (whole["loss halfway after"] < half["loss halfway after"]).all()  # the second half found something lower
    assert whole.finished == (False, False)
    late = "2 of 2 members met their lowest loss halfway in the second half of the steps"
    assert late in whole.reading.notes[1]


def test_straight_through_networks_with_running_statistics_and_dropout() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm, self.drop = nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.2)
            self.out = nn.Linear(8, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.drop(torch.relu(self.norm(self.first(x)))))

    problem = Problem(Both, tw.data.digits().subset(train=200, test=50))
    reference, members = problem.initialize([0]), problem.initialize([1, 2])
    found = align(problem, reference, members, StraightThrough(steps=5), on="train", progress=None)
    assert (found["loss halfway after"] <= found["loss halfway by weights"]).all()
    assert members.buffers["norm.running_mean"].equal(problem.initialize([1, 2]).buffers["norm.running_mean"])
    alone = align(problem, reference, members[1], StraightThrough(steps=5), on="train", progress=None)
    assert alone.permutations["first"][0].equal(found.permutations["first"][1])


def test_many_are_aligned_to_each_other(digits: Problem) -> None:
    reference = digits.initialize([0])
    members, _ = shuffled(reference, digits.structure.groups, 4)
    found = align_together(digits, members)
    assert found.converged
    assert recovered(found.population, found.population[0]) == 4
    apart = digits.initialize(5)
    mean = lambda one: float(one.theta.mean(0).norm())  # noqa: E731
    one = align(digits, apart[0], apart).population
    assert mean(align_together(digits, apart).population) > mean(one) > mean(apart)


class Unreadable(nn.Module):
    """What it does depends on numbers, so it cannot be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.fc1(x))
        h = torch.stack([h, h * h], -1).flatten(1)
        return self.fc2(h) if h.detach().sum().item() > -1 else self.fc2(h) * 2


@pytest.fixture(scope="module")
def unreadable() -> Problem:
    x = torch.randn(40, 4, generator=generator(0, "x"))
    return Problem(Unreadable, (x, torch.arange(40) % 3))


def test_a_model_that_cannot_be_traced_is_aligned_by_hand(unreadable: Problem) -> None:
    one = unreadable.initialize([0])
    with pytest.raises(ModelError, match=r"cannot be traced at .*if h\.detach.*groups=\{"):
        align(unreadable, one, one)
    groups = {"hidden": [("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)]}
    found = align(unreadable, one, unreadable.initialize([1, 2]), groups=groups)
    assert (found["distance after"] < found["distance before"]).all()
    assert found.permutations["hidden"].shape == (2, 8)


def test_groups_that_change_the_function_are_refused(unreadable: Problem) -> None:
    one, other = unreadable.initialize([0]), unreadable.initialize([1])
    with pytest.raises(ModelError, match=r"units of 'hidden' in another order .*add what is missing"):
        align(unreadable, one, other, groups={"hidden": [("fc1.weight", 0), ("fc1.bias", 0)]})


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"hidden": [("fc3.weight", 0)]}, "no tensor 'fc3.weight'"),
        ({"hidden": [("fc1.bias", 1)]}, "has dimensions 0 to 0"),
        ({"hidden": [("fc1.weight", 0), ("fc2.weight", 0)]}, "no multiple"),
        ({"hidden": ["fc1.weight"]}, r"\('fc1.weight', 0\), or of"),
        ({"hidden": []}, "at least one"),
        ({}, "at least one group"),
    ],
)
def test_groups_by_hand_that_do_not_fit(unreadable: Problem, groups: dict, said: str) -> None:
    one = unreadable.initialize([0])
    with pytest.raises(UsageError, match=said):
        align(unreadable, one, one, groups=groups)


def test_a_model_without_exchangeable_units_is_no_silent_identity() -> None:
    x = torch.randn(20, 4, generator=generator(0, "x"))
    problem = Problem(lambda: tw.nets.mlp(4, 3), (x, torch.arange(20) % 3))
    with pytest.raises(ModelError, match=r"No layer .* has several units.*nothing to align"):
        align(problem, problem.initialize([0]), problem.initialize([1]))


def test_every_difference_of_architectures_is_listed(digits: Problem) -> None:
    other = Problem(lambda: tw.nets.mlp(64, 12, 13, 11), (torch.zeros(20, 64), torch.arange(20) % 10))
    with pytest.raises(UsageError) as said:
        align(digits, digits.initialize([0]), other.initialize([0]))
    for name in ("hidden2.weight", "hidden2.bias", "output.weight", "output.bias"):
        assert name in str(said.value)


def test_what_is_refused(digits: Problem) -> None:
    two, three = digits.initialize(2), digits.initialize(3)
    with pytest.raises(UsageError, match="one reference for all or one for each"):
        align(digits, two, three)
    with pytest.raises(UsageError, match="one of weights, activations, straight_through"):
        align(digits, two, two, "nothing")
    with pytest.raises(UsageError, match="not finite"):
        align(digits, two, two.with_theta(two.theta * torch.nan))
    with pytest.raises(UsageError, match="read from a trace"):
        align(digits, two, two, "activations", groups=digits.structure.groups)
    with pytest.raises(UsageError, match=r"permutation \(2, 12\) of the units of 'hidden1'; got none"):
        align(digits, two, two, start={})
    with pytest.raises(UsageError, match=r"got \(1, 12\)"):
        align(digits, two, two, start={name: torch.arange(12)[None] for name in ("hidden1", "hidden2")})
    with pytest.raises(UsageError, match="permutation"):
        align(digits, two, two, start={name: torch.zeros(2, 12).long() for name in ("hidden1", "hidden2")})
    other = Problem(lambda: tw.nets.convnet((4,)), tw.data.digits(image=True).subset(train=20, test=10))
    with pytest.raises(UsageError, match=r"no tensor 'convolution1.weight'"):
        align(digits, two, two, groups=other.structure.groups)
    with pytest.raises(UsageError, match="two members or more"):
        align_together(digits, two[:1])


def test_only_some_groups(digits: Problem) -> None:
    reference, member = digits.initialize([0]), digits.initialize([1])
    found = align(digits, reference, member, groups=[digits.structure.group("hidden2")])
    assert [*found.permutations] == ["hidden2"]
    first = digits.layout["hidden1.weight"].columns
    assert found.population.theta[:, first].equal(member.theta[:, first])


def test_the_figure_shows_every_group(digits: Problem) -> None:
    found = align(digits, digits.initialize([0]), digits.initialize([1, 2]))
    figure = found.figure()
    assert "similarity" in figure.title.lower()
    assert "hidden1" in str(figure.panels[0].marks[0])
