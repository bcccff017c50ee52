"""What the study trains, and which networks belong together."""

import pytest
import torch

from thalweg.statistics import Interval
from thalweg.studies import Lab
from thalweg.studies.connectivity import setting
from thalweg.studies.connectivity.setting import DIGITS, Ends, highest, lowest, trained

LAB = Lab("quick", 500, progress=None)


@pytest.fixture(scope="module")
def ends() -> Ends:
    return trained(LAB, DIGITS.with_hidden(8), [500_000, 500_001, 500_002, 500_003, 500_004, 500_005])


def test_no_network_is_in_two_triples(ends: Ends) -> None:
    assert ends.seeds == ((500_000, 500_001, 500_002), (500_003, 500_004, 500_005))
    rows = torch.cat([ends.first.theta, ends.second.theta, ends.third.theta])
    assert len(torch.unique(rows, dim=0)) == 6


def test_a_network_does_not_depend_on_who_else_is_trained(ends: Ends) -> None:
    few = trained(LAB, DIGITS.with_hidden(8), [500_003, 500_004, 500_005])
    torch.testing.assert_close(few.second.theta, ends.second.theta[1:], rtol=1e-2, atol=1e-2)
    assert torch.equal(ends.few(1).third.theta, ends.third.theta[:1])
    assert len(ends.few(1)) == 1


def test_seeds_come_by_threes() -> None:
    with pytest.raises(ValueError, match="by threes; got 4"):
        trained(LAB, DIGITS, [0, 1, 2, 3])


def test_digits_are_centered_and_scaled_by_one_number_each() -> None:
    data, other = DIGITS.make(500), DIGITS.make(501)
    assert (len(data.train), len(data.test)) == (1_347, 450)
    assert float(data.train.inputs.mean()) == pytest.approx(0, abs=1e-5)
    assert float(data.train.inputs.std()) == pytest.approx(1, abs=1e-4)
    assert data.train.inputs.mean(0).std() > 0.1  # pixels differ as they did
    levels = torch.unique(torch.cat([data.train.inputs, data.test.inputs]))
    assert len(levels) == 17
    assert (levels.diff() - levels.diff().mean()).abs().max() < 1e-5
    assert not torch.equal(data.train.inputs, other.train.inputs)


def test_signals_are_tested_on_a_fresh_draw() -> None:
    data = setting.SIGNALS.make(500)
    assert (len(data.train), len(data.test)) == (4_000, 4_000)
    both = torch.cat([data.train.inputs, data.test.inputs])
    assert len(torch.unique(both, dim=0)) == 8_000


def test_settings_are_those_of_the_design() -> None:
    for one, rate, batch in ((DIGITS, 0.1, 50), (setting.SIGNALS, 0.3, 100)):
        recipe = one.recipe
        assert (recipe.steps, recipe.batch_size) == (600, batch)
        assert (recipe.optimizer.lr, recipe.optimizer.beta, recipe.optimizer.weight_decay) == (rate, 0.9, 1e-3)
        assert recipe.optimizer.decay == "l2"
    assert DIGITS.with_hidden(64, 64, 64, 64).widths == (64, 64, 64, 64, 64, 10)
    assert DIGITS.with_hidden().text == "digits, 64-10"


def test_the_weakest_of_several_settings_is_judged() -> None:
    low, high, unknown = Interval(3, 1, 4, 4, ""), Interval(3, 2, 9, 4, ""), Interval.missing("not run")
    assert lowest([low, high]) is low
    assert highest([low, high]) is high
    assert lowest([low, unknown]) is highest([unknown, high]) is unknown
