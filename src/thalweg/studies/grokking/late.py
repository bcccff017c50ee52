"""GRK1: generalization long after fitting, and at chance before."""

from collections.abc import Sequence

import numpy as np

from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.figures import Figure, ReferenceLine
from thalweg.generalization.grokking import first_lasting
from thalweg.statistics import POSITIVE, SHARE, Interval
from thalweg.studies.grokking.setting import (
    Array,
    Shared,
    Trained,
    by_setting,
    mean_known,
    share_in_each,
    weakest,
    why_as_many,
)
from thalweg.studies.lab import Lab

RATIO, CHANCE = "later", "at chance before"
UNIT = "T_grok / T_mem"
CLAIM = Claim(
    id="GRK1",
    statement="On tables of modular addition this perceptron, trained with weight decay, comes to 95 % of held-out "
    "pairs more than 5 times as late as to 99 % of its training set, and in each setting most "
    "are at chance up to twice that step.",
    lecture="Train = 100 %, test = 50 % for thousands of epochs, then a sudden generalization: it can emerge long "
    "after fitting.",
    rule=every_part(),
    unit=UNIT,
    corrected="Before, test accuracy is at or below chance, which is 1/p and not 50 %; and the rise from 10 to 90 % "
    "lasts about as long as the plateau before it: it is sudden only on a logarithmic axis.",
    parts=(
        Part(RATIO, "It generalizes more than 5 times as late as it memorizes.", greater(5), UNIT, bounds=POSITIVE),
        Part(
            CHANCE,
            "From T_mem to 2 T_mem held-out accuracy is at most 5 points above chance in most networks of "
            "each setting.",
            greater(0.5),
            "share of networks, the setting with the least",
            bounds=SHARE,
        ),
    ),
)


def later(run: Trained) -> Interval:
    """T_grok / T_mem, those that did not come counting with the last step; unknown unless most came.

    Where none does, as on random answers, the last step alone would make the ratio large.
    """
    ratio, came = run.times.ratio, np.isfinite(run.times["generalized"])
    unknown = Interval(np.nan, np.nan, np.nan, len(came), "ratio of times that most seeds did not come to")
    return ratio if came.mean() > 0.5 else unknown


def above_chance(run: Trained) -> Array:
    """The largest accuracy on held-out pairs from T_mem to 2 T_mem, minus 1/p: (seeds,)."""
    return run.times["before"] - 1 / run.setting.p


def lasts(run: Trained) -> Array:
    """How long the rise from 10 to 90 % takes, over how long the plateau before it does: (seeds,)."""
    steps = run.times.reading.coordinate("step")
    tenth, most = (first_lasting(steps, run.times["test"], level) for level in (0.1, 0.9))
    known = np.isfinite(most)
    return np.where(known, most - np.where(known, tenth, 0), np.nan) / (tenth - run.times["memorized"])


def curve(run: Trained) -> Figure:
    """Both accuracies, with both times and a line at chance."""
    figure = run.times.figure()
    return figure.with_marks(ReferenceLine(1 / run.setting.p), title=f"p = {run.setting.p}: {figure.title}")


def found(lab: Lab, runs: Shared, beside: Sequence[Figure] = ()) -> Finding:
    """The ratio of both times, and the accuracy between T_mem and twice it, each of the setting that is weaker.

    Figures beside are shown with it, and not judged.
    """
    ratios = [later(run) for run in runs.tables]
    # The accuracies agree (none of some 500 pairs is right), which says nothing of how much they vary: the design's
    # mean of them has no interval, and the share of networks of which it is true has Clopper and Pearson's.
    before = share_in_each([above_chance(run) <= 0.05 for run in runs.tables])
    nulls = {"random answers": runs.random, "no decay": runs.without}
    highest = {name: float(run.times["test"].max()) for name, run in nulls.items()}
    panels = [curve(run) for run in runs.tables]
    null = runs.random.times.figure()
    null = null.with_marks(ReferenceLine(1 / runs.random.setting.p), title=f"random answers: {null.title}")
    sentences = [
        f"With {run.setting.text}, {len(run.problems)} networks memorize at step {run.times.typical['T_mem']:.0f} "
        f"and generalize {ratio} times as late; in between their held-out accuracy is "
        f"{run.times['before'].mean():.1%}, and chance {1 / run.setting.p:.1%}. The rise from 10 to 90 % takes "
        f"{mean_known(lasts(run)):.2f} times as long as the plateau before it."
        for run, ratio in zip(runs.tables, ratios, strict=True)
    ]
    caption = (
        f"{panels[0].caption} MLP with {runs.main.problems[0].layout.parameters:,} parameters, AdamW with beta2 0.98, "
        f"full batches; dashed is chance. {'; '.join(run.setting.text for run in runs.tables)}."
    )
    return lab.finding(
        claim=CLAIM,
        parts={RATIO: weakest(ratios), CHANCE: before},
        numbers={
            "T_mem": by_setting(runs, [run.times["memorized"] for run in runs.tables]),
            "T_grok": {run.setting.text: [str(step) for step in run.times["generalized"]] for run in runs.tables},
            "rise / plateau": by_setting(runs, [lasts(run) for run in runs.tables]),
            "highest held-out accuracy of nulls": highest,
        },
        figures=(Figure.row([*panels, null], title="Generalization long after fitting", caption=caption), *beside),
        readings=[
            lab.reading(
                f"accuracy on held-out pairs, p = {run.setting.p}",
                run.times["test"],
                {"step": run.times.reading.coordinate("step"), "seed": range(len(run.problems))},
                unit="fraction",
            )
            for run in runs.tables
        ],
        sentences=[
            *sentences,
            f"Of random answers no more than {highest['random answers']:.1%} of the held-out ones are right in as many "
            f"steps, and without decay {highest['no decay']:.1%}.",
            why_as_many(runs),
        ],
    )
