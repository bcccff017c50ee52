"""Named losses and their options: agreement with torch, and what cannot be meant."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import thalweg as tw
from thalweg.errors import DataError, ModelError, UsageError
from thalweg.losses import Accuracy, CrossEntropy, Logistic, SquaredError
from thalweg.randomness import generator

DRAW = generator(0, "named losses")
X, Y = torch.randn(40, 4, generator=DRAW), torch.arange(40) % 3


def problem(loss, y=Y, outputs=3, **options):
    return tw.Problem(lambda: nn.Linear(4, outputs), (X, y), loss, **options)


@pytest.mark.parametrize("classes", [3, 20])
@pytest.mark.parametrize("lead", [(7,), (7, 5), (7, 5, 2)])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("weigh", "ignore", "smooth"),
    [(True, None, 0.0), (False, -1, 0.0), (True, 1, 0.0), (True, -100, 0.0), (False, 0, 0.3), (False, None, 0.3)],
)
def test_cross_entropy_is_torchs(classes, lead, members, weigh, ignore, smooth):
    draw = generator(0, "named", classes)
    outputs = torch.randn(members, *lead, classes, generator=draw, dtype=torch.float64).requires_grad_()
    targets = torch.randint(classes, (members, *lead), generator=draw)
    if ignore is not None:
        targets[:, ::3] = ignore
    weights = torch.rand(classes, generator=draw, dtype=torch.float64) if weigh else None
    loss = CrossEntropy(weights, ignore, smooth)
    options = {"weight": weights, "label_smoothing": smooth} | ({} if ignore is None else {"ignore_index": ignore})
    found = loss.mean(outputs, targets, 2)
    for member in range(members):
        wanted = F.cross_entropy(outputs[member].flatten(0, -2), targets[member].flatten(), **options)
        torch.testing.assert_close(found[member], wanted, rtol=1e-12, atol=0)
        torch.testing.assert_close(loss.mean(outputs[member], targets[member]), wanted, rtol=1e-12, atol=0)
        gradients = [torch.autograd.grad(v, outputs, retain_graph=True)[0] for v in (found[member], wanted)]
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)


def test_logistic_weighs_answers_and_leaves_ignored_ones_out():
    draw = generator(0, "logistic")
    outputs = torch.randn(9, 4, generator=draw, dtype=torch.float64)
    targets = torch.randint(-1, 2, (9, 4), generator=draw)
    weights = torch.tensor([2.0, 7.0])[targets.clamp_min(0)] * (targets >= 0)
    each = F.binary_cross_entropy_with_logits(outputs, targets.clamp_min(0).double(), reduction="none")
    found = Logistic([2.0, 7.0], ignore_index=-1).mean(outputs, targets)
    torch.testing.assert_close(found, (weights * each).sum() / weights.sum(), rtol=1e-12, atol=0)
    right, counts = Accuracy(-1)(outputs, targets)
    assert (
        float((right * counts).sum() / counts.sum()) == ((outputs > 0) == (targets == 1))[targets >= 0].double().mean()
    )


def test_names_are_those_without_options():
    for name, loss in {
        "cross_entropy": CrossEntropy(),
        "logistic": Logistic(),
        "squared_error": SquaredError(),
    }.items():
        y = Y if name == "cross_entropy" else torch.rand(40, 3, generator=generator(0, "y"))
        first, second = problem(name, y), problem(loss, y)
        assert first.loss == second.loss
        assert first.loss.name == second.loss.name == name
        assert not first.loss.weighted
        runs = [tw.train(one, tw.Recipe(tw.optim.SGD(0.1), 3, 8)).final.theta for one in (first, second)]
        assert torch.equal(*runs)


def test_weights_come_as_numbers_arrays_and_tensors():
    wanted = CrossEntropy([1, 2, 3])
    assert wanted == CrossEntropy(np.array([1.0, 2.0, 3.0])) == CrossEntropy(torch.tensor([1.0, 2.0, 3.0]))
    assert wanted == CrossEntropy(range(1, 4)) == CrossEntropy(np.arange(1, 4)) == CrossEntropy([np.float32(1), 2, 3])
    assert hash(wanted) == hash(CrossEntropy((1.0, 2.0, 3.0)))
    assert wanted.name == "cross_entropy(class_weights=(1.0, 2.0, 3.0))"
    assert (
        CrossEntropy(ignore_index=0, label_smoothing=0.1).name == "cross_entropy(ignore_index=0, label_smoothing=0.1)"
    )


@pytest.mark.parametrize("loss", [CrossEntropy, Logistic, Accuracy])
def test_ignored_targets_come_as_whole_numbers_of_any_kind(loss):
    given = loss(ignore_index=np.int64(-100))
    assert given == loss(ignore_index=-100)
    assert type(given.ignore_index) is int
    assert given.name == loss(ignore_index=-100).name


@pytest.mark.parametrize("loss", [CrossEntropy, Logistic])
@pytest.mark.parametrize("weights", [{0: 1.0, 1: 5.0}, {1.0, 5.0}, {1: 5.0}.keys(), iter([1.0, 5.0])])
def test_class_weights_without_an_order_of_the_classes_are_refused(loss, weights):
    """The numbers of a dict's classes would be taken for their weights, and a set has an order of its own."""
    with pytest.raises(UsageError, match=r"class_weights must be a list, one number a class .* \[1.0, 5.0\]; got"):
        loss(class_weights=weights)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CrossEntropy([1.0, -2.0, 1.0]), "class_weights must be finite and not negative; got -2"),
        (lambda: CrossEntropy([1.0, float("inf")]), "class_weights must be finite and not negative; got inf"),
        (lambda: CrossEntropy([1.0, float("nan")]), "class_weights must be finite and not negative; got nan"),
        (lambda: CrossEntropy([0.0, 0.0]), "class_weights are all zero"),
        (lambda: CrossEntropy(3.0), "class_weights must be a list, one number a class .*; got 3.0"),
        (lambda: CrossEntropy(torch.tensor(2.0)), "class_weights must be a list, one number a class .*; got 2.0"),
        (lambda: CrossEntropy(np.array(2.0)), "class_weights must be a list, one number a class .*; got 2.0"),
        (lambda: CrossEntropy([]), "CrossEntropy class_weights are empty; give one number a class"),
        (lambda: CrossEntropy(torch.empty(0)), "class_weights are empty"),
        (lambda: CrossEntropy(["a"]), "class_weights must be a list, one number a class"),
        (lambda: CrossEntropy([True, False]), "class_weights must be a list, one number a class"),
        (lambda: CrossEntropy(torch.ones(2, 2)), "class_weights must be a list, one number a class"),
        (
            lambda: CrossEntropy(ignore_index=-1.0),
            "ignore_index must be a whole number such as -100, or None; got -1.0",
        ),
        (lambda: CrossEntropy(ignore_index="pad"), "ignore_index must be a whole number"),
        (lambda: CrossEntropy(label_smoothing=1.0), "label_smoothing must be at least 0 and below 1; got 1.0"),
        (lambda: CrossEntropy([1, 2], label_smoothing=0.1), "label_smoothing or class_weights, not both"),
        (lambda: Logistic([1.0]), "class_weights are two, of targets 0 and of targets 1; got 1"),
        (lambda: Accuracy("none"), "Accuracy ignore_index must be a whole number"),
        (lambda: problem(CrossEntropy), r"loss is the class CrossEntropy; write CrossEntropy\(\)"),
        (lambda: problem(Accuracy()), "Accuracy has no gradient, .* write loss='cross_entropy'.*metrics="),
        (lambda: problem(Accuracy), "Accuracy has no gradient"),
        (lambda: problem("cross_entorpy"), "There is no loss 'cross_entorpy'. Did you mean 'cross_entropy'"),
    ],
)
def test_options_that_cannot_be_meant(make, sentence):
    with pytest.raises(UsageError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("loss", "y", "sentence"),
    [
        (CrossEntropy([1.0, 2.0]), Y, "has 2 class_weights, but the model returned 3 classes"),
        (CrossEntropy(ignore_index=0), Y + 1, "Targets run from 1 to 3, but the model returned 3 classes"),
        ("cross_entropy", Y - 1, r"run from -1 to 1, .* left out by loss=losses.CrossEntropy\(ignore_index=-1\)"),
        ("logistic", 1.0 + (torch.rand(40, 3) > 0.5), r"logistic takes targets from 0 \(no\) to 1 \(yes\).* 1 to 2"),
        (Logistic([1.0, 2.0]), torch.full((40, 3), 0.5), "there are targets between"),
        (CrossEntropy(), torch.rand(40), "integer targets"),
        (SquaredError(), torch.rand(40, 2), r"of one shape; the model returned \(8, 3\) for targets \(8, 2\)"),
    ],
)
def test_targets_that_do_not_fit(loss, y, sentence):
    with pytest.raises(ModelError, match=sentence):
        problem(loss, y)


