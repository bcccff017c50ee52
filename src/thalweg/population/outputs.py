"""What stands in the place of what a model returned where that is more than tensors with a row for each example."""

from collections.abc import Iterator
from typing import Any

from torch.utils._pytree import MappingKey, SequenceKey, register_pytree_node, tree_leaves

from thalweg.errors import ModelError


class Absent:
    """Stands for what a model returned beside its outputs; whoever computes with it is told what it was.

    Args:
        path: where it was, such as "output.loss".
        what: what it was.
    """

    def __init__(self, path: str, what: str) -> None:
        self.__dict__.update(_path=path, _what=what)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Absent) and vars(other)["_path"] == vars(self)["_path"]  # whatever the batch's size

    def __hash__(self) -> int:
        return hash(vars(self)["_path"])

    def __repr__(self) -> str:
        return f"Absent({vars(self)['_path']}: {vars(self)['_what']})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise self.refused()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise next(one for one in tree_leaves((args, kwargs)) if isinstance(one, Absent)).refused()

    def refused(self) -> ModelError:
        """What it was, and what to write instead."""
        path, what = vars(self)["_path"], vars(self)["_what"]
        return ModelError(
            f"A loss or metric uses {path} of the model, which is {what}: outputs have a row for each example of the "
            "batch, so that losses are means over examples. Compute it from such outputs in the loss (a language "
            "model's from its logits and the targets), and a penalty on parameters by the optimizer's weight decay."
        )


def _refuse(self: Absent, *_: Any) -> Any:
    raise self.refused()


_COMPUTING = "add radd sub rsub mul rmul truediv rtruediv pow rpow matmul rmatmul neg abs getitem iter len float int"
_COMPUTING += " lt le gt ge bool call"
for _name in _COMPUTING.split():
    setattr(Absent, f"__{_name}__", _refuse)


class Outputs:
    """What a model returned, read as its own type is: by position, by name, by attribute, or unpacked.

    Tensors that have a row for each example are as they were, and so is None; everything else is `Absent`.

    >>> import torch
    >>> from thalweg.population.answers import answer
    >>> outputs = answer({"logits": torch.zeros(2, 3), "loss": torch.tensor(0.5), "cache": None}, 2)
    >>> outputs["logits"].shape, outputs.cache, outputs.loss
    (torch.Size([2, 3]), None, Absent(output.loss: a single number))

    Args:
        kind: "tuple", "mapping" or "object".
        names: of the entries; positions of a tuple without names.
        held: the entries.
    """

    def __init__(self, kind: str, names: tuple[Any, ...], held: tuple[Any, ...]) -> None:
        self.__dict__.update(_kind=kind, _names=names, _held=held)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._names:
            return self._held[self._names.index(name)]
        msg = f"The model's output has no {name!r}; it has {', '.join(map(str, self.keys()))}."
        raise AttributeError(msg)

    def __getitem__(self, key: Any) -> Any:
        if self._kind != "tuple" and key in self.keys():
            return self._held[self._names.index(key)]
        if isinstance(key, int | slice):
            return self.values()[key]
        raise KeyError(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held if self._kind == "tuple" else self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __repr__(self) -> str:
        return f"Outputs({', '.join(f'{name}={one!r}' for name, one in self.items())})"

    def keys(self) -> tuple[Any, ...]:
        """The names; of an object, as Hugging Face's outputs, without those of what is None."""
        pairs = zip(self._names, self._held, strict=True)
        return tuple(name for name, one in pairs if one is not None or self._kind != "object")

    def values(self) -> tuple[Any, ...]:
        """The entries of these names."""
        return tuple(one for one in self._held if one is not None or self._kind != "object")

    def items(self) -> Iterator[tuple[Any, Any]]:
        """Names and entries."""
        return zip(self.keys(), self.values(), strict=True)

    def get(self, name: str, default: Any = None) -> Any:
        """The entry of that name."""
        return self[name] if name in self.keys() else default

    def to_tuple(self) -> tuple[Any, ...]:
        """The entries, as Hugging Face's outputs give them."""
        return self.values()


def _flat(outputs: Outputs) -> tuple[list[Any], Any]:
    inside = [one is not None and not isinstance(one, Absent) for one in outputs._held]
    rest = tuple(None if ours else one for ours, one in zip(inside, outputs._held, strict=True))
    kept = [one for ours, one in zip(inside, outputs._held, strict=True) if ours]
    return kept, (outputs._kind, outputs._names, tuple(inside), rest)


def _whole(kept: Any, context: Any) -> Outputs:
    kind, names, inside, rest = context
    following = iter(kept)
    return Outputs(kind, names, tuple(next(following) if ours else one for ours, one in zip(inside, rest, strict=True)))


def _keyed(outputs: Outputs) -> tuple[list[tuple[Any, Any]], Any]:
    kept, context = _flat(outputs)
    kind, names, inside, _ = context
    keys = [
        SequenceKey(place) if kind == "tuple" else MappingKey(names[place]) for place, ours in enumerate(inside) if ours
    ]
    return list(zip(keys, kept, strict=True)), context


register_pytree_node(
    Outputs,
    _flat,
    _whole,
    serialized_type_name="thalweg.population.outputs.Outputs",
    flatten_with_keys_fn=_keyed,
)
