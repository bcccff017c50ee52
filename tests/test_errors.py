"""Errors are sentences: what was got, what was expected, what to write instead."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import thalweg as tw
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


def _wrong() -> dict[str, tuple[str, Callable[[], object]]]:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    members = problem.initialize(2)
    standings = tw.generalization.grokking.standings
    return {
        "weights": ("must be numbers", lambda: tw.evaluation.weighted_sums(problem, [members], None)),
        "anchors": ("a list of at least one", lambda: tw.evaluation.weighted_sums(problem, torch.zeros(2, 3), [[1.0]])),
        "seeds": ("a sequence of int; got 3", lambda: tw.tickets.reinitialized(problem, 3)),
        "examples": ("examples must be", lambda: standings(problem, members, "x")),
        "samples": ("must be numbers.*got 'x'", lambda: tw.statistics.standard_error("x")),
        "inputs": ("inputs must be as the model", lambda: tw.ntk.empirical_kernels(problem, members, "x")),
    }


def test_arguments_of_another_kind_are_named() -> None:
    for said, call in _wrong().values():
        with pytest.raises(UsageError, match=said):
            call()
