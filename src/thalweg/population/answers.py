"""What models return, read as tensors with a row for each example; what is beside them is set apart."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.population.outputs import Absent, Outputs


def answer(outputs: Any, examples: int | None, beside: Collection[str] = ()) -> Any:
    """What a model returned, as it is where it is tensors alone (or tuples, lists and dicts of them), else `Outputs`.

    Args:
        outputs: what it returned.
        examples: in the batch; None where that is not known.
        beside: paths of tensors that have no row for each example even where they are as long; see `lengths`.
    """
    if isinstance(outputs, Tensor):
        return outputs
    leaves = tree_leaves(outputs)
    if not beside and leaves and all(isinstance(leaf, Tensor) and _has_rows(leaf, examples) for leaf in leaves):
        return outputs
    return _read(outputs, "output", examples, beside)


def lengths(outputs: Any) -> dict[str, int]:
    """The first dimension of every tensor that a model returned, by path; 0 of a single number.

    >>> import torch
    >>> from thalweg.population.answers import lengths
    >>> lengths((torch.zeros(8, 3), {"state": torch.zeros(1, 8, 4)}))
    {'output[0]': 8, 'output[1].state': 1}
    """
    return {path: len(leaf) if leaf.ndim else 0 for path, leaf in _tensors(outputs, "output")}


def _tensors(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    for name, held in _entries(value)[1] if value is not None else ():
        yield from _tensors(held, f"{path}{name}")


def rows(inputs: Any) -> int | None:
    """How many examples a batch has."""
    return next((len(leaf) for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor) and leaf.ndim), None)


def _has_rows(tensor: Tensor, examples: int | None) -> bool:
    return tensor.ndim > 0 and (examples is None or len(tensor) == examples)


def _read(value: Any, path: str, examples: int | None, beside: Collection[str]) -> Any:
    if value is None or isinstance(value, Outputs):
        return value
    if isinstance(value, Tensor):
        if path not in beside and _has_rows(value, examples):
            return value
        shape = tuple(value.shape)
        return Absent(
            path, f"of shape {shape}, not a row for each of {examples} examples" if shape else "a single number"
        )
    kind, entries = _entries(value)
    if kind:
        names = tuple(getattr(type(value), "_fields", range(len(value))) if kind == "tuple" else _names(value))
        return Outputs(kind, names, tuple(_read(held, f"{path}{name}", examples, beside) for name, held in entries))
    return Absent(path, f"a {type(value).__name__}" if not isinstance(value, torch.Size) else "a shape")


def _entries(value: Any) -> tuple[str, list[tuple[str, Any]]]:
    """The kind of what holds others, empty for anything else, and how their paths go on, with them."""
    if isinstance(value, Mapping) and not is_dataclass(value):
        return "mapping", [(f".{name}", value[name]) for name in value]
    if isinstance(value, tuple | list):
        return "tuple", [(f"[{place}]", one) for place, one in enumerate(value)]
    if is_dataclass(value) and not isinstance(value, type):
        return "object", [(f".{name}", getattr(value, name)) for name in _names(value)]
    return "", []


def _names(value: Any) -> tuple[Any, ...]:
    return tuple(field.name for field in fields(value)) if is_dataclass(value) else tuple(value)
