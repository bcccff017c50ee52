"""Inputs and targets as trees: a tensor, or a tuple or dict of trees, one row per example."""

from collections.abc import Callable, Iterator, Mapping
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import DataError

Tree = Tensor | tuple["Tree", ...] | dict[str, "Tree"]

_UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)  # torch can store these but hardly compute with them


def named(tree: Tree, name: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its name as one would write it: inputs, inputs[1], inputs['mask']."""
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, tuple):
        for position, branch in enumerate(tree):
            yield from named(branch, f"{name}[{position}]")
    elif isinstance(tree, dict):
        for key, branch in tree.items():
            yield from named(branch, f"{name}[{key!r}]")
    else:
        msg = f"{name} is {type(tree).__name__}; expected a tensor, or a tuple or dict of tensors."
        raise DataError(msg)


def mapped(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """The tree with the function applied to every tensor."""
    if isinstance(tree, tuple):
        return tuple(mapped(function, branch) for branch in tree)
    if isinstance(tree, dict):
        return {key: mapped(function, branch) for key, branch in tree.items()}
    return function(tree)


def joined(trees: list[Tree], name: str) -> Tree:
    """Trees of equal structure, concatenated along the examples."""
    leaves = [list(named(tree, name)) for tree in trees]
    names = [key for key, _ in leaves[0]]
    if any([key for key, _ in tree] != names for tree in leaves):
        msg = f"{name}: batches differ in structure; each must hold {', '.join(names)}."
        raise DataError(msg)
    parts = iter([_joined([tree[i][1] for tree in leaves], key) for i, key in enumerate(names)])
    return mapped(lambda _: next(parts), trees[0])


def _joined(parts: list[Tensor], name: str) -> Tensor:
    if any(part.ndim == 0 for part in parts):
        msg = f"{name}: a batch is a single number; expected one row per example."
        raise DataError(msg)
    shapes = sorted({tuple(part.shape[1:]) for part in parts})
    if len(shapes) > 1:
        msg = f"{name}: examples differ in shape, {shapes[0]} and {shapes[1]}; crop or pad them to one shape."
        raise DataError(msg)
    return torch.cat(parts)


def moved(tree: Tree, device: str | torch.device | None, dtype: torch.dtype | None) -> Tree:
    """The tree on a device; floating tensors are cast to the dtype, integer ones stay what they are."""
    return mapped(lambda tensor: tensor.to(device, dtype if tensor.is_floating_point() else None), tree)


def described(tree: Tree) -> str:
    """Dtype and shape of one example, for messages: float32 (1, 8, 8)."""
    if isinstance(tree, tuple):
        return "(" + ", ".join(described(branch) for branch in tree) + ")"
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key}: {described(branch)}" for key, branch in tree.items()) + "}"
    return f"{str(tree.dtype).removeprefix('torch.')} {tuple(tree.shape[1:])}"


def size_in_bytes(tree: Tree) -> int:
    """Bytes its tensors take."""
    return sum(tensor.nelement() * tensor.element_size() for _, tensor in named(tree, ""))


def tensors(value: Any, name: str) -> Tree:
    """What users hold as a tree of tensors: arrays, data frames and lists of numbers become tensors.

    A list is rows (of one tensor), a tuple is several inputs. Memory is shared where torch can.

    Raises:
        DataError: strings, dates, ragged or masked arrays, sparse matrices: with what to write instead.
    """
    if isinstance(value, Tensor):
        if value.is_nested:
            msg = f"{name} is a nested tensor; pass {name}.to_padded_tensor(0.0)."
            raise DataError(msg)
        if value.layout != torch.strided:
            msg = f"{name} is a sparse tensor; pass {name}.to_dense()."
            raise DataError(msg)
        if value.is_meta:
            msg = f"{name} is on the device meta, where tensors have no numbers; make it on the CPU."
            raise DataError(msg)
        return _computable(value.detach())
    if isinstance(value, Mapping):
        if len({str(key) for key in value}) < len(value):
            msg = f"{name} has keys that are one as text, {', '.join(map(repr, value))}; name its parts by strings."
            raise DataError(msg)
        return {str(key): tensors(branch, f"{name}[{key!r}]") for key, branch in value.items()}
    if isinstance(value, tuple) and not all(isinstance(item, Number) for item in value):
        return tuple(tensors(branch, f"{name}[{position}]") for position, branch in enumerate(value))
    if isinstance(value, list) and value and all(isinstance(row, Tensor) for row in value):
        return _joined([row.detach().unsqueeze(0) for row in value], name)
    if isinstance(value, tuple | list) or hasattr(value, "__array__"):
        return _from_numpy(value, name)
    hint = f"pass {name}.toarray()" if hasattr(value, "toarray") else "expected tensors or numpy arrays"
    msg = f"{name} is {type(value).__name__}; {hint}."
    raise DataError(msg)


def _from_numpy(value: Any, name: str) -> Tensor:
    if isinstance(value, np.ma.MaskedArray):
        msg = f"{name} is a masked array; fill or drop its masked entries first, for example {name}.filled(0)."
        raise DataError(msg)
    try:
        array = np.asarray(value)
        if array.dtype == object:
            array = np.array(array.tolist())
    except (ValueError, TypeError) as error:
        msg = f"{name}: examples differ in length or shape; crop or pad them to one shape."
        raise DataError(msg) from error
    if array.dtype.kind in "US":
        msg = (
            f"{name} holds text ({array.dtype}); encode it as integers first, for example "
            f"`classes, {name} = numpy.unique({name}, return_inverse=True)`."
        )
        raise DataError(msg)
    if array.dtype.kind not in "biufc":
        msg = f"{name} is an array of {array.dtype}; expected numbers."
        raise DataError(msg)
    if array.dtype == np.longdouble and array.dtype != np.float64:
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).reshape(array.shape)
    return _computable(torch.from_numpy(array if array.flags.writeable else array.copy()))


def _computable(tensor: Tensor) -> Tensor:
    if tensor.dtype not in _UNSIGNED:
        return tensor
    signed = tensor.to(torch.int64)
    if tensor.dtype == torch.uint64 and signed.numel() and int(signed.min()) < 0:
        msg = "Integers above 2^63 - 1 cannot be computed with; scale them, or pass them as floating numbers."
        raise DataError(msg)
    return signed


def labels(targets: Tree, inputs: Tree) -> Tree:
    """Integer targets as losses take them: int64, and (n,) instead of (n, 1).

    A trailing dimension of one is kept where the inputs are integer sequences of the same shape:
    there it is a position.
    """

    def label(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() or tensor.is_complex():
            return tensor
        sequence = isinstance(inputs, Tensor) and not inputs.is_floating_point() and inputs.shape == tensor.shape
        if tensor.ndim == 2 and tensor.shape[1] == 1 and not sequence:
            tensor = tensor.squeeze(1)
        return tensor.to(torch.int64)

    return mapped(label, targets)
