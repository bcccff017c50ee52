"""Losses and metrics of the user's own: what cannot be meant is found before any work."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.losses import Accuracy, CrossEntropy
from thalweg.randomness import generator

DRAW = generator(0, "test loss")
X, Y = torch.randn(40, 4, generator=DRAW), torch.randint(3, (40,), generator=DRAW)


def problem(loss="cross_entropy", metrics=None):
    return tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (X, Y), loss, metrics=metrics)


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (lambda o, t: F.cross_entropy(o, t).exp(), "is not the mean of those of its examples, weighted or not"),
        (lambda o, t: F.cross_entropy(o, t).view(1), r"shape \(1,\) for 8 examples"),
        (lambda o, t: F.cross_entropy(o, t, reduction="sum"), "not a mean over the batch but a sum"),
        (lambda o, t: ((o[:, :1] - t) ** 2).mean(), "broadcast"),
    ],
)
def test_a_loss_whose_value_would_not_be_the_objective_is_refused(loss, sentence):
    with pytest.raises(ModelError, match=sentence):
        problem(loss)


@pytest.mark.parametrize(
    "loss",
    [F.cross_entropy, torch.nn.CrossEntropyLoss(), lambda o, t: F.cross_entropy(o, t, reduction="none")],
)
def test_means_and_values_an_example_are_evaluated_as_the_named_loss_is(loss):
    own, named = problem(loss), problem()
    members = named.initialize(3)
    expected = tw.evaluation.evaluate(named, members)["loss"]
    torch.testing.assert_close(tw.evaluation.evaluate(own, members)["loss"], expected, rtol=1e-6, atol=1e-7)


def _guarded(output, target):
    loss = F.cross_entropy(output, target)
    return torch.zeros(()) if torch.isnan(loss) else loss


def _chosen(output, target):
    return F.cross_entropy(output[target >= 0], target[target >= 0], reduction="none")


def _guarded_each(output, target):
    losses = F.cross_entropy(output, target, reduction="none")
    return losses if losses.isfinite().all() else losses.nan_to_num(0)


@pytest.mark.parametrize("loss", [_guarded, _chosen, _guarded_each])
def test_losses_that_vmap_cannot_hold_are_called_member_by_member(loss):
    """Evaluated, trained and differentiated twice as the named loss is."""
    own, named = problem(loss, {"same": loss} if loss is not _guarded else {}), problem(metrics={})
    members = named.initialize(3)
    expected = tw.evaluation.evaluate(named, members)["loss"]
    for name, found in tw.evaluation.evaluate(own, members).items():
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7, msg=name)
    recipe = tw.Recipe(tw.optim.SGD(0.1), 3, 8)
    for plan in ("stacked", "looped"):
        runs = [tw.train(one, recipe, seeds=3, plan=plan).final.theta for one in (own, named)]
        torch.testing.assert_close(*runs, rtol=1e-5, atol=1e-6)
    for matrix in (tw.curvature.hessian, tw.curvature.gauss_newton, tw.curvature.fisher):
        tops = [tw.spectra.top_eigenvalues(matrix(one, members), 1).values for one in (own, named)]
        np.testing.assert_allclose(*tops, rtol=1e-4)


def test_metrics_are_tried_before_any_work():
    with pytest.raises(UsageError, match="may not be named 'loss'"):
        problem(metrics={"loss": F.cross_entropy})
    with pytest.raises(UsageError, match=r"The metric 'a' is the class Accuracy; write Accuracy\(\)"):
        problem(metrics={"a": Accuracy})
    with pytest.raises(UsageError, match=r"The metric 'a' must be a function \(output, target\); got a str"):
        problem(metrics={"a": "accuracy"})
    with pytest.raises(UsageError, match=r"metrics must be functions .* by name"):
        problem(metrics=[F.cross_entropy])
    with pytest.raises(ModelError, match=r"shape \(3,\) for 8 examples"):
        problem(metrics={"wrong": lambda o, t: torch.zeros(3, 3)})
    with pytest.raises(ModelError, match="cannot take outputs"):
        problem(metrics={"number": lambda o, t: o.mean().item()})


@pytest.mark.parametrize("which", [np.int64(1), torch.tensor(1), -2])
def test_a_member_may_be_chosen_by_any_integer(which):
    members = problem().initialize(3)
    assert members[which].theta.shape == (1, members.layout.parameters)
    torch.testing.assert_close(members[which].theta[0], members.theta[1], rtol=0, atol=0)
    torch.testing.assert_close(members.module(which).output.weight, members.module(1).output.weight, rtol=0, atol=0)


def test_members_can_be_iterated():
    members = problem().initialize(3)
    assert torch.equal(torch.cat([member.theta for member in members]), members.theta)


@pytest.mark.parametrize("classes", [2, 10, 15, 16, 40])
@pytest.mark.parametrize("lead", [(7,), (3, 7), (3, 5, 7), (1, 1)])
@pytest.mark.parametrize("order", ["classes last", "examples last"])
def test_cross_entropy_is_the_negative_logarithm_of_the_softmax(classes, lead, order):
    """Value, gradient and curvature, however outputs lie in memory, with a mean over what follows (members, batch)."""
    draw = generator(0, "cross entropy", classes)
    shape = (*lead, classes) if order == "classes last" else (*lead[:-1], classes, lead[-1])
    outputs = torch.randn(shape, generator=draw, dtype=torch.float64)
    outputs = (outputs if order == "classes last" else outputs.mT).requires_grad_()
    targets = torch.randint(classes, lead, generator=draw)
    places = min(2, len(lead))
    values = CrossEntropy().entries(outputs, targets, places)[0]
    each = -torch.log(torch.softmax(outputs, -1)).gather(-1, targets[..., None])[..., 0]
    expected = each.flatten(places).mean(-1) if len(lead) > places else each
    torch.testing.assert_close(values, expected, rtol=1e-12, atol=1e-12)
    slope, wanted = (torch.autograd.grad(v.sum(), outputs, create_graph=True)[0] for v in (values, expected))
    torch.testing.assert_close(slope, wanted, rtol=1e-10, atol=1e-12)
    along = torch.randn(outputs.shape, generator=draw, dtype=torch.float64)
    bent, wanted = (torch.autograd.grad((s * along).sum(), outputs)[0] for s in (slope, wanted))
    torch.testing.assert_close(bent, wanted, rtol=1e-10, atol=1e-12)


def test_accuracy_takes_the_first_of_equal_outputs():
    outputs = torch.tensor([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0], [3.0, 1.0, 3.0]])
    for table in (outputs, outputs.T.contiguous().T):
        found = Accuracy().entries(table, torch.tensor([0, 2, 0]))[0]
        assert found.tolist() == [1.0, 0.0, 1.0]


SORTED = torch.arange(60) // 20
MANY = torch.randn(60, 4, generator=DRAW)
WEIGHT = torch.tensor([1.0, 5.0, 20.0])
LATE = SORTED.masked_fill(SORTED == 2, -100)
ZERO = torch.nn.Linear(4, 3)
torch.nn.init.zeros_(ZERO.weight)
torch.nn.init.zeros_(ZERO.bias)


class Rows(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def _data(x, y, streamed):
    return tw.data.from_user(Rows(x, y), memory_budget=10) if streamed else (x, y)


def _per_sequence(output, target):
    """The honest mean over examples of means over their tokens."""
    values, kept = F.cross_entropy(output.mT, target.clamp_min(0), reduction="none"), target >= 0
    return ((values * kept).sum(1) / kept.sum(1)).mean()


def _per_token(output, target):
    """The mean over all tokens of the batch, which weighs long examples more."""
    values, kept = F.cross_entropy(output.mT, target.clamp_min(0), reduction="none"), target >= 0
    return (values * kept).sum() / kept.sum()


TOKENS = torch.randint(5, (60, 6), generator=DRAW)
EQUAL = TOKENS.clone()
EQUAL[20:] = torch.where(torch.arange(6) < 1 + torch.arange(40)[:, None] % 6, TOKENS[20:], -1)  # lengths differ late


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("model", [lambda: tw.nets.mlp(4, 5, 3), ZERO], ids=["random", "zero"])
@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (lambda o, t: F.cross_entropy(o, t, weight=WEIGHT.to(o.dtype)), SORTED),
        (F.cross_entropy, LATE),
        (torch.nn.CrossEntropyLoss(WEIGHT), SORTED),
        (lambda o, t: F.cross_entropy(o, t, weight=torch.tensor([1.0, 1.0, 3.0]).to(o)), SORTED),
    ],
    ids=["weights", "ignored", "module", "last class"],
)
def test_weighted_means_are_those_of_the_whole_wherever_their_weights_differ(loss, y, model, streamed):
    """Sorted by class, so that the first few examples show nothing; with outputs that are all equal, too."""
    own = tw.Problem(model, _data(MANY, y, streamed), loss)
    members = own.initialize(2)
    assert own.loss.weighted
    for member in range(2):
        wanted = loss(members.module(member)(MANY), y).detach().double()
        found = tw.evaluation.Evaluator(own, members, own.data.train, batch_size=7)()["loss"][member]
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=0)


def test_a_class_of_a_single_example_is_among_those_tried():
    x, y = torch.randn(5000, 4, generator=DRAW), torch.arange(5000) % 2
    y[4321] = 2
    weigh = lambda o, t: F.cross_entropy(o, t, weight=torch.tensor([1.0, 1.0, 20.0]))  # noqa: E731
    assert tw.Problem(lambda: tw.nets.mlp(4, 3), (x, y), weigh).loss.weighted
    assert not tw.Problem(lambda: tw.nets.mlp(4, 3), (x, y), F.cross_entropy).loss.weighted


@pytest.mark.parametrize("streamed", [False, True])
def test_means_over_tokens_weigh_examples_by_their_lengths_and_those_over_examples_do_not(streamed):
    model, data = lambda: tw.nets.transformer(5, 6, width=4, heads=1, depth=1), _data(TOKENS, EQUAL, streamed)
    for loss, weighted in ((_per_token, True), (_per_sequence, False)):
        own = tw.Problem(model, data, loss)
        members = own.initialize(1)
        wanted = loss(members.module(0)(TOKENS), EQUAL).detach().double()
        torch.testing.assert_close(tw.evaluate(own, members)["loss"][0], wanted, rtol=1e-6, atol=0)
        assert own.loss.weighted == weighted


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (F.cross_entropy, SORTED),
        (lambda o, t: F.cross_entropy(o, t, reduction="none") * WEIGHT[t], SORTED),
        (lambda o, t: (F.cross_entropy(o, t, reduction="none") * WEIGHT[t]).mean(), SORTED),
        (lambda o, t: F.mse_loss(o, t), torch.randn(60, 3)),
        (lambda o, t: (o * t).mean(), torch.randn(60, 3)),  # of either sign, so that the mean is small
        (lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1) + 1e-3, SORTED),
        (lambda o, t: F.binary_cross_entropy_with_logits(o, t, pos_weight=WEIGHT), (torch.rand(60, 3) > 0.9).float()),
    ],
)
def test_honest_means_are_taken(loss, y, scale):
    tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (scale * MANY, y), loss)


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (
            lambda o, t: (F.cross_entropy(o, t), torch.ones(len(t))),
            r"\(values, weights\), but the values have shape \(\) for 8",
        ),
        (
            lambda o, t: (F.cross_entropy(o, t), (o.argmax(1) == t).float().mean()),
            r"returned two tensors, which are read as \(values, weights\).* for 8 examples.*as metrics=",
        ),
        (
            lambda o, t: (F.cross_entropy(o, t, reduction="none"), torch.ones(3)),
            r"weights of shape \(3,\) for values of",
        ),
        (lambda o, t: (o, torch.ones(len(t))), r"weights of shape \(8,\) for values of shape \(8, 3\).*expand_as"),
        (lambda o, t: (F.cross_entropy(o, t, reduction="none"), -torch.ones(len(t))), "not negative; among them is -1"),
        (
            lambda o, t: (F.cross_entropy(o, t, reduction="none"), 1.0 / (t > 0)),
            "finite and not negative; among .* inf",
        ),
        (lambda o, t: (F.cross_entropy(o, t, reduction="none"), 0 * t / 0), "among them is nan"),
        (
            lambda o, t: (F.cross_entropy(o, t, reduction="none"), "w"),
            "returned tuple; it must return a tensor, or two",
        ),
        (lambda o, t: 1.0, "returned float; it must return a tensor, or two"),
        (
            lambda o, t: (F.cross_entropy(o, t, reduction="none"), WEIGHT[t] / WEIGHT[t].sum()),
            r"is not sum\(w l\) / sum\(w\).*leave weights as they are",
        ),
        (
            lambda o, t: (
                F.cross_entropy(o, t, reduction="none"),
                1 - o.softmax(1).gather(1, t[:, None])[:, 0].detach(),
            ),
            "depend on the parameters of the model",
        ),
    ],
)
def test_weights_that_cannot_be_meant(loss, sentence):
    with pytest.raises(ModelError, match=sentence):
        problem(loss)


def test_weights_that_turn_negative_late_are_found_in_evaluation():
    y = torch.zeros(600, dtype=torch.long)
    weights = torch.ones(600)
    weights[555] = -2.0
    loss = lambda o, t: (F.cross_entropy(o, t[0], reduction="none"), t[1])  # noqa: E731
    own = tw.Problem(lambda: tw.nets.mlp(4, 3), (torch.randn(600, 4, generator=DRAW), (y, weights)), loss)
    with pytest.raises(ModelError, match="weights of 'loss' must be finite and not negative; among them is -2"):
        tw.evaluate(own, own.initialize(1))


def test_weights_of_the_inputs_may_pass_through_the_model():
    """A mask that the model returns beside its outputs depends on no parameter."""

    class Masked(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x), x[:, 0] > 0

    loss = lambda o, t: (F.cross_entropy(o[0], t, reduction="none"), o[1])  # noqa: E731
    own = tw.Problem(lambda: Masked(4, 3), (X, Y), loss, dtype=torch.float64)
    members = own.initialize(2)
    kept = X[:, 0] > 0
    for member in range(2):
        wanted = F.cross_entropy(members.module(member)(X.double())[0][kept], Y[kept]).detach()
        torch.testing.assert_close(tw.evaluate(own, members)["loss"][member], wanted, rtol=1e-12, atol=0)


def test_losses_with_parameters_of_their_own_are_refused():
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(3.0))

        def forward(self, output, target):
            return F.cross_entropy(self.scale * output, target)

    with pytest.raises(ModelError, match="Scaled has parameters of its own, which are not trained"):
        problem(Scaled())


def test_metrics_with_weights_are_tried_before_any_work():
    with pytest.raises(ModelError, match=r"weights of shape \(3,\) for values of shape \(8,\)"):
        problem(metrics={"wrong": lambda o, t: (o[:, 0], torch.ones(3))})


@pytest.mark.parametrize("name", ["loss weight", "own weight"])
def test_metrics_do_not_take_the_names_of_weights(name):
    """They would overwrite them in the table by example."""
    ones = lambda o, t: (torch.zeros(len(t)), torch.ones(len(t)))  # noqa: E731
    with pytest.raises(UsageError, match=f"may not be named '{name}', which is what the weights of"):
        problem(ones, {"own": ones, name: lambda o, t: o[:, 0]})
    own = problem(ones, {"body weight": lambda o, t: o[:, 0]})
    assert list(tw.evaluation.by_example(own, own.initialize(1))) == ["loss", "loss weight", "body weight"]


def test_booleans_are_numbers():
    """Of examples, of tokens, with weights, and as one number."""
    right = lambda o, t: o.argmax(1) == t  # noqa: E731
    metrics = {
        "each": right,
        "tokens": lambda o, t: torch.stack([right(o, t)] * 2, 1),
        "weighted": lambda o, t: (right(o, t), t > 0),
        "counts": lambda o, t: right(o, t).long(),
    }
    x, y = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    problem = tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (x, y), metrics=metrics)
    members = problem.initialize(2)
    found = tw.evaluate(problem, members)
    for member in range(2):
        hits = right(members.module(member)(x), y).double()
        wanted = {"each": hits.mean(), "tokens": hits.mean(), "weighted": hits[y > 0].mean(), "counts": hits.mean()}
        assert {name: found[name][member].item() for name in metrics} == pytest.approx(
            {name: value.item() for name, value in wanted.items()}
        )