@pytest.mark.parametrize("loss", [CrossEntropy(ignore_index=-1), CrossEntropy([0, 0, 1]), CrossEntropy([0, 0, 1], -1)])
@pytest.mark.parametrize("where", ["train", "test"])
def test_sets_of_which_nothing_counts(loss, where):
    nothing = (X, torch.full((40,), -1 if loss.ignore_index is not None else 0))
    counting = (X, Y)
    sets = (nothing, counting) if where == "train" else (counting, nothing)
    name = "training" if where == "train" else "test"
    with pytest.raises(DataError, match=f"counts no target of the 40 {name} examples"):
        tw.Problem(lambda: nn.Linear(4, 3), tw.data.from_user(*sets), loss)


def test_logistic_targets_may_be_soft_or_ignored():
    problem("logistic", torch.rand(40, 3))
    y = torch.rand(40, 3)
    y[::2] = -7
    problem(Logistic(ignore_index=-7), y)


class Rows(torch.utils.data.Dataset):
    def __init__(self, y):
        self.y = y

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], self.y[i]


def streamed(loss, y, outputs=3):
    return tw.Problem(lambda: nn.Linear(4, outputs), tw.data.from_user(Rows(y), memory_budget=10), loss)


def test_streamed_targets_are_checked_too():
    y = Y.clone()
    y[20:] = -100
    with pytest.raises(ModelError, match="run from -100 to 2"):
        streamed("cross_entropy", y)
    with pytest.raises(ModelError, match="logistic takes targets from 0"):
        streamed("logistic", 1 + Y[:, None].float() % 2, 1)


