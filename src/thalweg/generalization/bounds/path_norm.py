"""The length of all paths through a network together."""

import numpy as np
import torch
from torch import Tensor

from thalweg.data import Examples
from thalweg.errors import ModelError
from thalweg.evaluation import Evaluator
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.chain import chain_of
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem


@guarded
def path_norm(problem: Problem, population: Population, *, plan: Plan | str = "auto") -> Array:
    """The root of the sum over all paths from inputs to outputs of the product of their squared weights: (members,).

    It is the root of the summed outputs of the network with squared weights on inputs that are all 1, since all is then
    positive and ReLU passes it on; a bias begins a path of its own. Rescaling weights between layers leaves it.

    >>> import torch
    >>> import thalweg as tw
    >>> x = torch.eye(2)
    >>> problem = tw.Problem(lambda: tw.nets.mlp(2, 1, 2, bias=False), (x, torch.tensor([0, 1])))
    >>> at = problem.initialize(1).with_theta(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    >>> float(tw.generalization.bounds.path_norm(problem, at)[0].round(3))  # sqrt((1 + 4) (9 + 16))
    11.18

    Args:
        problem: of a network of one layer after the other with ReLU or leaky ReLU.
        population: only read.
        plan: see `train`.

    Raises:
        ModelError: another model; the operation is named.

    Cost: a forward pass of one example.

    References:
        Neyshabur, Tomioka & Srebro (2015), arXiv:1503.00036.
    """
    if not chain_of(problem).kinked:
        msg = "path_norm is of networks with ReLU or leaky ReLU and no maxima, which pass sums of paths on."
        raise ModelError(msg)
    inputs, targets = problem.data.train.slice(0, 1)
    assert isinstance(inputs, Tensor)
    squared = population.with_theta(population.theta.square())
    ones = Examples(torch.ones_like(inputs), targets)
    found = Evaluator(problem, squared, ones, plan=plan).outputs()
    sums = found.reshape(len(population), -1).double().sum(1).cpu().numpy()
    return np.sqrt(np.where(np.isfinite(sums), sums, np.inf))
