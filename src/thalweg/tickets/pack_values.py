"""The numbers of a tensor in fewer bytes."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.population.layout import Entry

VALUES = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


def stored(
    entry: Entry, tensor: Tensor, active: Tensor, values: str
) -> tuple[Float[Tensor, " active"] | Tensor, Float[Tensor, " rows"] | None]:
    """The active numbers as they are stored, and the scale of each filter where they are whole numbers.

        q = round(w / s),    s = max |w| / 127 over a filter

    Only matrices are stored in bfloat16 or int8: biases and norms are few and many outputs hang on each.
    """
    plain = tensor.flatten()[active]
    if len(entry.shape) < 2:
        few = torch.float64 if values == "float64" else torch.float32
        return plain.to(few), None
    if values != "int8":
        return plain.to(VALUES[values]), None
    filters = tensor.masked_fill(~active.view(entry.shape), 0).movedim(entry.filter_dim, 0).flatten(1)
    scale = (filters.abs().amax(1).float() / 127).clamp_min(torch.finfo(torch.float32).tiny)
    whole = (plain / _along(entry, scale)[active]).round().clamp(-127, 127)
    return whole.to(torch.int8), scale


def restored(
    entry: Entry, numbers: Tensor, active: Tensor, scale: Tensor | None, dtype: torch.dtype
) -> Float[Tensor, "..."]:
    """The tensor again, zero where nothing was stored."""
    flat = torch.zeros(entry.size, dtype=dtype)
    found = numbers.to(dtype)
    flat[active] = found if scale is None else found * _along(entry, scale)[active].to(dtype)
    return flat.view(entry.shape)


def _along(entry: Entry, scale: Float[Tensor, " rows"]) -> Float[Tensor, " entries"]:
    """The scale of the filter that each entry is in."""
    shape = [1] * len(entry.shape)
    shape[entry.filter_dim] = len(scale)
    return scale.view(shape).expand(entry.shape).reshape(-1)
