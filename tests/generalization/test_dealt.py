"""Training sets dealt out of one set of examples."""

import pytest

import thalweg as tw
from thalweg.errors import DataError, UsageError
from thalweg.generalization.dealt import dealt, drawn_anew, own_sets


def test_sets_are_the_same_as_those_of_a_split_anew() -> None:
    data = tw.data.digits()
    sets, pool, tested = own_sets(data, 100, 0.0, [601, 600])
    split = data.split_anew(200, seed=600, stream="own sets")
    assert sets[0].inputs.equal(split.train.inputs[:100])
    assert sets[1].targets.equal(split.train.targets[100:])
    assert pool.inputs.equal(split.test.inputs)
    assert tested.shape == (2, 1_597)


def test_a_larger_deal_begins_with_the_smaller_one() -> None:
    few, _ = dealt(50, 2, 5, seed=1, stream="x")
    more, rest = dealt(50, 4, 5, seed=1, stream="x")
    assert more[:2].equal(few)
    assert not set(more.flatten().tolist()) & set(rest.tolist())


def test_training_sets_are_disjoint_where_they_can_be_and_never_tested_on() -> None:
    data = tw.data.digits()
    for n, count in ((100, 4), (700, 4)):
        sets, pool, tested = own_sets(data, n, 0.2, list(range(600, 600 + count)))
        rows = [{tuple(row) for row in one.inputs.tolist()} for one in sets]
        disjoint = sum(map(len, rows)) == len(set.union(*rows))
        assert disjoint == (n == 100)
        everything = pool.inputs.tolist()
        for own, allowed in zip(rows, tested, strict=True):
            assert not own & {tuple(everything[place]) for place in allowed.nonzero()[0]}
        assert all(len(one) == n for one in sets)
    clean, _, _ = own_sets(data, 100, 0.0, [600])
    noisy, _, _ = own_sets(data, 100, 0.2, [600])
    assert int((clean[0].targets != noisy[0].targets).sum()) == 20


def test_what_cannot_be_dealt_says_so() -> None:
    data = tw.data.digits()
    with pytest.raises(UsageError, match="leave none to test on"):
        own_sets(data, 1_797, 0.0, [0])
    with pytest.raises(UsageError, match="noisy labels already"):
        own_sets(data.with_label_noise(0.1, 0), 100, 0.0, [0])
    with pytest.raises(DataError, match="in memory"):
        own_sets(tw.data.Data(tw.data.Examples({"x": data.train.inputs}, data.train.targets), classes=10), 9, 0.0, [0])


def test_every_seed_draws_for_itself_and_is_tested_on_others() -> None:
    data = tw.data.digits()
    sets, whole, tested = drawn_anew(data, 100, [600, 601], stream="x", test=50)
    more, _, all_others = drawn_anew(data, 200, [601], stream="x")
    assert more[0].inputs[:100].equal(sets[1].inputs)
    assert (tested.shape, all_others.shape) == ((2, 50), (1, 1_597))
    for one, rows in zip(sets, tested, strict=True):
        both = {tuple(row) for row in whole.select(rows).inputs.tolist()} & {tuple(row) for row in one.inputs.tolist()}
        assert not both
    with pytest.raises(UsageError, match="100 to train on and 1,700 others to test on: ask for fewer"):
        drawn_anew(data, 100, [0], stream="x", test=1_700)
