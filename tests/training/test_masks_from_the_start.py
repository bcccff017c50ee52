"""Masks hold from the first step on, wherever it is."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from beginnings import EVERY, MLP, plan_of, recipe_of

import thalweg as tw
from thalweg import optim


@pytest.mark.parametrize("name", EVERY)
def test_masks_hold_after_every_step_in_mid_run_too(name: str) -> None:
    problem, rule = MLP.problem(), EVERY[name]
    run = tw.train(problem, recipe_of(rule), 2, plan=plan_of(rule))
    mask = torch.rand(2, problem.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.6
    outside, looked = ~mask, []

    class Watch:
        slots: Any = None

        def begin(self, slots: Any) -> None:
            self.slots = slots

        def __call__(self, step: int, population: tw.Population) -> None:
            looked.append(step)
            assert not population.theta[outside].any()
            for slot, matrix in self.slots.items():
                own = slot in rule.slots or slot in ("torch.state.exp_avg", "torch.state.exp_avg_sq")
                if not own or (name == "soap" and slot == "second_moment"):
                    continue
                assert not matrix[outside].any(), slot

    for start in (run.at(4), run.at(0), replace(run.at(4), state=None)):
        ticket = tw.train(
            problem, recipe_of(rule), 2, start=start, mask=mask, paired=True, plan=plan_of(rule), observe=Watch()
        )
        assert ticket.final.theta[mask].all()
        assert (ticket.diverged_at == -1).all()
    assert looked == [*range(4, 15), *range(15), *range(4, 15)]


@pytest.mark.parametrize("name", EVERY)
def test_gradients_are_masked_before_they_are_clipped(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.training import loop

    problem, rule = MLP.problem(), EVERY[name]
    mask = torch.rand(problem.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.6
    seen, inner = [], loop.clipping
    monkeypatch.setattr(loop, "clipping", lambda g, most: (seen.append(bool(g[:, ~mask].any())), inner(g, most))[1])
    tw.train(problem, recipe_of(rule, 3, snapshot=0, evaluate=0), 2, mask=mask, plan=plan_of(rule))
    assert seen == [False] * 3


def test_masks_by_start_member_by_seed_and_by_member() -> None:
    problem, recipe = MLP.problem(), recipe_of(optim.SGD(0.1), 3, evaluate=0, snapshot=0)
    masks = torch.rand(4, problem.layout.parameters, generator=torch.Generator().manual_seed(0)) < 0.6
    start = problem.initialize(2)
    for given, wanted in ((masks[:2], [0, 0, 1, 1]), (masks, [0, 1, 2, 3]), (masks[0], [0] * 4)):
        run = tw.train(problem, recipe, [7, 8], start=start, mask=given)
        assert torch.equal(run.final.mask, masks[wanted])
    by_seed = tw.train(problem, replace(recipe, optimizer=optim.SGD([0.1, 0.2])), 2, mask=masks[:2])
    assert torch.equal(by_seed.final.mask, masks[[0, 1, 0, 1]])
    within = tw.train(problem, recipe, 2, start=start.with_mask(masks[2]), mask=masks[3], paired=True)
    assert torch.equal(within.final.mask, (masks[2] & masks[3]).expand(2, -1))


def test_a_mask_with_a_layer_wholly_zero_is_allowed() -> None:
    problem = MLP.problem()
    mask = torch.ones(problem.layout.parameters, dtype=torch.bool)
    mask[next(iter(problem.layout)).columns] = False
    run = tw.train(problem, recipe_of(optim.AdamW(0.01)), 2, mask=mask)
    assert not run.final.theta[:, ~mask].any()
    assert (run.diverged_at == -1).all()


def test_factors_as_wide_as_theta_are_no_parameters() -> None:
    """Of an 8 x 8 matrix alone, L, R and their bases have a column for each of 64 numbers, as theta has."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(64, 8, generator=draw), torch.randn(64, 8, generator=draw)
    problem = tw.Problem(lambda: torch.nn.Linear(8, 8, bias=False), (x, y), "squared_error", dtype=torch.float64)
    mask = torch.rand(64, generator=draw) < 0.5
    recipe = tw.Recipe(optim.SOAP(0.01), 20, 16, snapshot=(8,), snapshot_state=True)
    run = tw.train(problem, recipe, 2, mask=mask, plan="looped")
    assert run.state.slots["left"].shape == run.final.theta.shape
    again = tw.train(problem, recipe, 2, start=run.at(8), mask=mask, paired=True, plan="looped")
    assert torch.equal(again.final.theta, run.final.theta)
