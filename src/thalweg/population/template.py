"""The private copy of a user's model that all members are computed with."""

import torch
from torch import Tensor, nn

from thalweg.population.admission import check_admitted, values_held
from thalweg.population.copying import converted, copied
from thalweg.population.holdings import places


def template_of(module: nn.Module, device: torch.device, dtype: torch.dtype | None) -> nn.Module:
    """A copy of a module on a device and in a dtype, whose embeddings have dense gradients.

    Tensors that it holds of an earlier call, or made of its parameters, are NaN in the copy: whoever computes with them
    is noticed, and a call that makes them anew is not disturbed.

    Raises:
        ModelError: see `admission.check_admitted` and `copying.copied`.
    """
    check_admitted(module)
    held = set(values_held(module))
    template = converted(copied(module), device, dtype)
    for part in template.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False  # as their gradients are columns of a matrix
    for place in places(template) if held else ():
        if place.path in held and isinstance(place.value, Tensor):
            place.value.fill_(torch.nan)
    return template
