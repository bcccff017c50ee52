"""Kernels that are to be filled in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.population import Population


@dataclass(frozen=True, eq=False)
class Wanted:
    """Kernels of the parameters of every label, with zeros in them.

    Args:
        kernels: by label, of all members: see `Gram`.
        form: "full", "trace" or "diagonal"; see `Gram`.
        population: of whose members.
        inputs: of the rows' examples (examples, ...).
        others: of the columns'; None: the same, of which the half is enough.
        cotangents: (outputs, outputs of the model): along which every output of the kernel is.
        label: of a parameter.
        done: told how many tiles of how many.
    """

    kernels: Mapping[str, Tensor]
    form: str
    population: Population
    inputs: Any
    others: Any | None
    cotangents: Tensor
    label: Callable[[str], str]
    done: Callable[[int, int], None]

    @property
    def square(self) -> bool:
        """Whether rows and columns are the same examples."""
        return self.others is None

    @property
    def columns(self) -> Any:
        """The inputs of the columns."""
        return self.inputs if self.others is None else self.others


def count(inputs: Any) -> int:
    """How many examples there are."""
    return len(tree_leaves(inputs)[0])
