"""Wrappers of rules, against loops straight from the papers and closed forms."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import CASE
from torch import Tensor

import thalweg as tw
from thalweg import optim
from thalweg.errors import UsageError
from thalweg.optim import StepHyperparameters, Updater
from thalweg.population import Layout

LAYOUT = Layout.of(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2)))
MEMBERS, STEPS = 3, 20


def _random(seed: int) -> Tensor:
    return torch.randn(MEMBERS, LAYOUT.parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _path(rule: Any, numbers: dict[str, Any], gradients: list[Tensor]) -> Tensor:
    theta = _random(0)
    updater = Updater(rule, theta, layout=LAYOUT)
    for step, gradient in enumerate(gradients, start=1):
        updater.step(gradient.clone(), StepHyperparameters({"weight_decay": 0.0, "schedule": 1.0} | numbers, step))
    return theta


GRADIENTS = [_random(step) for step in range(1, STEPS + 1)]
COLUMN = torch.tensor([[0.5], [0.9], [0.98]], dtype=torch.float64)


def test_grokfast_is_the_papers_loop_with_a_value_a_member() -> None:
    got = _path(optim.Grokfast(optim.SGD(0.1)), {"lr": 0.1, "momentum": COLUMN, "amplification": 3.0}, GRADIENTS)
    theta, mu = _random(0), GRADIENTS[0].clone()
    for gradient in GRADIENTS:
        mu = COLUMN * mu + (1 - COLUMN) * gradient
        theta -= 0.1 * (gradient + 3.0 * mu)
    torch.testing.assert_close(got, theta, rtol=1e-13, atol=1e-14)


def test_slimming_is_the_gradient_of_an_l1_penalty_on_scales_alone() -> None:
    layout = tw.Layout.of(tw.nets.signal_convnet(3, 2, 8, strides=(2, 1)))
    theta = torch.randn(2, layout.parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scales = layout.mark([layout["norm1.weight"], layout["norm2.weight"]])
    theta[1, scales.nonzero()[0]] = 0
    before = theta.clone().requires_grad_()
    penalty = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    (wanted,) = torch.autograd.grad((penalty * before[:, scales].abs()).sum(), before)
    updater = Updater(optim.Slimming(optim.SGD(1.0)), theta, layout=layout)
    numbers = {"lr": 1.0, "weight_decay": 0.0, "schedule": 1.0, "penalty": penalty}
    updater.step(torch.zeros_like(theta), StepHyperparameters(numbers, 1))
    torch.testing.assert_close(before.detach() - theta, wanted)
    assert wanted[1, scales].count_nonzero() == 5


@pytest.mark.parametrize("over", ["member", "tensor"])
def test_orthogonal_gradients_have_no_part_along_the_weights(over: str) -> None:
    theta = _random(0)
    theta[2] = 0
    before, gradient = theta.clone(), GRADIENTS[0].clone()
    updater = Updater(optim.Orthogonal(optim.SGD(1.0), over=over), theta, layout=LAYOUT)
    updater.step(gradient, StepHyperparameters({"lr": 1.0, "weight_decay": 0.0, "schedule": 1.0}, 1))
    taken = before - theta
    for columns in [slice(None)] if over == "member" else [entry.columns for entry in LAYOUT]:
        along = (taken[:, columns] * before[:, columns]).sum(1)
        torch.testing.assert_close(along, torch.zeros(MEMBERS).double(), atol=1e-12, rtol=0)
        lost = GRADIENTS[0][:2, columns] - taken[:2, columns]  # what was taken away is along the weights
        cosine = F.cosine_similarity(lost, before[:2, columns]).abs()
        torch.testing.assert_close(cosine, torch.ones(2).double(), atol=1e-10, rtol=0)
    torch.testing.assert_close(taken[2], GRADIENTS[0][2])


def test_centralized_gradients_have_mean_zero_for_each_unit() -> None:
    theta = torch.zeros(MEMBERS, LAYOUT.parameters, dtype=torch.float64)
    updater = Updater(optim.Centralized(optim.SGD(1.0)), theta, layout=LAYOUT)
    updater.step(GRADIENTS[0].clone(), StepHyperparameters({"lr": 1.0, "weight_decay": 0.0, "schedule": 1.0}, 1))
    got, given = LAYOUT.views(-theta), LAYOUT.views(GRADIENTS[0])
    for entry in LAYOUT:
        wanted = given[entry.name]
        if len(entry.shape) > 1:
            wanted = wanted - wanted.mean(-1, keepdim=True)
        torch.testing.assert_close(got[entry.name], wanted, rtol=1e-13, atol=1e-14)


def test_the_average_is_the_exponential_one_and_leaves_the_path() -> None:
    problem, steps = CASE["mlp"].problem(dtype=torch.float64), 12
    rule = optim.SGD(0.3)
    plain = tw.train(problem, tw.Recipe(rule, steps, 8, snapshot=tuple(range(steps + 1))), 2, plan="looped")
    keep = tw.sweep.values([0.5, 0.9])
    run = tw.train(problem, tw.Recipe(optim.Averaged(rule, keep=keep), steps, 8), 2, plan="looped")
    for member, (kept, seed) in enumerate([(0.5, 0), (0.5, 1), (0.9, 0), (0.9, 1)]):
        assert torch.equal(run.final.theta[member], plain.final.theta[seed])
        average = plain.snapshots[1].theta[seed]
        for step in range(2, steps + 1):
            average = kept * average + (1 - kept) * plain.snapshots[step].theta[seed]
        torch.testing.assert_close(run.averaged(problem).theta[member], average, rtol=1e-12, atol=1e-13)
    with pytest.raises(UsageError, match=r"train with optim.Averaged\(rule\)"):
        _ = plain.averaged(problem)


@pytest.mark.parametrize("decay", ["l2", "lr_coupled", "schedule_coupled", "constant"])
@pytest.mark.parametrize("rule", [optim.SGD, optim.AdamW])
def test_decay_on_kinds_leaves_the_others_alone(rule: Any, decay: str) -> None:
    numbers = {"lr": 0.1, "weight_decay": torch.tensor([[0.0], [0.1], [0.5]]).double(), "schedule": 0.5}
    numbers |= {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8}
    kinds = ("hidden", "output")
    got = _path(rule(0.1, decay=decay, decay_on=kinds), numbers, GRADIENTS)
    with_decay = _path(rule(0.1, decay=decay), numbers, GRADIENTS)
    without = _path(rule(0.1, decay=decay), numbers | {"weight_decay": 0.0}, GRADIENTS)
    decaying = LAYOUT.where(*kinds)
    assert 0 < int(decaying.sum()) < LAYOUT.parameters
    torch.testing.assert_close(got[:, decaying], with_decay[:, decaying], rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(got[:, ~decaying], without[:, ~decaying], rtol=1e-13, atol=1e-14)
    assert not torch.allclose(with_decay[1:, ~decaying], without[1:, ~decaying])


def test_layers_nest_and_their_numbers_are_swept() -> None:
    rule = optim.Averaged(optim.Grokfast(optim.AdamW(lr=tw.sweep.log(1e-3, 1e-2, 2)), amplification=[1.0, 2.0]))
    assert set(rule.hyper_parameters()) >= {"keep", "momentum", "amplification", "lr", "beta1"}
    assert rule.slots == ("average", "slow_gradient", "first_moment", "second_moment")
    run = tw.train(CASE["mlp"].problem(), tw.Recipe(rule, 5, 8), 2)
    assert len(run.final) == 8
    assert run.recipe.describe()["optimizer"]["rule"]["amplification"]["points"] == [1.0, 2.0]


def test_half_and_half_is_the_whole() -> None:
    problem = CASE["mlp"].problem()
    rule = optim.Averaged(optim.Grokfast(optim.Orthogonal(optim.AdamW(0.01))))
    recipe = tw.Recipe(rule, 10, 8)
    whole = tw.train(problem, recipe, 2)
    half = tw.train(problem, recipe, 2, until=5)
    rest = tw.train(problem, recipe, 2, resume=half)
    assert torch.equal(rest.final.theta, whole.final.theta)
    assert torch.equal(rest.averaged(problem).theta, whole.averaged(problem).theta)


def test_wrappers_keep_the_state_of_members_that_are_not_active() -> None:
    theta = _random(0)
    updater = Updater(optim.Averaged(optim.Grokfast(optim.SGD(0.1))), theta, layout=LAYOUT)
    h = {"lr": 0.1, "weight_decay": 0.0, "schedule": 1.0, "momentum": 0.9, "amplification": 1.0, "keep": 0.9}
    updater.step(GRADIENTS[0].clone(), StepHyperparameters(h, 1))
    before = {slot: matrix.clone() for slot, matrix in updater.state.items()}
    gradient = GRADIENTS[1].clone()
    gradient[1] = torch.nan
    updater.step(gradient, StepHyperparameters(h, 2), torch.tensor([True, False, True]))
    for slot, matrix in updater.state.items():
        assert torch.equal(matrix[1], before[slot][1])
        assert not torch.equal(matrix[0], before[slot][0])


def test_the_average_of_a_member_that_never_moved_is_where_it_began() -> None:
    x, y = torch.tensor([[1e30], [1.0]]), torch.tensor([[1.0], [1.0]])
    problem = tw.Problem(lambda: torch.nn.Linear(1, 1), (x, y), "squared_error")  # the first loss is infinite
    run = tw.train(problem, tw.Recipe(optim.Averaged(optim.SGD(0.1)), 3))
    assert run.diverged_at.tolist() == [1]
    assert torch.equal(run.averaged(problem).theta, problem.initialize([0]).theta)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: optim.Grokfast(0.1), "Grokfast rule must be a rule such as"),
        (lambda: optim.Grokfast(optim.SGD(0.1), momentum="0.9"), "Grokfast momentum must be a number"),
        (lambda: optim.Grokfast(optim.Grokfast(optim.SGD(0.1))), "wraps a rule that has amplification, momentum"),
        (lambda: optim.Grokfast(optim.SGD(0.1), amplification=-1), "Grokfast amplification must be finite and not neg"),
        (lambda: optim.Grokfast(optim.SGD(0.1), momentum=1.0), r"Grokfast momentum must lie in \[0, 1\); got 1.0"),
        (lambda: optim.Averaged(optim.SGD(0.1), keep=1.5), r"Averaged keep must lie in \[0, 1\); got 1.5"),
        (lambda: optim.SAM(optim.SGD(0.1), rho=-0.1), "SAM rho must be finite and not negative; got -0.1"),
        (lambda: optim.SAM(optim.SGD(0.1), adaptive="no"), "SAM adaptive must be True or False; got 'no'"),
        (lambda: optim.Orthogonal(optim.SGD(0.1), over="layer"), "Orthogonal over is one of member, tensor"),
        (lambda: optim.SGD(0.1, decay_on=("weights",)), "SGD decay_on is one of embedding, hidden"),
        (lambda: Updater(optim.SGD(0.1, decay_on="hidden"), torch.zeros(1, 1)), "SGD depends on the kinds of tensors"),
    ],
)
def test_what_cannot_be_meant(build: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build()
