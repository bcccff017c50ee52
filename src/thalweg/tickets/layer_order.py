"""Which layer is the first and which the last: by a trace of the model, or else by the order of its tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from thalweg.errors import ModelError, UsageError
from thalweg.population import Entry, Problem
from thalweg.tickets.allocation import Allocation
from thalweg.tickets.division import Division, Share


@dataclass(frozen=True)
class LayerOrder:
    """Weights of layers in the order in which the model calls them.

    Args:
        entries: that may be pruned and that the model calls.
        traced: whether a trace says so; where a model cannot be traced it is the order of its tensors.
    """

    entries: tuple[Entry, ...]
    traced: bool

    @classmethod
    def of(cls, problem: Problem, entries: Sequence[Entry]) -> "LayerOrder":
        """The order of these tensors; vectors, such as biases that may be pruned too, are no layers.

        A module may register its head before its body, so that the order of tensors says little.
        """
        layers = [entry for entry in entries if len(entry.shape) > 1] or list(entries)
        try:
            operations = problem.structure.operations
        except (ModelError, UsageError):
            return cls(tuple(layers), traced=False)
        place: dict[str, int] = {}
        for number, operation in enumerate(operations):
            for name in operation.parameters:
                place.setdefault(name, number)
        called = [entry for entry in layers if entry.name in place]
        if not called:
            return cls(tuple(layers), traced=False)
        return cls(tuple(sorted(called, key=lambda entry: place[entry.name])), traced=True)

    @property
    def first(self) -> Entry:
        """The layer that is called first."""
        return self.entries[0]

    @property
    def last(self) -> Entry:
        """The layer that is called last."""
        return self.entries[-1]

    @property
    def how(self) -> str:
        """By what the order is known, in words."""
        return "as the model calls its layers" if self.traced else "in the order of its tensors, as it cannot be traced"


def usual_keep(problem: Problem, allocation: Allocation, division: Division) -> tuple[Share | None, str]:
    """What an allocation keeps at every round where nothing is said, and of which layer more, in words.

    Allocations by layer keep more of the output layer, which is the one that the model calls last.
    """
    share = allocation.usual_share(division)
    if not isinstance(share, Mapping) or "output" not in share:
        return share, ""
    outputs = [name for name, kind in zip(division.names, division.kinds, strict=True) if kind == "output"]
    order = LayerOrder.of(problem, division.entries)
    if order.traced and order.last.name not in outputs and order.last.name in division.names:
        rest = min(share.values())
        outputs = [order.last.name]
        share = {name: share["output"] if name in outputs else rest for name in dict.fromkeys(division.names)}
    most = max(share.values())
    return share, f"Of {', '.join(dict.fromkeys(outputs))}, taken for the output layer {order.how}, {most:g} was kept."
