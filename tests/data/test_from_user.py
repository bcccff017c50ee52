"""The user's own data in every form it comes."""

import collections
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from thalweg.data import Examples, LazyExamples, digits, from_user
from thalweg.errors import DataError, UsageError

X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(300) % 3


class Items(Dataset):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return X[index].numpy(), int(Y[index])


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        return ((x, int(y)) for x, y in zip(X, Y, strict=True))


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        while True:
            yield X[0], 0


class Noisy(Items):
    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index] + torch.rand(4), int(Y[index])


def doubled(items: list[Any]) -> tuple[Tensor, Tensor]:
    x, y = torch.utils.data.default_collate(items)
    return 2 * x, y


SAME = {
    "tensors": lambda: (X, Y),
    "numpy": lambda: (X.numpy(), Y.numpy()),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "list of tensors": lambda: (list(X), list(Y)),
    "dict": lambda: {"inputs": X, "targets": Y},
    "examples": lambda: Examples(X, Y),
    "tensor dataset": lambda: TensorDataset(X, Y),
    "dataset": Items,
    "list of items": lambda: list(zip(X, Y, strict=True)),
    "dataset of dicts": lambda: [{"inputs": x, "targets": y} for x, y in zip(X, Y, strict=True)],
    "iterable": Stream,
    "loader": lambda: DataLoader(Items(), batch_size=7),
    "shuffling loader": lambda: DataLoader(Items(), batch_size=32, shuffle=True, drop_last=True),
    "loader of an iterable": lambda: DataLoader(Stream(), batch_size=11),
    "loader of whole batches": lambda: DataLoader([(X[:100], Y[:100]), (X[100:], Y[100:])], batch_size=None),
    "targets (n, 1)": lambda: (X, Y[:, None]),
    "targets int32": lambda: (X, Y.int()),
    "targets uint8 numpy": lambda: (X, Y.numpy().astype(np.uint8)),
    "targets uint16": lambda: (X, Y.to(torch.uint16)),
    "object arrays": lambda: (X.numpy().astype(object), Y.numpy().astype(object)),
    "big-endian": lambda: (X.numpy().astype(">f4"), Y.numpy().astype(">i8")),
    "reversed view": lambda: (X.numpy()[::-1].copy()[::-1], Y),
    "read-only": lambda: (np.broadcast_to(X.numpy(), X.shape), Y),
    "parameter": lambda: (torch.nn.Parameter(X), Y),
}


@pytest.mark.parametrize("form", SAME)
def test_every_form_is_the_same_data_in_the_same_order(form: str) -> None:
    data = from_user(SAME[form](), SAME[form]())
    for rows in (data.train, data.test):
        inputs, targets = rows.take(torch.arange(300))
        torch.testing.assert_close(inputs.float(), X, rtol=0, atol=0)
        assert torch.equal(targets, Y)
        assert targets.dtype == torch.int64
    assert data.classes == 3


def test_data_is_returned_as_it_is() -> None:
    data = digits()
    assert from_user(data) is data
    with pytest.raises(UsageError, match=r"from_user\(data.train, test\)"):
        from_user(data, (X, Y))
    with pytest.raises(UsageError, match="test is a whole Data"):
        from_user((X, Y), data)


def test_several_inputs_and_targets() -> None:
    data = from_user(({"x": X.numpy(), "mask": X > 0}, (Y, X)))
    inputs, targets = data.train.take(torch.tensor([2, 1]))
    assert torch.equal(inputs["mask"], X[[2, 1]] > 0)
    assert torch.equal(targets[1], X[[2, 1]])
    nested = from_user([((x, x[:2]), y) for x, y in zip(X, Y, strict=True)])
    assert torch.equal(nested.train.inputs[1], X[:, :2])


def test_named_tuples_are_pairs() -> None:
    Pair = collections.namedtuple("Pair", "x y")
    assert torch.equal(from_user(Pair(X, Y)).train.inputs, X)
    assert torch.equal(from_user([Pair(x, y) for x, y in zip(X, Y, strict=True)]).train.inputs, X)


def test_dtypes_are_kept_and_trailing_dimensions_mean_what_they_say() -> None:
    data = from_user((X.double().numpy(), X[:, :1].double()))
    assert data.train.inputs.dtype == torch.float64
    assert data.train.targets.shape == (300, 1)
    assert data.classes is None
    squeezed = from_user((X, Y[:, None]))
    assert squeezed.notes == ("train: targets of shape (300, 1) are read as (300,)",)
    sequences = from_user((Y[:, None], Y[:, None]))
    assert sequences.train.targets.shape == (300, 1)


def test_classes() -> None:
    assert from_user((X, Y), (X, Y + 1)).classes == 4
    assert from_user((X, Y), classes=10).classes == 10
    assert from_user((X, Y - 1)).classes is None


def test_collate_function_is_applied() -> None:
    data = from_user(DataLoader(Items(), batch_size=64, collate_fn=doubled))
    torch.testing.assert_close(data.train.inputs, 2 * X)


def test_samplers_that_pick() -> None:
    chosen = [5, 250, 31]
    data = from_user(DataLoader(Items(), batch_size=2, sampler=SubsetRandomSampler(chosen)))
    assert torch.equal(data.train.inputs, X[sorted(chosen)])
    assert torch.equal(from_user(Subset(Items(), chosen)).train.inputs, X[chosen])
    batches = from_user(DataLoader(Items(), batch_sampler=[[9, 3], [4]]))
    assert torch.equal(batches.train.inputs, X[[3, 4, 9]])
    weights = torch.zeros(300)
    weights[[8, 200]] = 1
    weighted = from_user(DataLoader(Items(), batch_size=10, sampler=WeightedRandomSampler(weights, 50)))
    assert torch.equal(weighted.train.inputs, X[[8, 200]])
    assert "WeightedRandomSampler visits 2 examples in an epoch; each is taken once" in weighted.notes[0]