def test_a_rare_streamed_target_beyond_the_classes_is_named_where_it_is_met():
    """It is among none of the few rows that are read beforehand; never is it left out in silence."""
    rows = tw.population.telling_rows.telling_rows(streamed("cross_entropy", Y).data.train, 1000)
    rare = next(row for row in range(40) if row not in rows.tolist() and row > 8)
    for label in (7, -100):
        y = Y.clone()
        y[rare] = label
        late = streamed("cross_entropy", y)
        with pytest.raises(ModelError, match=r"Targets run from (0 to 7|-100 to 2), but the model returned 3 classes"):
            tw.evaluate(late, late.initialize(1))


def test_stores_tell_weights_apart(tmp_path):
    recipe = tw.Recipe(tw.optim.SGD(0.1), 3, 8)
    losses = [CrossEntropy(), CrossEntropy([1.0, 1.0, 2.0]), CrossEntropy([1, 1, 50]), CrossEntropy(ignore_index=-100)]
    for loss in losses:
        tw.train(problem(loss), recipe, store=tmp_path)
    assert len(tw.Store(tmp_path).list("run")) == len(losses)


def test_stores_tell_functions_apart_that_agree_on_the_first_examples(tmp_path):
    """The first eight are of class 0, on which both weigh the same."""
    y = Y.sort().values

    def weighted(weight):
        def loss(output, target):
            return F.cross_entropy(output, target, reduction="none"), torch.tensor([1.0, 1.0, weight])[target]

        return loss

    recipe = tw.Recipe(tw.optim.SGD(0.1), 3, 40)
    runs = [tw.train(problem(weighted(weight), y), recipe, store=tmp_path) for weight in (1.0, 50.0)]
    assert not torch.equal(*(run.final.theta for run in runs))


def test_a_squared_error_reads_no_streamed_targets_beforehand():
    class Counting(Rows):
        read = 0

        def __getitem__(self, i):
            Counting.read += 1
            return super().__getitem__(i)

    data = tw.data.from_user(Counting(torch.rand(40, 3)), memory_budget=10)
    before = Counting.read
    tw.Problem(lambda: nn.Linear(4, 3), data, "squared_error")
    assert Counting.read - before < 16  # those that everything is tried on


def test_weights_have_the_dtype_asked_for():
    like = torch.zeros((), dtype=torch.float64)
    for loss in (CrossEntropy([1.0, 2.0, 3.0]), CrossEntropy(ignore_index=1), Logistic([1.0, 2.0]), Accuracy(1)):
        weights = loss.weights(Y, like)
        assert weights.dtype == torch.float64
        assert weights.shape == Y.shape
