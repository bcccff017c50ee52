"""Performance profiles and scores: by hand, against AlgoPerf's published ones, and what holds of any costs."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from thalweg import tuning
from thalweg.errors import UsageError

INF = np.inf
# Steps to target of AlgoPerf's leaderboard of version 0.6 and after, submissions by workloads, and the scores it gives
# them, by the trapezoid rule at 100 ratios from 1 to 4: github.com/mlcommons/submissions_algorithms,
# artifacts/leaderboard_v2/time_to_targets_steps.csv and scores_steps.csv (Apache-2.0).
ALGOPERF = [
    ([8371, 10206, 44503, INF, INF, 67706, INF, 27247, 112742], 0.5258136924803595),
    ([INF, 7518, 58199, INF, INF, INF, INF, 24948, 112372], 0.31986531986531946),
    ([INF, 10645, 59524, INF, INF, INF, INF, 33386, 109080], 0.2732884399551064),
    ([INF, 8801, 40724, INF, 151926, INF, INF, INF, INF], 0.31986531986531946),
    ([7716, INF, 39220, INF, INF, INF, INF, 7711, 97224], 0.4326599326599318),
    ([8286, 9924, 58784, INF, 152461, INF, INF, INF, INF], 0.40404040404040326),
    ([9145, 6648, 47039, INF, INF, INF, INF, 20879, 118600], 0.45454545454545503),
    ([INF, 9220, 53029, INF, INF, INF, INF, 32738, INF], 0.19528619528619492),
    ([10346, 10599, INF, INF, INF, INF, 90588, 15853, 133517], 0.4461279461279469),
    ([INF, 7160, 57242, INF, 175889, INF, INF, 27341, 122198], 0.4090909090909087),
    ([9005, 8750, 68640, INF, 164206, INF, INF, 27457, INF], 0.41245791245791213),
    ([7951, 12431, INF, INF, INF, 83184, 78669, 28449, 73222], 0.5252525252525259),
    ([INF, 9342, 61209, INF, INF, INF, INF, INF, INF], 0.18630751964085265),
    ([INF, 10140, 59550, INF, INF, INF, INF, INF, INF], 0.1829405162738493),
]
COSTS = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    elements=st.one_of(st.integers(1, 50).map(float), st.just(INF)),
)


def test_algoperfs_published_scores_come_out() -> None:
    costs = np.array([steps for steps, _ in ALGOPERF]).T
    published = np.array([score for _, score in ALGOPERF])
    ratios = np.linspace(1, 4, 100)
    by_trapezoids = np.trapezoid(tuning.performance_profile(costs, ratios), ratios, axis=0) / 3
    np.testing.assert_allclose(by_trapezoids, published, rtol=1e-12)
    np.testing.assert_allclose(tuning.profile_score(costs), published, atol=0.5 / 99)


@settings(deadline=None)
@given(COSTS)
def test_a_score_is_a_share_and_one_only_for_the_best_on_every_problem(costs: np.ndarray) -> None:
    scores = tuning.profile_score(costs)
    assert ((scores >= 0) & (scores <= 1)).all()
    solved_best = np.isfinite(costs) & (costs == costs.min(1, keepdims=True))
    np.testing.assert_array_equal(scores == 1, solved_best.all(0))


@settings(deadline=None)
@given(COSTS, st.floats(0.01, 100))
def test_profiles_rise_with_the_ratio_and_do_not_see_the_unit_of_a_problem(costs: np.ndarray, unit: float) -> None:
    ratios = np.array([1, 1.5, 2.25, 3.9, 60])
    profile = tuning.performance_profile(costs, ratios)
    assert (np.diff(profile, axis=0) >= 0).all()
    np.testing.assert_array_equal(profile[-1], np.isfinite(costs).mean(0))
    units = np.where(np.arange(len(costs)) % 2, 1.0, 2.0 ** round(np.log2(unit)))
    np.testing.assert_array_equal(tuning.performance_profile(costs * units[:, None], ratios), profile)


@settings(deadline=None)
@given(COSTS)
def test_a_profile_counts_the_problems_within_the_ratio(costs: np.ndarray) -> None:
    for ratio in (1.0, 2.0, 3.5):
        expected = [
            np.mean([costs[p, m] < INF and costs[p, m] <= ratio * min(costs[p]) for p in range(len(costs))])
            for m in range(costs.shape[1])
        ]
        np.testing.assert_allclose(tuning.performance_profile(costs, [ratio])[0], expected)


def test_profiles_and_scores_by_hand() -> None:
    costs = [[10, 20, np.inf], [30, 10, 40], [np.inf, np.inf, np.inf]]
    profile = tuning.performance_profile(costs, [1, 2, 4])
    np.testing.assert_allclose(profile, np.array([[1, 1, 0], [1, 2, 0], [2, 2, 1]]) / 3)
    # Ratios 1 and 3, 2 and 1, and 4: (4 - r)/3 each, the unsolved problem counting 0.
    np.testing.assert_allclose(tuning.profile_score(costs), [(1 + 1 / 3) / 3, (2 / 3 + 1) / 3, 0])


def test_a_score_is_the_area_under_the_profile() -> None:
    costs = np.random.default_rng(1).lognormal(size=(20, 4))
    ratios = np.linspace(1, 4, 30_001)
    area = tuning.performance_profile(costs, ratios).mean(0)
    np.testing.assert_allclose(tuning.profile_score(costs), area, atol=1e-4)
    assert tuning.profile_score(np.array([[1.0, 2.0], [3.0, 30.0]]))[0] == 1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tuning.profile_score([[1.0, -1.0]]), "infinite where unsolved; got -1"),
        (lambda: tuning.profile_score([[1.0, np.nan]]), "got nan"),
        (lambda: tuning.profile_score([1.0, 2.0]), "got shape"),
        (lambda: tuning.profile_score(1.0), "got shape"),
        (lambda: tuning.profile_score([[1.0]], most=1), "ratio above 1"),
        (lambda: tuning.performance_profile([[1.0]], [0.5]), "ratios must be numbers of at least 1"),
        (lambda: tuning.profile_score([[1.0, 2.0], [1.0]]), r"Costs must be numbers \(problems, methods\), as many"),
        (lambda: tuning.profile_score([["1", "2"]]), "Costs must be numbers"),
        (lambda: tuning.profile_score([[1.0]], most="4"), "most must be a finite ratio above 1; got '4'"),
        (lambda: tuning.profile_score([[1.0]], most=np.inf), "most must be a finite ratio above 1; got inf"),
        (lambda: tuning.performance_profile([[1.0]], ["1"]), "ratios must be numbers"),
    ],
)
def test_what_is_no_table_of_costs_is_refused(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()
