"""SIM4: networks that fit true labels are smoother than ones that fit random labels, and than ones badly started.

The first compares tasks: random labels need a rough function. The second compares networks that fit the same labels
equally well, and so what training from a start prefers.
"""

from math import isnan

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.statistics import POSITIVE, Interval
from thalweg.studies.lab import Lab
from thalweg.studies.simplicity.labels_and_starts import (
    AGAIN,
    DIGITS,
    EIGHT,
    EXAMPLES,
    FOUR,
    FULL_ALONE,
    LEVEL,
    PREFERENCE,
    RANDOM,
    RELABELLED,
    SIGNALS,
    STANDARD,
    TASK,
    TASK_LEVEL,
    TRUE,
    Compared,
    compared,
    ratio,
)
from thalweg.studies.study import decides

RATIO, MARGIN = "ratio of mean norms of the input Jacobian", "ratio of norms per unit of margin"
CLAIM = Claim(
    id="SIM4",
    statement="On 500 digits (MLP 64-256-10, Adam) the input Jacobian, centered over classes, has less than 0.8 of the "
    f"norm after true labels that it has after random ones, at a training loss of {TASK_LEVEL:g}; and on the same true "
    f"labels at {LEVEL:g} less than 0.8 from the standard start of that from a network that had memorized random "
    "labels.",
    lecture="Networks prefer simple functions that vary smoothly.",
    rule=every_part(),
    unit=RATIO,
    corrected="True labels against random ones compares tasks: random labels need a rough function, whatever a network "
    "prefers. Of networks that fit the same labels equally well, those from a standard start are smoother than those "
    "from a bad one; they need not be the smoothest there are.",
    parts=(
        Part(TASK, "Networks on true labels are smoother.", less(1, worth=0.8), RATIO, bounds=POSITIVE),
        Part(PREFERENCE, "On equal labels the standard start is.", less(1, worth=0.8), RATIO, bounds=POSITIVE),
        *(
            Part(f"{name}, margin", "So per margin.", less(1, worth=0.8), MARGIN, decides=False, bounds=POSITIVE)
            for name in (TASK, PREFERENCE)
        ),
        Part(
            "test error",
            "From the bad start the test error is larger.",
            greater(0),
            "points of test error, bad - standard start",
            decides=False,
            bounds=(-100, 100),
        ),
        Part(EIGHT, "It is smoother than from 8 times it.", less(1, worth=0.8), RATIO, decides=False, bounds=POSITIVE),
        Part(FOUR, "It is smoother than from 4 times it.", less(1), RATIO, decides=False, bounds=POSITIVE),
        *(
            Part(f"MNIST-1D, {name}", words, less(1, worth=0.8), RATIO, decides=False, bounds=POSITIVE)
            for name, words in (
                (TASK, "On MNIST-1D networks on true labels are smoother."),
                (PREFERENCE, "On MNIST-1D those from the standard start are."),
            )
        ),
        Part(
            RELABELLED,
            "Control: with the classes in another order the norm is the same.",
            within(0.9, 1.1),
            RATIO,
            decides=False,
            bounds=POSITIVE,
        ),
        Part(
            AGAIN,
            "Control: of two draws of random labels it is the same.",
            within(0.8, 1.25),
            RATIO,
            decides=False,
            bounds=POSITIVE,
        ),
    ),
    lecture_rule=less(1, worth=0.8),
)


def judged(digits: Compared, signals: Compared | None) -> dict[str, Interval]:
    """The interval of every part."""
    elsewhere = dict.fromkeys((TASK, PREFERENCE), Interval.missing(FULL_ALONE)) if signals is None else signals.ratios
    standard = digits.starts[STANDARD]
    return {
        **digits.ratios,
        "test error": digits.errors,
        EIGHT: ratio(standard, digits.starts.get(EIGHT)),
        FOUR: ratio(standard, digits.starts.get(FOUR)),
        **{f"MNIST-1D, {name}": elsewhere[name] for name in (TASK, PREFERENCE)},
        RELABELLED: ratio(digits.task.get(RELABELLED), digits.task[TRUE]),
        AGAIN: ratio(digits.task.get(AGAIN), digits.task[RANDOM]),
    }


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train on true and random labels, and from good and bad starts, and compare norms at equal training loss."""
    seeds = lab.seeds(quick=5, full=8).scored
    full = lab.scale == "full"
    digits = compared(lab, DIGITS, seeds, controls=full)
    signals = compared(lab, SIGNALS, seeds) if full else None
    parts = judged(digits, signals)
    found = {DIGITS.name: digits} | ({SIGNALS.name: signals} if signals is not None else {})
    arms = {
        f"{name}, {arm}": one
        for name, of in found.items()
        for arms in (of.task, of.starts)
        for arm, one in arms.items()
    }
    return lab.finding(
        parts=parts,
        lecture=parts[TASK],
        figures=figure(digits),
        readings=[
            lab.reading(name, [getattr(one, field) for one in arms.values()], {"arm": list(arms), "seed": seeds})
            for name, field in (
                ("norm of the input Jacobian", "norm"),
                ("median margin", "margin"),
                ("training loss", "loss"),
                ("test error", "error"),
            )
        ],
        sentences=[
            sentence
            for name, of in found.items()
            for sentence in (
                f"On {name} the norm after true labels is {of.ratios[TASK]} of that after random ones, per unit of "
                f"margin {of.ratios[f'{TASK}, margin']}, which says how rough a function the labels need.",
                f"On the same true labels of {name} it is from the standard start {of.ratios[PREFERENCE]} of that from "
                f"where random labels had been memorized, which costs {of.errors} points of test error.",
            )
        ]
        + ([f"From 4 and 8 times the start the ratios are {parts[FOUR]} and {parts[EIGHT]}."] if full else []),
        numbers={
            name: {
                what: float(values.mean())
                for what, values in (
                    ("norm", one.norm),
                    ("median margin", one.margin),
                    ("training loss", one.loss),
                    ("test error, %", one.error),
                )
                if not any(map(isnan, values))
            }
            for name, one in arms.items()
            if not any(map(isnan, one.norm))
        },
    )


def figure(found: Compared) -> Figure:
    """Norms along training against the training loss, of labels and of starts."""
    panels = [
        Figure.of(
            title,
            [
                *(Line(*one.path, label=name) for name, one in arms.items() if name not in (RELABELLED, AGAIN)),
                ReferenceLine(level, "vertical", label=f"read at {level:g}"),
            ],
            Axis("training loss", scale="log"),
            Axis("norm of the input Jacobian", scale="log"),
        )
        for title, arms, level in (
            ("Tasks: other labels", found.task, TASK_LEVEL),
            ("Preference: other starts, true labels", found.starts, LEVEL),
        )
    ]
    return Figure.row(
        panels,
        title="How smooth networks are along training",
        caption=f"{EXAMPLES} digits, MLP 64-256-10, Adam; the loss falls from right to left. Norms are means over test "
        f"inputs, geometric means over {len(next(iter(found.task.values())).norm)} seeds.",
    )
