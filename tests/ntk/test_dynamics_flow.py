"""Gradient flow of any loss: against closed forms, the limit of small steps, and what it conserves."""

import math

import numpy as np
import pytest
import torch
from ntk.linear_net import LinearNet, N
from torch.nn import functional

import thalweg as tw

TIMES = [0.0, 0.3, 2.0, 20.0]
CLASSES = torch.tensor([0, 2, 1, 1, 0])


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def kernels(n: int = 5, test: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x = drawn(n + test, 20, seed=1)
    whole = x @ x.T / 5
    return whole[:n, :n], whole[n:, :n]


@pytest.mark.parametrize("decay", [0.0, 0.05])
def test_of_the_squared_error_it_is_the_closed_form(decay: float) -> None:
    """Blocks of outputs, two members of their own kernels, a start, and decay to where the parameters are 0."""
    nets = [LinearNet(seed) for seed in (0, 1)]
    kernel, cross = (torch.stack([getattr(one, name) for one in nets]) for name in ("kernel", "cross"))
    start, origin = (torch.stack([getattr(one, name).detach() for one in nets]) for name in ("start", "origin"))
    given = {"times": TIMES, "start": start[:, :N], "start_test": start[:, N:], "weight_decay": decay}
    given |= {"origin": origin[:, :N], "origin_test": origin[:, N:]} if decay else {}
    closed = tw.ntk.gradient_flow(kernel, cross, nets[0].targets, loss="mean", **given)
    found = tw.ntk.flow(kernel, cross, nets[0].targets, loss="squared_error", **given)
    for name in ("train", "test", "loss"):
        np.testing.assert_allclose(found[name], closed[name], rtol=0, atol=1e-8, err_msg=name)
    assert float(np.abs(np.diff(closed["test"], axis=1)).max()) > 0.1
    assert (found["gradients"] >= found["integration steps"]).all()
    assert (found["integration steps"] > 10).all()


def test_a_kernel_of_a_million_scales_is_the_closed_form() -> None:
    """Stiff: the fast directions come to rest a million times before the slow ones move."""
    vectors = torch.linalg.qr(drawn(6, 6))[0]
    kernel = vectors @ torch.diag(torch.logspace(-6, 0, 6, dtype=torch.float64)) @ vectors.T
    targets, times = drawn(6, seed=2), [1.0, 1e3, 1e7]
    closed = tw.ntk.gradient_flow(kernel, kernel[:2], targets, loss="mean", times=times)
    found = tw.ntk.flow(kernel, kernel[:2], targets, loss="squared_error", times=times)
    np.testing.assert_allclose(found["train"], closed["train"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(found["test"], closed["test"], rtol=0, atol=1e-8)
    assert found["integration steps"][0] < 20_000


def test_a_singular_kernel_moves_nothing_along_the_rest() -> None:
    x = drawn(6, 3)
    found = tw.ntk.flow(x @ x.T, None, drawn(6, seed=2), loss="squared_error", times=[5.0])
    closed = tw.ntk.gradient_flow(x @ x.T, None, drawn(6, seed=2), loss="mean", times=[5.0])
    np.testing.assert_allclose(found["train"], closed["train"], rtol=0, atol=1e-8)
    assert any("rank 3 of 6" in note for note in found.reading.notes)


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
def test_it_is_descent_at_a_rate_towards_zero(loss: str) -> None:
    """By Richardson's extrapolation of two small rates, whose errors are proportional to them."""
    kernel, cross = kernels()
    targets = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0]) if loss == "logistic" else CLASSES
    found = tw.ntk.flow(kernel, cross, targets, loss=loss, times=[0.5, 2.0])
    coarse, fine = (
        tw.ntk.descend(kernel, cross, targets, loss=loss, lr=1 / count, steps=[count // 2, 2 * count])
        for count in (1_000, 2_000)
    )
    for name in ("train", "test"):
        np.testing.assert_allclose(found[name], 2 * fine[name] - coarse[name], rtol=0, atol=2e-7, err_msg=name)
        assert np.abs(found[name] - fine[name]).max() > 4e-6  # that much a rate of 1 / 2,000 errs


def test_of_the_logistic_loss_of_one_example_it_is_the_closed_form() -> None:
    """d f / dt = k / (1 + e^f), so that f + e^f = 1 + k t."""
    found = tw.ntk.flow([[3.0]], None, [1.0], loss="logistic", times=[0.1, 1.0, 1e4])["train"][0, :, 0, 0]
    np.testing.assert_allclose(found + np.exp(found), 1 + 3 * np.array([0.1, 1.0, 1e4]), rtol=1e-8)


def test_the_sum_of_logits_is_conserved_where_outputs_share_their_kernel() -> None:
    kernel, cross = kernels()
    start, start_test = drawn(5, 3, seed=3), drawn(3, 3, seed=4)
    given = {"loss": "cross_entropy", "times": [1.0, 100.0], "start": start, "start_test": start_test}
    found = tw.ntk.flow(kernel, cross, CLASSES, **given)
    for name, first in (("train", start), ("test", start_test)):
        np.testing.assert_allclose(found[name].sum(-1)[0], first.sum(-1).expand(2, -1), rtol=0, atol=1e-9)
        assert np.abs(found[name][0] - first.numpy()).max() > 0.1
    losses = found["loss"][0]
    assert losses[1] < losses[0] < float(functional.cross_entropy(start, CLASSES))


def test_its_velocity_is_the_kernel_times_the_gradient() -> None:
    """By central differences, with the gradient of softmax cross-entropy written out."""
    kernel, cross = kernels()
    step, at = 1e-3, 3.0
    found = tw.ntk.flow(kernel, cross, CLASSES, loss="cross_entropy", times=[at - step, at, at + step])
    gradient = (torch.from_numpy(found["train"][0, 1].copy()).softmax(-1) - functional.one_hot(CLASSES)) / 5
    for name, one in (("train", kernel), ("test", cross)):
        velocity = (found[name][0, 2] - found[name][0, 0]) / (2 * step)
        np.testing.assert_allclose(velocity, -one @ gradient, rtol=0, atol=1e-6)


def test_a_function_of_the_user_and_its_figure() -> None:
    kernel, _ = kernels()
    targets = drawn(5, 2)
    own = tw.ntk.flow(kernel, None, targets, loss=lambda f, y: (f - y).square().mean(), times=TIMES)
    named = tw.ntk.flow(kernel, None, targets, loss="squared_error", times=TIMES)
    np.testing.assert_allclose(own["train"], named["train"], rtol=0, atol=1e-9)
    assert own.reading.dims["loss"] == ("member", "time")
    assert "tolerance of 1e-10" in " ".join(own.reading.notes)
    assert own.figure().panels[0].title == "gradient flow of a constant kernel"


def test_a_looser_tolerance_takes_fewer_steps() -> None:
    kernel, _ = kernels()
    rough, fine = (
        tw.ntk.flow(kernel, None, CLASSES, loss="cross_entropy", times=[50.0], tolerance=tolerance)
        for tolerance in (1e-4, 1e-10)
    )
    assert rough["integration steps"][0] < fine["integration steps"][0]
    assert 1e-9 < np.abs(rough["train"] - fine["train"]).max() < 1e-2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"times": math.inf}, "times of flow are finite"),
        ({"times": [5.0], "cap": 3}, r"stopped at time .* of 5 after 3 steps: that is the cap of 3 steps"),
        ({"times": [1.0], "tolerance": 1e-16}, "tolerance is at least 1e-13"),
        ({"times": [1.0], "tolerance": 2.0}, "tolerance is a number"),
        ({"times": [1.0, 0.5]}, "times are numbers of at least 0 that ascend"),
    ],
)
def test_what_it_refuses(given: dict, message: str) -> None:
    with pytest.raises(tw.UsageError, match=message):
        tw.ntk.flow(torch.eye(5), None, CLASSES, loss="cross_entropy", **given)


def test_the_closed_form_names_it_for_other_losses() -> None:
    with pytest.raises(tw.UsageError, match="Any other loss have descend, step by step, and flow, in time"):
        tw.ntk.gradient_flow(torch.eye(2), None, torch.ones(2), loss="logistic", times=1.0)
