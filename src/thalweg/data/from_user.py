"""The user's own data, in whatever form it comes."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from thalweg.data.dataset import Data, ExampleSet
from thalweg.data.examples import Examples
from thalweg.data.lazy_examples import LABELS, LazyExamples, check_no_graph, collated, pair, tuples
from thalweg.data.trees import Tree, joined, labels, named, size_in_bytes
from thalweg.errors import DataError, UsageError, check_type
from thalweg.guard import guarded
from thalweg.randomness import isolated

_READ_AT_ONCE = 256  # items of a dataset collated together while it is read into memory


@guarded
def from_user(
    train: Any,
    test: Any = None,
    *,
    memory_budget: int = 2**30,
    name: str = "own",
    classes: int | None = None,
) -> Data:
    """The user's own data as `Data`.

    Args:
        train: one of
            (x, y): tensors, numpy arrays, data frames or lists of rows; x may be a tuple or dict of them;
            {"inputs": x, "targets": y}, or the targets under "labels" beside what the model takes by name;
            a map-style `Dataset`, or a list, of items (x, y);
            a `DataLoader`: its dataset, sampler and collate_fn are used, without shuffling or dropping a last batch;
            an `IterableDataset`, also in a loader: read once, to its end, in this process whatever its num_workers;
            `Examples`, or `Data` (returned as it is).
        test: held-out data in any of these forms.
        memory_budget: bytes that each of train and test may take in memory; a larger map-style dataset
            (estimated by its first item) is read item by item as needed.
        name: for titles and file names.
        classes: number of classes; None: the largest integer target plus one.

    Integer and boolean targets become int64, and (n, 1) becomes (n,): they are classes; floating ones stay as they
    are. Floating numbers keep their dtype; `Problem` casts them to the model's. Examples that are drawn anew at each
    reading (augmentation) stay as first read, and so do batches whose collate_fn mixes examples.

    Raises:
        DataError: a non-finite value, lengths that do not match, or a form that is none of these.
        UsageError: `classes` that the targets do not fit.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> x, y = np.zeros((20, 3)), np.arange(20) % 4
    >>> data = tw.data.from_user((x, y), name="mine")
    >>> data.train, data.classes
    (Examples(20: inputs float64 (3,), targets int64 ()), 4)
    """
    if isinstance(train, Data):
        if test is not None:
            msg = "The data has its own held-out examples; write from_user(data.train, test) to test on others."
            raise UsageError(msg)
        return train
    check_type("from_user name", name, str, "text, for titles and file names")
    if not name.isprintable():
        msg = f"from_user name must be printable text, for titles and file names; got {name!r}."
        raise UsageError(msg)
    notes: list[str] = []
    examples = _rows(train, memory_budget, "train", notes)
    held_out = None if test is None else _rows(test, memory_budget, "test", notes)
    found = _classes(examples, held_out)
    if classes is not None:
        check_type("from_user classes", classes, int, "how many classes there are, or None to find out")
        if classes < 1 or (found is not None and found > classes):
            largest = f", and the largest target is {found - 1}" if found is not None else ""
            msg = f"from_user classes must be at least 1 and above every target; got {classes}{largest}."
            raise UsageError(msg)
        found = classes
    return Data(examples, held_out, name, found, tuple(notes))


def _rows(source: Any, memory_budget: int, role: str, notes: list[str]) -> ExampleSet:
    if isinstance(source, Data):
        msg = f"{role} is a whole Data; pass its examples, for example data.test."
        raise UsageError(msg)
    if isinstance(source, Examples):
        return Examples(source.inputs, labels(source.targets, source.inputs))
    if isinstance(source, LazyExamples):
        return source
    try:
        check_no_graph(source)
        if isinstance(source, DataLoader):
            return _loader(source, memory_budget, role, notes)
        if isinstance(source, IterableDataset):
            return _iterated((collated([item], default_collate) for item in source), memory_budget)
        if type(source) is TensorDataset:
            return Examples(*pair(source.tensors))
        if isinstance(source, tuple | Mapping):
            return _arrays(source, role, notes)
        if (
            hasattr(source, "__getitem__")
            and hasattr(source, "__len__")
            and not isinstance(source, str | bytes | Tensor)
        ):
            return _read(LazyExamples(source), memory_budget, role, notes)
    except DataError as error:
        msg = f"{role}: {error}"
        raise DataError(msg) from error
    msg = (
        f"{role} is {type(source).__name__}; expected (x, y) of tensors or arrays, "
        "{'inputs': x, 'targets': y}, a Dataset or a DataLoader of (x, y) items."
    )
    raise DataError(msg)


def _arrays(source: tuple[Any, ...] | Mapping[str, Any], role: str, notes: list[str]) -> Examples:
    if isinstance(source, tuple) and any(isinstance(part, Dataset | DataLoader) for part in source):
        msg = "Got a tuple of datasets; write from_user(train, test)."
        raise DataError(msg)
    inputs, targets = pair(dict(source) if isinstance(source, Mapping) else source)
    given = next(source[name] for name in LABELS if name in source) if isinstance(source, Mapping) else source[1]
    if isinstance(targets, Tensor) and targets.shape != getattr(given, "shape", targets.shape):
        notes.append(f"{role}: targets of shape {tuple(given.shape)} are read as {tuple(targets.shape)}")
    return Examples(inputs, targets)


def _loader(loader: DataLoader[Any], memory_budget: int, role: str, notes: list[str]) -> ExampleSet:
    if isinstance(loader.dataset, IterableDataset):
        return _iterated(_whole(loader), memory_budget)
    dataset: Any = loader.dataset
    indices, note = _indices(loader)
    if note:
        notes.append(f"{role}: {note}")
    if loader.batch_sampler is None:  # batch_size=None: every item of the dataset is a batch already
        visited = range(len(dataset)) if indices is None else indices.tolist()
        return _iterated((loader.collate_fn(dataset[index]) for index in visited), memory_budget)
    rows = LazyExamples(dataset, collate=loader.collate_fn, indices=indices)
    if loader.collate_fn is not default_collate and len(rows) > 1 and _mixes(rows):
        notes.append(f"{role}: collate_fn lets examples depend on their batch; each stays as in the batch it came in")
    return _read(rows, memory_budget, role, notes, loader.batch_size or _READ_AT_ONCE)


def _whole(loader: DataLoader[Any]) -> DataLoader[Any]:
    """The loader, or one alike that keeps the last batch and reads in this process.

    Each worker of its own would iterate over its own copy of the dataset, from the first example to the last.
    """
    if not loader.drop_last and loader.num_workers == 0:
        return loader
    return DataLoader(loader.dataset, loader.batch_size, collate_fn=loader.collate_fn)


def _mixes(rows: LazyExamples) -> bool:
    """Whether two examples collated together are others than one by one."""
    together, apart = rows.slice(0, 2), rows.take(torch.arange(2)[:, None])
    leaves = [[leaf for part in parts for _, leaf in named(part, "")] for parts in (together, apart)]
    return not all(torch.equal(a, b.flatten(0, 1)) for a, b in zip(*leaves, strict=True))


def _indices(loader: DataLoader[Any]) -> tuple[Tensor | None, str]:
    """Which items a loader visits in one epoch, in the dataset's order (None: all); and a note about it."""
    batches: Any = loader.batch_sampler
    usual = batches is None or type(batches) is BatchSampler
    sampler: Any = batches
    if usual:
        sampler = loader.sampler if batches is None else batches.sampler
    shuffles = type(sampler) is RandomSampler and not sampler.replacement
    if type(sampler) is SequentialSampler or (shuffles and sampler.num_samples == len(sampler.data_source)):
        count = len(sampler.data_source)
        return (None if count == len(loader.dataset) else torch.arange(count)), ""  # type: ignore[arg-type]
    if type(sampler) is SubsetRandomSampler:
        return torch.as_tensor(sampler.indices).unique(), ""
    from_user = getattr(sampler, "generator", None)
    state = None if from_user is None else from_user.get_state()
    with isolated(0, "read"):
        visited = list(sampler) if usual else [index for batch in sampler for index in batch]
    if from_user is not None:
        from_user.set_state(state)
    indices = torch.as_tensor(visited).unique()
    note = f"{type(sampler).__name__} visits {len(indices):,} examples in an epoch; each is taken once"
    return indices, note


