"""Kernel regression against scikit-learn, and against where gradient flow ends."""

import math

import numpy as np
import pytest
import torch
from ntk.linear_net import LinearNet, N
from sklearn.kernel_ridge import KernelRidge

import thalweg as tw


def test_it_is_that_of_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 4, generator=draw).double(), torch.randn(9, 3, generator=draw).double()
    whole = torch.exp(-(torch.cdist(x, x) ** 2) / 3) * 2
    found = tw.ntk.regression(whole[:9, :9], whole[9:, :9], y, ridge=0.1)
    theirs = KernelRidge(alpha=0.1, kernel="precomputed").fit(whole[:9, :9].numpy(), y.numpy())
    np.testing.assert_allclose(found["test"][0], theirs.predict(whole[9:, :9].numpy()), rtol=0, atol=1e-11)
    np.testing.assert_allclose(found["train"][0], theirs.predict(whole[:9, :9].numpy()), rtol=0, atol=1e-11)


def test_every_member_may_have_a_ridge_of_its_own() -> None:
    """Also of one kernel that all share; `bounds` and `posterior` mean the same by it."""
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 4, generator=draw).double(), torch.randn(9, 1, generator=draw).double()
    whole = torch.exp(-(torch.cdist(x, x) ** 2) / 3)
    kernel, cross = whole[:9, :9], whole[9:, :9]
    both = tw.ntk.regression(kernel, cross, y, ridge=[0.1, 2.0])
    scaled = tw.ntk.regression(torch.stack([kernel, 5 * kernel]), cross.expand(2, -1, -1), y, ridge=(0.1, 10.0))
    bounds = tw.ntk.bounds(torch.stack([kernel, kernel]), y, ridge=torch.tensor([0.1, 2.0]))
    for member, ridge in enumerate((0.1, 2.0)):
        alone = tw.ntk.regression(kernel, cross, y, ridge=ridge)
        np.testing.assert_allclose(both["test"][member], alone["test"][0], rtol=1e-12)
        np.testing.assert_allclose(tw.ntk.posterior(kernel, cross, None, y, noise=ridge)["mean"], alone["test"])
        assert bounds["norm"][member] == pytest.approx(tw.ntk.bounds(kernel, y, ridge=ridge)["norm"][0])
        rest = np.abs(alone["train"][0] - y.numpy())
        assert bounds["training risk"][member] == pytest.approx(rest.clip(max=1).mean(), rel=1e-6)
    np.testing.assert_allclose(scaled["test"][1], both["test"][1] / 5, rtol=1e-10)
    assert both.reading.notes[0] == "Ridge 0.1 to 2, one a member."


def test_it_is_where_flow_ends_with_and_without_blocks_and_members() -> None:
    nets = [LinearNet(seed) for seed in (0, 1)]
    kernel, cross = torch.stack([one.kernel for one in nets]), torch.stack([one.cross for one in nets])
    for k, c in ((kernel, cross), (kernel[..., 0, 0], cross[..., 0, 0])):
        found = tw.ntk.regression(k, c, nets[0].targets)
        flow = tw.ntk.gradient_flow(k, c, nets[0].targets, times=math.inf)
        assert found["train"].shape == (2, N, 2)
        np.testing.assert_allclose(found["test"], flow["test"][:, 0], rtol=0, atol=1e-8)
        np.testing.assert_allclose(found["train"], flow["train"][:, 0], rtol=0, atol=1e-9)


def test_classes_of_digits() -> None:
    """A ridge far above all eigenvalues leaves K* y, which is the class of the nearest mean for centered inputs."""
    data = tw.data.digits()
    x, labels = data.train.inputs[:300].double(), data.train.targets[:300]
    test, known = data.test.inputs[:200].double(), data.test.targets[:200]
    ridge = float((x @ x.T).diagonal().mean())
    found = tw.ntk.classify(x @ x.T, test @ x.T, labels, known, ridge=ridge)
    linear = KernelRidge(alpha=ridge, kernel="linear")
    linear.fit(x.numpy(), np.eye(10)[labels.numpy()] - 0.1)
    expected = float((linear.predict(test.numpy()).argmax(1) == known.numpy()).mean())
    assert found["accuracy"].tolist() == [pytest.approx(expected, abs=1e-12)]
    assert 0.8 < found["accuracy"][0] <= found["train accuracy"][0]
    shuffled = labels[torch.randperm(300, generator=torch.Generator().manual_seed(0))]
    assert tw.ntk.classify(x @ x.T, test @ x.T, shuffled, known, ridge=ridge)["accuracy"][0] < 0.3


def test_targets_of_classes_sum_to_zero() -> None:
    targets = tw.ntk.one_hot(torch.tensor([2, 0]), 4)
    assert targets.tolist() == [[-0.25, -0.25, 0.75, -0.25], [0.75, -0.25, -0.25, -0.25]]


def test_accuracy_of_one_output_is_that_of_the_sign_and_keeps_what_is_in_front() -> None:
    outputs = np.array([[[0.1], [-2.0], [0.0]], [[-0.1], [2.0], [1.0]]])
    assert tw.ntk.accuracy(outputs, np.array([1, -1, 1])).tolist() == [2 / 3, 1 / 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tw.ntk.regression(torch.eye(2), None, torch.ones(2)), "give cross"),
        (
            lambda: tw.ntk.regression(torch.eye(2), torch.eye(2), torch.ones(2), ridge=-1.0),
            "ridge is a number of at least 0",
        ),
        (lambda: tw.ntk.regression(torch.eye(2), torch.eye(2), torch.ones(2), ridge="1"), "ridge is a number"),
        (
            lambda: tw.ntk.regression(torch.eye(2).expand(3, 2, 2), torch.eye(2), torch.ones(2), ridge=[1, 2]),
            "of 3 members",
        ),
        (lambda: tw.ntk.one_hot([0, 3], 3), "from 0 to below 3 classes; got from 0 to 3"),
        (lambda: tw.ntk.one_hot([0.5]), "whole numbers"),
        (lambda: tw.ntk.accuracy(np.zeros((3, 2)), [0, 1]), r"got \(3, 2\) and \(2,\)"),
        (lambda: tw.ntk.classify(torch.eye(2), torch.eye(2), [0, 0], [0, 0]), "at least two classes; got 1"),
        (lambda: tw.ntk.accuracy(np.ones((2, 1)), [0, 1]), "some are 0. Write 2"),
        (lambda: tw.ntk.classify(torch.eye(2), torch.eye(2), [0, 1], [0, 2], classes=2), "below 2 classes"),
    ],
)
def test_what_makes_no_sense(call, message: str) -> None:
    with pytest.raises(tw.UsageError, match=message):
        call()


def test_rounding_below_zero_makes_no_huge_solution() -> None:
    """A kernel whose eigenvalues are below 0 by rounding of float32: what jitter just cancels would be divided by."""
    basis, _ = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    values = torch.cat([torch.linspace(1, 2, 20), -torch.linspace(1e-9, 3e-8, 20)]).double()
    kernel = basis @ torch.diag(values) @ basis.T
    targets = torch.randn(40, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = tw.ntk.regression(kernel, kernel, targets)
    assert found["jitter"][0] > 2 * 3e-8
    assert np.linalg.norm(found["train"]) < 1.2 * float(targets.norm())
    assert "of the targets is not fitted" in " ".join(found.reading.notes)
