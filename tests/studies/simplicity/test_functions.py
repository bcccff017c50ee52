"""Planted nulls of SIM3: coins, on which it must not hold, and what is unknown of few functions."""

import numpy as np
import pytest

from thalweg.generalization.simplicity import FunctionPrior, function_prior
from thalweg.studies.simplicity import functions
from thalweg.studies.simplicity.functions import CHAOTIC, COIN, FAIR, RELU, TANH

RULES = {part.id: part.rule for part in functions.CLAIM.parts}


def outcomes(relu: FunctionPrior, tanh: FunctionPrior) -> dict[str, str]:
    """Of these in place of networks."""
    found = dict.fromkeys((CHAOTIC, FAIR, COIN), relu) | {RELU: relu, TANH: tanh}
    return {name: RULES[name].judge(one.low, one.high) for name, one in functions.judged(found).items()}


@pytest.fixture(scope="module")
def coins() -> FunctionPrior:
    return function_prior(functions.functions_of(COIN, 100_000, 500), seed=500)


@pytest.fixture(scope="module")
def nets() -> FunctionPrior:
    return function_prior(functions.functions_of(RELU, 20_000, 500), seed=500)


def test_biased_coins_pass_the_wording_and_no_part_of_the_claim(coins: FunctionPrior) -> None:
    found = outcomes(coins, coins)
    assert {found[f"{what}, {name}"] for what in ("slope", "ratio") for name in (RELU, TANH)} == {"fails"}
    words = functions.wording({RELU: coins, TANH: coins})
    assert functions.CLAIM.lecture_rule is not None
    assert functions.CLAIM.lecture_rule.judge(words.low, words.high) == "holds"
    assert "balance" not in str(functions.CLAIM.lecture_unit)
    assert functions.CLAIM.lecture_repeats == "nets"


def test_one_kind_of_net_does_not_carry_the_other(coins: FunctionPrior, nets: FunctionPrior) -> None:
    found = outcomes(nets, coins)
    assert found[f"ratio, {RELU}"] == "holds"
    assert found[f"ratio, {TANH}"] == "fails"


def test_fair_coins_are_as_complex_as_shuffled_ones_and_their_slope_is_unknown() -> None:
    fair = function_prior(functions.functions_of(FAIR, 2_000, 500), seed=500)
    found = outcomes(fair, fair)
    assert found[f"ratio, {RELU}"] == "fails"
    assert found[f"slope, {RELU}"] == "undecided"
    assert found[FAIR] == "holds"


def test_the_slope_of_few_functions_is_unknown() -> None:
    few = function_prior(functions.functions_of(RELU, 4_000, 500), seed=500)
    assert 3 < len(few["complexity"]) < functions.FEWEST
    assert few.slope.known
    assert not functions.slope(few).known
    assert "of 100 functions" in functions.slope(few).method


def test_inputs_in_another_order_are_no_simpler_than_shuffled() -> None:
    drawn = functions.functions_of(TANH, 3_000, 500)
    order = np.random.default_rng(0).permutation(128)
    ratio = function_prior(drawn[:, order]).ratio
    assert RULES[f"ratio, {TANH}"].judge(ratio.low, ratio.high) == "fails"
    assert abs(ratio.estimate - 1) < 0.05
