"""Examples, LazyExamples and Data against plain indexing and counting."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import Dataset

from thalweg.data import Data, Examples, LazyExamples
from thalweg.errors import DataError, UsageError

X = torch.randn(20, 3, 2, generator=torch.Generator().manual_seed(0))
Y = torch.arange(20) % 4


class Items(Dataset):
    """A map-style dataset that counts what is read of it."""

    def __init__(self, x: Tensor = X, y: Tensor = Y) -> None:
        self.x, self.y, self.read = x, y, []

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        self.read.append(index)
        return self.x[index], self.y[index]


class Augmented(Items):
    """Every item with fresh noise from all three global generators."""

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = super().__getitem__(index)
        return x + torch.randn(x.shape) + float(np.random.randn()) + random.random(), y  # noqa: NPY002


@pytest.mark.parametrize("make", [lambda: Examples(X, Y), lambda: LazyExamples(Items())], ids=["memory", "streamed"])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 4)], ids=str)
def test_take_is_indexing_for_indices_of_any_shape(make: Callable, shape: tuple[int, ...]) -> None:
    indices = torch.randint(0, 20, shape)
    inputs, targets = make().take(indices)
    assert torch.equal(inputs, X[indices])
    assert torch.equal(targets, Y[indices])


def test_take_of_trees() -> None:
    rows = Examples({"a": X, "b": (Y, X[:, 0])}, (Y, X[:, :, 0]))
    indices = torch.tensor([[3, 3], [0, 19]])
    inputs, targets = rows.take(indices)
    assert torch.equal(inputs["b"][1], X[:, 0][indices])
    assert torch.equal(inputs["a"], X[indices])
    assert torch.equal(targets[0], Y[indices])
    assert len(rows) == 20


def test_slice_shares_memory() -> None:
    inputs, targets = Examples(X, Y).slice(5, 9)
    assert inputs.data_ptr() == X[5:].data_ptr()
    assert torch.equal(targets, Y[5:9])


def test_to_casts_floats_only() -> None:
    moved = Examples({"x": X, "ids": Y}, X.double()).to(dtype=torch.float64)
    assert moved.inputs["x"].dtype == moved.targets.dtype == torch.float64
    assert moved.inputs["ids"].dtype == torch.int64
    assert torch.equal(moved.inputs["x"], X.double())


def test_to_a_dtype_too_small_for_a_value() -> None:
    large = X.double().clone()
    large[4, 0, 0] = 1e300
    with pytest.raises(DataError, match="inputs is not finite in 1 of 20 examples; the first is example 4"):
        Examples(large, Y).to(dtype=torch.float32)


def test_examples_leave_gradients_behind() -> None:
    assert not Examples(X.clone().requires_grad_(), Y).inputs.requires_grad


@given(st.sets(st.integers(0, 19), min_size=1), st.sampled_from([float("nan"), float("inf"), -float("inf")]))
def test_non_finite_values_are_counted_and_the_first_is_named(bad: set[int], value: float) -> None:
    x = X.clone()
    x[sorted(bad), 1, 0] = value
    count, first = len(bad), min(bad)
    message = f"inputs['image'] is not finite in {count} of 20 examples; the first is example {first} ({value})"
    with pytest.raises(DataError) as caught:
        Examples({"other": X, "image": x}, Y)
    assert message in str(caught.value)


def test_non_finite_values_beyond_the_first_chunk() -> None:
    x = torch.zeros(10_000, 2)
    x[[8_192, 9_999], 1] = float("nan")
    with pytest.raises(DataError, match=r"targets is not finite in 2 of 10,000 .* example 8192"):
        Examples(torch.zeros(10_000, 1), x)


BAD = [
    (lambda: Examples(X, Y[:5]), "inputs has 20, targets has 5"),
    (lambda: Examples((X, Y[:3]), Y), r"inputs\[0\] has 20, inputs\[1\] has 3"),
    (lambda: Examples(X[:0], Y[:0]), "no examples"),
    (lambda: Examples((), ()), "no examples"),
    (lambda: Examples(torch.tensor(1.0), Y), "inputs is a single number"),
    (lambda: Examples([X], Y), "inputs is list; expected a tensor"),
    (lambda: LazyExamples(Items(X[:0], Y[:0])), "length 0"),
    (lambda: LazyExamples([(X[0], Y[0], 1)]), "tuple of 3|list of 3"),
    (lambda: LazyExamples([{"image": X[0], "digit": 1}]), "keys 'image', 'digit'; expected"),
    (lambda: LazyExamples([{"x": X[0], "label": 1, "target": 1}]), "keys 'x', 'label', 'target'; expected"),
    (lambda: LazyExamples([("text", object())]), "cannot be made a batch"),
]


@pytest.mark.parametrize(("make", "message"), BAD, ids=[message for _, message in BAD])
def test_what_is_refused(make: Callable, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_streamed_reads_only_what_is_asked() -> None:
    dataset = Items()
    rows = LazyExamples(dataset)
    dataset.read.clear()
    rows.take(torch.tensor([[4, 2], [9, 4]]))
    assert dataset.read == [4, 2, 9, 4]


def test_streamed_checks_what_it_reads_and_names_the_item_of_the_dataset() -> None:
    x = X.clone()
    x[7] = float("nan")
    rows = LazyExamples(Items(x)).select(torch.arange(5, 20))
    rows.take(torch.tensor([0, 1]))
    with pytest.raises(DataError, match=r"inputs is not finite in 1 of 3 examples; the first is example 7 \(nan\)"):
        rows.take(torch.tensor([0, 2, 9]))


def test_streamed_casts_and_selects_as_examples_do() -> None:
    chosen = torch.tensor([8, 3, 3, 11])
    streamed = LazyExamples(Items()).to(dtype=torch.float64).select(chosen)
    inputs, targets = streamed.slice(1, 4)
    assert len(streamed) == 4
    assert torch.equal(inputs, X[chosen[1:]].double())
    assert torch.equal(targets, Y[chosen[1:]])


def test_streamed_augmentation_is_a_function_of_the_example() -> None:
    rows = LazyExamples(Augmented())
    together = rows.take(torch.tensor([3, 5]))[0]
    torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002
    assert rows.draws
    assert torch.equal(rows.take(torch.tensor([5]))[0][0], together[1])
    assert not torch.equal(together[0] - X[3], together[1] - X[5])
    assert not LazyExamples(Items()).draws


def test_streamed_augmentation_leaves_the_global_generators_alone() -> None:
    rows = LazyExamples(Augmented())
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    rows.take(torch.arange(4))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002


def test_a_collate_function_that_draws_is_isolated_too() -> None:
    def jittered(items: list) -> tuple[Tensor, Tensor]:
        x, y = torch.utils.data.default_collate(items)
        return x + torch.randn(x.shape), y

    rows = LazyExamples(Items(), collate=jittered)
    before = torch.get_rng_state()
    first = rows.take(torch.tensor([4, 6]))[0]
    assert rows.draws
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(rows.take(torch.tensor([4, 6]))[0], first)


def labelled(n: int = 200, classes: int = 4) -> Data:
    y = torch.randint(0, classes, (n,), generator=torch.Generator().manual_seed(1))
    return Data(Examples(torch.zeros(n, 1), y), Examples(torch.zeros(5, 1), y[:5]), name="toy", classes=classes)


@given(st.integers(5, 300), st.integers(2, 12), st.floats(0, 1), st.integers(0, 10**6))
def test_label_noise_flips_exactly_that_many_to_another_class(n: int, k: int, fraction: float, seed: int) -> None:
    clean = labelled(n, k)
    noisy = clean.with_label_noise(fraction, seed)
    changed = noisy.train.targets != clean.train.targets
    assert int(changed.sum()) == round(fraction * n)
    assert torch.equal(changed, noisy.flipped)
    assert 0 <= int(noisy.train.targets.min()) <= int(noisy.train.targets.max()) < k
    assert torch.equal(noisy.test.targets, clean.test.targets)


def test_label_noise_is_uniform_over_the_other_classes() -> None:
    n, classes = 30_000, 5
    data = Data(Examples(torch.zeros(n, 1), torch.full((n,), 2)), name="toy", classes=classes)
    counts = data.with_label_noise(1.0, 3).train.targets.bincount(minlength=classes).double()
    expected = n / (classes - 1)
    others = counts[[0, 1, 3, 4]]
    chi_squared = float(((others - expected) ** 2 / expected).sum())
    assert counts[2] == 0
    assert chi_squared < 16.27  # 99.9 % point with 3 degrees of freedom


def test_label_noise_is_nested_in_the_fraction_and_apart_from_the_global_state() -> None:
    data = labelled()
    torch.manual_seed(1)
    small = data.with_label_noise(0.1, 7)
    torch.manual_seed(2)
    large = data.with_label_noise(0.4, 7)
    assert bool(large.flipped[small.flipped].all())
    assert torch.equal(large.train.targets[small.flipped], small.train.targets[small.flipped])
    assert not torch.equal(data.with_label_noise(0.1, 8).flipped, small.flipped)
    assert small.notes == ("label noise: 20 of 200 training labels flipped (seed 7)",)


@given(st.integers(5, 300), st.integers(2, 12), st.floats(0, 1), st.integers(0, 10**6))
def test_random_labels_are_at_most_that_many_and_marked(n: int, k: int, fraction: float, seed: int) -> None:
    clean = labelled(n, k)
    random = clean.with_random_labels(fraction, seed)
    changed = random.train.targets != clean.train.targets
    assert int(changed.sum()) <= round(fraction * n)
    assert torch.equal(changed, random.flipped)
    assert 0 <= int(random.train.targets.min()) <= int(random.train.targets.max()) < k
    assert torch.equal(random.test.targets, clean.test.targets)


def test_random_labels_are_uniform_over_all_classes() -> None:
    n, classes = 30_000, 5
    data = Data(Examples(torch.zeros(n, 1), torch.full((n,), 2)), name="toy", classes=classes)
    counts = data.with_random_labels(1.0, 3).train.targets.bincount(minlength=classes).double()
    chi_squared = float(((counts - n / classes) ** 2 / (n / classes)).sum())
    assert chi_squared < 18.47  # 99.9 % point with 4 degrees of freedom
    half = data.with_random_labels(0.5, 3)
    assert float(half.flipped.double().mean()) == pytest.approx(0.5 * (1 - 1 / classes), abs=0.01)


def test_random_labels_are_nested_in_the_fraction() -> None:
    data = labelled()
    small, large = data.with_random_labels(0.1, 7), data.with_random_labels(0.4, 7)
    assert bool(large.flipped[small.flipped].all())
    assert torch.equal(large.train.targets[small.flipped], small.train.targets[small.flipped])
    assert small.notes == ("random labels: 20 of 200 training labels drawn anew (seed 7)",)
    with pytest.raises(UsageError, match=r"share of random labels is .* between 0 and 1; got -1"):
        data.with_random_labels(-1, 0)
    with pytest.raises(UsageError, match="noisy already"):
        small.with_random_labels(0.1, 0)


def test_label_noise_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match=r"between 0 and 1; got 1.5"):
        labelled().with_label_noise(1.5, 0)
    with pytest.raises(UsageError, match="noisy already"):
        labelled().with_label_noise(0.5, 0).with_label_noise(0.5, 0)
    with pytest.raises(UsageError, match="one integer class per example"):
        Data(Examples(X, X), name="regression").with_label_noise(0.1, 0)
    with pytest.raises(UsageError, match="labels 0 to 3 and classes=None"):
        Data(Examples(X, Y), name="toy").with_label_noise(0.1, 0)
    with pytest.raises(UsageError, match="not in memory"):
        Data(LazyExamples(Items()), name="toy", classes=4).with_label_noise(0.1, 0)


def test_subset_keeps_rows_whole_and_is_nested() -> None:
    index = torch.arange(100)
    data = Data(Examples(index[:, None], index % 7), Examples(index[:30, None] + 500, index[:30]), classes=7)
    small, large = data.subset(train=20, seed=4), data.subset(train=50, test=10, seed=4)
    rows = large.train.inputs[:, 0]
    assert len(set(rows.tolist())) == 50
    assert torch.equal(large.train.targets, rows % 7)
    assert torch.equal(small.train.inputs, large.train.inputs[:20])
    assert (len(small.test), len(large.test)) == (30, 10)
    assert not torch.equal(data.subset(train=20, seed=5).train.inputs, small.train.inputs)


def test_subset_keeps_track_of_flipped_labels() -> None:
    data = labelled()
    indexed = Data(Examples(torch.arange(200)[:, None], data.train.targets), classes=4)
    part = indexed.with_label_noise(0.5, 0).subset(train=40)
    clean = data.train.targets[part.train.inputs[:, 0]]
    assert torch.equal(part.train.targets != clean, part.flipped)


def test_subset_of_streamed_data_stays_streamed() -> None:
    part = Data(LazyExamples(Items()), classes=4).subset(train=6)
    assert isinstance(part.train, LazyExamples)
    assert part.train.take(torch.arange(6))[0].shape == (6, 3, 2)


def test_subset_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="201 train examples was asked for; there are 200"):
        labelled().subset(train=201)
    with pytest.raises(UsageError, match="no held-out examples"):
        Data(Examples(X, Y), name="toy").subset(test=3)
    with pytest.raises(UsageError, match=r"train is tuple.*from_user\(train, test\)"):
        Data((X, Y))


def test_data_to_moves_everything() -> None:
    data = Data(Examples(X, Y), Examples(X, Y), ground_truth={"w": X[0], "bytes": Y}).to("cpu", torch.float64)
    assert data.train.inputs.dtype == data.test.inputs.dtype == data.ground_truth["w"].dtype == torch.float64
    assert data.ground_truth["bytes"].dtype == torch.int64
