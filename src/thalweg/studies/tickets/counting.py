"""LTH10: how many subnetworks there are, and what that number is evidence of.

The number is exact, so the lecture's is wrong or right for certain. Beside it are the accuracies of random masks on
untrained weights: how good the best of many is, and how far that stays behind a mask that was looked for.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import norm

from thalweg import data, nets, tickets
from thalweg.claims import Claim, Finding, within
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.population import Problem
from thalweg.statistics import Interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.tickets import scores

Array = NDArray[np.float64]
WEIGHTS, KEPT = 10**6, 10**5
SHARE, STEPS = 0.5, 150  # of the weights that masks keep; of learning one
AT_ONCE = 250  # masks that are evaluated
CLAIM = Claim(
    id="LTH10",
    statement="Of 1,000,000 weights, 100,000 can be kept in 10^141,178.9 ways.",
    lecture="A network of a million weights has C(10^6, 10^5), about 10^250,000, subnetworks of a tenth of them; even "
    "if one in 10^100 is good there are winners: P = 1 - (1 - p)^N.",
    rule=within(141_178.85, 141_178.95),
    unit="log10 of the number of subnetworks",
    lecture_rule=within(245_000, 255_000),
    corrected="It is 10^141,178.9: n^k / k! needs k far below sqrt(n), and even that gives 10^143,427. The formula for "
    "P takes subnetworks for independent draws, which share weights (two of a tenth have a tenth of theirs in common), "
    "and p out of the air; with it anything exists. That good masks exist is shown by finding one.",
)


@dataclass(frozen=True)
class Luck:
    """Accuracies of masks on untrained weights.

    Args:
        random: test accuracy of random masks: (seeds, masks).
        learned: of the mask that was learned on the same weights: (seeds,).
    """

    random: Array
    learned: Array


def log10_power(weights: int, kept: int) -> float:
    """log10 of n^k / k!, which the lecture puts for the binomial coefficient."""
    return float((kept * math.log(weights) - gammaln(kept + 1)) / math.log(10))


def log10_entropy(weights: int, kept: int) -> float:
    """n H(k / n) log10 2, H in bits."""
    share = kept / weights
    return -weights * (share * math.log10(share) + (1 - share) * math.log10(1 - share))


def best_of(values: Array, draws: int) -> float:
    """The mean of the largest of r draws without repetition: sum over ranks i of v_(i) C(i-1, r-1) / C(m, r).

    Args:
        values: (m,).
        draws: r, from 1 to m.
    """
    ranked, m = np.sort(values), len(values)
    rank = np.arange(draws, m + 1)
    logs = gammaln(rank) - gammaln(rank - draws + 1) - gammaln(draws)
    whole = gammaln(m + 1) - gammaln(draws + 1) - gammaln(m - draws + 1)
    return float((ranked[draws - 1 :] * np.exp(logs - whole)).sum())


def largest_of_normal(draws: NDArray[np.int_]) -> Array:
    """The mean of the largest of r standard normal draws, which grows like sqrt(2 log r) and is below it.

        E max = integral from 0 to 1 of Phi^-1(u^(1/r)) du, by the midpoints of 10,000 intervals

    Args:
        draws: r: (n,).
    """
    u = (np.arange(10_000) + 0.5) / 10_000
    return norm.ppf(u[:, None] ** (1 / draws)).mean(0)


def luck(lab: Lab, seeds: list[int], masks: int) -> Luck:
    """Random masks on untrained weights of each seed, and the mask that edge-popup learns there."""
    problem = Problem(lambda: nets.mlp(64, 100, 100, 10), data.digits(), device=lab.device)
    first = problem.initialize(seeds)
    learned = tickets.supermask(
        problem, first, SHARE, seeds=seeds, steps=STEPS, progress=lab.labelled("a mask on untrained weights")
    )
    rows = []
    for number, seed in enumerate(seeds):
        own, found = first[number], []
        for start in range(0, masks, AT_ONCE):
            at = [10_000 * (seed + 1) + start + one for one in range(min(AT_ONCE, masks - start))]
            many = own[[0] * len(at)]
            mask = tickets.prune(problem, scores.random(many, at), SHARE)
            found.append(evaluate(problem, many.with_mask(mask), "test")["accuracy"].numpy())
        rows.append(np.concatenate(found))
    return Luck(np.stack(rows), learned["learned accuracy"])


def figure_of(found: Luck) -> tuple[Figure, str]:
    """The best of R random masks against R beside the learned one, and what luck it would have taken."""
    masks = found.random.shape[1]
    draws = np.unique(np.geomspace(1, masks, 25).astype(int))
    best = 100 * np.array([[best_of(row, r) for row in found.random] for r in draws])
    mean, sd = 100 * found.random.mean(), 100 * found.random.std(1).mean()
    law = mean + sd * largest_of_normal(draws)
    figure = Figure.of(
        "Best of R random masks",
        (
            Line(draws.astype(float), best.mean(1), low=best.min(1), high=best.max(1), label="best of R random masks"),
            Line(draws.astype(float), law, label="mean of the largest of R normal draws"),
            ReferenceLine(100 * float(found.learned.mean()), label="learned mask"),
        ),
        Axis("R", scale="log"),
        Axis("test accuracy", "%"),
        caption=f"Digits, MLP 64-100-100-10 as it is initialized; masks keep {SHARE:.0%} of the weights of every "
        f"layer. Means of {len(found.random)} networks, band from the smallest to the largest.",
    )
    away = (100 * float(found.learned.mean()) - mean) / sd
    sentence = (
        f"The best of {masks:,} random masks on untrained weights is right on {best[-1].mean():.0f} % of test images, "
        f"all of them on {mean:.0f} % on average; a learned one on {100 * found.learned.mean():.0f} %, which lies "
        f"{away:.0f} standard deviations away. Luck does not find it, and a count does not show that it is there."
    )
    return figure, sentence


def found(lab: Lab, log10_number: float, seen: Luck) -> Finding:
    """The finding of a number, whoever computed it, and of what random masks do."""
    exact = Interval(log10_number, log10_number, log10_number, 1, "computed, exact to rounding")
    figure, sentence = figure_of(seen)
    approximations = {"n^k / k!": log10_power(WEIGHTS, KEPT), "n H(k/n)": log10_entropy(WEIGHTS, KEPT)}
    return lab.finding(
        exact,
        lecture=exact,
        figures=figure,
        readings=[
            lab.reading("log10 of the number of subnetworks", [log10_number], {"weights kept": [KEPT]}),
            lab.reading(
                "test accuracy of random masks",
                seen.random,
                {"seed": range(len(seen.random)), "mask": range(seen.random.shape[1])},
            ),
            lab.reading("test accuracy of the learned mask", seen.learned, {"seed": range(len(seen.learned))}),
        ],
        sentences=[
            f"log10 C({WEIGHTS:,}, {KEPT:,}) = {log10_number:,.1f}; the lecture's 250,000 is too large by a factor of "
            f"10^{250_000 - log10_number:,.0f}. n^k / k! has 10^{approximations['n^k / k!']:,.0f}.",
            f"By 1 - (1 - p)^N a winner is certain whenever p is above 10^-{log10_number:,.0f}, whatever is asked of "
            "it: independence is assumed, and p is not known.",
            sentence,
        ],
        numbers={
            "log10 of approximations": approximations,
            "best random mask": seen.random.max(1).tolist(),
            "learned mask": seen.learned.tolist(),
        },
    )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Count, and try random masks."""
    seeds = lab.seeds(quick=2, full=5).scored
    with torch.no_grad():
        seen = luck(lab, seeds, lab.pick(quick=250, full=1_000))
    return found(lab, tickets.log10_subnetworks(WEIGHTS, KEPT), seen)
