"""Controls of tickets whose parts are units, blocks, or n of m weights: as many weights, structured alike."""

import pytest
import torch

import thalweg as tw
from thalweg.tickets import Blocks, ErdosRenyi, Global, NofM, Policy, Units, search, shuffled, shuffled_parts
from thalweg.tickets.selection import alive_parts

RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=6, batch_size=50, evaluate=1)


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 16, 16, 10), tw.data.digits().subset(train=100, test=50))


@pytest.mark.parametrize("allocation", [Units(), Blocks(4, 4), NofM(2, 4)])
def test_controls_keep_as_many_weights_as_a_structured_ticket(
    problem: tw.Problem, allocation: tw.tickets.Allocation
) -> None:
    found = search(problem, RECIPE, seeds=2, rounds=1, keep=0.5, allocation=allocation, plan="looped", progress=None)
    prunable, masks = Policy().columns(problem.layout), found.masks[0]
    kept = masks["ticket"][:, prunable].sum(1)
    for name, mask in masks.items():
        count = mask[:, prunable].sum(1)
        if name == "small dense":
            assert (count - kept).abs().max() <= 64 + 16 + 16 + 10  # to one unit
        elif name != "one-shot" or not isinstance(allocation, Blocks):
            assert count.tolist() == kept.tolist(), name


@pytest.mark.parametrize("allocation", [Units(), Blocks(4, 4), NofM(2, 4)])
def test_shuffled_masks_are_structured_as_the_ticket(problem: tw.Problem, allocation: tw.tickets.Allocation) -> None:
    division = allocation.division(problem, Policy())
    share = None if isinstance(allocation, NofM) else 0.5
    mask = tw.tickets.prune(problem, problem.initialize(2).theta.abs(), share, allocation=allocation)
    other = shuffled_parts(mask, division, [0, 1])
    assert not torch.equal(other, mask)
    parts = alive_parts(division, other)
    assert torch.equal(tw.tickets.selection.mask_of(division, parts), other)  # whole parts alone
    for one, two in zip(alive_parts(division, mask), parts, strict=True):
        assert torch.equal(
            *(torch.bincount(division.pool[alive], minlength=len(division.names)) for alive in (one, two))
        )
    if isinstance(allocation, Units):
        views = problem.layout.views(other)
        assert torch.equal(views["hidden1.bias"], views["hidden1.weight"].any(2))
    if not isinstance(allocation, NofM):
        inner = tw.tickets.prune(problem, problem.initialize(2).theta.abs(), 0.5, allocation=allocation, within=mask)
        assert (shuffled_parts(inner, division, [0, 1]) <= other).all()
    first = shuffled_parts(mask, division, [0, 1], layers=division.entries[:1])
    rest = problem.layout["output.weight"].columns
    assert torch.equal(first[:, rest], mask[:, rest])
    assert not torch.equal(first, mask)


@pytest.mark.parametrize("allocation", [tw.tickets.ByLayer(), Global(), ErdosRenyi()])
def test_single_weights_are_exchanged_within_tensors(problem: tw.Problem, allocation: tw.tickets.Allocation) -> None:
    division = allocation.division(problem, Policy())
    mask = tw.tickets.prune(problem, problem.initialize(2).theta.abs(), 0.3, allocation=allocation)
    assert torch.equal(shuffled_parts(mask, division, [0, 1]), shuffled(mask, division.entries, [0, 1]))
