"""Masks: exactly as many as should be, under heavy ties, nested, and of the right structure."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.tickets import Blocks, ByLayer, ErdosRenyi, Global, NofM, Policy, Units, prune
from thalweg.tickets.selection import mask_of, select_parts

SIZES = {"hidden1.weight": 64 * 12, "hidden2.weight": 12 * 12, "output.weight": 120}
ALLOCATIONS = [Global(), ByLayer(), ErdosRenyi(), Blocks(4, 4), NofM(2, 4), Units()]


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 12, 12, 10), tw.data.digits())


def scores(problem: tw.Problem, kind: str) -> torch.Tensor:
    shape = (3, problem.layout.parameters)
    draw = torch.Generator().manual_seed(0)
    if kind == "equal":
        return torch.zeros(shape)
    if kind == "few values":
        return torch.randint(0, 3, shape, generator=draw).float()
    if kind == "bfloat16":
        return torch.rand(shape, generator=draw).bfloat16()
    return torch.randn(shape, generator=draw)


@pytest.mark.parametrize("kind", ["equal", "few values", "bfloat16", "normal"])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1, 0.02])
def test_exactly_as_many_weights_whatever_ties(problem: tw.Problem, kind: str, share: float) -> None:
    total, values = sum(SIZES.values()), scores(problem, kind)
    prunable = Policy().columns(problem.layout)
    for allocation in (Global(), ByLayer(), ErdosRenyi()):
        division = allocation.division(problem, Policy())  # equal scores may leave the first layer alone
        mask = mask_of(division, select_parts(values, division, allocation.kept(division, share)))
        assert mask[:, ~prunable].all()
        kept = mask[:, prunable].sum(1)
        if isinstance(allocation, ByLayer) and not isinstance(allocation, ErdosRenyi):
            views = problem.layout.views(mask)
            for name, size in SIZES.items():
                wanted = size - int((1 - share) * size + 0.5)
                assert views[name].flatten(1).sum(1).tolist() == [wanted] * 3
        else:
            assert kept.tolist() == [total - int((1 - share) * total + 0.5)] * 3


@pytest.mark.parametrize("kind", ["equal", "few values", "normal"])
def test_structures_keep_exactly_as_many_parts(problem: tw.Problem, kind: str) -> None:
    values = scores(problem, kind)
    views = problem.layout.views(prune(problem, values, allocation=NofM(2, 4)))
    assert (views["hidden1.weight"].view(3, 12, 16, 4).sum(3) == 2).all()
    assert (views["output.weight"].view(3, 10, 3, 4).sum(3) == 2).all()
    views = problem.layout.views(prune(problem, values, 0.25, allocation=Blocks(4, 4)))
    blocks = views["hidden1.weight"].view(3, 3, 4, 16, 4).sum((2, 4))
    assert set(blocks.unique().tolist()) == {0, 16}
    assert ((blocks > 0).sum((1, 2)) == 12).all()
    views = problem.layout.views(prune(problem, values, 0.25, allocation=Units()))
    for name in ("hidden1", "hidden2"):
        units = views[f"{name}.bias"]
        assert (units.sum(1) == 3).all()
        assert torch.equal(views[f"{name}.weight"].any(2), units)
    assert torch.equal(views["hidden2.weight"].any(1), views["hidden1.bias"])
    assert torch.equal(views["output.weight"].any(1), views["hidden2.bias"])


@pytest.mark.parametrize("allocation", [ByLayer(), ErdosRenyi(), Global(), Blocks(4, 4), Units()], ids=repr)
def test_masks_nest_with_the_same_and_with_other_scores(problem: tw.Problem, allocation: tw.tickets.Allocation) -> None:
    mask, counts = None, []
    for number in range(4):
        draw = torch.Generator().manual_seed(number)
        values = torch.rand(2, problem.layout.parameters, generator=draw)
        inner = prune(problem, values, 0.7, allocation=allocation, within=mask)
        assert mask is None or (inner <= mask).all()
        assert mask is None or (inner.sum(1) < mask.sum(1)).all()
        mask = inner
        counts.append(mask.sum(1).tolist())
    if not isinstance(allocation, Units):
        assert all(first == second for first, second in counts)


def test_selection_follows_a_permutation_of_the_weights(problem: tw.Problem) -> None:
    values = scores(problem, "normal")
    entry = problem.layout["hidden1.weight"]
    order = torch.arange(problem.layout.parameters)
    order[entry.columns] = entry.start + torch.randperm(entry.size, generator=torch.Generator().manual_seed(1))
    assert torch.equal(prune(problem, values[:, order], 0.2), prune(problem, values, 0.2)[:, order])


def test_the_schedule_of_the_paper() -> None:
    """LeNet-300-100: rounds 3, 7, 9, 15, 16 of 20 % and 10 % leave these percentages of the 266,200 weights."""
    problem = tw.Problem(lambda: tw.nets.mlp(784, 300, 100, 10), (torch.zeros(4, 784), torch.arange(4) % 10))
    division = ByLayer().division(problem, Policy())
    kept, at = division.sizes, {}
    for level in range(1, 17):
        kept = ByLayer().kept(division, {"hidden": 0.8, "output": 0.9}, kept)
        at[level] = round(100 * int(kept.sum()) / 266_200, 2)
    assert [at[level] for level in (3, 7, 9, 15, 16)] == [51.28, 21.07, 13.52, 3.58, 2.87]


def test_erdos_renyi_densities_are_in_the_ratio_of_the_rule(problem: tw.Problem) -> None:
    allocation = ErdosRenyi()
    division = allocation.division(problem, Policy())
    kept = allocation.kept(division, 0.1)
    wanted = torch.tensor([76.0, 24.0, 22.0])
    assert (kept - wanted / wanted.sum() * kept.sum()).abs().max() <= 1
    full = allocation.kept(division, 0.9)
    assert (full <= division.sizes).all()
    assert full[1:].tolist() == division.sizes[1:].tolist()


def test_what_may_be_pruned_is_said(problem: tw.Problem) -> None:
    policy = Policy(kinds=("hidden",), never=("hidden2.weight",), also=("output.bias",))
    assert [entry.name for entry in policy.entries(problem.layout)] == ["hidden1.weight", "output.bias"]
    mask = prune(problem, scores(problem, "normal"), 0.5, policy=policy)
    assert problem.layout.views(mask)["hidden2.weight"].all()
    with pytest.raises(UsageError, match="There is no parameter"):
        Policy(never=("hiden1.weight",)).entries(problem.layout)
    with pytest.raises(UsageError, match="nothing to prune"):
        Policy(kinds=("embedding",)).entries(problem.layout)


def test_tied_and_normalized_models() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.mix, self.norm = nn.Embedding(5, 4), nn.Linear(4, 4), nn.LayerNorm(4)
            self.out = nn.Linear(4, 5, bias=False)
            self.out.weight = self.embed.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.out(self.norm(self.mix(self.embed(tokens))))

    layout = tw.Layout.of(Tied())
    assert [entry.name for entry in Policy().entries(layout)] == ["mix.weight"]
    assert [entry.name for entry in Policy(also=("out.weight",)).entries(layout)] == ["embed.weight", "mix.weight"]


def test_bad_input_is_named(problem: tw.Problem) -> None:
    values = scores(problem, "normal")
    for share in (0, 1.5, -0.1):
        with pytest.raises(UsageError, match="above 0 and at most 1"):
            prune(problem, values, share)
    with pytest.raises(UsageError, match="no layer 'hiden'"):
        prune(problem, values, {"hiden": 0.5})
    with pytest.raises(UsageError, match="would become empty"):
        prune(problem, values, 1e-6)
    with pytest.raises(UsageError, match="A mask of this model"):
        prune(problem, values, 0.5, within=torch.ones(3, 5, dtype=torch.bool))
    with pytest.raises(UsageError, match="finite"):
        prune(problem, values / 0, 0.5)
    with pytest.raises(UsageError, match="one for every parameter"):
        prune(problem, values[:, 1:], 0.5)
    with pytest.raises(UsageError, match="leave the share out"):
        prune(problem, values, 0.3, allocation=NofM(2, 4))


@pytest.mark.parametrize("kinds", ["heads", ("units", "channels")])
def test_pruned_units_and_heads_are_out_of_the_function(kinds: str | tuple[str, ...]) -> None:
    """Whatever writes them may change, as nothing reads them."""
    tokens = torch.randint(0, 7, (12, 5), generator=torch.Generator().manual_seed(0))
    problem = tw.Problem(lambda: tw.nets.transformer(7, 5, width=8, heads=4, depth=1), (tokens, tokens))
    population = problem.initialize(1)
    division = Units(kinds).division(problem, Policy())
    kept = Units(kinds).kept(division, 0.5)
    parts = select_parts(population.theta.abs(), division, kept)
    mask = mask_of(division, parts)
    assert parts.sum() == kept.sum() == len(division.pool) // 2
    own = torch.zeros_like(mask)
    own[:, division.scored[~parts[0, division.scored_part]]] = True
    assert not (own & mask).any()
    masked = population.with_mask(mask).theta
    loss = [
        tw.evaluate(problem, replace(population, theta=theta), on="train")["loss"] for theta in (masked, masked + own)
    ]
    assert torch.allclose(*loss, atol=1e-6)
    assert not torch.allclose(loss[0], tw.evaluate(problem, population, on="train")["loss"], atol=1e-6)
