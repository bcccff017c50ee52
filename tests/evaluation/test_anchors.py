"""In what architectures differ: everything, in words."""

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.evaluation.anchors import check_anchors, differences


def _population(model: nn.Module) -> tw.Population:
    return tw.Population.of([model])


class Swapped(nn.Module):
    """The tensors of a linear layer, in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.weight = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(3, 2))


def test_one_architecture_has_no_differences() -> None:
    first, second = _population(nn.Linear(2, 3)), _population(nn.Linear(2, 3))
    assert differences(first, second) == []
    check_anchors("line", [first, second])


def test_shapes_names_buffers_and_order_are_all_said() -> None:
    plain, normed = nn.Sequential(nn.Linear(2, 3)), nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4))
    found = differences(_population(plain), _population(normed))
    assert found[:2] == [
        "'0.weight' is (3, 2) in the first and (4, 2) in the second",
        "'0.bias' is (3,) in the first and (4,) in the second",
    ]
    assert set(found[2:]) == {
        f"'1.{name}' {shape} is in the second alone"
        for name, shape in (
            ("weight", (4,)),
            ("bias", (4,)),
            ("running_mean", (4,)),
            ("running_var", (4,)),
            ("num_batches_tracked", ()),
        )
    }
    assert differences(_population(normed), _population(plain))[-1].endswith("is in the first alone")
    assert differences(_population(nn.Linear(2, 3)), _population(Swapped())) == [
        "tensor 1 is 'weight' in the first and 'bias' in the second",
        "tensor 2 is 'bias' in the first and 'weight' in the second",
    ]


def test_a_buffer_that_one_has_alone_is_a_difference() -> None:
    frozen = nn.Linear(2, 3)
    frozen.weight.requires_grad_(False)
    with pytest.raises(UsageError, match="The two layouts differ"):
        check_anchors("line", [_population(nn.Sequential(nn.Linear(2, 3))), _population(frozen)])


def test_what_is_trained_here_and_frozen_there_is_a_difference() -> None:
    frozen = nn.Linear(2, 3)
    frozen.weight.requires_grad_(False)
    assert differences(_population(nn.Linear(2, 3)), _population(frozen)) == [
        "'weight' is trained in the first and frozen in the second"
    ]
