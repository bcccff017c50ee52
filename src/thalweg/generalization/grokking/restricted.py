"""How good a network's answers are with only, or without, what in them depends on the sum of the tokens."""

import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from thalweg.errors import check_type
from thalweg.figures import Axis, Bars, Figure
from thalweg.generalization.grokking.group import Group, as_addition, table_of
from thalweg.generalization.grokking.outputs import logits, tensors
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.results import Cost, Provenance, Reading, Result

ALL, ONLY, WITHOUT = "all", "restricted", "excluded"


@dataclass(frozen=True, eq=False)
class Restricted(Result):
    """What `restricted` found.

    Args:
        reading: "loss" and "accuracy", (member, answers, examples): of the network's answers as they are ("all"), of
            their part that depends on the sum alone ("restricted"), and without that part ("excluded"), on the pairs
            of the training set ("train") and on all others ("test").
    """

    def figure(self, member: int = 0) -> Figure:
        """The losses of one member."""
        names = [str(name) for name in self.reading.coordinate("answers")]
        bars = [
            Bars(names, self["loss"][member, :, place], label=str(which))
            for place, which in enumerate(self.reading.coordinate("examples"))
        ]
        axes = Axis("answers"), Axis("loss", "nats")
        return Figure.of("With and without what depends on the sum", bars, *axes, caption=" ".join(self.reading.notes))


@guarded
def restricted(problem: Problem, population: Population, operation: str = "+") -> Restricted:
    """Loss and accuracy of the answers restricted to functions of x + y, and of the rest, on all pairs of a table.

        restricted(x, y) = mean of logits(u, v) over u + v = x + y
        excluded(x, y)   = logits(x, y) - restricted(x, y) + mean of all logits

    In Fourier space the first keeps cos and sin of k (x + y) for all frequencies k, the second all other components.
    What generalizes is a function of the sum, so that the restricted loss falls while it forms; what memorizes is
    cleaned up where the excluded loss on training pairs rises. It works for any model of the pairs.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.generalization import grokking
    >>> data = tw.data.modular(7, encoding="tokens")
    >>> problem = tw.Problem(lambda: tw.nets.modular_mlp(7, 27, activation="square"), data, dtype=torch.float64)
    >>> found = grokking.restricted(problem, grokking.constructed(7))
    >>> found["accuracy"][0, :2, 1].tolist(), bool(found["accuracy"][0, 2, 1] < 0.5)  # held-out pairs
    ([1.0, 1.0], True)

    Args:
        problem: of pairs as `data.modular` makes them, tokens or one-hot codes.
        population: of its model.
        operation: which one, see `as_addition`.

    Raises:
        UsageError: a modulus that is no odd prime, or other inputs.

    Cost: one evaluation of all p^2 pairs.

    Source: Nanda et al. (2023), Progress measures for grokking, arXiv:2301.05217, with all frequencies as key ones.
    """
    began = time.perf_counter()
    check_type("restricted population", population, Population, "a Population such as run.final")
    group = as_addition(int(problem.data.classes or 0), operation)
    table = table_of(problem, group)
    order, (_, answers) = group.order, tensors(table)
    values = logits(problem, population, table).unflatten(1, (order, order))
    sums = (torch.arange(order)[:, None] + torch.arange(order)) % order
    mean = torch.zeros(len(values), order, values.shape[-1], dtype=values.dtype, device=values.device)
    mean.index_add_(1, sums.flatten().to(values.device), values.flatten(1, 2))
    only = (mean / order)[:, sums]
    kinds = {ALL: values, ONLY: only, WITHOUT: values - only + values.mean((1, 2), keepdim=True)}
    trained = pairs_trained_on(problem, group)
    parts = {"train": trained, "test": ~trained}
    losses, right = (np.zeros((len(population), len(kinds), len(parts))) for _ in range(2))
    for row, kind in enumerate(kinds.values()):
        flat = kind.flatten(1, 2)
        loss = F.cross_entropy(flat.mT, answers.expand(len(flat), -1), reduction="none")
        good = (flat.argmax(-1) == answers).double()
        for column, part in enumerate(parts.values()):
            losses[:, row, column], right[:, row, column] = loss[:, part].mean(1).cpu(), good[:, part].mean(1).cpu()
    dims = ("member", "answers", "examples")
    reading = Reading(
        "restricted and excluded loss",
        {"loss": losses, "accuracy": right},
        dict.fromkeys(("loss", "accuracy"), dims),
        {"member": np.arange(len(population)), "answers": list(kinds), "examples": list(parts)},
        {"loss": "nats", "accuracy": "fraction"},
        sample_size=len(table),
        cost=Cost(time.perf_counter() - began, forwards=len(population)),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
        notes=(f"Restricted to functions of the sum, on all {len(table):,} pairs.",),
    )
    return Restricted(reading)


def pairs_trained_on(problem: Problem, group: Group) -> Bool[Tensor, " pairs"]:
    """Which pairs, in the order of `Group.pairs`, are in the training set: (order^2,)."""
    inputs, _ = tensors(problem.data.train)
    if inputs.is_floating_point():
        tokens = torch.stack([codes.argmax(1) for codes in inputs.split(group.p, dim=1)], dim=1)
    else:
        tokens = inputs[:, :2]
    places = []
    for column, known in enumerate((group.first, group.second)):
        element = torch.full((group.p,), -1, dtype=torch.int64)
        element[known] = torch.arange(group.order)
        places.append(element[tokens[:, column].cpu()])
    found = (places[0] >= 0) & (places[1] >= 0)
    trained = torch.zeros(group.order**2, dtype=torch.bool)
    trained[(places[0] * group.order + places[1])[found]] = True
    return trained
