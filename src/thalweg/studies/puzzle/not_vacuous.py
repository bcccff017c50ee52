"""GEN3: some bounds are not vacuous on the same digits, each about a predictor of its own; and whether bounds hold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.generalization import bounds
from thalweg.generalization.bounds import Board, Certificate
from thalweg.statistics import POSITIVE, SHARE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.puzzle.certificates import (
    HALF,
    HOLD_OUT,
    NOT_VACUOUS,
    chosen,
    looser,
    on_random_labels,
    on_true_labels,
)
from thalweg.studies.puzzle.codes import Setting
from thalweg.studies.puzzle.samples import DELTA, TRAINED
from thalweg.studies.puzzle.vacuous import below, picture
from thalweg.studies.puzzle.validity import SLACK, Validity, validity

Array = NDArray[np.float64]
Found = Mapping[str, Certificate]
TWO, APART, CONTRADICTED, VALID, RANDOM = "two families", "hold-out", "not contradicted", "valid", "random labels"
BOUND = "bound of the share of wrong answers"
TUNED = 3  # seeds on which it is chosen how codes are trained
RANDOM_SEEDS = 6  # as many as a share of them that is below one half takes
READINGS = {"bound": "bound", "error on the bound's examples": "error", "held-out error": "held-out error"}
CLAIM = Claim(
    id="GEN3",
    statement=f"On {TRAINED:,} digits at least two of four kinds of bounds are below 0.5 (PAC-Bayes with a prior from "
    "half of the data or without, networks in a random subspace on few levels, linear classifiers of one or two bits a "
    "weight), no bound is contradicted by held-out digits, and the inequalities that they rest on, tried on linear "
    f"rules of known risk, fail in no more samples than they may (delta = {DELTA:g}, and {100 * SLACK:g} points for "
    "the count); with a prior from half of the data it is larger than the hold-out bound of the same half. None of the "
    "four is about the network that was trained.",
    lecture="PAC bounds are vacuous.",
    rule=every_part(),
    unit=BOUND,
    corrected="Not all: PAC-Bayes bounds whose prior saw half of the data, and bounds by the length of a short code, "
    "say something of networks and linear classifiers on the same data. They are about other predictors than the "
    "trained network, and with a prior from half of the data nothing is gained over the hold-out bound of the other.",
    parts=(
        Part(TWO, "The second smallest of four kinds is below 0.5.", less(0.5), BOUND, bounds=SHARE),
        Part(
            APART,
            "A prior from half of the data gives no smaller a bound than counting errors on the other half.",
            greater(0),
            "difference of both bounds",
            bounds=(-1, 1),
        ),
        Part(
            CONTRADICTED,
            "No bound is below the lower end of the held-out error of its own predictor.",
            less(0.5),
            "bounds that are, counted",
            bounds=POSITIVE,
            repeats="bounds",
        ),
        Part(
            VALID,
            "On linear rules of known risk an inequality fails in a share of samples of at most delta and "
            f"{100 * SLACK:g} points.",
            less(DELTA + SLACK),
            "share of samples in which the bound is below the risk, of the inequality in which it is largest",
            bounds=SHARE,
            repeats="samples",
        ),
        Part(
            RANDOM,
            "On random labels none of the four is below 0.9.",
            less(0.5),
            "seeds in which one is, counted",
            decides=False,
            bounds=POSITIVE,
        ),
    ),
    budget={"kinds": len(NOT_VACUOUS)},
)


def levels(found: Found) -> dict[str, Interval]:
    """The mean bound of every family, over seeds."""
    return {name: interval.mean(one["bound"], bounds=SHARE) for name, one in found.items()}


def contradictions(found: Found) -> Interval:
    """How many bounds held-out examples contradict: a count of all there are, with no doubt about it."""
    each = np.concatenate([one["contradicted"] for one in found.values()])
    count = float(each.sum())
    return Interval(count, count, count, len(each), "counted, all of them")


def judged(found: Found, random: Found, checked: Validity) -> dict[str, Interval]:
    """The interval of every part."""
    kinds = sorted((one for name, one in levels(found).items() if name in NOT_VACUOUS), key=lambda one: one.high)
    least = np.min([one["bound"] for name, one in random.items() if name in NOT_VACUOUS], axis=0)
    half = found[HALF]
    return {
        TWO: kinds[1],
        APART: interval.mean(half["bound"] - half["hold-out bound"], bounds=(-1, 1)),
        CONTRADICTED: contradictions(found),
        VALID: checked.worst,
        RANDOM: below(least),
    }


def found(lab: Lab, boards: Sequence[Board]) -> Finding:
    """Train what the bounds are about, on true labels and on random ones, and try all on a known risk.

    Args:
        lab: at quick scale two of the four kinds are trained, and the claim stays undecided.
        boards: of networks with vacuous bounds, one a seed, for the figure: of as many seeds as there are here.
    """
    drawn = lab.seeds(quick=3, full=8, shared_tuning=lab.pick(quick=0, full=TUNED))
    seeds, how = drawn.scored, chosen(lab, drawn.shared_tuning) if drawn.shared_tuning else None
    true = on_true_labels(lab, seeds, how)
    random = on_random_labels(lab, seeds[:RANDOM_SEEDS], how)
    checked = validity(lab.seed)
    board = bounds.side_by_side(boards[: len(seeds)])
    return finding(lab, board, true, random, checked, how)


def finding(
    lab: Lab,
    board: Board,
    true: Found,
    random: Found,
    checked: Validity,
    how: Mapping[str, Setting] | None = None,
) -> Finding:
    """What they say of the claim."""
    mean = levels(true)
    ran = sum(name in true for name in NOT_VACUOUS)
    return lab.finding(
        claim=CLAIM,
        parts=judged(true, random, checked),
        ran={"kinds": ran},
        figures=picture(
            board.with_rows([replace(one.row, family=name) for name, one in true.items()]),
            "Bounds, vacuous and not",
            f"The lowest {len(true)} rows are of other, smaller networks or linear classifiers on {TRAINED:,} digits, "
            "each bound about a predictor of its own.",
        ),
        readings=[
            lab.reading(
                what,
                [one[array] for one in true.values()],
                {"family": list(true), "seed": true[HALF].reading.coordinate("seed")},
            )
            for what, array in READINGS.items()
        ],
        sentences=[
            *(
                f"{name}: the bound is {mean[name]} for {one.row.about}, whose held-out error is "
                f"{one['held-out error'].mean():.3f}; in the form with a square root it would be {looser(one):.2f}."
                for name, one in true.items()
                if name != HOLD_OUT
            ),
            of_hold_out(true),
            of_random(random),
            of_validity(checked),
            *(of_choice(name, one) for name, one in (how or {}).items()),
        ],
        numbers={
            "mean bound, 95 % interval": {name: [one.low, one.estimate, one.high] for name, one in mean.items()},
            "mean held-out error": {name: float(one["held-out error"].mean()) for name, one in true.items()},
            "mean bound by candidate": {
                name: dict(
                    zip(
                        map(str, one.reading.coordinate("candidate")),
                        one["bound by candidate"].mean(1).tolist(),
                        strict=True,
                    )
                )
                for name, one in true.items()
            },
            "bounds on random labels": {name: one["bound"].tolist() for name, one in random.items()},
            "share of samples in which a bound fails": {name: str(one) for name, one in checked.valid.items()},
            "the same of what is no bound": {name: str(one) for name, one in checked.broken.items()},
        },
    )


def of_hold_out(true: Found) -> str:
    """What a prior from half of the data is, and which bounds are small."""
    half, plain = true[HALF], true[HOLD_OUT]
    kl = half["KL"][half["chosen"], np.arange(len(half["bound"]))]
    small = [name for name, one in true.items() if one["bound"].mean() <= 0.15]
    more = float((half["bound"] - half["hold-out bound"]).mean())
    return (
        f"The hold-out bound of the network itself is {plain['bound'].mean():.3f} (held-out error "
        f"{plain['held-out error'].mean():.3f}). That with a prior from half has a divergence of {kl.mean():.2g} nats "
        f"(of 0 it is one by held-out examples in disguise), and is {abs(more):.3f} "
        f"{'larger' if more > 0 else 'smaller'} than Clopper and Pearson's of the same half. At most "
        f"0.15 are: {', '.join(small) or 'none'}. Of all these only the hold-out bound is about a network that was "
        "trained and is used as it is."
    )


def of_random(random: Found) -> str:
    """What bounds say of labels of which nothing can be learned."""
    each = ", ".join(f"{one['bound'].min():.3f} ({name})" for name, one in random.items() if name in NOT_VACUOUS)
    text = f"On random labels the smallest bounds of {len(random[HALF]['bound'])} seeds are {each}."
    if HOLD_OUT not in random:
        return text
    below = random[HOLD_OUT]["bound"] < 0.9
    return (
        f"{text} The hold-out bound is below 0.9, the risk, in {below.sum()} of {len(below)} seeds; it may be in "
        f"a share {DELTA:g} of them."
    )


def of_validity(checked: Validity) -> str:
    """How often bounds fail where the risk is known."""
    count = checked.worst.n
    return (
        f"In {count:,} samples of known risk the bound is below the risk in a share of "
        + ", ".join(f"{one.estimate:.3f} ({name})" for name, one in checked.valid.items())
        + "; of what is no bound, "
        + ", ".join(f"{one.estimate:.3f} ({name})" for name, one in checked.broken.items())
        + ("." if checked.caught else ": not all of that is caught.")
    )


def of_choice(name: str, how: Setting) -> str:
    """How a code is trained, and what that choice costs."""
    levels = f" and levels {' and '.join(f'{one:g}' for one in how.levels)} apart" if how.levels else ""
    return (
        f"{name}: the rate {how.rate:g}{levels} are what had the smallest bound on {TUNED} other seeds, of "
        f"{how.settings} settings, for which {np.log2(how.settings):.1f} bits are added."
    )
