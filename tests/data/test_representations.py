"""One-hot targets and principal components, against their definitions."""

from dataclasses import replace

import pytest
import torch

import thalweg as tw
from thalweg.data import Data, Examples, in_principal_components, one_hot
from thalweg.errors import UsageError


def test_one_hot_targets_are_1_at_the_class_alone() -> None:
    data = tw.data.digits()
    found = one_hot(data)
    for mine, theirs in ((found.train, data.train), (found.test, data.test)):
        assert torch.equal(mine.inputs, theirs.inputs)
        assert torch.equal(mine.targets.argmax(1), theirs.targets)
        assert torch.equal(mine.targets.sort(1).values[:, -2:].sum(0), torch.tensor([0.0, len(theirs)]))
    assert found.classes is None
    with pytest.raises(UsageError, match="one integer class per example"):
        one_hot(found)


def test_principal_components_are_uncorrelated_and_explain_most() -> None:
    data = tw.data.digits().subset(train=300)
    found = in_principal_components(data, 5)
    x = data.train.inputs.double()
    covariance = (x - x.mean(0)).T @ (x - x.mean(0))
    wanted = torch.linalg.eigvalsh(covariance).flip(0)[:5]
    torch.testing.assert_close(found.train.inputs.T @ found.train.inputs, torch.diag(wanted), atol=1e-8, rtol=1e-8)
    assert torch.equal(found.train.targets, data.train.targets)


def test_held_out_inputs_are_seen_along_the_same_components() -> None:
    data = tw.data.digits().subset(train=200)
    same = in_principal_components(replace(data, test=data.train), 4)
    assert torch.equal(same.test.inputs, same.train.inputs)
    assert in_principal_components(replace(data, test=None), 4).test is None
    whole = in_principal_components(data, 64)
    distance = torch.cdist(whole.test.inputs, whole.train.inputs)
    torch.testing.assert_close(distance, torch.cdist(data.test.inputs.double(), data.train.inputs.double()))


def test_signs_are_fixed() -> None:
    x = torch.tensor([[-2.0, -1.0], [0.0, 0.0], [2.0, 1.0]])
    targets = torch.zeros(3, dtype=torch.int64)
    found = in_principal_components(Data(Examples(x, targets)), 1).train.inputs[:, 0]
    torch.testing.assert_close(found, torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64) * 5**0.5)


def test_what_has_no_components() -> None:
    with pytest.raises(UsageError, match=r"at least 65 of both; got \(1437, 64\)"):
        in_principal_components(tw.data.digits(), 65)
    with pytest.raises(UsageError, match=r"got \(1437, 1, 8, 8\)"):
        in_principal_components(tw.data.digits(image=True), 2)
