"""A function called on every entry of a dimension."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.switches import vmap_warning_off


def mapped(function: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> Any:
    """The function on each entry of the first dimension: by one call where vmap can, else one by one, as written."""
    try:
        with vmap_warning_off:
            return torch.vmap(function, randomness="different")(outputs, targets)
    except Exception as error:  # such as branches on values, and boolean indices; what is wrong shows below as well
        if isinstance(error, torch.OutOfMemoryError):
            raise
    one = lambda tree, i: tree_map(lambda tensor: tensor[i], tree)  # noqa: E731
    count = len(tree_leaves(targets)[0])
    found = [function(one(outputs, i), one(targets, i)) for i in range(count)]
    return tree_map(lambda *parts: torch.stack(parts), *found)


def single(*trees: Any) -> tuple[Any, ...]:
    """Examples as batches of one: (batch, ...) -> (batch, 1, ...)."""
    return tree_map(lambda tensor: tensor.unsqueeze(1), trees)


def traced(tensor: Tensor) -> bool:
    """Whether its numbers are not to be had, as inside of vmap."""
    return torch._C._functorch.is_batchedtensor(tensor) or (
        torch._C._functorch.is_functorch_wrapped_tensor(tensor) and traced(torch._C._functorch.get_unwrapped(tensor))
    )
