"""Planted nulls of IMP4: networks that gain nothing from the order, and signals in two orders that are the same."""

import numpy as np
import torch

from thalweg.population import Problem
from thalweg.studies import Lab
from thalweg.studies.implicit import locality
from thalweg.studies.implicit.locality import CONVNET, EXCHANGEABLE, GAIN, PERCEPTRON, SAME, SHUFFLED, TRUE

LAB = Lab("quick", 500, progress=None)
RULES = {part.id: part.rule for part in locality.CLAIM.parts}


def outcomes(true: float, shuffled: float) -> dict[str, str]:
    """Of convnets that are by so much better than perceptrons in each order, on six seeds."""
    draw = np.random.default_rng(0)
    found = {(PERCEPTRON, order): 50 + draw.normal(size=6) for order in (TRUE, SHUFFLED)}
    gains = {TRUE: true, SHUFFLED: shuffled}
    found |= {(CONVNET, order): found[PERCEPTRON, order] + gains[order] + draw.normal(size=6) for order in gains}
    return {name: RULES[name].judge(one.low, one.high) for name, one in locality.judged(found).items()}


def test_a_net_that_gains_in_both_orders_is_not_local() -> None:
    assert set(outcomes(17, 0).values()) == {"holds"}
    both = outcomes(17, 17)
    assert both[TRUE] == "holds"
    assert both[GAIN] == both[SAME] == "fails"
    none = outcomes(0, 0)
    assert none[TRUE] == none[GAIN] == "fails"
    assert none[SAME] == none[EXCHANGEABLE] == "holds"


def test_where_rates_come_from_is_said() -> None:
    rates = locality.best_rates(LAB, [])
    assert locality.of_rates(rates, chosen=False).startswith("Rates are set by hand, not chosen: 0.005 (convnet, true")
    assert "chosen on other seeds" in locality.of_rates(rates, chosen=True)


def test_both_orders_hold_the_same_numbers_and_labels() -> None:
    given = locality.signals([500_000, 500_001])
    assert given.pool.test is not None
    for part, rows in ((given.pool.train, given.train), (given.pool.test, given.test)):
        for member in range(2):
            (true, labels), (shuffled, same) = (part.take(rows[order][member]) for order in (TRUE, SHUFFLED))
            assert torch.equal(labels, same)
            assert not torch.equal(true, shuffled)
            assert torch.equal(true.sort(1).values, shuffled.sort(1).values)
            column = [int((shuffled == true[:, [place]]).all(0).nonzero()[0]) for place in range(12, 28)]
            assert len(set(column)) == 16  # one order for all examples of a seed


def test_the_grid_of_rates_grows_until_the_best_lies_inside() -> None:
    def score(best: float):
        return lambda rates: -np.abs(np.log2(np.asarray(rates) / best))

    assert [locality.inside((1.0, 2.0, 4.0), score(best)) for best in (2.0, 16.0, 0.5)] == [2.0, 16.0, 0.5]
    tried = []
    locality.inside((1.0, 2.0, 4.0), lambda rates: tried.extend(rates) or score(4.0)(rates))
    assert tried == [1.0, 2.0, 4.0, 8.0]


def test_signals_shuffled_twice_give_the_convnet_no_advantage() -> None:
    given = locality.signals([500_000, 500_001, 500_002])
    found = {}
    for net in locality.NETS:
        problem = Problem(net.model, given.pool)
        run = locality.trained(LAB, problem, net, given, SHUFFLED, [0, 1, 2], [net.rate])
        found |= {(net.name, order): locality.accuracy(run) for order in (TRUE, SHUFFLED)}
    parts = locality.judged(found)
    assert RULES[TRUE].judge(parts[TRUE].low, parts[TRUE].high) != "holds"
    assert abs(parts[TRUE].estimate) < 6
