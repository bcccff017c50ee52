"""Errors are sentences: what was got, what was expected, what to write instead."""

import numpy as np
import pytest
import torch

from thalweg.errors import UsageError, check_choice, check_count, check_type, unknown_name


def test_what_is_long_is_named_by_its_type() -> None:
    for got, shown in ((3, "got 3."), ("a" * 100, "got a str."), (torch.zeros(9, 9), "got a Tensor.")):
        with pytest.raises(UsageError) as raised:
            check_type("Recipe optimizer", got, dict, "a rule such as optim.SGD(0.1)")
        assert str(raised.value) == f"Recipe optimizer must be a rule such as optim.SGD(0.1); {shown}"
    check_type("x", np.zeros(3), np.ndarray, "an array")


def test_truth_is_no_number() -> None:
    with pytest.raises(UsageError, match="Sample count must be a whole number of at least 1; got True"):
        check_count("Sample count", True)
    with pytest.raises(UsageError, match="at least 2; got 1"):
        check_count("Sample count", 1, least=2)
    check_type("flag", True, bool, "True or False")


def test_the_nearest_name_is_offered() -> None:
    assert "Did you mean 'adam'?" in str(unknown_name("optimizer", "adm", ["adam", "sgd"]))
    assert "Did you mean" not in str(unknown_name("optimizer", 3, ["adam", "sgd"]))
    with pytest.raises(UsageError, match="scale is one of quick, full; got 'slow'"):
        check_choice("scale", "slow", ("quick", "full"))
