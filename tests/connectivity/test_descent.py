"""The loop of rows on paths: its gradients are autograd's through the path, its decay is that of the points."""

import signal
from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import CASE, CASES, Case, every, mlp
from connectivity.planted import members, of_function
from torch import Tensor
from torch.func import functional_call

import thalweg as tw
from thalweg.connectivity import Found, descend
from thalweg.errors import UsageError
from thalweg.optim import SGD, Momentum, Nesterov
from thalweg.population import Population
from thalweg.randomness import generator

WEIGHTS = torch.tensor([[[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]], [[0.5, 0.4, 0.1], [0.0, 0.5, 0.5]]], dtype=torch.float64)


def _fixed(step: int) -> Tensor:
    return WEIGHTS


def _control(problem: tw.Problem, paths: int = 2) -> list[Population]:
    first = problem.initialize(paths)
    others = [problem.initialize([10 * k + path for path in range(paths)]) for k in (1, 2)]
    return [first, *(replace(first, theta=one.theta) for one in others)]


def _constant(dimension: int = 3) -> tw.Problem:
    return of_function(lambda x: (0 * x).sum(), dimension)


def test_gradients_are_those_of_autograd_through_the_path() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    control = _control(problem)
    found = descend(problem, control, slice(0, 2), _fixed, tw.Recipe(SGD(1.0), steps=1), seeds=[0, 1])
    x, y = problem.data.train.inputs, problem.data.train.targets
    for path in range(2):
        rows = [one.theta[path].clone().requires_grad_() for one in control]
        points = [sum(w * row for w, row in zip(weights, rows, strict=True)) for weights in WEIGHTS[path]]
        losses = []
        for point in points:
            views = {name: view[0] for name, view in problem.layout.views(point[None]).items()}
            losses.append(torch.nn.functional.cross_entropy(functional_call(problem.template, views, (x,)), y))
        loss = sum(losses) / len(losses)
        wanted = torch.autograd.grad(loss, rows)
        assert float(found.losses[0, path]) == pytest.approx(loss.item(), rel=1e-12)
        for k in range(2):
            moved = control[k].theta[path] - found.control[k].theta[path]
            torch.testing.assert_close(moved, wanted[k], rtol=1e-10, atol=1e-13)
    assert found.control[2] is control[2]


def test_paths_that_are_not_active_stay_as_they_are() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    control, recipe = _control(problem), tw.Recipe(Momentum(0.1, weight_decay=0.1), steps=3)
    every, some = (
        descend(problem, control, slice(0, 2), _fixed, recipe, seeds=[0, 1], active=active)
        for active in (None, torch.tensor([False, True]))
    )
    for given, one, other in zip(control[:2], every.control[:2], some.control[:2], strict=True):
        assert torch.equal(other.theta[0], given.theta[0])
        torch.testing.assert_close(other.theta[1], one.theta[1], rtol=1e-10, atol=1e-13)
    assert some.losses.isnan().all(0).tolist() == [True, False]
    assert some.diverged_at.tolist() == [-1, -1]
    none = descend(problem, control, slice(0, 2), _fixed, recipe, seeds=[0, 1], active=torch.zeros(2, dtype=torch.bool))
    assert all(torch.equal(one.theta, given.theta) for one, given in zip(none.control, control, strict=True))


@pytest.mark.parametrize("decay", ["l2", "lr_coupled", "schedule_coupled", "constant"])
def test_decay_is_that_of_the_points(decay: str) -> None:
    """On a loss of zero a step of SGD moves by - s mean_i w_i point_i, s = lr wd or what a network shrinks by."""
    problem = _constant()
    draws = [torch.randn(2, 3, generator=generator(k, "rows"), dtype=torch.float64) for k in range(3)]
    control = [members(problem, draw) for draw in draws]
    rule = SGD(0.5, weight_decay=0.1, decay=decay)
    found = descend(problem, control, slice(1, 2), _fixed, tw.Recipe(rule, steps=1), seeds=[0, 0])
    points = torch.einsum("pik,kpd->pid", WEIGHTS, torch.stack([one.theta for one in control]))
    pulled = torch.einsum("pi,pid->pd", WEIGHTS[:, :, 1], points) / 2
    factor = 0.1 if decay in ("constant", "schedule_coupled") else 0.05
    torch.testing.assert_close(found.control[1].theta, control[1].theta - factor * pulled)


