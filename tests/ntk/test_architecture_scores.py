"""Scores of architectures against kernels that are made by hand, and orders that are known."""

import numpy as np
import pytest
import torch
from cases import CASE
from ntk.dense_kernels import kernel_of
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.ntk import architecture_scores, scores
from thalweg.ntk.architecture_scores import LOGITS

SMALL = tw.Sample("train", 12)


def _nets(**options: object) -> dict[str, tw.Problem]:
    data = tw.data.digits()
    shapes = {"narrow": (64, 8, 10), "wide": (64, 256, 10), "deep": (64, 64, 64, 64, 64, 10)}
    return {
        name: tw.Problem(lambda shape=shape: tw.nets.mlp(*shape), data, **options) for name, shape in shapes.items()
    }


def test_they_are_the_scores_of_the_dense_kernels() -> None:
    case = CASE["mlp"]
    problem = case.problem(dtype=torch.float64)
    found = architecture_scores({"only": problem}, seeds=[3, 5], on="train")
    population, examples = problem.initialize([3, 5]), problem.data.train
    for seed in range(2):
        whole = kernel_of(case, population, seed, examples).unflatten(1, (24, 3)).unflatten(0, (24, 3))
        kernel = torch.einsum("acbc->ab", whole) / 3
        wanted = {
            "log10 condition number": scores.condition_number(kernel).log10,
            "mean Gram entry": kernel.mean(),
            "mean diagonal": kernel.diagonal().mean(),
            "effective rank": scores.effective_rank(kernel),
            "alignment": scores.alignment(kernel, nn.functional.one_hot(case.targets)),
            "label-gradient alignment": scores.label_gradient_alignment(kernel, case.targets),
        }
        for name, value in wanted.items():
            assert found[name][0, seed] == pytest.approx(float(value), rel=1e-6), name


def test_the_sum_of_outputs_is_another_kernel_and_is_said() -> None:
    case = CASE["mlp"]
    problem = case.problem(dtype=torch.float64)
    found = architecture_scores({"only": problem}, seeds=1, on="train", outputs="sum")
    whole = kernel_of(case, problem.initialize(1), 0, problem.data.train).unflatten(1, (24, 3)).unflatten(0, (24, 3))
    assert found["mean Gram entry"][0, 0] == pytest.approx(float(whole.sum((1, 3)).mean()), rel=1e-9)
    assert LOGITS in found.reading.notes


def test_a_deep_narrow_relu_net_is_worse_conditioned_than_a_wide_one() -> None:
    found = architecture_scores(_nets(dtype=torch.float64), seeds=4, on=SMALL)
    assert found.interval("log10 condition number", "deep").low > found.interval("log10 condition number", "wide").high


def test_intervals_are_over_seeds() -> None:
    found = architecture_scores(_nets(), seeds=5, on=SMALL)
    one = found.interval("alignment", "wide")
    assert one.n == 5
    assert one.estimate == pytest.approx(found["alignment"][1].mean())
    assert found.figure("alignment").panels[0].marks[0].labels == ("narrow", "wide", "deep")
    with pytest.raises(UsageError, match="no architecture 'wid'"):
        found.interval("alignment", "wid")


def test_a_score_that_ranks_is_found_to_rank() -> None:
    data = tw.data.digits()
    nets = {str(d): tw.Problem(lambda d=d: tw.nets.mlp(64, *[32] * d, 10), data) for d in range(1, 7)}
    found = architecture_scores(nets, seeds=2, on=SMALL)
    rank = found.rank_correlation("log10 condition number", {str(d): float(d) for d in range(1, 7)})
    assert rank.n == 6
    assert rank.low > 0
    assert found.rank_correlation("log10 condition number", np.arange(6)).estimate == rank.estimate
    with pytest.raises(UsageError, match="'6' has none"):
        found.rank_correlation("log10 condition number", {str(d): 0.0 for d in range(1, 6)})


def test_singular_kernels_are_said_to_be_so_and_nothing_is_nan() -> None:
    x = CASE["mlp"].inputs.clone()
    x[5] = x[0]
    problem = tw.Problem(CASE["mlp"].model, (x, CASE["mlp"].targets))
    found = architecture_scores({"only": problem}, seeds=2, on="train")
    assert found["singular"].all()
    assert not any(np.isnan(found[name].astype(float)).any() for name in found.reading.arrays)
    notes = " ".join(found.reading.notes)
    assert "2 of 2 kernels are singular to working precision." in notes
    assert "1 of 24 inputs are the same as an earlier one" in notes


def test_regression_has_no_classes() -> None:
    found = architecture_scores({"only": CASE["regression"].problem()}, seeds=2, on="train")
    assert "alignment" in found.reading.arrays
    assert "label-gradient alignment" not in found.reading.arrays


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(UsageError, match="at least one problem"):
        architecture_scores({})
    with pytest.raises(UsageError, match="The problem 'a' must be a Problem"):
        architecture_scores({"a": 3})
    with pytest.raises(UsageError, match="trace, sum"):
        architecture_scores(_nets(), outputs="full")
