"""What an argument is to be, told from its annotation once a call has failed."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

import thalweg as tw
from thalweg.arguments import in_words
from thalweg.data import ExampleSet
from thalweg.kinds import flat, misfit

FITS = [
    (ArrayLike, [[1, 2], [3, 4]]),
    (ArrayLike | None, None),
    (Tensor | ArrayLike, torch.zeros(2, requires_grad=True)),
    (NDArray[np.float64], [1.0, 2.0]),
    (NDArray[np.float64], torch.zeros(2)),
    (Float[Tensor, "members n"], torch.zeros(2, 3)),
    (Sequence[int], np.arange(3)),
    (Sequence[int], torch.arange(3)),
    (Sequence[tw.Population], []),
    (Callable[[int], int], abs),
    (Mapping[str, int], {}),
    (float, np.float32(1)),
    (int, np.int64(1)),
    (Literal["a", "b"], "b"),
    (Any, "x"),
    ("Population", 3),
]
MISFITS = [
    (ArrayLike, "x", "numbers"),
    (ArrayLike, None, "numbers"),
    (ArrayLike, nn.Linear(2, 2), "numbers"),
    (Float[Tensor, "members n"], torch.zeros(2), r"a Tensor of shape \(members n\)"),
    (Sequence[int], "x", "a sequence of int"),
    (Sequence[int], 3, "a sequence of int"),
    (Sequence[tw.Population], torch.zeros(2, 3), "a sequence of Population"),
    (list[int] | None, 3, "a list of int or None"),
    (Callable[[int], int], 3, "a function"),
    (Mapping[str, int], [1], "a mapping"),
    (int, 1.5, "a whole number"),
    (float | None, "x", "a number or None"),
    (Literal["a", "b"], "c", "one of 'a', 'b'"),
    (ExampleSet, torch.zeros(2), "an Examples or a LazyExamples"),
    (tw.Population, nn.Linear(2, 2), "a Population"),
]


@pytest.mark.parametrize(("annotation", "value"), FITS)
def test_what_fits(annotation: Any, value: Any) -> None:
    assert misfit(annotation, value) == ""


@pytest.mark.parametrize(("annotation", "value", "wanted"), MISFITS)
def test_what_does_not_is_named(annotation: Any, value: Any, wanted: str) -> None:
    assert re.match(wanted, misfit(annotation, value))


def test_a_single_number_is_named_where_several_are_meant() -> None:
    assert flat(ArrayLike, 3).endswith("of one dimension or more")
    assert flat(ArrayLike, [3]) == flat(int, 3) == ""


def test_errors_of_functions_that_are_given_stay_as_they_are() -> None:
    @in_words
    def applied(function: Callable[[Any], Any], values: ArrayLike) -> Any:
        return function(values)

    with pytest.raises(ZeroDivisionError):
        applied(lambda values: 1 / 0, [1])
    with pytest.raises(TypeError, match="unsupported"):
        applied(lambda values: values + "x", 3)
    with pytest.raises(tw.UsageError, match=r"applied function must be a function; got 3\."):
        applied(3, [1])  # type: ignore[arg-type]
