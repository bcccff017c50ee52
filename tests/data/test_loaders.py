"""Loaders and datasets of others: what they visit is what is read, and an example is one example, whoever reads it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    default_collate,
)

import thalweg as tw
from thalweg import optim
from thalweg.data import Data, Examples, LazyExamples, from_user, modular, table
from thalweg.errors import DataError, ModelError, UsageError

X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(300) % 3
STREAMED = 10  # bytes of memory: nothing fits


class Items(Dataset[Any]):
    """The rows of X and Y, changed by a function of index and row."""

    def __init__(self, change: Callable[[int, Tensor], Tensor] = lambda index, x: x) -> None:
        self.change = change

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.change(index, X[index]), int(Y[index])


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(zip(X, Y, strict=True))


def _loader(indices: list[int]) -> DataLoader[Any]:
    return DataLoader(Items(), batch_sampler=BatchSampler(SubsetRandomSampler(indices), 20, drop_last=True))


def test_the_sampler_within_a_batch_sampler_says_what_is_read() -> None:
    data = from_user(_loader(list(range(200))), _loader(list(range(200, 300))))
    assert torch.equal(data.train.inputs, X[:200])
    assert torch.equal(data.test.inputs, X[200:])


@pytest.mark.parametrize("sampler", [SequentialSampler(range(10)), RandomSampler(range(10))])
def test_a_sampler_over_less_than_the_dataset_is_taken_at_its_word(sampler: Any) -> None:
    assert torch.equal(from_user(DataLoader(Items(), batch_size=5, sampler=sampler)).train.inputs, X[:10])
    whole = DataLoader(
        Items(), batch_size=None, sampler=SequentialSampler(range(7)), collate_fn=lambda item: _one(item)
    )
    assert len(from_user(whole).train) == 7


def _one(item: tuple[Tensor, int]) -> tuple[Tensor, Tensor]:
    return item[0][None], torch.tensor([item[1]])


def test_an_example_is_taken_once_and_a_samplers_own_generator_is_left_alone() -> None:
    assert len(from_user(DataLoader(Items(), sampler=SubsetRandomSampler([1, 1, 2]))).train) == 2
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    make = lambda: DataLoader(Items(), sampler=RandomSampler(Items(), num_samples=5, generator=generator))  # noqa: E731
    assert torch.equal(from_user(make()).train.inputs, from_user(make()).train.inputs)
    assert torch.equal(generator.get_state(), before)


def test_a_last_batch_is_not_dropped_from_an_iterable_dataset() -> None:
    assert len(from_user(DataLoader(Stream(), batch_size=128, drop_last=True)).train) == 300


def _centered(items: list[Any]) -> Any:
    x, y = default_collate(items)
    return x - x.mean(0), y


def _mixed(items: list[Any]) -> Any:
    x, y = default_collate(items)
    share = torch.rand(())
    return share * x + (1 - share) * x[torch.randperm(len(x))], y


@pytest.mark.parametrize("collate", [_centered, _mixed])
def test_a_members_batches_do_not_hang_on_who_else_is_trained(collate: Any) -> None:
    loader = DataLoader(Items(), batch_size=8, collate_fn=collate)
    data = from_user(loader, memory_budget=STREAMED)
    assert isinstance(data.train, LazyExamples)
    problem = tw.Problem(lambda: nn.Linear(4, 3), data)
    recipe = tw.Recipe(optim.SGD(0.1), steps=6, batch_size=16, evaluate=0)
    alone = tw.train(problem, recipe, seeds=[1], plan="looped")
    among = tw.train(problem, recipe, seeds=[0, 1], plan="looped")
    assert torch.equal(among.final.theta[1:], alone.final.theta)
    assert any("depend on their batch" in note for note in data.notes)


def test_in_memory_a_collate_function_sees_the_loaders_own_batches() -> None:
    data = from_user(DataLoader(Items(), batch_size=8, collate_fn=_centered))
    torch.testing.assert_close(data.train.inputs[:8], X[:8] - X[:8].mean(0))
    torch.testing.assert_close(data.train.inputs[296:], X[296:] - X[296:].mean(0))


def test_padding_to_the_longest_of_a_batch_is_refused_where_members_differ() -> None:
    class Ragged(Items):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            return torch.ones(1 + index % 5), int(Y[index])

    def padded(items: list[Any]) -> Any:
        return pad_sequence([x for x, _ in items], batch_first=True), torch.tensor([y for _, y in items])

    rows = LazyExamples(Ragged(), collate=padded)
    with pytest.raises(DataError, match=r"examples differ in shape.*pad them to one shape"):
        rows.take(torch.tensor([[0, 1], [3, 4]]))


def _noisy_minority(index: int, x: Tensor) -> Tensor:
    return x + torch.randn(4) if Y[index] == 1 else x


def test_an_example_is_the_same_wherever_it_is_read_also_if_only_some_are_drawn() -> None:
    rows = LazyExamples(Items(_noisy_minority))
    first, second = rows.take(torch.tensor([1, 4]))[0], rows.take(torch.tensor([4, 1]))[0]
    assert torch.equal(first, second.flip(0))
    pieces = torch.cat([rows.slice(0, 2)[0], rows.slice(2, 8)[0]])
    assert torch.equal(pieces, rows.slice(0, 8)[0])
    assert torch.equal(rows.select(torch.tensor([4, 7])).slice(0, 2)[0], rows.take(torch.tensor([4, 7]))[0])
    assert rows.draws
    data = from_user(Items(_noisy_minority))
    assert any("draws random numbers" in note for note in data.notes)
    assert torch.equal(data.train.inputs[4], first[1])


def test_a_dataset_with_a_generator_of_its_own_is_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(DataError, match="a random generator of its own; draw from torch's"):
        from_user(Items(lambda index, x: x + float(generator.normal())))


def test_lists_of_numbers_are_rows_in_items_too() -> None:
    data = from_user([([1.0, 2.0, 5.0], 0), ([3.0, 4.0, 6.0], 1)])
    assert data.train.inputs.tolist() == [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]
    nested = from_user([([[1.0, 2.0], [3.0, 4.0]], 0), ([[5.0, 6.0], [7.0, 8.0]], 1)])
    assert nested.train.inputs.shape == (2, 2, 2)
    several = from_user([(([1.0, 2.0], 3.0), 0), (([4.0, 5.0], 6.0), 1)])
    assert [part.shape for part in several.train.inputs] == [(2, 2), (2,)]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_classes_of_any_integer_type_become_int64_and_take_label_noise(dtype: torch.dtype) -> None:
    assert from_user(Examples(X, Y.to(dtype)[:, None])).train.targets.dtype == torch.int64
    noisy = Data(Examples(X, Y.to(dtype)), classes=3).with_label_noise(0.5, seed=0)
    assert noisy.train.targets.dtype == dtype
    assert int((noisy.train.targets != Y).sum()) == 150


def test_integer_targets_of_a_loss_on_numbers_say_what_to_write() -> None:
    with pytest.raises(ModelError, match=r"pass targets.float\(\)"):
        tw.Problem(lambda: nn.Linear(4, 1), (X, (Y > 0)[:, None]), "logistic")


def test_a_test_set_of_another_form_is_named() -> None:
    with pytest.raises(DataError, match=r"inputs of one is \(3,\), not \(4,\)"):
        from_user((X, Y), (X[:, :3], Y))
    with pytest.raises(DataError, match=r"inputs\[1\] of one is missing, not \(4,\)"):
        from_user(((X, X), Y), ((X,), Y))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: from_user((X, Y), classes=0), UsageError, "at least 1.*got 0"),
        (lambda: from_user((X, Y), classes=2), UsageError, "the largest target is 2"),
        (lambda: from_user((X, Y), classes="3"), UsageError, "how many classes"),
        (lambda: from_user(({1: X, "1": X}, Y)), DataError, "keys that are one as text"),
        (lambda: from_user((np.array([[2**63 + 5]], np.uint64), [0])), DataError, "above 2"),
        (
            lambda: from_user((torch.nested.nested_tensor([X[0], X[1, :2]], layout=torch.jagged), Y[:2])),
            DataError,
            "nested tensor; pass",
        ),
        (lambda: from_user([({"a": 1.0}, 0), ({"b": 1.0}, 1)]), DataError, "cannot be made a batch"),
        (lambda: tw.nets.mlp(4, 5, 2, activation=nn.ReLU), UsageError, "There is no activation.*relu"),
        (lambda: tw.nets.mlp(4, 2, activation="bogus"), UsageError, "There is no activation 'bogus'"),
        (lambda: tw.nets.resnet(norm=None), UsageError, "There is no norm None"),
        (lambda: tw.nets.resnet(image=(8, 8)), UsageError, r"\(channels, height, width\)"),
        (lambda: tw.nets.convnet(image=(8, 8)), UsageError, r"\(channels, height, width\)"),
        (lambda: tw.nets.convnet(16), UsageError, "channels of every stage"),
        (lambda: tw.nets.mlp(4, True), UsageError, "widths"),
        (lambda: tw.nets.modular_transformer(0), UsageError, "p to be an integer of at least 1"),
        (lambda: table(None), UsageError, "There is no table None"),
        (lambda: modular(5.0), UsageError, "modular p must be a whole number"),
        (lambda: modular(5, train_fraction=float("nan")), UsageError, "train_fraction must be above 0"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(make: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_complex_targets_are_no_classes_and_numpy_integers_are_sizes() -> None:
    assert from_user((X, X[:, 0].to(torch.complex64))).classes is None
    assert from_user((X, tuple(Y.numpy()))).classes == 3
    assert tw.nets.mlp(4, np.int64(3))(X).shape == (300, 3)


@pytest.mark.parametrize("name", ["breast_cancer", "diabetes", "iris", "wine"])
def test_no_held_out_row_of_a_table_is_a_training_row(name: str) -> None:
    for seed in range(21):
        data = table(name, seed=seed)
        rows = [{tuple(row) for row in part.inputs.tolist()} for part in (data.train, data.test)]
        assert not rows[0] & rows[1]
