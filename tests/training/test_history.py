"""Steps to a target, and losses of runs that diverged."""

from collections.abc import Callable

import numpy as np
import pytest
from cases import CASE
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.training import infinite_if_diverged, steps_to

INF = np.inf


def test_steps_to_a_target_are_exact_for_an_exponential() -> None:
    at = np.arange(0, 101, 5)
    rate = np.array([0.1, 0.05, 0.01])
    losses = np.exp(-rate * at[:, None])
    np.testing.assert_allclose(steps_to(np.exp(-2.0), at, losses), [20, 40, INF])


def test_where_a_logarithm_is_not_there_the_line_is_that_of_the_loss() -> None:
    losses = np.array([[3.0, 1.0, 2.0], [-1.0, 0.0, 1.0]])
    np.testing.assert_allclose(steps_to(0.5, [0, 8], losses)[:2], [8 * 2.5 / 4, 4])
    np.testing.assert_allclose(steps_to(-0.5, [0, 8], losses), [8 * 3.5 / 4, INF, INF])


def test_the_first_time_counts_and_a_run_that_was_there_at_first_needs_no_step() -> None:
    losses = np.array([[3.0, 0.5, 2.0, INF], [1.0, 9.0, 2.0, 0.5], [2.0, 0.1, np.nan, 0.1], [1.0, 0.1, 1.0, 0.1]])
    np.testing.assert_allclose(steps_to(1.0, [0, 10, 20, 30], losses), [10, 0, 30, 10])
    assert np.isinf(steps_to(np.nan, [0, 10, 20, 30], losses)).all()


@settings(deadline=None)
@given(arrays(np.float64, (6, 3), elements=st.floats(1e-3, 10)), st.floats(1e-3, 10))
def test_the_step_is_in_the_interval_in_which_the_target_is_first_reached(losses: np.ndarray, target: float) -> None:
    at = np.array([0, 3, 4, 9, 10, 20])
    for member, found in enumerate(steps_to(target, at, losses)):
        reached = np.flatnonzero(losses[:, member] <= target)
        if len(reached):
            assert at[max(reached[0] - 1, 0)] <= found <= at[reached[0]]
        else:
            assert found == INF


def test_a_history_knows_the_steps_to_a_target() -> None:
    run = tw.train(CASE["mlp"].problem(), tw.Recipe(tw.optim.Adam(0.05), 30), 2)
    target = float(run.history["train_loss"][10].max())
    wanted = steps_to(target, run.history.steps, run.history["train_loss"])
    np.testing.assert_array_equal(run.history.steps_to("train_loss", target), wanted)
    assert (wanted <= run.history.steps[10]).all()


def test_what_diverged_is_the_worst() -> None:
    assert infinite_if_diverged(np.array([1.0, np.nan, np.inf, -np.inf])).tolist() == [1.0, INF, INF, INF]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: steps_to(1.0, [0, 1], [1.0, 2.0]), r"losses must be numbers \(evaluations, members\).*got shape"),
        (lambda: steps_to(1.0, [0, 1], [[1.0]]), r"got shapes \(2,\) and \(1, 1\)"),
        (lambda: steps_to(1.0, [], np.ones((0, 2))), r"steps must be numbers \(evaluations,\), at least one"),
        (lambda: steps_to(1.0, [0, 1], [[1.0, 2.0], [1.0]]), "losses must be numbers .* as many in every row"),
        (lambda: steps_to("low", [0], [[1.0]]), "target must be the loss to reach; got 'low'"),
    ],
)
def test_what_cannot_be_meant(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
