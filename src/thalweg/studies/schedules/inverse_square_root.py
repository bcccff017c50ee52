"""SCH3: whether the inverse square root is ahead of a cosine early, and behind it at the end."""

import numpy as np

from thalweg.claims import Claim, Finding, greater
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import edge_warnings, reading
from thalweg.studies.schedules.language import EARLY, Comparison, tuning_figure

NAME, OTHER = "inverse square root", "cosine"
CLAIM = Claim(
    id="SCH3",
    statement=f"Against a cosine, each at the peak rate that ends best, the inverse square root has a lower held-out "
    f"loss after {100 // EARLY} % of the steps and a higher one at the end.",
    lecture="Inverse square root: fast initial progress, slow refinement.",
    rule=greater(0, worth=0.01),
    unit=f"nats a byte of one held-out text, the smaller of the lead after {100 // EARLY} % and the lag at the end",
    corrected="The exponents are step^-0.5 and step x warmup^-1.5; as printed in the lecture the rate grows without "
    "end. By its peak: base_lr min(t / warmup, sqrt(warmup / t)). It is that of the first Transformer and T5, not "
    "GPT's, which used a cosine.",
)


def smaller(first: interval.Interval, second: interval.Interval) -> interval.Interval:
    """An interval for the smaller of two quantities: the smaller of the two estimates, lower and upper ends.

    Its lower end is above a threshold only if both are, which happens by chance in at most 2.5 % of the cases where
    one of the quantities is not (an intersection-union test: Berger, 1982, doi:10.1080/00401706.1982.10487790).
    """
    return interval.Interval(
        min(first.estimate, second.estimate),
        min(first.low, second.low),
        min(first.high, second.high),
        min(first.n, second.n),
        f"the smaller of two: {first.method}" + ("" if first.method == second.method else f"; {second.method}"),
    )


def decide(lab: Lab, comparison: Comparison) -> Finding:
    """The finding on SCH3."""
    moments = {"early": comparison.early, "end": comparison.steps}
    losses = {
        name: {moment: comparison.by_window(name, step) for moment, step in moments.items()} for name in (NAME, OTHER)
    }
    lead = interval.crossed(losses[OTHER]["early"] - losses[NAME]["early"])
    lag = interval.crossed(losses[NAME]["end"] - losses[OTHER]["end"])
    mean = {name: {moment: float(table.mean()) for moment, table in each.items()} for name, each in losses.items()}
    best = {name: comparison.best[name] for name in (NAME, OTHER)}
    verdict = CLAIM.judge(
        smaller(lead, lag),
        numbers={
            f"lead after {comparison.early} steps, 95 % interval": [lead.low, lead.high],
            f"lag after {comparison.steps} steps, 95 % interval": [lag.low, lag.high],
            "held-out loss, nats a byte": mean,
            "best peak rate": best,
        },
    )
    return Finding(
        verdict,
        figures=(_lead(comparison), tuning_figure(comparison, (NAME, OTHER))),
        readings=(
            reading(
                lab,
                "held-out loss early and at the end",
                np.array([[table.mean(1) for table in each.values()] for each in losses.values()]),
                {"schedule": list(losses), "step": list(moments.values()), "seed": comparison.scored},
                unit="nats a byte",
            ),
        ),
        sentences=(
            f"After {comparison.early} of {comparison.steps} steps the inverse square root stands at "
            f"{mean[NAME]['early']:.3f} nats a byte and the cosine at {mean[OTHER]['early']:.3f}: a lead of {lead}.",
            f"At the end they stand at {mean[NAME]['end']:.3f} and {mean[OTHER]['end']:.3f}: a lag of {lag}.",
            *edge_warnings(best, comparison.rates),
        ),
    )


def _lead(comparison: Comparison) -> Figure:
    """The lead over the run, seed by seed."""
    steps, ours = comparison.curve(NAME)
    _, theirs = comparison.curve(OTHER)
    lead = (theirs - ours)[1:]
    return Figure.of(
        "The lead of the inverse square root over the cosine",
        (
            Line(steps[1:].astype(float), lead.mean(1), low=lead.min(1), high=lead.max(1), label="mean of the seeds"),
            ReferenceLine(0.0, "horizontal", label="equal"),
            ReferenceLine(float(comparison.early), "vertical", label="early"),
        ),
        x=Axis("step"),
        y=Axis("lead in held-out loss", "nats a byte"),
        caption=f"Loss of the cosine minus that of the inverse square root. {comparison.setting}; peak rates "
        f"{comparison.best[OTHER]:.2g} and {comparison.best[NAME]:.2g}, {len(comparison.scored)} paired seeds; the "
        "band runs from the smallest to the largest.",
    )
