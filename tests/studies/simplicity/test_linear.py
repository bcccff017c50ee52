"""Planted nulls of SIM2: networks that learn all at once, and those that know no more than the linear model."""

import numpy as np
import pytest
import torch

from thalweg.generalization.simplicity import LinearFirst
from thalweg.results import Reading
from thalweg.statistics import interval
from thalweg.studies.simplicity import linear
from thalweg.studies.simplicity.linear import FALL, INFORMATION, ORDER

RULES = {part.id: part.rule for part in linear.CLAIM.parts}
STEPS = np.array([0, *np.unique(np.geomspace(1, 1_200, 40).round())])


def made(gap: float, ratio: float, above: float = 0.12) -> LinearFirst:
    """Five networks whose information is explained by so much more than their copies', with parts so far apart."""
    draw = np.random.default_rng(0)
    speeds = 0.1 * np.exp(0.05 * draw.normal(size=(2, 5)))
    falling = np.exp(-speeds[0, :, None] * STEPS)
    rest = np.exp(-speeds[1, :, None] * STEPS / ratio)
    arrays = {
        "accuracy": np.full((5, len(STEPS)), 0.32 + above),
        "linear error": 0.1 * falling + 0.1 * np.exp(-STEPS),
        "constant error": np.tile(0.1 * np.exp(-STEPS), (5, 1)),
        "non-linear error": 0.8 * rest,
    }
    single = {
        "linear accuracy": np.full(5, 0.32),
        "share": 0.35 + gap + 0.01 * draw.normal(size=5),
        "null share": 0.35 + 0.01 * draw.normal(size=5),
        "linear half-time": np.log(2) / speeds[0],
        "non-linear half-time": np.log(2) * ratio / speeds[1],
    }
    dims = dict.fromkeys(arrays, ("member", "step")) | dict.fromkeys(single, ("member",))
    return LinearFirst(Reading("made up", arrays | single, dims, {"member": np.arange(5), "step": STEPS}))


def outcomes(gap: float, ratio: float, above: float = 0.12) -> dict[str, str]:
    found = linear.judged(made(gap, ratio, above))
    return {name: RULES[name].judge(one.low, one.high) for name, one in found.items()}


def test_networks_that_learn_all_at_once_do_not_learn_the_linear_part_first() -> None:
    assert set(outcomes(0.4, 20).values()) == {"holds"}
    assert outcomes(0.4, 1) == {INFORMATION: "holds", ORDER: "fails", FALL: "fails"}
    assert outcomes(0.0, 20)[INFORMATION] == outcomes(0.08, 20)[INFORMATION] == "fails"


def test_networks_that_end_near_the_linear_model_decide_nothing() -> None:
    assert set(outcomes(0.4, 20, above=0.05).values()) == {"undecided"}
    assert "5.0" in linear.judged(made(0.4, 20, above=0.05))[ORDER].method


def test_a_rest_that_is_never_halved_leaves_the_ratio_open_above() -> None:
    found = made(0.4, 20)
    arrays = {name: found[name] for name in found.reading.arrays} | {"non-linear half-time": np.full(5, np.inf)}
    open_above = LinearFirst(Reading("made up", arrays, found.reading.dims, found.reading.coordinates))
    order = linear.judged(open_above)[ORDER]
    assert np.isinf(order.high)
    assert 2 < order.low < 1_200


def test_what_is_said_of_the_rest_is_what_was_found() -> None:
    found = made(0.4, 20)
    assert linear.of_the_rest(found).startswith("Every network halves it: ")
    own = {name: found[name] for name in found.reading.arrays}
    rest = np.tile(0.8 + 0.0 * STEPS, (5, 1))
    rest[:, 20] = 0.6
    some = own | {"non-linear error": rest, "non-linear half-time": np.array([100, np.inf, 200, np.inf, 300])}
    said = linear.of_the_rest(LinearFirst(Reading("made up", some, found.reading.dims, found.reading.coordinates)))
    assert said == ("2 of 5 networks never halve it: at its lowest it has fallen by 25 %, and by 0 % in the end.")


def test_descent_on_equal_eigenvalues_has_no_order_and_on_a_smooth_kernel_it_has() -> None:
    given = linear.signals([500_000, 500_001, 500_002])
    equal = [linear.of_kernel(given, own, linear.NARROW) for own in given.train]
    found = interval.geometric_mean(equal)
    assert RULES[ORDER].judge(found.low, found.high) == "fails"
    assert equal == pytest.approx([1, 1, 1], abs=0.03)
    assert linear.of_kernel(given, given.train[0], linear.SMOOTH) > 100


def test_no_network_is_tested_on_what_it_was_trained_on() -> None:
    given = linear.signals([500_000, 500_001])
    (train, train_rows), (test, test_rows) = (
        (given.problem.data.train, given.train),
        (given.problem.data.test, given.test),
    )
    assert test is not None
    assert (tuple(train_rows.shape), tuple(test_rows.shape)) == ((2, linear.N), (2, linear.TESTED))
    for own, others in zip(train_rows, test_rows, strict=True):
        assert float(torch.cdist(train.take(own)[0], test.take(others)[0]).min()) > 1e-3
    labels = test.take(test_rows.flatten())[1].argmax(1).numpy()
    right = (given.linear == labels).reshape(2, -1).mean(1)
    assert ((right > 0.28) & (right < 0.38)).all()  # each model on its own seed's signals


def test_splits_of_a_tree_come_broad_ones_first() -> None:
    found, sentence = linear.on_a_tree([500_000])
    assert (np.diff(found[0]["time"][0]) > 0).all()
    assert "in 1 of 1 draws" in sentence
