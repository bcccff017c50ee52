"""Training the same model on several training sets at once, so that there is a variance to speak of.

All members are one population and one run: example i of the run is example i of every training set side by side, and
each member, knowing by a buffer which set is its own, is given that one alone.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.data import Data, Examples
from thalweg.data.trees import mapped
from thalweg.errors import UsageError, check_count, check_type
from thalweg.losses.names import Loss
from thalweg.losses.of_user import UserLoss
from thalweg.population import Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.training import Recipe, train


def refit(
    problem: Problem,
    recipe: Recipe,
    *,
    sets: int,
    seeds: int = 1,
    size: int | None = None,
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Population:
    """Train on disjoint parts of the training set, from several seeds each: members sets x seeds, seeds fastest.

    No two members share a seed, so that seeds are nested in sets. Parts are smaller than the whole, and so are the fits
    worse: it is the bias and variance of training sets of that size.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> fits = tw.generalization.bias_variance.refit(
    ...     problem, tw.Recipe(tw.optim.SGD(0.1), steps=10, batch_size=32), sets=4, seeds=2)
    >>> len(fits)
    8

    Args:
        problem: whose training examples are dealt out; its model, loss and test examples are those of all fits.
        recipe: how each is trained; nothing is evaluated on the way.
        sets: how many parts, disjoint.
        seeds: how many members are trained on each.
        size: examples of each part; None: as many as there are.
        seed: of the parts, the stream (seed, "refit"), and of members, which are seed x sets x seeds + 0, 1, ...
        progress: told how far it is.

    Raises:
        UsageError: more examples than there are, or a recipe with sweeps.

    Cost: one run of sets x seeds members. Memory: a batch of all sets for each member.
    """
    check_type("refit problem", problem, Problem, "a Problem")
    check_type("refit recipe", recipe, Recipe, "a Recipe")
    check_count("refit sets", sets)
    check_count("refit seeds", seeds)
    whole = len(problem.data.train)
    size = whole // sets if size is None else size
    check_count("refit size", size)
    if sets * size > whole:
        msg = f"refit deals out {sets} x {size:,} examples, and there are {whole:,}; "
        raise UsageError(msg + (f"write size={whole // sets} or less." if whole >= sets else "write fewer sets."))
    dealt = torch.randperm(whole, generator=generator(seed, "refit"))[: sets * size].view(sets, size)
    side_by_side = Examples(*(mapped(_sets_last, tree) for tree in problem.data.train.take(dealt.T)))
    several = Problem(
        lambda: _OfItsOwn(problem.model(), sets),
        Data(side_by_side, name=f"{problem.data.name}, {sets} parts", classes=problem.data.classes),
        _of_its_own(problem.loss),
        metrics={},
        device=problem.device,
        dtype=problem.dtype,
        memory_budget=problem.memory_budget,
    )
    own = [(seed * sets + part) * seeds + one for part in range(sets) for one in range(seeds)]
    start = several.initialize(own)
    which = torch.eye(sets, dtype=problem.dtype, device=problem.device).repeat_interleave(seeds, 0)
    start = replace(start, buffers={**start.buffers, "own": which})
    run = train(several, replace(recipe, evaluate=0, snapshot=0), own, start=start, paired=True, progress=progress)
    if len(run.final) != len(own):
        msg = "refit trains one recipe, not a sweep; choose a value first, or call refit for each."
        raise UsageError(msg)
    like = problem.initialize(own[:1])
    return replace(
        like, theta=run.final.theta, buffers={name: run.final.buffers[f"net.{name}"] for name in like.buffers}
    )


def _sets_last(tensor: Tensor) -> Tensor:
    """(examples, sets, ...) to (examples, ..., sets)."""
    return tensor.movedim(1, -1).contiguous()


class _OfItsOwn(nn.Module):
    """A net that is given its own of several training sets side by side, (batch, ..., sets); says which one it was."""

    own: Tensor

    def __init__(self, net: nn.Module, sets: int) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("own", torch.eye(sets)[0])

    def forward(self, *inputs: Any, **named: Any) -> tuple[Any, Tensor]:
        mine, by_name = (tree_map(lambda tensor: _taken(tensor, self.own), tree) for tree in (inputs, named))
        outputs = self.net(*mine, **by_name)
        return outputs, self.own.expand(len(tree_leaves(outputs)[0]), -1)


def _of_its_own(loss: Loss) -> Callable[[Any, Any], Tensor | tuple[Tensor, Tensor]]:
    """The loss of the outputs by the targets of the member's own set."""
    function = loss.function if isinstance(loss, UserLoss) else loss

    def of_own(output: tuple[Any, Tensor], target: Any) -> Tensor | tuple[Tensor, Tensor]:
        outputs, own = output
        return function(outputs, tree_map(lambda tensor: _taken(tensor, own[0]), target))

    return of_own


def _taken(tensor: Tensor, own: Tensor) -> Tensor:
    """The entries of one of the sets, (batch, ..., sets) to (batch, ...): own is 1 there and 0 elsewhere."""
    if tensor.is_floating_point():
        return (tensor.reshape(-1, tensor.shape[-1]) @ own.to(tensor.dtype)).reshape(tensor.shape[:-1])
    return (tensor * own.to(tensor.dtype)).sum(-1)