def test_larger_than_the_budget_stays_streamed_with_the_same_rows() -> None:
    size = 300 * (4 * 4 + 8)
    memory, streamed = from_user(Items(), memory_budget=size), from_user(Items(), memory_budget=size - 1)
    assert isinstance(memory.train, Examples)
    assert isinstance(streamed.train, LazyExamples)
    indices = torch.tensor([[3, 299], [3, 0]])
    assert torch.equal(memory.train.take(indices)[0], streamed.train.take(indices)[0])
    assert "exceed the memory budget" in streamed.notes[0]
    loaded = from_user(DataLoader(Items(), batch_size=8, shuffle=True, collate_fn=doubled), memory_budget=100)
    assert torch.equal(loaded.train.take(indices)[0], 2 * X[indices])


@pytest.mark.parametrize("make", [Endless, lambda: DataLoader(Endless(), batch_size=8)], ids=["plain", "loader"])
def test_endless_streams_end_at_the_budget(make: Callable) -> None:
    with pytest.raises(DataError, match="train: The data exceeds the memory budget"):
        from_user(make(), memory_budget=10_000)


def test_augmented_examples_are_fixed_alike_in_memory_and_streamed() -> None:
    memory, streamed = from_user(Noisy()), from_user(Noisy(), memory_budget=10)
    torch.rand(5)
    indices = torch.tensor([7, 7, 290])
    assert torch.equal(memory.train.take(indices)[0], streamed.train.take(indices)[0])
    assert "draws random numbers" in memory.notes[0]
    assert not any("draws" in note for note in from_user(Items()).notes)


@pytest.mark.parametrize(
    "make",
    [
        Noisy,
        lambda: DataLoader(Items(), shuffle=True),
        lambda: DataLoader(Stream()),
        lambda: DataLoader(Noisy()),
    ],
    ids=["augmented", "shuffled", "iterable", "both"],
)
def test_global_random_state_is_untouched(make: Callable) -> None:
    source = make()
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    from_user(source)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002


def nan_at(row: int) -> Tensor:
    x = X.clone()
    x[row, 2] = float("nan")
    return x


REFUSED = {
    "nan": (
        lambda: (nan_at(17), Y),
        "train: inputs is not finite in 1 of 300 examples; the first is example 17",
    ),
    "nan in a dataset": (lambda: TensorDataset(nan_at(280), Y), "the first is example 280"),
    "nan in a loader": (
        lambda: DataLoader(TensorDataset(nan_at(280), Y), batch_size=9),
        "the first is example 280",
    ),
    "none in an object array": (lambda: (np.array([1.0, None], dtype=object), Y[:2]), "array of object"),
    "lengths": (lambda: (X, Y[:7]), "inputs has 300, targets has 7"),
    "strings": (lambda: (X, np.array(["cat", "dog", "cow"] * 100)), "numpy.unique"),
    "ragged": (lambda: ([[1.0], [1.0, 2.0]], [0, 1]), "differ in length or shape"),
    "ragged objects": (
        lambda: (np.array([[1.0], [1.0, 2.0]], dtype=object), Y[:2]),
        "differ in length or shape",
    ),
    "ragged items": (lambda: [(X[0], 0), (X[0, :2], 1)], "cannot be made a batch"),
    "ragged batches": (
        lambda: DataLoader([(X[:2], Y[:2]), (X[:2, :3], Y[:2])], batch_size=None),
        "differ in shape",
    ),
    "dates": (lambda: (np.array(["2020-01-01"], dtype="datetime64[D]"), Y[:1]), "array of datetime64"),
    "masked": (lambda: (np.ma.masked_invalid(nan_at(3).numpy()), Y), "masked array"),
    "sparse": (lambda: (X.to_sparse(), Y), "to_dense"),
    "without numbers": (lambda: (X.to("meta"), Y), "on the device meta.*make it on the CPU"),
    "one tensor": (lambda: X, "train is Tensor; expected"),
    "one array": (lambda: X.numpy(), r"expected \(inputs, targets\)"),
    "three parts": (lambda: (X, Y, Y), "tuple of 3; expected"),
    "three tensors": (lambda: TensorDataset(X, Y, Y), "tuple of 3; expected"),
    "other keys": (lambda: {"data": X, "answer": Y}, "keys 'data', 'answer'; expected"),
    "two datasets": (lambda: (Items(), Items()), r"from_user\(train, test\)"),
    "a path": (lambda: "data.csv", "train is str; expected"),
    "a number": (lambda: 3, "train is int; expected"),
    "empty": (list, "length 0"),
    "empty iterable": (lambda: DataLoader(IterableDataset.__new__(Nothing)), "iterable dataset is empty"),
    "single examples": (lambda: DataLoader([(X[0], Y[0])], batch_size=None), "single number"),
}


class Nothing(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize("form", REFUSED)
def test_what_is_refused_and_how(form: str) -> None:
    make, message = REFUSED[form]
    with pytest.raises(DataError, match=message):
        from_user(make())


def test_the_faulty_part_is_named() -> None:
    with pytest.raises(DataError, match=r"^test: targets is not finite"):
        from_user((X, X), (X, nan_at(1)))
