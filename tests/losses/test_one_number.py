"""Losses that give one number for a batch: a weighted mean is found out, evaluated and trained as torch computes it."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from losses.one_number_cases import (
    CLASS,
    COUNT,
    LATE,
    LOSSES,
    NEXT,
    SHARES,
    TOKENS,
    X,
    Y,
    by_norm,
    by_share,
    each,
    over_losses,
    small,
    tokens,
)
from torch import Tensor, nn
from torch.autograd import functional

import thalweg as tw
from thalweg.errors import DataError, ModelError
from thalweg.evaluation import Evaluator, by_example
from thalweg.losses.of_user import UserLoss
from thalweg.losses.recognition import recognized
from thalweg.population import Batch, Execution
from thalweg.randomness import generator


def problem(case, **options):
    model, data, loss = case
    return tw.Problem(model, data, loss, **({"dtype": torch.float64} | options))


@over_losses
def test_the_whole_set_has_the_number_that_torch_computes(case) -> None:
    """However it is cut; and examples by their weights have it too."""
    own = problem(case)
    assert own.loss.weighted
    members = own.initialize(2)
    found = Evaluator(own, members, own.data.train, batch_size=7)()["loss"]
    table = by_example(own, members, "train")
    means = (table["loss"] * table["loss weight"]).nansum(1) / table["loss weight"].sum(1)
    for member in range(2):
        output = members.module(member)(own.data.train.inputs)
        wanted = case[2](output, own.data.train.targets).detach()
        torch.testing.assert_close(found[member], wanted, rtol=1e-9, atol=0)
        torch.testing.assert_close(means[member], wanted, rtol=1e-9, atol=0)


@over_losses
def test_batches_and_curvature_are_torchs(case) -> None:
    own = problem(case)
    members = own.initialize(2)
    rows = torch.tensor([[0, 1, 2, 21], [30, 31, 39, 22]])
    batch, out = Batch.of(own.data.train, rows), torch.empty_like(members.theta)
    losses = Execution(own, members, batch).gradient(batch, out)
    inputs, targets = own.data.train.take(torch.arange(COUNT))
    vectors = torch.randn(members.theta.shape, generator=generator(0, "vectors"), dtype=torch.float64)
    product = tw.curvature.hessian(own, members)(vectors)
    for member in range(2):
        module = members.module(member)

        def value(theta, x=inputs, y=targets, module=module):
            return case[2](torch.func.functional_call(module, own.layout.views(theta), (x,)), y)

        few = lambda theta, value=value, member=member: value(theta, *batch.member(member))  # noqa: E731
        theta = members.theta[member]
        torch.testing.assert_close(losses[member], few(theta).detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(out[member], functional.jacobian(few, theta), rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(
            product[member], functional.hvp(value, theta, vectors[member])[1], rtol=1e-8, atol=1e-10
        )


@pytest.mark.parametrize("name", ["ignored late", "tokens, selected", "tokens over their number"])
def test_training_is_torchs_and_history_has_the_loss_of_the_whole(name: str) -> None:
    case = LOSSES[name]
    own = problem(case)
    run = tw.train(own, tw.Recipe(tw.optim.SGD(0.2), 4, COUNT), seeds=2)
    for member in range(2):
        module = own.initialize([member]).module(0)
        for _ in range(4):
            module.zero_grad()
            case[2](module(own.data.train.inputs), own.data.train.targets).backward()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter -= 0.2 * parameter.grad
        wanted = case[2](module(own.data.train.inputs), own.data.train.targets)
        np.testing.assert_allclose(run.history.final("train_loss")[member], wanted.item(), rtol=1e-10)


@pytest.mark.parametrize("name", ["ignored late", "smoothed, ignored", "tokens, selected", "operator"])
@pytest.mark.parametrize("plan", ["stacked", "looped"])
def test_a_batch_of_which_nothing_counts_has_a_gradient_of_zero(name: str, plan: str) -> None:
    model, (x, y), loss = LOSSES[name]
    y = y.clone()
    y[40:] = -100
    own = problem((model, (x, y), loss))
    members = own.initialize(2)
    batch = Batch.of(own.data.train, torch.tensor([[0, 41], [41, 42]]))
    out = torch.full_like(members.theta, math.nan)
    losses = Execution(own, members, batch, plan=plan).gradient(batch, out)
    assert losses.isnan().tolist() == [False, True]
    assert bool((out[1] == 0).all())
    assert bool(out[0].isfinite().all())
    assert bool((out[0] != 0).any())


REFUSED = {
    "a sum": (lambda o, t: F.cross_entropy(o, t, reduction="sum"), Y, "not a mean over the batch but a sum"),
    "a sum over a constant": (
        lambda o, t: F.cross_entropy(o, t, reduction="sum") / 512,
        Y,
        "not a mean over the batch but a sum",
    ),
    "a sum of what counts": (
        lambda o, t: F.cross_entropy(o, t, reduction="sum"),
        LATE,
        "not a mean over the batch but a sum",
    ),
    "a power of a mean": (lambda o, t: F.cross_entropy(o, t).exp(), Y, r"weighted or not.*return \(values, weights\)"),
    "two kinds of weights": (
        lambda o, t: F.cross_entropy(o, t) + (o**2).mean(),
        LATE,
        r"weighted or not.*return \(values, weights\)",
    ),
    "overlap of whole batches": (
        lambda o, t: 1 - 2 * (o.softmax(1) * F.one_hot(t, 3)).sum() / (o.softmax(1) ** 2 + F.one_hot(t, 3)).sum(),
        Y,
        "depend on the parameters of the model",
    ),
    "contrast": (
        lambda o, t: F.cross_entropy(o @ o.mT, torch.arange(len(o))),
        Y,
        r"weighted or not.*return \(values, weights\)",
    ),
    "random and weighted": (
        lambda o, t: F.cross_entropy(F.dropout(o), t, weight=CLASS),
        Y,
        r"draws random numbers and divides .*Return \(values, weights\)",
    ),
}


@pytest.mark.parametrize(("loss", "y", "sentence"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_mean_over_examples_is_refused(loss, y, sentence) -> None:
    with pytest.raises(ModelError, match=sentence):
        problem((small, (X, y), loss))


SOME = torch.where(torch.arange(COUNT)[:, None] % 3 == 0, -100, NEXT)  # of every third example nothing counts


def guarded(output: Tensor, target: Tensor) -> Tensor:
    kept = target != -100
    return (each(output, target) * kept).sum() / kept.sum() if kept.any() else output.sum() * 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda o, t: each(o, t).sum() / (t != -100).sum().clamp(min=1),
        lambda o, t: each(o, t).sum() / (t != -100).sum().clamp_min(1).to(o.dtype),
        lambda o, t: each(o, t).sum() * (1 / torch.maximum((t != -100).double().sum(), torch.tensor(1.0).double())),
        guarded,
    ],
    ids=["clamp", "clamp, cast", "maximum", "guarded"],
)
def test_what_keeps_a_mean_from_dividing_by_zero_is_seen_through(loss) -> None:
    """So that no example is compared with others, in every batch."""
    own = problem((tokens, (TOKENS, SOME), loss))
    assert own.loss.divisor is not None
    assert own.loss.comparison is None
    members = own.initialize(2)
    found = Evaluator(own, members, own.data.train, batch_size=1)()["loss"]
    for member in range(2):
        wanted = loss(members.module(member)(TOKENS), SOME).detach()
        torch.testing.assert_close(found[member], wanted, rtol=1e-9, atol=0)
    batch, out = Batch.of(own.data.train, torch.tensor([[0, 3], [1, 2]])), torch.empty_like(members.theta)
    losses = Execution(own, members, batch, plan="looped").gradient(batch, out)
    assert (losses[0] == 0, bool((out[0] == 0).all()), bool((out[1] == 0).all())) == (True, True, False)


def test_plain_means_stay_plain() -> None:
    """Also where they divide by what differs between examples."""
    for loss in (F.cross_entropy, lambda o, t: (F.cross_entropy(o, t, reduction="none") / (1 + t)).mean()):
        assert not problem((small, (X, Y), loss)).loss.weighted
    per_example = lambda o, t: (each(o, t).sum(1) / (t != -100).sum(1)).mean()  # noqa: E731
    assert not problem((tokens, (TOKENS, NEXT), per_example)).loss.weighted


class Rows(torch.utils.data.Dataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


def test_what_shows_in_a_rare_streamed_example_alone_is_said_where_it_is_read() -> None:
    data = tw.data.from_user(Rows(X, Y), memory_budget=10)
    seen = tw.population.telling_rows.telling_rows(data.train, 1000).tolist()
    rare = next(row for row in range(COUNT) if row not in seen and row > 8)
    y = Y.clone()
    y[rare] = -100
    own = tw.Problem(small, tw.data.from_user(Rows(X, y), memory_budget=10), nn.CrossEntropyLoss())
    assert not own.loss.weighted
    with pytest.raises(ModelError, match=r"as it was on the examples it was tried on.*return \(values, weights\)"):
        tw.evaluate(own, own.initialize(1), on="train")


def test_no_order_of_the_examples_changes_what_is_found() -> None:
    order = torch.randperm(COUNT, generator=generator(0, "order"))
    for name in ("class weights", "ignored late"):
        model, (x, y), loss = LOSSES[name]
        problems = [problem((model, data, loss)) for data in ((x, y), (x[order], y[order]), (x.flip(0), y.flip(0)))]
        members = problems[0].initialize(2)
        found = [tw.evaluate(own, members, on="train")["loss"] for own in problems]
        assert all(own.loss.weighted for own in problems)
        for other in found[1:]:
            torch.testing.assert_close(found[0], other, rtol=1e-12, atol=0)


def test_weights_that_show_in_the_test_set_alone_are_found() -> None:
    own = tw.Problem(small, tw.data.from_user((X, Y), (X, LATE)), nn.CrossEntropyLoss())
    members = own.initialize(1)
    wanted = F.cross_entropy(members.module(0)(X), LATE).detach().double()
    torch.testing.assert_close(tw.evaluate(own, members, on="test")["loss"][0], wanted, rtol=1e-6, atol=0)


def test_metrics_that_give_one_number_are_weighted_too() -> None:
    """Accuracy of the tokens that count, and precision, whose weights depend on the outputs; a power is refused."""
    metrics = {
        "tokens right": lambda o, t: (o.argmax(-1) == t)[t != -100].double().mean(),
        "precision": lambda o, t: ((o.argmax(-1) == 1) & (t == 1)).sum() / (o.argmax(-1) == 1).sum(),
    }
    own = tw.Problem(tokens, (TOKENS, NEXT), LOSSES["tokens"][2], metrics=metrics)
    members = own.initialize(2)
    found = Evaluator(own, members, own.data.train, batch_size=7)()
    for member in range(2):
        output = members.module(member)(TOKENS)
        for name, metric in metrics.items():
            assert float(found[name][member]) == pytest.approx(float(metric(output, NEXT)), rel=1e-6)
    with pytest.raises(ModelError, match=r"The metric 'perplexity' of a batch is not the mean"):
        tw.Problem(small, (X, Y), metrics={"perplexity": lambda o, t: F.cross_entropy(o, t).exp()})


def test_weights_are_in_proportion_to_those_that_are_meant() -> None:
    outputs, targets = torch.randn(COUNT, 3, generator=generator(0, "o")), (Y, SHARES)
    for loss in (by_share, by_norm):
        found = recognized(UserLoss("own", loss), outputs, targets)
        weights = found.entries(outputs, targets)[1].double()
        torch.testing.assert_close(weights / weights.sum(), (SHARES / SHARES.sum()).double(), rtol=1e-5, atol=0)


def test_problems_say_that_their_loss_is_weighted() -> None:
    assert problem(LOSSES["class weights"]).facts()["loss"] == "CrossEntropyLoss, a weighted mean"
    assert problem((small, (X, Y), nn.CrossEntropyLoss())).facts()["loss"] == "CrossEntropyLoss"


def test_a_module_is_moved_as_a_copy() -> None:
    """Its class weights into the precision of the model; the user's own stay."""
    loss = nn.CrossEntropyLoss(CLASS.float())
    own = problem((small, (X, Y), loss))
    members = own.initialize(1)
    wanted = F.cross_entropy(members.module(0)(X.double()), Y, CLASS).detach()
    torch.testing.assert_close(tw.evaluate(own, members)["loss"][0], wanted, rtol=1e-12, atol=0)
    assert loss.weight.dtype == torch.float32


