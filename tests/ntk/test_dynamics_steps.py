"""Predicted steps against counting them."""

import math

import numpy as np
import pytest
import torch
from ntk.linear_net import LinearNet

import thalweg as tw

RULES = {
    "plain": {},
    "decay": {"weight_decay": 1e-4},
    "heavy-ball": {"momentum": 0.8},
    "nesterov": {"momentum": 0.8, "nesterov": True},
    "schedule": {"schedule": tw.schedules.Cosine(warmup=4, final=0.5)},
}


@pytest.mark.parametrize("loss", ["half_sum", "mean"])
@pytest.mark.parametrize("rule", RULES)
def test_it_is_the_first_step_at_which_descent_is_there(rule: str, loss: str) -> None:
    nets = [LinearNet(seed) for seed in (0, 1, 2)]
    scale = 1 if loss == "half_sum" else nets[0].targets.numel() / 2
    kernel = torch.stack([one.kernel for one in nets])
    rates, start = [0.5 * scale / one.top for one in nets], torch.stack([one.start[:6] for one in nets])
    given = {**RULES[rule], "lr": rates, "start": start, "loss": loss}
    cap = 3000
    found = tw.ntk.predicted_steps(kernel, nets[0].targets, level=0.02, cap=cap, **given)
    losses = tw.ntk.gradient_descent(kernel, None, nets[0].targets, steps=range(cap + 1), **given)["loss"]
    there = losses <= 0.02 * losses[:, :1]
    np.testing.assert_array_equal(found["steps"], np.where(there.any(1), there.argmax(1), math.inf))
    assert np.isfinite(found["steps"]).all()
    assert len(set(found["steps"])) > 1


def test_what_is_never_reached_is_infinite() -> None:
    kernel, targets = torch.diag(torch.tensor([1.0, 1.0, 0.0])), torch.tensor([1.0, 1.0, 1.0])
    for given in ({"lr": 1.0}, {"lr": 0.5, "momentum": 0.5}, {"lr": 2.5}):
        found = tw.ntk.predicted_steps(kernel, targets, level=0.01, cap=500, **given)
        assert found["steps"].tolist() == [math.inf]
        assert found["floor"][0] == pytest.approx(1 / 3, rel=1e-12)
    assert "rank 2 of 3" in " ".join(found.reading.notes)
    assert tw.ntk.predicted_steps(kernel, targets, level=0.34, lr=1.0)["steps"].tolist() == [1.0]


def test_many_steps_take_no_longer() -> None:
    kernel, targets = torch.diag(torch.tensor([1.0, 1e-7], dtype=torch.float64)), torch.tensor([1.0, 1.0])
    found = tw.ntk.predicted_steps(kernel, targets, level=0.01, lr=1.0, cap=10**9)
    expected = math.ceil(math.log(0.02) / (2 * math.log1p(-1e-7)))
    assert found["steps"].tolist() == [expected]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": 1.0}, "between 0 and 1"),
        ({"level": -0.5}, "level is a number at least 0"),
        ({"cap": 0}, "cap must be a whole number"),
        ({"targets": torch.zeros(2)}, "starts at its targets"),
    ],
)
def test_what_makes_no_sense(change: dict, message: str) -> None:
    given = {"kernel": torch.eye(2), "targets": torch.ones(2), "level": 0.1, "lr": 0.1}
    with pytest.raises(tw.UsageError, match=message):
        tw.ntk.predicted_steps(**{**given, **change})
