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
        (lambda o, t: F.cross_entropy(o, t, weight=torch.tensor([1.0, 9.0, 1.0])), "not the mean of the losses"),
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
