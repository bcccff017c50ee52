"""When networks memorize and when they generalize, also where some never do."""

import numpy as np
import pytest

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization import grokking
from thalweg.statistics import interval

DATA = tw.data.modular(5, train_fraction=0.8, encoding="tokens")
PROBLEM = tw.Problem(lambda: tw.nets.modular_mlp(5, 32), DATA)


def test_a_level_must_be_kept_for_as_many_evaluations_as_asked() -> None:
    values = np.array([[0.0, 0.96, 0.0], [0.97, 0.96, 0.0], [0.90, 0.96, np.nan], [0.96, 0.96, 1.0]])
    assert grokking.first_lasting([0, 5, 7, 9], values, 0.95).tolist() == [5, 0, 9]
    assert grokking.first_lasting([0, 5, 7, 9], values, 0.95, lasting=2).tolist() == [np.inf, 0, np.inf]
    assert grokking.first_lasting([0, 5, 7, 9], values, 0.95, lasting=5).tolist() == [np.inf] * 3


def test_times_are_those_of_a_history_read_by_hand() -> None:
    run = tw.train(PROBLEM, tw.Recipe(tw.optim.AdamW(0.02), steps=60, evaluate=60), seeds=3)
    found = grokking.times(run)
    for member in range(3):
        train, test = (run.history[f"{split}_accuracy"][:, member] for split in ("train", "test"))
        first = next(step for step, value in zip(run.history.steps, train, strict=True) if value >= 0.99)
        window = [v for step, v in zip(run.history.steps, test, strict=True) if first <= step <= 2 * first]
        assert found["memorized"][member] == first
        assert found["before"][member] == max(window)
    several = grokking.times([tw.train(PROBLEM, run.recipe, seeds=[seed]) for seed in range(3)])
    np.testing.assert_array_equal(several["memorized"], found["memorized"])


def test_members_that_never_generalize_count_with_the_last_step() -> None:
    run = tw.train(PROBLEM, tw.Recipe(tw.optim.AdamW(0.02), steps=60, evaluate=60), seeds=4)
    found = grokking.times(run)
    assert np.isinf(found["generalized"]).all()
    assert found.ratio.high == np.inf
    assert found.ratio.low <= 60 / found["memorized"].min()
    assert found.share.estimate == 0
    assert np.isinf(found.delay).all()
    assert "4 of 4 did not generalize" in found.figure().caption
    early = grokking.times(tw.train(PROBLEM, tw.Recipe(tw.optim.AdamW(1e-4), steps=3), seeds=2))
    assert np.isnan(early.delay).all()
    assert np.isnan(early["before"]).all()
    early.figure()


def test_the_lower_end_of_a_censored_ratio_is_below_the_true_one_in_at_least_95_percent() -> None:
    draw, below = np.random.default_rng(0), 0
    for _ in range(200):
        late = np.exp(draw.normal(np.log(800), 0.3, 6))
        late[late > 900] = np.inf
        early = np.exp(draw.normal(np.log(30), 0.1, 6))
        below += interval.ratio_of_times(late, early, 900).low < 800 / 30
    assert below >= 0.95 * 200


def test_what_cannot_be_timed_is_said() -> None:
    whole = tw.Problem(lambda: tw.nets.modular_mlp(5, 8), tw.data.modular(5, train_fraction=1.0, encoding="tokens"))
    run = tw.train(whole, tw.Recipe(tw.optim.SGD(0.1), steps=2), seeds=1)
    with pytest.raises(UsageError, match="hold examples out"):
        grokking.times(run)
    first, second = (tw.train(PROBLEM, tw.Recipe(tw.optim.SGD(0.1), steps=steps), seeds=1) for steps in (2, 3))
    with pytest.raises(UsageError, match="at the same steps"):
        grokking.times([first, second])
    with pytest.raises(UsageError, match="got none"):
        grokking.times([])


def test_a_ratio_to_step_0_is_refused_in_words() -> None:
    first = tw.train(PROBLEM, tw.Recipe(tw.optim.AdamW(0.02), steps=60, evaluate=0), seeds=2)
    run = tw.train(PROBLEM, tw.Recipe(tw.optim.SGD(1e-6), steps=6), seeds=2, start=first.final, paired=True)
    found = grokking.times(run)
    assert found["memorized"].tolist() == [0, 0]
    with pytest.raises(UsageError, match="member 0 came to T_mem or T_grok at step 0"):
        _ = found.ratio
    found.figure()
