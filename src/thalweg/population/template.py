"""The private copy of a user's model that all members are computed with."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from thalweg.errors import ModelError
from thalweg.population.admission import check_admitted, values_held
from thalweg.population.binding import call
from thalweg.population.copying import converted, copied
from thalweg.population.holdings import places
from thalweg.randomness import global_stream


def template_of(module: nn.Module, device: torch.device, dtype: torch.dtype | None) -> nn.Module:
    """A copy of a module on a device and in a dtype, whose embeddings have dense gradients.

    Raises:
        ModelError: see `admission.check_admitted` and `copying.copied`.
    """
    check_admitted(module)
    template = converted(copied(module), device, dtype)
    for part in template.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False  # as their gradients are columns of a matrix
    return template


def check_follows(module: nn.Module, template: nn.Module, examples: Callable[[], tuple[Any, Any]]) -> None:
    """Raise ModelError where a model computes with what was made of its parameters before it was called.

    What it computes shows in outputs that are NaN, or in that a call fails where there are NaN.

    Args:
        module: the user's.
        template: its copy.
        examples: reads a few, (inputs, targets), where the model holds anything of that kind.
    """
    held = values_held(module)
    if not held:
        return
    twin = copied(template).eval()
    for place in places(twin):
        if place.path in held and isinstance(place.value, Tensor):
            place.value.fill_(torch.nan)  # what a call makes anew does not stay so
    inputs, _ = examples()
    try:
        with global_stream(0, "template"), torch.no_grad():
            outputs = tree_leaves(call(twin, inputs))
        used = any(bool(leaf.isnan().any()) for leaf in outputs if isinstance(leaf, Tensor))
    except Exception:  # it checks its numbers, or makes indices of them: it was called on these inputs before
        used = True
    if used:
        msg = (
            f"The model computes with {held[0]!r}, which was made of its parameters before it is called (a view of "
            "one, or a result with gradients), and does not follow those of members; make it in forward."
        )
        raise ModelError(msg)
