"""What several networks answer together: means of their outputs, and of what these say of the classes."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.data import ExampleSet
from thalweg.errors import ModelError
from thalweg.evaluation.outputs import outputs_in_parts
from thalweg.evaluation.points import Entries
from thalweg.losses import CrossEntropy, Logistic
from thalweg.population import Plan, Population, Problem

PROBABILITIES, LOGS = "ensemble of probabilities", "ensemble of logits"
OUTPUTS = "ensemble of outputs"
Combined = Callable[[Any, Tensor], Any]  # outputs (members, ...) and the shares of the members, to outputs (1, ...)


def ways_to_combine(problem: Problem) -> dict[str, Combined]:
    """By name, how the outputs of several networks can be made those of one, as the loss takes them.

    Of a cross-entropy and a logistic loss these are log sum_k w_k p_k and sum_k w_k log p_k, up to a constant, which
    the loss does not see; of any other sum_k w_k f_k.
    """
    if isinstance(problem.loss, CrossEntropy):
        return {PROBABILITIES: _log_mean_softmax, LOGS: _mean}
    if isinstance(problem.loss, Logistic):
        return {PROBABILITIES: _log_odds_of_mean, LOGS: _mean}
    return {OUTPUTS: _mean}


@torch.no_grad()
def ensemble_entries(
    problem: Problem, population: Population, examples: ExampleSet, shares: Tensor, *, plan: Plan | str
) -> dict[str, dict[str, Entries]]:
    """By way of combining and by "loss" and metric: values by example and their weights, (1, examples) each.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.connectivity.ensemble import ensemble_entries
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> members, half = problem.initialize(2), torch.tensor([0.5, 0.5])
    >>> found = ensemble_entries(problem, members, problem.data.test, half, plan="auto")
    >>> list(found), found["ensemble of probabilities"]["loss"][0].shape
    (['ensemble of probabilities', 'ensemble of logits'], torch.Size([1, 360]))

    Raises:
        ModelError: outputs of whole numbers, which have no mean.

    Memory: the outputs of all members for as many examples as fit the problem's memory budget.
    """
    ways, functions = ways_to_combine(problem), {"loss": problem.loss} | {one.name: one for one in problem.metrics}
    parts: dict[str, dict[str, list[Entries]]] = {way: {name: [] for name in functions} for way in ways}
    for chosen, answers in outputs_in_parts(problem, population, examples, plan=plan):
        _, targets = chosen.slice(0, len(chosen))
        targets = tree_map(lambda tensor: tensor[None], targets)
        for way, combine in ways.items():
            together = combine(answers, shares)
            found = {name: function.entries(together, targets, 2) for name, function in functions.items()}
            lost = ~found["loss"][0].isfinite()  # of what is no answer no metric tells how good it is
            for name, (values, weights) in found.items():
                known = values.double() if name == "loss" else values.double().masked_fill(lost, torch.nan)
                parts[way][name].append((known, None if weights is None else weights.double()))
    return {way: {name: _joined(some) for name, some in of.items()} for way, of in parts.items()}


def _mean(answers: Any, shares: Tensor) -> Any:
    def mean(leaf: Tensor) -> Tensor:
        if not leaf.is_floating_point():
            msg = f"The model returns {leaf.dtype}, and whole numbers of several networks have no mean; there is no "
            raise ModelError(msg + "ensemble of them.")
        of = shares > 0  # 0 times the logit of what is never an answer, minus infinity, is not 0
        return torch.tensordot(shares[of].to(leaf), leaf[of.to(leaf.device)], 1)[None]

    return tree_map(mean, answers)


def _log_mean_softmax(answers: Tensor, shares: Tensor) -> Tensor:
    return (F.log_softmax(answers, -1) + _logs(answers, shares)).logsumexp(0, keepdim=True)


def _log_odds_of_mean(answers: Tensor, shares: Tensor) -> Tensor:
    logs = _logs(answers, shares)
    yes, no = ((F.logsigmoid(sign * answers) + logs).logsumexp(0, keepdim=True) for sign in (1, -1))
    return yes - no


def _logs(answers: Tensor, shares: Tensor) -> Tensor:
    return shares.to(answers).log().view(-1, *(1 for _ in answers.shape[1:]))


def _joined(parts: list[Entries]) -> Entries:
    values = torch.cat([value for value, _ in parts], 1)
    weights = [weight for _, weight in parts if weight is not None]
    return values, torch.cat(weights, 1) if weights else None
