"""SCH3: whether the inverse square root is ahead of a cosine early, and behind it at the end."""

from thalweg.claims import Claim, Finding, Part, every_part
from thalweg.figures import Axis, ReferenceLine
from thalweg.results import spread
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.schedules.comparison import BUDGET, DATA, EARLY, OVER, RULE, UNIT, Comparison

NAME, OTHER = "inverse square root", "cosine"
CLAIM = Claim(
    id="SCH3",
    statement=f"A byte-level transformer of one block on {DATA} has a lower held-out loss on the inverse square root "
    f"than on a cosine after {100 // EARLY} % of the steps, and a higher one at the end, each at the peak rate that "
    "ends best.",
    lecture="Inverse square root: fast initial progress, slow refinement.",
    rule=every_part(),
    unit=f"{UNIT}, {OVER}",
    budget=BUDGET,
    corrected="The exponents are step^-0.5 and step x warmup^-1.5; as printed in the lecture the rate grows without "
    "end. By its peak: base_lr min(t / warmup, sqrt(warmup / t)). It is that of the first Transformer and T5, not "
    "GPT's, which used a cosine.",
    parts=(
        Part("early", f"It is ahead after {100 // EARLY} %.", RULE, "nats a byte, cosine minus inverse square root"),
        Part("end", "It is behind at the end.", RULE, "nats a byte, inverse square root minus cosine"),
    ),
)


def finding(lab: Lab, comparison: Comparison) -> Finding:
    """The finding on SCH3."""
    early, steps, scored = comparison.early, comparison.steps, comparison.seeds.scored
    (ours, ours_end), (theirs, theirs_end) = (comparison.windows[name] for name in (NAME, OTHER))
    lead, lag = interval.crossed(theirs - ours), interval.crossed(ours_end - theirs_end)
    typical = {name: comparison.typical[name] for name in (NAME, OTHER)}
    tuned, tuning_figure = comparison.tuning(lab, (NAME, OTHER))
    losses = lab.reading(
        "held-out loss early and at the end",
        [comparison.windows[name].mean(2) for name in (NAME, OTHER)],
        {"schedule": [NAME, OTHER], "step": [early, steps], "seed": scored},
        unit=UNIT,
    )
    over_time = lab.reading(
        "lead in held-out loss",
        (comparison.course[OTHER] - comparison.course[NAME])[1:],
        {"step": comparison.at[1:], "seed": scored},
        unit=UNIT,
    )
    figure = spread(
        over_time,
        x="step",
        over="seed",
        title="The lead of the inverse square root over the cosine",
        caption=f"Loss of the cosine minus that of the inverse square root. {comparison.setting}; each "
        f"seed at the peak rates that were best on its tuning seed, on average {typical[OTHER]:.2g} and "
        f"{typical[NAME]:.2g}; seeds paired.",
        y_axis=Axis("lead in held-out loss", UNIT),
    ).with_marks(
        ReferenceLine(0.0, "horizontal", label="equal"), ReferenceLine(float(early), "vertical", label="early")
    )
    return lab.finding(
        claim=CLAIM,
        ran={"steps": steps},
        parts={"early": lead, "end": lag},
        numbers={
            f"lead after {early} steps, 95 % interval": [lead.low, lead.high],
            f"lag after {steps} steps, 95 % interval": [lag.low, lag.high],
            "held-out loss, nats a byte": {
                NAME: {"early": ours.mean(), "end": ours_end.mean()},
                OTHER: {"early": theirs.mean(), "end": theirs_end.mean()},
            },
            "best peak rate, geometric mean": typical,
        },
        figures=(figure, tuning_figure),
        readings=(losses, *tuned),
        sentences=(
            f"After {early} of {steps} steps the inverse square root stands at {ours.mean():.3f} nats a byte and the "
            f"cosine at {theirs.mean():.3f}: a lead of {lead}.",
            f"At the end they stand at {ours_end.mean():.3f} and {theirs_end.mean():.3f}: a lag of {lag}.",
            *comparison.at_edges((NAME, OTHER)),
        ),
    )
