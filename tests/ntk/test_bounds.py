"""Bounds against the risk of populations that are known, and against the complexities they are bounds of."""

import math

import numpy as np
import pytest
import torch
from ntk.planted_kernels import arora_kernel, smooth_kernel, sphere
from spectra.planted import members_of, with_nan
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.ntk import bounds
from thalweg.randomness import generator

DELTA, FRESH, DRAWS = 0.05, 4_000, 25


def _signs(count: int, seed: int) -> Tensor:
    return (torch.randint(2, (count,), generator=generator(seed, "signs")) * 2 - 1).double()


def _linear(x: Tensor) -> Tensor:
    return x[:, 0].sign()


def _measured(n: int, seed: int, *, random: bool, ridge: float) -> tuple[float, float, float]:
    """The bound in full, the risk of the predictor on fresh examples, and its share of wrong signs."""
    x, fresh = sphere(n, 4, seed), sphere(FRESH, 4, seed, "fresh")
    y = _signs(n, seed) if random else _linear(x)
    y_fresh = _signs(FRESH, seed + 1_000) if random else _linear(fresh)
    kernel = smooth_kernel(x)
    found = bounds(kernel, y, ridge=ridge, delta=DELTA)
    weights = torch.linalg.solve(kernel + ridge * torch.eye(n), y)
    answer = smooth_kernel(fresh, x) @ weights
    risk = (answer - y_fresh).abs().clamp_max(1).mean()
    return float(found["risk bound"][0]), float(risk), float((answer * y_fresh <= 0).double().mean())


@pytest.mark.parametrize("random", [False, True])
def test_the_risk_bound_holds_on_populations_of_known_risk(random: bool) -> None:
    for seed in range(DRAWS):
        bound, risk, wrong = _measured(100, seed, random=random, ridge=0.1)
        assert wrong <= risk <= bound


def test_the_risk_bound_says_something_of_true_labels_and_nothing_of_random_ones() -> None:
    true, random = (_measured(1_600, 0, random=choice, ridge=3.0)[0] for choice in (False, True))
    assert true < 1 < random


def test_the_rkhs_bound_is_just_above_the_complexity_of_the_ball() -> None:
    """That is |f| E root(s^T K s) / n over random signs s, since the sup over the ball is attained."""
    x = sphere(60, 4, 0)
    kernel = smooth_kernel(x)
    found = bounds(kernel, _linear(x))
    signs = torch.stack([_signs(60, seed) for seed in range(2_000)])
    lengths = (signs @ kernel * signs).sum(1).sqrt()
    complexity = found["norm"][0] * float(lengths.mean()) / 60
    error = found["norm"][0] * float(lengths.std()) / 60 / 2_000**0.5
    assert complexity - 4 * error <= found["RKHS bound"][0] <= 1.3 * complexity


def test_the_norm_is_that_of_the_predictor() -> None:
    x = sphere(30, 4, 0)
    kernel, y = smooth_kernel(x), torch.stack([_linear(x), x[:, 1]], dim=1)
    without = bounds(kernel, y)
    wanted = float((y * torch.linalg.solve(kernel, y)).sum()) ** 0.5
    assert without["norm"][0] == pytest.approx(wanted, rel=1e-6)
    assert without["RKHS bound"][0] == pytest.approx(wanted * float(kernel.trace()) ** 0.5 / 30, rel=1e-6)
    weights = torch.linalg.solve(kernel + 0.5 * torch.eye(30), y)
    ridge = bounds(kernel, y, ridge=0.5)
    assert ridge["norm"][0] == pytest.approx(float((weights * (kernel @ weights)).sum()) ** 0.5, rel=1e-8)
    rest = y - kernel @ weights
    assert ridge["training risk"][0] == pytest.approx(float(rest.norm(dim=1).clamp_max(1).mean()), rel=1e-8)
    assert ridge["unfitted"][0] == pytest.approx(float(rest.norm() / y.norm()), rel=1e-8)


def test_the_fine_grained_bound_is_that_of_the_paper() -> None:
    x = sphere(50, 6, 0)
    kernel = arora_kernel(x)
    found = bounds(kernel, _linear(x))
    wanted = (2 * float(_linear(x) @ torch.linalg.solve(kernel, _linear(x))) / 50) ** 0.5
    assert found["fine-grained bound"][0] == pytest.approx(wanted, rel=1e-6)
    assert found["fine-grained bound"][0] == pytest.approx(2 * found["RKHS bound"][0], rel=1e-7)


def test_random_labels_cost_more_than_true_ones() -> None:
    x = sphere(200, 6, 0)
    true, random = bounds(arora_kernel(x), x[:, 0].sign()), bounds(arora_kernel(x), _signs(200, 0))
    assert random["fine-grained bound"][0] > 1.5 * true["fine-grained bound"][0]


def test_scales_of_kernel_and_targets() -> None:
    x = sphere(30, 4, 0)
    one, scaled = bounds(smooth_kernel(x), _linear(x)), bounds(400 * smooth_kernel(x), _linear(x))
    assert scaled["RKHS bound"][0] == pytest.approx(one["RKHS bound"][0], rel=1e-6)
    assert scaled["norm"][0] == pytest.approx(one["norm"][0] / 20, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_duplicate_rows_give_a_jitter_that_is_said_and_no_nan(dtype: torch.dtype) -> None:
    x = sphere(20, 4, 0)
    x[7] = x[3]
    y = _linear(x)
    y[7] = -y[3]  # which no function fits
    kernel = smooth_kernel(x).to(dtype)
    found = bounds(kernel, y)
    assert all(np.isfinite(found[name]).all() for name in found.reading.arrays)
    largest = float(torch.linalg.eigvalsh(kernel.double())[-1])
    assert found["jitter"][0] == pytest.approx(20 * torch.finfo(dtype).eps * largest, rel=1e-3)
    assert found["unfitted"][0] >= (2 / 20) ** 0.5 - 1e-6
    assert "1 of 1 kernels are singular to working precision" in found.reading.notes[1]
    assert bounds(kernel, y, ridge=0.1)["jitter"][0] == 0


def test_a_zero_kernel_or_zero_targets_give_no_nan() -> None:
    nothing = bounds(np.zeros((3, 3)), [1.0, -1.0, 1.0])
    assert nothing["norm"][0] == 0
    assert nothing["training risk"][0] == pytest.approx(1)
    quiet = bounds(np.eye(3), [0.0, 0.0, 0.0])
    assert quiet["training risk"][0] == quiet["norm"][0] == quiet["unfitted"][0] == 0
    assert math.isfinite(quiet["risk bound"][0])


def test_members_are_bounded_one_by_one() -> None:
    kernels, y = members_of(12, 3), _signs(12, 0)
    found = bounds(kernels, y)
    assert found["norm"][1] == pytest.approx(bounds(kernels[1], y)["norm"][0], rel=1e-9)
    lost = bounds(with_nan(kernels), y)
    assert np.isnan(lost["risk bound"]).tolist() == [False, True, False]
    assert lost["norm"][2] == found["norm"][2]
    assert found.figure().panels[0].marks[0].labels == ("0", "1", "2")


def test_what_is_wrong_is_said() -> None:
    for wrong in (0.0, 1.0):
        with pytest.raises(UsageError, match="a delta between 0 and 1"):
            bounds(np.eye(2), [1.0, 2.0], delta=wrong)
    with pytest.raises(UsageError, match="bounds ridge is a number of at least 0 that is added to the diagonal"):
        bounds(np.eye(2), [1.0, 2.0], ridge=-1.0)
    with pytest.raises(UsageError, match="finite targets"):
        bounds(np.eye(2), [1.0, math.nan])
