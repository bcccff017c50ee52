"""SIM3: random networks prefer simple functions, also at equal balance of classes, which a slope alone does not say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Figure
from thalweg.generalization.simplicity import FunctionPrior, function_prior, random_functions
from thalweg.statistics import POSITIVE, Interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Bits = NDArray[np.uint8]
RELU, TANH, CHAOTIC, COIN, FAIR = "ReLU", "tanh", "chaotic tanh", "biased coins", "fair coins"
ALONE = "decades of probability per bit of complexity"
SLOPE, RATIO = f"{ALONE} at equal class balance", "K / K(bits shuffled)"
NETS, FEWEST = 100_000, 100
CLAIM = Claim(
    id="SIM3",
    statement=f"Of {NETS:,} random ReLU nets 7-40-40-1 (weights of standard deviation sqrt(2 / inputs), biases of 0.1) "
    "and as many tanh nets (1 / sqrt(inputs), 0.2) on the 128 inputs of 7 bits, functions of lower Lempel-Ziv "
    "complexity are more probable at equal numbers of ones, by more than 0.02 decades per bit, and functions with 32 "
    "to 96 ones have less than 0.9 of the complexity of their bits in a random order.",
    lecture="Networks prefer simple functions.",
    rule=every_part(),
    unit=SLOPE,
    budget={"nets": NETS},
    corrected="That simple functions are more frequent is no evidence: functions with few ones are both simple and "
    "frequent, of coins with a random bias as of networks. The balance of classes is to be held; and the preference "
    "is that of an initialization, before any training.",
    parts=(
        *(
            Part(f"slope, {name}", f"At equal balance simple {name} nets are frequent.", rule, SLOPE, repeats="nets")
            for rule in (less(0, worth=-0.02),)
            for name in (RELU, TANH)
        ),
        *(
            Part(f"ratio, {name}", f"Balanced {name} nets are simple.", rule, RATIO, bounds=POSITIVE, repeats="nets")
            for rule in (less(1, worth=0.9),)
            for name in (RELU, TANH)
        ),
        Part(
            CHAOTIC,
            "With weights of 8 / sqrt(inputs) balanced tanh nets are still simpler than their bits shuffled.",
            less(1),
            RATIO,
            decides=False,
            bounds=POSITIVE,
            repeats="nets",
        ),
        Part(
            FAIR,
            "Control: fair coins are not.",
            within(0.98, 1.02),
            RATIO,
            decides=False,
            bounds=POSITIVE,
            repeats="coins",
        ),
        Part(
            COIN,
            "Control: coins whose bias is drawn from Beta(0.05, 0.05) have no such slope at equal balance.",
            greater(-0.02),
            SLOPE,
            decides=False,
            repeats="coins",
        ),
        Part(
            f"{COIN}, slope alone",
            "Control: without the balance they have one, as large as networks do.",
            less(0, worth=-0.02),
            ALONE,
            decides=False,
            repeats="coins",
        ),
    ),
    lecture_rule=less(0),
    lecture_unit=ALONE,
    lecture_repeats="nets",
)


@dataclass(frozen=True)
class Draw:
    """How the weights and biases of random nets are drawn."""

    activation: str
    weight_std: float
    bias_std: float


DRAWS = {RELU: Draw("relu", math.sqrt(2), 0.1), TANH: Draw("tanh", 1.0, 0.2), CHAOTIC: Draw("tanh", 8.0, 0.2)}


def functions_of(name: str, count: int, seed: int) -> Bits:
    """Functions of random nets, or of coins, in the order in which they were drawn: (count, 128)."""
    if name in DRAWS:
        draw = DRAWS[name]
        return random_functions(
            count, activation=draw.activation, weight_std=draw.weight_std, bias_std=draw.bias_std, seed=seed
        )
    coins = np.random.default_rng([seed, 0x5133])
    bias = np.full((count, 1), 0.5) if name == FAIR else coins.beta(0.05, 0.05, (count, 1))
    return (coins.random((count, 128)) < bias).astype(np.uint8)


def slope(found: FunctionPrior) -> Interval:
    """That at equal balance; unknown of fewer functions than a hundred, over which its interval is too narrow."""
    seen = len(found["complexity"])
    if seen < FEWEST:
        return Interval.missing(f"{seen} of {FEWEST} functions were seen twice")
    return found.slope


def judged(found: Mapping[str, FunctionPrior]) -> dict[str, Interval]:
    """The interval of every part."""
    return {
        **{f"slope, {name}": slope(found[name]) for name in (RELU, TANH)},
        **{f"ratio, {name}": found[name].ratio for name in (RELU, TANH)},
        CHAOTIC: found[CHAOTIC].ratio,
        FAIR: found[FAIR].ratio,
        COIN: slope(found[COIN]),
        f"{COIN}, slope alone": found[COIN].slope_without_balance,
    }


def wording(found: Mapping[str, FunctionPrior]) -> Interval:
    """What the lecture's words are judged by: the slope alone, of those networks where it is nearest to none."""
    return max((found[name].slope_without_balance for name in (RELU, TANH)), key=lambda one: one.high)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Draw networks and coins, and compare the probability of functions with how simple they are."""
    (seed,) = lab.seeds(quick=1, full=1).scored
    nets = lab.pick(quick=20_000, full=NETS)
    # Of coins, as of chaotic nets, few functions come twice: coins are drawn as many at both scales, they cost little.
    counts = {RELU: nets, TANH: nets, CHAOTIC: nets // 5, FAIR: 2_000, COIN: NETS}
    drawn = {name: functions_of(name, count, seed) for name, count in counts.items()}
    found = {name: function_prior(functions, seed=seed) for name, functions in drawn.items()}
    order = np.random.default_rng([seed, 0x5134]).permutation(128)
    elsewhere = {name: function_prior(drawn[name][:4_000, order], seed=seed).ratio.estimate for name in (RELU, TANH)}
    parts, words = judged(found), wording(found)
    alone = found[COIN].slope_without_balance
    return lab.finding(
        parts=parts,
        lecture=words,
        ran={"nets": nets},
        figures=figures(found),
        readings=[replace(one.reading, name=f"prior over functions, {name}") for name, one in found.items()],
        sentences=[
            *(
                f"Of {nets:,} {name} nets {len(found[name]['complexity']):,} functions were seen twice in one half; in "
                f"the other they are {-found[name].slope.estimate:.3f} decades less frequent for every bit of "
                f"complexity at equal balance, {-found[name].slope_without_balance.estimate:.3f} without. Balanced "
                f"ones have {parts[f'ratio, {name}'].estimate:.2f} of the complexity of their bits shuffled."
                for name in (RELU, TANH)
            ),
            f"Biased coins know nothing of simplicity, and have a slope of {alone.estimate:.3f} alone and of "
            f"{found[COIN].slope.estimate:.3f} at equal balance.",
            "The preference depends on the draw of the weights: chaotic tanh nets have a ratio of "
            f"{parts[CHAOTIC].estimate:.2f}. And simple means simple in the counting order of the inputs: in one "
            f"random order of them the ratios of ReLU and tanh are {elsewhere[RELU]:.2f} and {elsewhere[TANH]:.2f}.",
        ],
        numbers={
            "functions seen twice": {name: len(one["complexity"]) for name, one in found.items()},
            "slope without balance": {
                name: [one.low, one.estimate, one.high]
                for name, one in ((name, found[name].slope_without_balance) for name in (RELU, TANH, COIN))
            },
            "ratio, inputs in a random order": elsewhere,
        },
    )


def figures(found: Mapping[str, FunctionPrior]) -> list[Figure]:
    """Probabilities against complexity, of networks and of coins; and complexities of balanced functions."""
    return [
        Figure.row(
            [found[name].probabilities(name) for name in (RELU, TANH, COIN)],
            title="Probability of functions against their complexity",
            caption="One dot a function of 7 bits that one half of the nets, or coins, has twice; its probability in "
            "the other half. Titles have the slope at equal class balance; lines go through the mean of the dots, "
            "which are spread sideways.",
        ),
        Figure.row(
            [found[name].complexities(name) for name in (RELU, TANH, CHAOTIC, FAIR)],
            title="Complexity of balanced functions",
            caption="Functions with 32 to 96 ones of 128 values, and their bits in a random order; means of ratios are "
            "in the titles.",
        ),
    ]