def test_decay_spares_kinds_that_do_not_decay() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    control, where = _control(problem), problem.layout.where("hidden", "output")
    moved = []
    for decay_on in (None, ("hidden", "output")):
        plain, decayed = (SGD(1.0, weight_decay=wd, decay_on=decay_on) for wd in (0.0, 0.5))
        ends = [
            descend(problem, control, slice(1, 2), _fixed, tw.Recipe(rule, steps=1), seeds=[0, 0]).control[1].theta
            for rule in (plain, decayed)
        ]
        moved.append(ends[1] - ends[0])
    torch.testing.assert_close(moved[1], moved[0] * where)
    assert (moved[0] != 0).all()


def test_a_share_of_one_gives_every_point_its_own_gradient() -> None:
    """As for strings, whose pivots are points and trained rows alike."""
    problem = of_function(lambda x: x.square().sum() / 2, 3)
    control = [members(problem, torch.full((1, 3), float(k + 1))) for k in range(4)]
    at_pivots = torch.eye(4, dtype=torch.float64)[None]
    seen: list[Found] = []
    recipe = tw.Recipe(SGD(0.25), steps=1)
    found = descend(
        problem, control, slice(1, 3), lambda step: at_pivots, recipe, seeds=[0], share=1.0, change=seen.append
    )
    assert [one.theta.tolist() for one in found.control] == [[[1.0] * 3], [[1.5] * 3], [[2.25] * 3], [[4.0] * 3]]
    assert seen[0].losses.tolist() == [[1.5, 6.0, 13.5, 24.0]]
    assert seen[0].gradient.shape == (2, 1, 3)
    assert seen[0].control.shape == (4, 1, 3)


def test_hooks_change_gradients_and_move_rows() -> None:
    problem = of_function(lambda x: x.square().sum() / 2, 3)
    control = [members(problem, torch.full((2, 3), float(k))) for k in range(3)]

    def only_first(found: Found) -> None:
        found.gradient[..., 1:] = 0

    def ahead(rows: Tensor) -> None:
        rows[1, :, 2] += 1

    recipe = tw.Recipe(SGD(0.1), steps=2)
    found = descend(problem, control, slice(1, 2), _fixed, recipe, seeds=[0, 0], change=only_first, move=ahead)
    moved = found.control[1].theta - control[1].theta
    assert (moved[:, 0] < 0).all()
    assert moved[:, 1].tolist() == [0.0, 0.0]
    assert moved[:, 2].tolist() == [2.0, 2.0]


