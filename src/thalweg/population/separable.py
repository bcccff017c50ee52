"""Whether members can be computed at the same time in several threads of one process."""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils._pytree import tree_leaves

from thalweg.losses.per_position import NamedLoss
from thalweg.population.batch import Batch
from thalweg.population.problem import Problem

_KNOWN_LAYERS = ("torch.nn.modules.", "thalweg.nets.")
_KNOWN_FUNCTIONS = (F.relu, F.gelu)  # which torch's transformer layers keep as attributes
_HOOKS = ("forward", "forward_pre", "backward", "backward_pre")


def separable(problem: Problem, batch: Batch) -> bool:
    """Whether nothing that the model or its loss does can touch what another thread's call of them touches.

    Code of the user's may read and write what all of a process shares: globals, random streams, torch's switches. So
    every layer must be one of torch's or Thalweg's own, without hooks, parametrizations and functions of the user's,
    the loss one of `losses`, and all tensors plain ones.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.population.separable import separable
    >>> class Mine(torch.nn.Linear):
    ...     pass
    >>> found = []
    >>> for layer in (torch.nn.Linear, Mine):
    ...     problem = tw.Problem(lambda: layer(64, 10), tw.data.digits())
    ...     found.append(separable(problem, tw.population.Batch.range(problem.data.train, 0, 8)))
    >>> found
    [True, False]
    """
    named = isinstance(problem.loss, NamedLoss) and type(problem.loss).__module__.startswith("thalweg.losses.")
    if not named or any(getattr(torch_module, f"_global_{kind}_hooks") for kind in _HOOKS):
        return False
    tensors = itertools.chain(
        problem.template.parameters(), problem.template.buffers(), tree_leaves((batch.inputs, batch.targets))
    )
    plain = all(type(tensor) in (Tensor, nn.Parameter) for tensor in tensors)
    return plain and all(_is_known(layer) for layer in problem.template.modules())


def _is_known(layer: nn.Module) -> bool:
    """Whether this is a layer as its class in torch or Thalweg made it."""
    if not type(layer).__module__.startswith(_KNOWN_LAYERS):
        return False
    for name, value in vars(layer).items():
        if (name.endswith("_hooks") and value) or (callable(value) and value not in _KNOWN_FUNCTIONS):
            return False
    return True
