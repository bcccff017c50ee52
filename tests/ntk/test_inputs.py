"""What is said of inputs, at their scales and beyond the examples that are looked at."""

import torch

from thalweg.data import Examples
from thalweg.ntk.inputs import remarks_on_inputs


def _normal(count: int = 3_000) -> torch.Tensor:
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(0))


def _said(inputs: object, count: int = 3_000) -> str:
    return " ".join(remarks_on_inputs(Examples(inputs, torch.zeros(count))))


def test_scaled_and_different_inputs_are_passed_over() -> None:
    assert _said(_normal()) == ""
    assert _said((_normal(), torch.arange(3_000))) == ""


def test_the_scale_is_said_with_the_remedy() -> None:
    assert "root mean square is 255" in _said(255 * _normal() / _normal()[:2_048].square().mean().sqrt())
    assert "standardize each feature" in _said(0.01 * _normal())


def test_what_is_looked_at_is_said() -> None:
    inputs = _normal()
    inputs[1_000], inputs[2_500] = inputs[3], inputs[4]
    assert "1 of the first 2,048 inputs are the same as an earlier one" in _said(inputs)


def test_rows_are_the_same_where_all_tensors_are() -> None:
    left, right = _normal(4).clone(), _normal(4).clone()
    left[1] = left[0]
    assert "same" not in _said((left, right), 4)
    right[1] = right[0]
    assert "1 of 4 inputs are the same" in _said({"left": left, "right": right}, 4)


def test_inputs_of_zeros_are_no_scale() -> None:
    assert "not scaled" not in _said(torch.zeros(3, 2), 3)