def _read(
    rows: LazyExamples, memory_budget: int, role: str, notes: list[str], at_once: int = _READ_AT_ONCE
) -> ExampleSet:
    """All rows in memory where they fit, else as they are."""
    size = len(rows) * sum(size_in_bytes(tree) for tree in rows.first)
    if size > memory_budget:
        notes.append(f"{role}: about {size / 2**20:,.0f} MiB exceed the memory budget; examples are read as needed")
        read: ExampleSet = rows
    else:
        read = _concatenated([rows.slice(start, start + at_once) for start in range(0, len(rows), at_once)])
    if rows.draws:
        notes.append(f"{role}: reading an example draws random numbers (augmentation?); each stays as first read")
    return read


def _iterated(batches: Iterable[Any], memory_budget: int) -> Examples:
    parts: list[tuple[Tree, Tree]] = []
    size = 0
    with isolated(0, "read"):
        for batch in batches:
            parts.append(pair(tuples(batch)))
            size += sum(size_in_bytes(tree) for tree in parts[-1])
            if size > memory_budget:
                msg = (
                    f"The data exceeds the memory budget of {memory_budget / 2**20:,.0f} MiB and cannot be "
                    "read at random positions; pass a larger memory_budget, or a map-style Dataset."
                )
                raise DataError(msg)
    if not parts:
        msg = "There are no examples: the iterable dataset is empty."
        raise DataError(msg)
    return _concatenated(parts)


def _concatenated(parts: list[tuple[Tree, Tree]]) -> Examples:
    return Examples(joined([x for x, _ in parts], "inputs"), joined([y for _, y in parts], "targets"))


def _classes(train: ExampleSet, test: ExampleSet | None) -> int | None:
    """The largest integer target plus one, over all examples in memory; None where targets are no classes."""
    largest = -1
    for rows in (train, test):
        if rows is None:
            continue
        targets = rows.targets if isinstance(rows, Examples) else None
        numbers = isinstance(targets, Tensor) and (targets.is_floating_point() or targets.is_complex())
        if not isinstance(targets, Tensor) or numbers or int(targets.min()) < 0:
            return None
        largest = max(largest, int(targets.max()))
    return largest + 1
