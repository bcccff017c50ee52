"""Intervals of barriers over examples: what they cover, at heights of 0 and above, and resamples."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from connectivity.wells import place
from torch import Tensor, nn

import thalweg as tw
from thalweg.connectivity import barrier
from thalweg.connectivity.height_intervals import height_intervals
from thalweg.connectivity.resamples import Resamples, ends
from thalweg.evaluation import line_heights


def drifting(examples: int, stream: np.random.Generator) -> np.ndarray:
    """Errors on t from 0 to 1 where one example in ten turns right and one in ten turns wrong, anywhere.

    Of all such examples the error is the same everywhere on the line: there is no barrier.
    """
    t, kind, turn = np.linspace(0, 1, 25), *stream.uniform(size=(2, examples, 1))
    return np.where(t < turn, kind < 0.1, kind > 0.9).astype(float)


def crossing(examples: int, stream: np.random.Generator) -> np.ndarray:
    """Losses (1 + noise) (x^2 - 1)^2 with noise in the height and place of the top: their mean has a barrier of 1."""
    x = np.linspace(-1, 1, 13)
    height, tilt = 1 + 0.5 * stream.normal(size=(examples, 1)), 0.3 * stream.normal(size=(examples, 1))
    return height * (x**2 - 1) ** 2 + tilt * x * (1 - x**2)


def rising(examples: int, stream: np.random.Generator) -> np.ndarray:
    """Errors of which the mean is 0.2 at both ends and 0.7 between them."""
    x = np.linspace(-1, 1, 13)
    return (stream.uniform(size=(examples, 1)) < 0.2 + 0.5 * (x**2 - 1) ** 2).astype(float)


@pytest.mark.parametrize(
    ("made", "name", "truth"), [(drifting, "error", 0.0), (crossing, "loss", 1.0), (rising, "error", 0.5)]
)
def test_intervals_over_examples_cover(
    made: Callable[[int, np.random.Generator], np.ndarray], name: str, truth: float
) -> None:
    """At a height of 0, which every estimate exceeds, too; and at others, where the interval is not too wide."""
    trials, examples, missed, widths = 300, 200, np.zeros((2, 2)), []
    for number in range(trials):
        values = made(examples, np.random.default_rng([5, number]))
        draws = Resamples(examples, 199, number).means(torch.from_numpy(values.T.copy()))
        found = np.stack(height_intervals(values.mean(0), draws, name))  # (definition, end)
        missed += np.stack([found[:, 0] > truth + 1e-9, found[:, 1] < truth - 1e-9], 1)
        percentiles = ends(line_heights(draws, name).barrier, axis=0)
        widths.append([np.ptp(found[0]), np.ptp(percentiles)])
    assert (missed <= 0.025 * trials + 6).all()  # of 7.5 that are to be expected
    assert (missed.sum(1) >= 1).all()
    new, usual = np.mean(widths, 0)
    assert new < 1.15 * usual


def test_without_a_barrier_its_interval_begins_at_zero() -> None:
    """Of examples that turn wrong and right anywhere on the line, the model's parameter being the place on it."""

    class Place(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.at = nn.Parameter(torch.zeros(1))

        def forward(self, inputs: Tensor) -> Tensor:
            return self.at.expand(len(inputs), 1)

    begun, estimates = 0, []
    for number in range(40):
        right = 1 - torch.from_numpy(drifting(360, np.random.default_rng([6, number])))
        problem = tw.Problem(
            Place,
            (right[:, :1], right),
            lambda output, target: 0 * output[:, 0] + 0 * target[:, 0],
            metrics={"accuracy": lambda output, target: target[:, round(24 * float(output[0, 0]))]},
            dtype=torch.float64,
        )
        found = barrier(problem, place(problem, [0.0]), place(problem, [1.0]), plan="looped", seed=number)
        (one,) = found.intervals("error barrier")
        assert one.high >= one.estimate
        begun += one.low > 0
        estimates.append(one.estimate)
    assert begun <= 3
    assert np.mean(estimates) > 0.005


def test_of_weighted_losses_a_resample_has_a_mean_of_its_own() -> None:
    values, weights = torch.rand(3, 50, dtype=torch.float64), torch.rand(3, 50, dtype=torch.float64)
    resamples = Resamples(50, 100, 1)
    ones = resamples.means(values, torch.ones_like(values))
    assert ones == pytest.approx(resamples.means(values), rel=1e-12)
    both = resamples.means(values, weights)
    assert both == pytest.approx(resamples.means(values * weights) / resamples.means(weights), rel=1e-12)


def test_many_resamples_of_many_examples_come_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thalweg.connectivity.resamples._AT_ONCE", 500)
    values = torch.rand(2, 100, dtype=torch.float64)
    resamples = Resamples(100, 203, 0)
    found = resamples.means(values)
    assert resamples.size == 5
    np.testing.assert_array_equal(found, resamples.means(values))
    assert len(np.unique(found[:, 0])) == 203
    assert found.std(0, ddof=1) == pytest.approx((values.std(1) / 10).numpy(), rel=0.25)
