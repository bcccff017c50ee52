"""Tensors and sizes of a user's module replaced, so that it stays what it is and becomes smaller."""

from collections.abc import Iterable, Mapping
from typing import Any

from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


def replace_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors in the place of parameters and buffers, under all names that these have (tied weights)."""
    for table, named in (("_parameters", module.named_parameters), ("_buffers", module.named_buffers)):
        found = dict(named(remove_duplicate=False))
        for name in tensors.keys() & found.keys():
            old, new = found[name], tensors[name].detach()
            new = nn.Parameter(new, requires_grad=old.requires_grad) if table == "_parameters" else new
            for other in (other for other, tensor in found.items() if tensor is old):
                path, _, leaf = other.rpartition(".")
                getattr(module.get_submodule(path), table)[leaf] = new


def remove_modules(module: nn.Module, paths: Iterable[str]) -> None:
    """Put the identity in the place of modules, which keeps the names of all others."""
    for path in paths:
        parent, _, leaf = path.rpartition(".")
        setattr(module.get_submodule(parent), leaf, nn.Identity())


def set_attributes(module: nn.Module, attributes: Mapping[str, Mapping[str, Any]]) -> None:
    """Set numbers that modules hold of their sizes, by path and name."""
    for path, values in attributes.items():
        for name, value in values.items():
            setattr(module.get_submodule(path), name, tuple(value) if isinstance(value, list) else value)


def sizes(layer: nn.Module, gone: Bool[Tensor, "..."] | None = None) -> dict[str, Any]:
    """The size attributes of a layer of torch, as its tensors say; none of other modules.

    Args:
        layer: its tensors are already those it is to have.
        gone: which entries its weight has lost, in the shape that it had; it tells how many groups are left.
    """
    if isinstance(layer, nn.Linear):
        return {"out_features": layer.weight.shape[0], "in_features": layer.weight.shape[1]}
    if isinstance(layer, _ConvNd):
        groups = _groups(layer.groups, gone)
        first, second = layer.weight.shape[:2]
        out, inner = (second * groups, first) if isinstance(layer, _ConvTransposeNd) else (first, second * groups)
        return {"out_channels": out, "in_channels": inner, "groups": groups}
    if isinstance(layer, _NormBase):
        one = layer.running_mean if layer.weight is None else layer.weight
        return {} if one is None else {"num_features": len(one)}
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return {} if layer.weight is None else {"normalized_shape": tuple(layer.weight.shape)}
    if isinstance(layer, nn.GroupNorm):
        left = {"num_groups": _groups(layer.num_groups, gone)}
        return {} if layer.weight is None else {"num_channels": len(layer.weight), **left}
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return {"num_embeddings": layer.weight.shape[0], "embedding_dim": layer.weight.shape[1]}
    if isinstance(layer, nn.PReLU):
        return {"num_parameters": len(layer.weight)}
    if isinstance(layer, nn.Bilinear):
        return dict(zip(("out_features", "in1_features", "in2_features"), layer.weight.shape, strict=True))
    return {}


def changed_sizes(module: nn.Module, gone: Mapping[str, Bool[Tensor, "..."]]) -> dict[str, dict[str, Any]]:
    """The size attributes of all layers that their tensors no longer agree with: path -> name -> value."""
    found = {}
    for path, layer in module.named_modules(remove_duplicate=False):
        now = sizes(layer, gone.get(f"{path}.weight".lstrip(".")))
        different = {name: value for name, value in now.items() if getattr(layer, name) != value}
        if different:
            found[path] = different
    return found


def _groups(groups: int, gone: Bool[Tensor, "..."] | None) -> int:
    """How many groups of equal rows are left, where groups went as a whole."""
    if groups == 1 or gone is None:
        return groups
    blocks = gone.flatten(1).all(1) if gone.ndim > 1 else gone
    blocks = blocks.view(groups, -1)
    whole = blocks.all(1)
    return groups - int(whole.sum()) if bool((blocks.any(1) == whole).all()) else groups