@pytest.mark.parametrize("rule", [Momentum(0.1), Nesterov(0.1), tw.optim.SAM(SGD(0.1), rho=0.05)], ids=str)
def test_a_path_does_not_depend_on_who_else_is_trained(rule: Any) -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    control, recipe = _control(problem), tw.Recipe(rule, steps=6, batch_size=8)
    both = descend(problem, control, slice(1, 2), _fixed, recipe, seeds=[3, 4], plan="stacked")
    second = [one[1] for one in control]
    alone = descend(problem, second, slice(1, 2), lambda step: WEIGHTS[1:], recipe, seeds=[4], plan="stacked")
    torch.testing.assert_close(both.control[1].theta[1], alone.control[1].theta[0], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(both.losses[:, 1], alone.losses[:, 0], rtol=1e-10, atol=1e-12)


def test_a_point_on_a_trained_row_alone_is_ordinary_training() -> None:
    """The weights are 1 on one row: batches, rule, schedule and decay are those of `train`."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits(), dtype=torch.float64)
    recipe = tw.Recipe(Momentum(0.1, weight_decay=1e-2), 12, 50, tw.schedules.Cosine(), clip_norm=0.5)
    start = problem.initialize(2)
    run = tw.train(problem, recipe, seeds=[0, 1], start=start, paired=True)
    one = torch.ones(2, 1, 1, dtype=torch.float64)
    found = descend(problem, [start], slice(0, 1), lambda step: one, recipe, seeds=[0, 1])
    torch.testing.assert_close(found.control[0].theta, run.final.theta, rtol=1e-9, atol=1e-11)


def test_a_path_that_diverges_is_frozen_and_the_others_keep_their_numbers() -> None:
    problem = of_function(lambda x: x.square().sum().exp(), 2)
    calm, wild = torch.full((1, 2), 0.3), torch.full((1, 2), 40.0)
    control = [members(problem, torch.cat([k * calm, wild])) for k in (1, 2, 3)]
    recipe = tw.Recipe(SGD(0.01), steps=5)
    found = descend(problem, control, slice(1, 2), _fixed, recipe, seeds=[0, 0])
    alone = descend(problem, [c[0] for c in control], slice(1, 2), lambda step: WEIGHTS[:1], recipe, seeds=[0])
    assert found.diverged_at.tolist() == [-1, 1]
    assert torch.equal(found.control[1].theta[1], control[1].theta[1])
    assert found.losses[:, 1].isnan().all()
    torch.testing.assert_close(found.control[1].theta[0], alone.control[1].theta[0])


def test_a_last_step_that_leads_to_infinity_is_named() -> None:
    problem = of_function(lambda x: 10 * x.square().sum(), 2)
    control = [members(problem, torch.full((1, 2), float(k))) for k in (1, 2, 3)]
    for steps in (1, 3):
        recipe = tw.Recipe(SGD(1e308), steps=steps)
        found = descend(problem, control, slice(1, 2), lambda step: WEIGHTS[:1], recipe, seeds=[0])
        assert found.diverged_at.tolist() == [1 if steps == 1 else 2]


def test_normalization_by_the_batch_changes_no_given_statistics() -> None:
    problem = CASE["batchnorm"].problem()
    control = _control(problem)
    before = [{name: buffer.clone() for name, buffer in one.buffers.items()} for one in control]
    recipe = tw.Recipe(SGD(0.1), steps=5)
    found = descend(problem, control, slice(1, 2), _fixed, recipe, seeds=[0, 0])
    assert (found.losses[-1] < found.losses[0]).all()
    for one, kept in zip(control, before, strict=True):
        assert all(torch.equal(one.buffers[name], buffer) for name, buffer in kept.items())


@every(CASES)
def test_models_as_users_bring_them(case: Case) -> None:
    problem = case.problem()
    control, recipe = _control(problem), tw.Recipe(SGD(0.05), steps=4, batch_size=12)
    found = [descend(problem, control, slice(1, 2), _fixed, recipe, seeds=[5, 6]) for _ in range(2)]
    assert found[0].losses.isfinite().all()
    torch.testing.assert_close(found[0].control[1].theta, found[1].control[1].theta)


def test_masks_hold_for_trained_rows() -> None:
    problem = CASE["mlp"].problem()
    draw = torch.rand(problem.layout.parameters, generator=generator(0, "mask"))
    masks = (draw < 0.3), (draw > 0.2) & (draw < 0.5), draw < 0.1
    control = [one.with_mask(mask) for one, mask in zip(_control(problem), masks, strict=True)]
    found = descend(problem, control, slice(1, 2), _fixed, tw.Recipe(Momentum(0.1), steps=3), seeds=[0, 0])
    assert (found.control[1].theta[:, draw >= 0.5] == 0).all()
    assert (found.control[1].theta[:, draw < 0.3] != 0).any()
    assert torch.equal(found.control[1].mask[0], draw < 0.5)


def test_interrupted_it_stops_after_the_step() -> None:
    problem, done = _constant(), []

    def watch(progress: tw.progress.Progress) -> None:
        done.append(progress.done)
        if progress.done == 3:
            signal.raise_signal(signal.SIGINT)

    control = [members(problem, torch.ones(2, 3)) for _ in range(3)]
    with pytest.raises(KeyboardInterrupt):
        descend(problem, control, slice(1, 2), _fixed, tw.Recipe(SGD(0.1), steps=9), seeds=[0, 0], progress=watch)
    assert done == [1, 2, 3]


def test_what_cannot_be_meant_is_said() -> None:
    problem = tw.Problem(mlp, CASE["mlp"].problem().data)
    control, recipe = _control(problem), tw.Recipe(SGD([0.1, 0.2]), steps=2)
    with pytest.raises(UsageError, match="the recipe sweeps lr"):
        descend(problem, control, slice(1, 2), _fixed, recipe, seeds=[0, 0])
    with pytest.raises(UsageError, match="need a seed for each of 2 members; got 1"):
        descend(problem, control, slice(1, 2), _fixed, tw.Recipe(SGD(0.1), steps=2), seeds=[0])
    with pytest.raises(UsageError, match="must be a Recipe"):
        descend(problem, control, slice(1, 2), _fixed, SGD(0.1), seeds=[0, 0])  # type: ignore[arg-type]
