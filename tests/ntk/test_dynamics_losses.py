"""Descent of any loss in the space of outputs against training the linearized network with torch's optimizer."""

import numpy as np
import pytest
import torch
from ntk.linear_net import C, LinearNet, N
from torch import Tensor
from torch.nn import functional

import thalweg as tw

STEPS = 25
CLASSES = torch.tensor([0, 1, 1, 0, 0, 1])
BATCHES = [[(3 * step + i) % N for i in range(1 + step % 4)] for step in range(STEPS)]


def smoothed(f: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(f, y, label_smoothing=0.2)


def margin(f: Tensor, y: Tensor) -> Tensor:
    return functional.multi_margin_loss(f, y, p=2)


LOSSES = {
    "cross_entropy": (CLASSES, "cross_entropy", functional.cross_entropy),
    "squared_error": (
        torch.randn(N, C, generator=torch.Generator().manual_seed(6), dtype=torch.float64),
        "squared_error",
        functional.mse_loss,
    ),
    "smoothed": (CLASSES, tw.losses.CrossEntropy(label_smoothing=0.2), smoothed),
    "own": (CLASSES, margin, margin),
}
RULES = {
    "plain": {},
    "heavy-ball": {"momentum": 0.8},
    "all": {"momentum": 0.7, "nesterov": True, "weight_decay": 0.02, "schedule": tw.schedules.Cosine(warmup=3)},
}


@pytest.fixture(scope="module")
def net() -> LinearNet:
    return LinearNet()


@pytest.mark.parametrize("batches", [None, BATCHES], ids=["whole", "batches"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LOSSES)
def test_every_step_is_that_of_the_linearized_net(net: LinearNet, name: str, rule: str, batches: list | None) -> None:
    targets, loss, function = LOSSES[name]
    given = {**RULES[rule], "lr": 0.1}

    def seen(f: Tensor, step: int) -> Tensor:
        rows = slice(None) if batches is None else batches[step - 1]
        return function(f[rows], targets[rows])

    expected = net.trained(seen, STEPS, **given)
    to = {"origin": net.origin[:N], "origin_test": net.origin[N:]} if "weight_decay" in given else {}
    starts = {"start": net.start[:N], "start_test": net.start[N:]}
    path = tw.ntk.descend(
        net.kernel, net.cross, targets, loss=loss, steps=range(STEPS + 1), batches=batches, **starts, **to, **given
    )
    found = np.concatenate([path["train"][0], path["test"][0]], 1)
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-10)
    losses = [float(function(one[:N], targets)) for one in expected]
    np.testing.assert_allclose(path["loss"][0], losses, rtol=0, atol=1e-10)
    assert np.ptp(losses) > 0.01


def test_of_the_squared_error_it_is_the_closed_form() -> None:
    nets = [LinearNet(seed) for seed in (0, 1)]
    kernel = torch.stack([one.kernel for one in nets])
    given = {"lr": [0.3 / one.top for one in nets], "steps": [0, 1, 30], "momentum": 0.5, "weight_decay": 0.1}
    targets = nets[0].targets
    stepped = tw.ntk.descend(kernel, None, targets, loss=lambda f, y: (f - y).square().sum() / 2, **given)
    closed = tw.ntk.gradient_descent(kernel, None, targets, **given)
    np.testing.assert_allclose(stepped["train"], closed["train"], rtol=0, atol=1e-12)


def test_a_shared_kernel_takes_as_many_outputs_as_there_are_classes() -> None:
    kernel = torch.eye(3).double() + 1
    path = tw.ntk.descend(kernel, kernel[:1], torch.tensor([0, 2, 1]), loss="cross_entropy", lr=0.3, steps=5)
    assert path["train"].shape == (1, 1, 3, 3)
    assert path["test"].shape == (1, 1, 1, 3)
    np.testing.assert_allclose(path["test"][0, 0, 0], path["train"][0, 0, 0])
    more = tw.ntk.descend(kernel, None, torch.tensor([0, 2, 1]), loss="cross_entropy", lr=0.3, steps=5, outputs=5)
    assert more["train"].shape == (1, 1, 3, 5)
    one = tw.ntk.descend(kernel, None, torch.tensor([0.0, 2, 1]), loss="squared_error", lr=0.3, steps=5)
    np.testing.assert_allclose(
        one["train"],
        tw.ntk.gradient_descent(kernel, None, torch.tensor([0.0, 2, 1]), loss="mean", lr=0.3, steps=5)["train"],
        atol=1e-13,
    )


@pytest.mark.parametrize(
    ("batches", "message"),
    [([[0]], "1 batches for 2 steps"), ([[0], [3]], r"batch 1 is \[3\]"), ([[0], []], "batch 1 is")],
)
def test_batches_that_make_no_sense(batches: list, message: str) -> None:
    with pytest.raises(tw.UsageError, match=message):
        tw.ntk.descend(
            torch.eye(3), None, torch.tensor([0, 1, 0]), loss="cross_entropy", lr=1.0, steps=2, batches=batches
        )


@pytest.mark.parametrize(("loss", "y"), [("logistic", [1.0, 2.0, 1.0]), ("cross_entropy", [0, 1, -100])])
def test_targets_that_a_named_loss_is_not_made_for(loss: str, y: list) -> None:
    with pytest.raises(tw.ModelError, match="run from"):
        tw.ntk.descend(torch.eye(3), None, torch.tensor(y), loss=loss, lr=1.0, steps=2)
    with pytest.raises(tw.ModelError, match="run from"):
        tw.ntk.flow(torch.eye(3), None, torch.tensor(y), loss=loss, times=[0.0, 1.0])
