"""Targets that a loss or a metric is not made for are named, wherever in the data they are."""

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.data import Examples
from thalweg.errors import ModelError
from thalweg.losses import Accuracy, Logistic
from thalweg.randomness import generator

DRAW = generator(0, "domains")
COUNT = 64
X, Y = torch.randn(COUNT, 5, generator=DRAW), torch.randint(2, (COUNT, 1), generator=DRAW).float()
CLASSES = torch.arange(COUNT) % 3


class Rows(torch.utils.data.Dataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


def problem(y: Tensor, loss, *, streamed: bool = False, outputs: int = 1, **options) -> tw.Problem:
    data = tw.data.from_user(Rows(X, y), memory_budget=10) if streamed else (X, y)
    return tw.Problem(lambda: nn.Linear(5, outputs), data, loss, **options)


over_streams = pytest.mark.parametrize("streamed", [False, True])


@over_streams
@pytest.mark.parametrize("labels", [Y + 1, 2 * Y, 2 * Y - 1], ids=["1 and 2", "0 and 2", "-1 and 1"])
@pytest.mark.parametrize("loss", ["logistic", nn.BCEWithLogitsLoss()], ids=["named", "torch's"])
def test_answers_that_are_not_from_0_to_1(labels: Tensor, loss, streamed: bool) -> None:
    with pytest.raises(ModelError, match=r"takes targets from 0( \(no\))? to 1.*run from"):
        problem(labels, loss, streamed=streamed)


def test_answers_of_torchs_losses_that_do_not_count_may_be_anything() -> None:
    unknown = Y.clone()
    unknown[::3] = -1
    kept = lambda t: (t >= 0).float()  # noqa: E731
    bce = nn.functional.binary_cross_entropy_with_logits
    problem(unknown, lambda o, t: (bce(o, t, reduction="none") * kept(t)).sum() / kept(t).sum())
    problem(unknown, lambda o, t: bce(o, t, weight=kept(t)))
    with pytest.raises(ModelError, match="soft_margin_loss takes targets -1 and 1, but they run from 0 to 1"):
        problem(Y, nn.SoftMarginLoss())
    problem(2 * Y - 1, nn.SoftMarginLoss())


@pytest.mark.parametrize("loss", ["logistic", Logistic(ignore_index=-1), Logistic([1.0, 5.0])])
def test_a_rare_answer_that_is_streamed_is_named_where_it_is_read(loss) -> None:
    rows = tw.population.telling_rows.telling_rows(problem(Y, loss, streamed=True).data.train, 1000)
    rare = next(row for row in range(COUNT) if row not in rows.tolist() and row > 8)
    labels = Y.clone()
    labels[rare] = 2
    own = problem(labels, loss, streamed=True)
    members = own.initialize(1)
    match = "run from 0 to 2"
    with pytest.raises(ModelError, match=match):
        tw.evaluate(own, members, on="train")
    with pytest.raises(ModelError, match=match):
        tw.train(own, tw.Recipe(tw.optim.SGD(0.1), COUNT // 4, 4, evaluate=0))
    with pytest.raises(ModelError, match=match):
        tw.curvature.hessian(own, members)(members.theta)


@over_streams
def test_test_sets_and_examples_of_ones_own(streamed: bool) -> None:
    bad = Rows(X, Y + 1)
    data = tw.data.from_user(Rows(X, Y), bad, memory_budget=10) if streamed else tw.data.from_user((X, Y), (X, Y + 1))

    def measured() -> None:
        own = tw.Problem(lambda: nn.Linear(5, 1), data, "logistic")
        tw.evaluate(own, own.initialize(1), on="test")

    with pytest.raises(ModelError, match="run from 1 to 2"):
        measured()
    own = problem(Y, "logistic")
    members = own.initialize(1)
    given = tw.data.LazyExamples(bad) if streamed else Examples(X, Y + 1)
    with pytest.raises(ModelError, match="run from 1 to 2"):
        tw.evaluate(own, members, on=given)
    with pytest.raises(ModelError, match="run from 1 to 2"):
        tw.landscape.line(own, members, resolution=3, on=tw.Sample(given))


@over_streams
def test_accuracy_has_a_domain_too(streamed: bool) -> None:
    metrics = {"accuracy": Accuracy()}
    with pytest.raises(ModelError, match=r"accuracy takes answers from 0 \(no\) to 1 .* from 1 to 2"):
        problem(Y + 1, "squared_error", streamed=streamed, metrics=metrics)
    for labels in (Y, 2 * Y - 1):
        problem(labels, "squared_error", streamed=streamed, metrics=metrics)
    holes = CLASSES.masked_fill(torch.arange(COUNT) % 4 == 0, -100)
    with pytest.raises(ModelError, match=r"accuracy takes classes, .* from -100 to 2.*Accuracy\(ignore_index=...\)"):
        problem(holes, nn.CrossEntropyLoss(), streamed=streamed, outputs=3, metrics=metrics)
    own = problem(holes, nn.CrossEntropyLoss(), streamed=streamed, outputs=3, metrics={"accuracy": Accuracy(-100)})
    members = own.initialize(1)
    right = members.module(0)(X).argmax(1) == holes
    wanted = right[holes >= 0].double().mean()
    torch.testing.assert_close(tw.evaluate(own, members)["accuracy"][0], wanted, rtol=1e-12, atol=0)


@over_streams
def test_ignored_targets_of_a_streamed_set_count_in_no_number(streamed: bool) -> None:
    """A mean over what is not ignored, and the accuracy of that; without the option a sentence that names it."""
    labels = torch.arange(COUNT) // 22
    labels[44:] = -100
    with pytest.raises(ModelError, match=r"loss=losses.CrossEntropy\(ignore_index=-100\)"):
        problem(labels, "cross_entropy", streamed=streamed, outputs=3)
    own = problem(labels, tw.losses.CrossEntropy(ignore_index=-100), streamed=streamed, outputs=3)
    members = own.initialize(1)
    found, output = tw.evaluate(own, members), members.module(0)(X)
    wanted = nn.functional.cross_entropy(output, labels).detach().double()
    torch.testing.assert_close(found["loss"][0], wanted, rtol=1e-6, atol=0)
    right = (output.argmax(1) == labels)[:44].double().mean()
    torch.testing.assert_close(found["accuracy"][0], right, rtol=1e-12, atol=0)