def test_losses_in_a_short_dtype_agree_to_its_rounding() -> None:
    own = tw.Problem(small, (X, LATE), lambda o, t: F.cross_entropy(o.bfloat16(), t))
    members = own.initialize(1)
    wanted = F.cross_entropy(members.module(0)(X), LATE).detach().double()
    assert own.loss.weighted
    torch.testing.assert_close(tw.evaluate(own, members)["loss"][0], wanted, rtol=0.01, atol=0)


def _by_target(output: Tensor, target: Tensor) -> Tensor:
    return (F.cross_entropy(output, target, reduction="none") * target).sum() / target.sum()


@pytest.mark.parametrize(("loss", "label"), [(F.cross_entropy, -100), (_by_target, 0)])
def test_a_set_of_which_nothing_counts_is_named(loss, label: int) -> None:
    with pytest.raises(DataError, match="counts none of the 60 examples that it was tried on"):
        problem((small, (X, torch.full_like(Y, label)), loss))


def test_members_that_diverge_are_found_and_spoil_no_other() -> None:
    case = LOSSES["ignored late"]
    rates = tw.sweep.values([0.1, 1e200])
    own = problem((lambda: nn.Linear(4, 3), case[1], case[2]), dtype=torch.float32)
    with pytest.warns(UserWarning, match="counts no target"):
        run = tw.train(own, tw.Recipe(tw.optim.SGD(rates), steps=30, batch_size=2))
    assert run.diverged_at[0] == -1
    assert run.diverged_at[1] > 0
    assert np.isfinite(run.history.final("train_loss")[0])


def test_a_single_example_is_its_own_mean() -> None:
    own = problem((small, (X[:1], Y[:1]), nn.CrossEntropyLoss(CLASS)))
    members = own.initialize(1)
    wanted = F.cross_entropy(members.module(0)(X[:1].double()), Y[:1]).detach()
    torch.testing.assert_close(tw.evaluate(own, members)["loss"][0], wanted, rtol=1e-12, atol=0)
