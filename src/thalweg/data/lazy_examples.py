"""Rows of inputs and targets that stay where they are until asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from thalweg.data.examples import check_finite, check_lengths
from thalweg.data.trees import Tree, described, joined, labels, mapped, moved, named, tensors
from thalweg.errors import DataError
from thalweg.randomness import global_states, isolated

LABELS = ("labels", "label", "targets", "target")  # how batches that are dicts call their targets


class LazyExamples:
    """The protocol of `Examples` over a map-style dataset too large for memory.

    Reading an example that draws from the global generators (augmentation) always gives the same example, and the
    generators are left alone. Rows of a matrix of indices, the batches of members, are collated one by one: a member's
    batch is a function of its indices, whoever else is there.

    Args:
        dataset: anything with `len()` and `dataset[i]`, whose items are (input, target).
        collate: makes a batch (inputs, targets) of a list of items.
        indices: which of its items are the examples; None: all.
        device, dtype: where the rows are put and what floating ones are cast to; None: as they come.
        draws: whether reading an example is known to draw random numbers; it is noticed, too.
        check: called with the targets of all that is read, to raise what is wrong with them; None: nothing is.

    Raises:
        DataError: the dataset is empty, its first item is not an (input, target) pair of numbers, or that item
            differs when it is read again.

    >>> import torch
    >>> import thalweg as tw
    >>> items = [(torch.full((3,), float(i)), i) for i in range(5)]
    >>> tw.data.LazyExamples(items).take(torch.tensor([4, 0]))[1]
    tensor([4, 0])
    """

    def __init__(
        self,
        dataset: Dataset[Any] | Sequence[Any],
        *,
        collate: Callable[[list[Any]], Any] = default_collate,
        indices: Int64[Tensor, " examples"] | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        draws: bool = False,
        check: Callable[[Tree], None] | None = None,
    ) -> None:
        self.dataset, self.collate, self.check = dataset, collate, check
        self.indices = torch.arange(_length(dataset)) if indices is None else indices
        self.device, self.dtype = device, dtype
        if not len(self.indices):
            msg = "There are no examples: the dataset has length 0."
            raise DataError(msg)
        self.draws = draws
        self.first = self._batch(self.indices[:1])
        _check_same(self.first, self._batch(self.indices[:1]))

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        inputs, targets = self.first
        return f"LazyExamples({len(self):,}: inputs {described(inputs)}, targets {described(targets)})"

    def take(self, indices: Int64[Tensor, "*shape"]) -> tuple[Tree, Tree]:
        """The rows with these indices as (inputs, targets), each tensor with leading shape `indices.shape`.

        Cost: reading those items. Raises DataError when one of them is not finite.
        """
        flat = self.indices[indices.reshape(-1).cpu()]
        each = flat.split(indices.shape[-1]) if indices.ndim > 1 else [flat]
        batches = [self._batch(rows) for rows in each]
        inputs, targets = joined([x for x, _ in batches], "inputs"), joined([y for _, y in batches], "targets")

        def shaped(tensor: Tensor) -> Tensor:
            return tensor.view(indices.shape + tensor.shape[1:])

        return mapped(shaped, inputs), mapped(shaped, targets)

    def slice(self, start: int, stop: int) -> tuple[Tree, Tree]:
        """Rows start to stop - 1 as (inputs, targets)."""
        return self.take(torch.arange(len(self))[start:stop])

    def select(self, indices: Int64[Tensor, " chosen"]) -> "LazyExamples":
        """The chosen rows, in that order, still read when asked for."""
        return self._with(indices=self.indices[indices.cpu()])

    def to(self, device: str | torch.device | None = None, dtype: torch.dtype | None = None) -> "LazyExamples":
        """The same rows, put on another device and floating ones cast as they are read."""
        return self._with(device=device or self.device, dtype=dtype or self.dtype)

    def checked(self, check: Callable[[Tree], None]) -> "LazyExamples":
        """The same rows, whose targets are passed to `check` whenever some are read."""
        return self._with(check=check)

    def _with(
        self,
        *,
        indices: Tensor | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        check: Callable[[Tree], None] | None = None,
    ) -> "LazyExamples":
        indices = self.indices if indices is None else indices
        return LazyExamples(
            self.dataset,
            collate=self.collate,
            indices=indices,
            device=device or self.device,
            dtype=dtype or self.dtype,
            draws=self.draws,
            check=check or self.check,
        )

    def _item(self, index: int) -> Any:
        with isolated(0, "example", index):
            before = global_states()
            item = self.dataset[index]
            self.draws = self.draws or before != global_states()
        return item

    def _batch(self, flat: Int64[Tensor, " rows"]) -> tuple[Tree, Tree]:
        items = [self._item(index) for index in flat.tolist()]
        with isolated(0, "batch"):
            before = global_states()
            inputs, targets = collated(items, self.collate)
            self.draws = self.draws or before != global_states()
        got = check_lengths(inputs, targets)
        if got != len(items):
            msg = f"collate made {got} rows of {len(items)} items; expected one row per item."
            raise DataError(msg)
        inputs, targets = moved(inputs, self.device, self.dtype), moved(targets, self.device, self.dtype)
        check_finite(inputs, targets, flat)
        if self.check is not None:
            self.check(targets)
        return inputs, targets


def collated(items: list[Any], collate: Callable[[list[Any]], Any]) -> tuple[Tree, Tree]:
    """Items of a dataset as one batch (inputs, targets) of tensors."""
    if items:
        check_no_graph(items[0])
    try:
        batch = collate([as_rows(item) for item in items] if collate is default_collate else items)
    except Exception as error:
        msg = (
            f"The items of the dataset cannot be made a batch: {error}. Items must be (input, target) of "
            "numbers, all of one shape; for images pass transform=torchvision.transforms.ToTensor()."
        )
        raise DataError(msg) from error
    return pair(tuples(batch))


def as_rows(item: Any) -> Any:
    """An item (input, target) whose lists of numbers are one tensor each, which default_collate would take apart."""

    def row(part: Any) -> Any:
        if isinstance(part, Mapping):
            return {key: row(value) for key, value in part.items()}
        if isinstance(part, tuple):
            return tuple(row(value) for value in part)
        return tensors(part, "an item's list") if isinstance(part, list) else part

    return type(item)(map(row, item)) if type(item) in (list, tuple) else row(item)


def _check_same(first: tuple[Tree, Tree], second: tuple[Tree, Tree]) -> None:
    pairs = zip(
        [*named(first[0], "input"), *named(first[1], "target")],
        [*named(second[0], "input"), *named(second[1], "target")],
        strict=True,
    )
    if all(a.shape == b.shape and torch.equal(a, b) for (_, a), (_, b) in pairs):
        return
    msg = (
        "An example differs each time it is read, so it draws from a random generator of its own; draw from "
        "torch's, numpy's or Python's global one, which is set for every example, or pass tensors."
    )
    raise DataError(msg)


def tuples(batch: Any) -> Any:
    """The batch with tuples for the lists that default_collate makes of tuples; lists of numbers stay."""
    if isinstance(batch, Mapping):
        return {key: tuples(part) for key, part in batch.items()}
    if isinstance(batch, list | tuple) and not all(isinstance(part, int | float) for part in batch):
        return tuple(tuples(part) for part in batch)
    return batch


def pair(batch: Any) -> tuple[Tree, Tree]:
    """A batch as (inputs, targets) of tensors, with integer targets as losses take them."""
    check_no_graph(batch)
    if isinstance(batch, Mapping):
        batch = _by_name(batch)
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        got = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else type(batch).__name__
        keys = f" with keys {', '.join(map(repr, batch))}" if isinstance(batch, Mapping) else ""
        msg = (
            f"An item or batch of the data is {got}{keys}; expected (inputs, targets). Several inputs go "
            "into a tuple or dict: ((a, b), y), or into one dict with the targets under 'labels'. An autoencoder takes "
            "(x, x)."
        )
        raise DataError(msg)
    inputs = tensors(batch[0], "inputs")
    return inputs, labels(tensors(batch[1], "targets"), inputs)


def _by_name(batch: Mapping[str, Any]) -> Any:
    """A batch of named parts as (inputs, targets): {"inputs": x, "targets": y}, or labels beside what models take."""
    if set(batch) == {"inputs", "targets"}:
        return batch["inputs"], batch["targets"]
    found = [name for name in LABELS if name in batch]
    if len(found) == 1 and len(batch) > 1:
        return {name: part for name, part in batch.items() if name != found[0]}, batch[found[0]]
    return batch


def check_no_graph(batch: Any) -> None:
    """Raise DataError for graphs as torch_geometric keeps them, in which no row is an example."""
    if not hasattr(batch, "edge_index"):
        return
    msg = (
        f"{type(batch).__name__} is a graph with edge_index, in which there is no row for each example. Several graphs "
        "are padded to one number of nodes: ({'x': (graphs, nodes, features), 'adjacency': (graphs, nodes, nodes)}, "
        "targets), as torch_geometric.utils.to_dense_batch and to_dense_adj make them. One large graph is kept by the "
        "model in buffers; its inputs are numbers of nodes, and it returns their rows: (nodes, targets[nodes])."
    )
    raise DataError(msg)


def _length(dataset: Any) -> int:
    try:
        return len(dataset)
    except TypeError as error:
        msg = f"{type(dataset).__name__} has no length; a map-style dataset needs __len__ and __getitem__."
        raise DataError(msg) from error
