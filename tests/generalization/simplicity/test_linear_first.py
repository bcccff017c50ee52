"""Information from counts against its closed forms; parts of the error against least squares; both along training."""

import math

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.generalization import simplicity
from thalweg.generalization.simplicity.checkpoints import first_reached


def test_information_of_independent_and_of_equal_classes() -> None:
    first, second = (grid.ravel() for grid in np.meshgrid(np.arange(4), np.arange(5)))
    assert simplicity.mutual_information(first, second) == pytest.approx(0.0, abs=1e-12)
    assert simplicity.mutual_information(first, first) == pytest.approx(2.0)
    assert simplicity.mutual_information(first, 3 - first) == pytest.approx(2.0)


def test_information_given_a_third_is_that_within_its_classes() -> None:
    draw = np.random.default_rng(0)
    a, b, c = draw.integers(0, 3, (3, 200))
    b = np.where(draw.random(200) < 0.5, a, b)

    def entropy(*columns: np.ndarray) -> float:
        _, counts = np.unique(np.stack(columns), axis=1, return_counts=True)
        return float(-(counts / 200 * np.log2(counts / 200)).sum())

    assert simplicity.mutual_information(a, b) == pytest.approx(entropy(a) + entropy(b) - entropy(a, b))
    expected = entropy(a, c) + entropy(b, c) - entropy(a, b, c) - entropy(c)
    assert simplicity.mutual_information(a, b, given=c) == pytest.approx(expected)


def test_a_function_of_the_other_model_is_explained_fully_and_the_exclusive_or_not_at_all() -> None:
    one, other = (grid.ravel() for grid in np.meshgrid([0, 1], [0, 1]))
    assert simplicity.explained_share(one, one, one) == pytest.approx(1.0)
    assert simplicity.explained_share(one ^ other, one, one ^ other) == pytest.approx(0.0, abs=1e-12)
    assert math.isnan(simplicity.explained_share(one, one, other))


def test_a_corrupted_copy_is_as_accurate_as_asked_and_uniform_where_it_was_changed() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 20_000)
    found = simplicity.corrupted(labels, labels, 0.55, classes=10, seed=3)
    assert (found == labels).mean() == pytest.approx(0.55, abs=1e-4)
    wrong = np.bincount(found[found != labels], minlength=10)
    assert wrong.min() > 0.9 * wrong.mean()
    with pytest.raises(tw.UsageError, match="must be between these"):
        simplicity.corrupted(labels, labels, 0.01, classes=10)


def test_the_linear_part_of_an_error_is_what_least_squares_takes_away() -> None:
    draw = np.random.default_rng(0)
    x, errors = draw.standard_normal((50, 4)), draw.standard_normal((3, 50, 2))
    linear, rest = simplicity.error_parts(errors, x)
    design = np.column_stack([np.ones(50), x])
    for part, error in zip(rest, errors, strict=True):
        residual = error - design @ np.linalg.lstsq(design, error, rcond=None)[0]
        assert part == pytest.approx(np.square(residual).sum() / 50)
    assert np.allclose(linear + rest, np.square(errors).sum((1, 2)) / 50)
    with pytest.raises(tw.UsageError, match="fitted by a linear model"):
        simplicity.error_parts(errors[:, :5], x[:5])


def test_times_are_interpolated() -> None:
    steps = np.arange(0, 200, 7)
    values = 1 - np.exp(-np.outer([0.02, 0.05], steps))
    assert np.allclose(first_reached(steps, values, 0.9), np.log(10) / np.array([0.02, 0.05]), rtol=0.02)
    log_steps = np.unique(np.round(np.geomspace(1, 1_000, 60))) - 1
    assert simplicity.half_time(log_steps, np.exp(-0.01 * log_steps)) == pytest.approx(100 * np.log(2), rel=0.02)


def test_equal_eigenvalues_have_equal_half_times_and_a_smooth_kernel_has_the_linear_part_first() -> None:
    draw = np.random.default_rng(0)
    x = draw.standard_normal((60, 3))
    y = x @ draw.standard_normal((3, 2)) + draw.standard_normal((60, 2))
    distances = np.square(x[:, None] - x[None]).sum(2)
    linear, rest = simplicity.kernel_half_times(np.exp(-distances / (0.0002 * np.median(distances))), y, x)
    assert rest / linear == pytest.approx(1.0, abs=0.05)
    linear, rest = simplicity.kernel_half_times(np.exp(-distances / (2 * np.median(distances))), y, x)
    assert rest / linear > 20


