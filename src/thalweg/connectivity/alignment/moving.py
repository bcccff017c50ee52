"""Members with their units in another order, verified to compute the same; and how similar they are to a reference."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.connectivity.alignment.nests import Nest
from thalweg.connectivity.alignment.weights import compared, lines_of
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import Sample, outputs
from thalweg.population import Population, Problem, UnitGroup
from thalweg.population.permuting import permuted

Permutations = Mapping[str, Int64[Tensor, "members units"]]
_VERIFIED = 64  # examples
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}  # of the largest output


def reordered(population: Population, nests: Sequence[Nest], orders: Permutations) -> Population:
    """The members with the units of every group in another order, outer groups first."""
    still = {name: bool((order == torch.arange(order.shape[-1])).all()) for name, order in orders.items()}
    for nest in nests:
        for group in nest:
            if not still[group.name]:
                population = permuted(population, group, orders[group.name], {})
    return population


def verified(problem: Problem, population: Population, nests: Sequence[Nest], orders: Permutations) -> Population:
    """The members with their units in another order.

    Raises:
        UsageError: outputs that are not finite.
        ModelError: their outputs on examples are not those of the members as they were; the group is named.
    """
    examples = Sample("train", _VERIFIED)
    before = outputs(problem, population, on=examples)
    _check_finite(before)
    found = reordered(population, nests, orders)
    apart = _apart(before, outputs(problem, found, on=examples))
    if apart <= _TOLERANCE[problem.dtype]:
        return found
    for nest in nests:
        alone = reordered(population, [nest], orders)
        if _apart(before, outputs(problem, alone, on=examples)) > _TOLERANCE[problem.dtype]:
            tensors = ", ".join(dict.fromkeys(f"{one.tensor!r}" for one in nest.group.slices))
            msg = (
                f"With the units of {nest.group.name!r} in another order the members would compute something else, by "
                f"{apart:.2g} of their largest output. Indices of {tensors} are not all that belongs to these units: "
                "add what is missing to groups=, or leave the group out; where a unit has an index in each of several "
                "equal parts, as in the gates of a recurrent layer, write (name, dimension, parts)."
            )
            raise ModelError(msg)
    msg = (
        f"With their units in another order the members would compute something else, by {apart:.2g} of their largest "
        "output; each group alone changes nothing, so two of them overlap. Give groups= that do not."
    )
    raise ModelError(msg)


def _check_finite(outputs: object) -> None:
    """Raise UsageError where a member's outputs tell nothing of whether another computes the same.

    Minus infinity does: it is the logit of what is never an answer.
    """
    for one in tree_leaves(outputs):
        if isinstance(one, Tensor):
            lost = (one.isnan() | one.isposinf()).flatten(1).any(1).nonzero().flatten().tolist()
            if lost:
                msg = (
                    f"Member {lost[0]} returns numbers that are not finite for training examples, so whether it "
                    "computes the same with its units in another order cannot be verified; leave out what diverged."
                )
                raise UsageError(msg)


def _apart(before: object, after: object) -> float:
    """The largest difference of outputs, in units of the largest output of the member."""
    found = 0.0
    for one, other in zip(tree_leaves(before), tree_leaves(after), strict=True):
        if isinstance(one, Tensor):
            first, second = one.double().flatten(1), other.double().flatten(1)
            size = first.nan_to_num(0, 0, 0).abs().amax(1).clamp_min(1e-30)
            apart = ((first - second).abs().masked_fill(first == second, 0).amax(1) / size).max()
            found = max(found, float(apart)) if bool(apart == apart) else float("inf")
    return found


def similarity(nests: Sequence[Nest], reference: Population, members: Population) -> NDArray[np.float64]:
    """Cosines of all that belongs to the units of each group: (groups, members)."""
    ours, theirs = compared(reference), compared(members)
    return np.stack([_cosine(group, ours, theirs) for nest in nests for group in nest])


def _cosine(group: UnitGroup, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> NDArray[np.float64]:
    sums = np.zeros((3, max(len(one) for one in theirs.values())))
    for one in group.slices:
        if one.tensor in theirs:
            a, b = (lines_of(tensors[one.tensor], one).double().flatten(1) for tensors in (ours, theirs))
            sums += np.stack([part.sum(1).expand(len(b)).cpu().numpy() for part in (a * b, a * a, b * b)])
    return sums[0] / np.sqrt(np.maximum(sums[1] * sums[2], 1e-300))


def moved_share(nests: Sequence[Nest], orders: Permutations) -> NDArray[np.float64]:
    """Which share of the units of each group is elsewhere: (groups, members)."""
    groups = [group for nest in nests for group in nest]
    return np.stack([(orders[one.name] != torch.arange(one.units)).double().mean(1).numpy() for one in groups])
