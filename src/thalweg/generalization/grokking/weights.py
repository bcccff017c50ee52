"""The three tables of a perceptron on pairs: what each neuron reads of either token, and what it writes."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import ModelError
from thalweg.generalization.grokking.group import Group
from thalweg.population import Population

NAMES = ("A", "B", "W")


def tables(population: Population, group: Group) -> Float[Tensor, "members three order neurons"]:
    """A, B and W of W f(A[a] + B[b]), rows in the order of the group's elements, in float64 on the CPU.

    Raises:
        ModelError: the network is neither `nets.modular_mlp(p)` nor `nets.mlp(2 * p, width, p, bias=False)`.
    """
    views = population.layout.views(population.theta.detach())
    kinds = [tuple(view.shape[1:]) for view in views.values()]
    p = group.p
    if len(kinds) == 3 and kinds[0] == kinds[1] == kinds[2] and kinds[0][0] == p:
        first, second, output = views.values()
    elif len(kinds) == 2 and kinds[0][1] == 2 * p and kinds[1] == (p, kinds[0][0]):
        hidden, output = views.values()
        first, second = hidden.mT.split(p, dim=1)
    else:
        msg = (
            f"Neurons of pairs modulo {p} are read from nets.modular_mlp({p}), or nets.mlp({2 * p}, width, {p}, "
            f"bias=False) on one-hot pairs; this model has tensors of shapes {', '.join(map(str, kinds))}. For other "
            "models write grokking.restricted, which reads outputs alone."
        )
        raise ModelError(msg)
    chosen = (first[:, group.first], second[:, group.second], output[:, group.answer])
    return torch.stack(chosen, dim=1).double().cpu()


def with_tables(
    population: Population, group: Group, values: Float[Tensor, "members three order neurons"]
) -> Population:
    """The population with these tables in the place of its own; rows of tokens that are no element stay."""
    layout, theta = population.layout, population.theta.detach().clone()
    views = list(layout.views(theta).values())
    first, second, output = values.to(theta).unbind(1)
    if len(views) == 3:
        views[0][:, group.first], views[1][:, group.second] = first, second
    else:
        hidden = views[0].mT
        hidden[:, group.first], hidden[:, group.p + group.second] = first, second
    views[-1][:, group.answer] = output
    return replace(population, theta=theta)
