"""How often networks answer differently."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.connectivity.between_checkpoints import Pair
from thalweg.connectivity.resamples import Resamples, ends
from thalweg.evaluation import Drawn
from thalweg.evaluation.outputs import outputs_in_parts
from thalweg.losses import Accuracy
from thalweg.losses.options import counted
from thalweg.population import Plan, Population, Problem

Array = NDArray[np.float64]


@torch.no_grad()
def disagreement(
    problem: Problem, population: Population, pairs: list[Pair], drawn: Drawn, *, plan: Plan | str, again: Resamples
) -> tuple[Array, Array] | None:
    """The share of answers in which the two networks of each pair differ: (pairs,), and its interval (pairs, ends).

    None where the problem has no accuracy of thalweg's, so that nobody knows what an answer is.

    Memory: the outputs of all members for as many examples as fit the problem's memory budget.
    """
    accuracy = next((metric for metric in problem.metrics if isinstance(metric, Accuracy)), None)
    if accuracy is None:
        return None
    apart, heavy = [], []
    first, second = (torch.tensor(some) for some in zip(*pairs, strict=True))
    for some, found in outputs_in_parts(problem, population, drawn.examples, plan=plan):
        targets = some.slice(0, len(some))[1]
        assert isinstance(targets, Tensor)  # or there were no accuracy
        answers = _answers(found, targets)
        differ = (answers[first] != answers[second]).double().reshape(len(pairs), len(some), -1)  # by position
        counts = counted(targets, accuracy.ignore_index)
        weights = torch.ones_like(differ[0]) if counts is None else counts.double().reshape(differ[0].shape)
        apart.append((differ * weights).sum(2) / weights.sum(1).clamp_min(1))
        heavy.append(weights.sum(1))
    values, weights = torch.cat(apart, 1), torch.cat(heavy)
    shares = (values * weights).sum(1) / weights.sum()
    low, high = ends(again.means(values, weights.expand_as(values)), axis=0)
    return shares.cpu().numpy(), np.stack([low, high], axis=1)


def _answers(found: Tensor, targets: Tensor) -> Tensor:
    """What each network answers: (members, *targets)."""
    if found.ndim == targets.ndim + 1:
        return (found > 0).to(torch.int64)
    return found.argmax(-1)
