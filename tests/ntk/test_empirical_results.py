"""What `empirical` returns, and what it refuses."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.progress import Progress


def digits(count: int = 12) -> tuple[tw.Problem, tw.Population, tw.Sample]:
    problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    return problem, problem.initialize(2), tw.Sample("train", count)


def test_the_reading_says_what_the_numbers_are_of() -> None:
    problem, population, sample = digits()
    found = tw.ntk.empirical(problem, population, on=sample, against=tw.Sample("test", 5))
    assert found["kernel"].shape == (2, 12, 5, 10, 10)
    assert found.reading.dims["kernel"] == ("member", "example", "other example", "output", "other output")
    assert found.reading.coordinate("example").tolist() == sample.indices(len(problem.data.train)).tolist()
    assert found.reading.sample_size == 12
    assert found.method == "layers"
    assert "12 of 1,437 train examples, against 5 of 360 test examples" in found.reading.notes[0]


def test_matrices_and_eigenvalues_are_those_of_the_kernel() -> None:
    found = tw.ntk.empirical(*digits()[:2], on=digits()[2])
    matrix = found.matrix(1)
    assert matrix[3 * 10 + 4, 7 * 10 + 2] == found["kernel"][1, 3, 7, 4, 2]
    assert np.linalg.eigvalsh(matrix.astype(float)).min() > -1e-3
    np.testing.assert_allclose(found.eigenvalues(1).sum(), np.trace(matrix) / 10, rtol=1e-5)
    trace = tw.ntk.empirical(*digits()[:2], on=digits()[2], outputs="trace")
    np.testing.assert_allclose(trace.matrix(1), found.mean_over_outputs(1), rtol=1e-4, atol=1e-4)


def test_figures_show_the_kernel_and_its_eigenvalues() -> None:
    problem, population, sample = digits()
    assert len(tw.ntk.empirical(problem, population, on=sample).figure(1).panels) == 2
    cross = tw.ntk.empirical(problem, population, on=sample, against="test", outputs="sum")
    assert len(cross.figure().panels) == 1
    with pytest.raises(tw.UsageError, match="no eigenvalues"):
        cross.eigenvalues()
    with pytest.raises(tw.UsageError, match="no member 2"):
        cross.figure(2)
    with pytest.raises(tw.UsageError, match="no pairs"):
        tw.ntk.empirical(problem, population, on=sample, outputs="diagonal").figure()


def test_progress_is_told_to_the_end() -> None:
    problem, population, sample = digits()
    told: list[Progress] = []
    tw.ntk.empirical(problem, population, on=sample, progress=told.append)
    assert told[-1].done == told[-1].total


def test_a_member_that_is_not_finite_has_no_kernel_and_is_named() -> None:
    problem, population, sample = digits()
    theta = population.theta.clone()
    theta[0, 5] = torch.nan
    found = tw.ntk.empirical(problem, population.with_theta(theta), on=sample)
    assert np.isnan(found["kernel"][0]).any()
    assert np.isfinite(found["kernel"][1]).all()
    assert "Not finite, so without a kernel: member 0." in found.reading.notes


def test_large_inputs_and_copies_are_told() -> None:
    inputs = torch.cat([100 * torch.randn(4, 3), torch.zeros(2, 3)])
    problem = tw.Problem(lambda: tw.nets.mlp(3, 2), (inputs, torch.arange(6) % 2))
    notes = " ".join(tw.ntk.empirical(problem, problem.initialize(1)).reading.notes)
    assert "root mean square" in notes
    assert "1 of 6 inputs are the same as an earlier one" in notes
    assert "root mean square" not in " ".join(tw.ntk.empirical(*digits()[:2], on=digits()[2]).reading.notes)


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + torch.randn(10)


def test_what_has_no_kernel_is_refused() -> None:
    problem, population, sample = digits()
    with pytest.raises(tw.UsageError, match="example with itself"):
        tw.ntk.empirical(problem, population, on=sample, against="test", outputs="diagonal")
    for named in ({"outputs": "all"}, {"method": "fast"}, {"by_layer": "block"}, {"memory_budget": 1.5}):
        with pytest.raises(tw.UsageError, match=next(iter(named))):
            tw.ntk.empirical(problem, population, on=sample, **named)
    noisy = tw.Problem(Noisy, tw.data.digits())
    with pytest.raises(tw.ModelError, match="random numbers in evaluation mode"):
        tw.ntk.empirical(noisy, noisy.initialize(1), on=sample)


def test_dropout_is_off_and_batch_statistics_are_the_running_ones() -> None:
    net = lambda: nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 10))  # noqa: E731
    problem = tw.Problem(net, tw.data.digits())
    population = problem.initialize(1)
    inputs = problem.data.train.inputs[:6]
    whole = tw.ntk.empirical_kernels(problem, population, inputs)
    part = tw.ntk.empirical_kernels(problem, population, inputs[2:4])
    assert torch.allclose(whole[:, 2:4, 2:4], part, rtol=1e-5, atol=1e-5)
