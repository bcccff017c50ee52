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
        "share": 0.35 + gap + 0.01 * draw.normal(size=5),
        "null share": 0.35 + 0.01 * draw.normal(size=5),
        "linear half-time": np.log(2) / speeds[0],
        "non-linear half-time": np.log(2) * ratio / speeds[1],
    }
    dims = dict.fromkeys(arrays, ("member", "step")) | dict.fromkeys(single, ("member",))
    everything = arrays | single | {"linear accuracy": np.array(0.32)}
    return LinearFirst(Reading("made up", everything, dims, {"member": np.arange(5), "step": STEPS}))


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


def test_descent_on_equal_eigenvalues_has_no_order_and_on_a_smooth_kernel_it_has() -> None:
    given = linear.signals(500_000)
    rows = given.drawn([500_000, 500_001, 500_002])
    equal = [linear.of_kernel(given, own, linear.NARROW) for own in rows]
    found = interval.geometric_mean(equal)
    assert RULES[ORDER].judge(found.low, found.high) == "fails"
    assert equal == pytest.approx([1, 1, 1], abs=0.03)
    assert linear.of_kernel(given, rows[0], linear.SMOOTH) > 100


def test_nobody_is_tested_on_what_anyone_was_fitted_to() -> None:
    given = linear.signals(500_000)
    train, test = given.problem.data.train, given.problem.data.test
    assert (len(train), len(test), len(given.linear)) == (8_000, 4_000, 4_000)
    rows = given.drawn([500_000, 500_001])
    assert all(len(row.unique()) == linear.N for row in rows)
    assert not torch.equal(rows[0], rows[1])
    inputs, held_out = train.take(rows[0])[0], test.take(torch.arange(4_000))[0]
    assert float(torch.cdist(inputs, held_out).min()) > 1e-3


def test_splits_of_a_tree_come_broad_ones_first() -> None:
    found, sentence = linear.on_a_tree([500_000])
    assert (np.diff(found[0]["time"][0]) > 0).all()
    assert "in 1 of 1 draws" in sentence