def test_along_training() -> None:
    data = tw.data.digits().subset(train=300)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), data, "cross_entropy")
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(lr=3e-3), steps=120, batch_size=50, snapshot=30), seeds=2)
    linear = simplicity.best_linear(data.train, data.test)
    found = simplicity.linear_first(problem, run, linear)
    predicted = tw.evaluation.outputs(problem, run.final, "test").argmax(2).numpy()
    labels = data.test.take(torch.arange(len(data.test)))[1].numpy()
    assert found["accuracy"][:, -1] == pytest.approx((predicted == labels).mean(1))
    for member in range(2):
        assert found["information"][member, -1] == simplicity.mutual_information(predicted[member], labels)
    assert (found["linear half-time"] < found["non-linear half-time"]).all()
    probabilities = tw.evaluation.outputs(problem, run.final, "test").double().softmax(2)
    brier = (probabilities - torch.nn.functional.one_hot(torch.from_numpy(labels), 10)).square().sum(2).mean(1)
    assert np.allclose(found["linear error"][:, -1] + found["non-linear error"][:, -1], brier)
    assert len(found.figure().panels) == 3
    with pytest.raises(tw.UsageError, match="class of each of"):
        simplicity.linear_first(problem, run, linear[:10])


def test_a_network_that_is_the_linear_model_is_explained_by_it_more_than_its_corrupted_copy() -> None:
    data = tw.data.digits().subset(train=300)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), data)
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(lr=3e-2), steps=100, batch_size=300, snapshot=(20, 100)))
    first = tw.evaluation.outputs(problem, run.snapshots[20], "test")[0].argmax(1).numpy()
    found = simplicity.linear_first(problem, run, first)
    assert found["step"].tolist() == [20]
    assert found["share"].tolist() == pytest.approx([1.0])
    assert found["null share"][0] < 1.0


def test_a_member_that_is_not_finite_knows_nothing() -> None:
    data = tw.data.digits().subset(train=100)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), data)
    start = problem.initialize(2)
    theta = start.theta.clone()
    theta[1] = torch.nan
    linear = simplicity.best_linear(data.train, data.test)
    found = simplicity.linear_first(problem, {0: start, 5: start.with_theta(theta)}, linear)
    assert np.isfinite(found["accuracy"]).tolist() == [[True, True], [True, False]]
    assert np.isnan(found["explained share"][1, 1])
    assert np.isnan(found["step"]).all()
    assert found["linear half-time"].tolist() == [np.inf, np.inf]


def test_one_hot_targets_are_classes_and_the_constant_error_is_part_of_the_linear_one() -> None:
    data = tw.data.one_hot(tw.data.digits().subset(train=300))
    problem = tw.Problem(lambda: tw.nets.mlp(64, 32, 10), data, "squared_error")
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(lr=3e-3), steps=60, batch_size=50, snapshot=(0, 30, 60)), seeds=2)
    linear = simplicity.best_linear(data.train, data.test)
    labels = tw.data.digits().subset(train=300).test.take(torch.arange(len(data.test)))[1].numpy()
    assert (linear == labels).mean() > 0.85
    found = simplicity.linear_first(problem, run, linear)
    answers = tw.evaluation.outputs(problem, run.final, "test").double()
    assert found["accuracy"][:, -1] == pytest.approx((answers.argmax(2).numpy() == labels).mean(1))
    shift = (answers - torch.nn.functional.one_hot(torch.from_numpy(labels), 10)).mean(1).square().sum(1)
    assert found["constant error"][:, -1] == pytest.approx(shift.numpy())
    assert (found["constant error"] < found["linear error"]).all()
    numbers = tw.Problem(lambda: tw.nets.mlp(64, 10), (torch.randn(20, 64), torch.randn(20, 10)), "squared_error")
    with pytest.raises(tw.UsageError, match="classes"):
        simplicity.linear_first(numbers, numbers.initialize(1), np.zeros(20, int), on="train")


def test_members_are_measured_on_examples_of_their_own() -> None:
    data = tw.data.digits().subset(train=300)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), data)
    run = tw.train(problem, tw.Recipe(tw.optim.Adam(lr=3e-3), steps=60, batch_size=50, snapshot=(0, 30, 60)), seeds=2)
    linear = simplicity.best_linear(data.train, data.test)
    rows = torch.stack([torch.arange(0, 180), torch.arange(180, 360)])
    found = simplicity.linear_first(problem, run, linear, rows=rows)
    for member in range(2):
        alone = {step: population[[member]] for step, population in run.snapshots.items()}
        own = data.test.select(rows[member])
        single = simplicity.linear_first(problem, alone, linear[rows[member].numpy()], on=own)
        for name in ("accuracy", "information", "beyond linear", "linear error", "non-linear error", "constant error"):
            assert np.allclose(found[name][member], single[name][0]), name
        assert found["linear accuracy"][member] == single["linear accuracy"][0]
    with pytest.raises(tw.UsageError, match="a row for each member"):
        simplicity.linear_first(problem, run, linear, rows=rows[:1])
