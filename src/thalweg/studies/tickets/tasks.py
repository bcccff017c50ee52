"""LTH9: masks found on MNIST-1D, trained on other tasks."""

from collections.abc import Callable

import torch
from torch import Tensor

from thalweg import data, tickets
from thalweg.claims import Claim, Finding, Part, greater, less, within
from thalweg.data import Data, Examples
from thalweg.figures import Axis, Figure, interval_bars
from thalweg.population import Problem
from thalweg.randomness import generator
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.setting import ALL, FRESH, UNIT, UNKNOWN, Searched, problem_of, signals
from thalweg.tickets import Transfer

SHARE = "share of the advantage on the source"
MIDDLE = slice(12, 52)  # 40 of the 64 pixels
NULL = "two shufflings"
SAME, DRAW, REVERSED, PERMUTED, DIGITS = "same", "fresh draw", "reversed", "permuted", "digits"
BEHIND = {f"{task}, beside dense": task for task in (REVERSED, PERMUTED, DIGITS)}
CLAIM = Claim(
    id="LTH9",
    statement="Trained on a fresh draw of MNIST-1D, masks of tickets found on it (MLP of width 100, 500 steps, 81 % "
    "sparse) keep more than 0.8 of their advantage over shuffled masks.",
    lecture="Tickets found on one task work for others.",
    rule=greater(0.8),
    unit=SHARE,
    corrected="They do for a fresh draw of the same task. Where the inputs are structured otherwise they keep less and "
    "less of the advantage: a part for signals reversed in time, less than half for permuted positions, and on digits "
    "at most 1.6 points; and off their own task they are worse than the dense network.",
    parts=(
        Part(REVERSED, "For signals reversed in time they keep a part, not all.", within(0, 1), SHARE, decides=False),
        Part(PERMUTED, "For permuted positions they keep less than half.", less(0.5), SHARE, decides=False),
        Part(
            DIGITS,
            "On digits the advantage is within 1.6 points of none.",
            within(-1.6, 1.6),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
        *(
            Part(part, f"On {task} tickets are worse than the dense network.", less(0), UNIT, decides=False, bounds=ALL)
            for part, task in BEHIND.items()
        ),
        Part(
            NULL,
            "Two shufflings are equal within 2 points.",
            within(-2, 2),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
    ),
)
FULL = ("dense", "another shuffling", "first layer shuffled", "mask, new init", "shuffled, new init")


def with_inputs(source: Data, change: Callable[[Tensor], Tensor]) -> Data:
    """The same targets, and inputs that are changed alike in training and test examples."""
    parts = []
    for part in (source.train, source.test):
        assert isinstance(part, Examples)
        assert isinstance(part.inputs, Tensor)
        parts.append(Examples(change(part.inputs), part.targets))
    return Data(*parts, name=source.name, classes=source.classes, notes=source.notes)


def tasks_of(lab: Lab, width: int) -> dict[str, Problem]:
    """In the order of their distance from the source."""
    source, order = signals(), torch.randperm(40, generator=generator(0, "permuted positions"))
    found = {
        SAME: source,
        DRAW: signals(train=FRESH),
        REVERSED: with_inputs(source, lambda x: x.flip(-1)),
        PERMUTED: with_inputs(source, lambda x: x[:, order]),
        DIGITS: with_inputs(data.digits(), lambda x: x[:, MIDDLE]),
    }
    return {name: problem_of(lab, width, one) for name, one in found.items()}


def found(lab: Lab, small: Searched, level: int | None = None) -> Finding:
    """Train masks and their shuffled copies on every task."""
    level, problems = level or small.setting.scored, tasks_of(lab, small.setting.width)
    arms, told = lab.pick(quick=(), full=FULL), lab.labelled("other tasks")
    moved = tickets.transfer(small.search, problems, level=level, arms=arms, progress=told, workers=lab.workers)
    return judged(lab, small, moved)


def judged(lab: Lab, small: Searched, moved: Transfer) -> Finding:
    """Which part of the advantage every task keeps."""
    kept = {name: moved.kept(name, SAME) for name in (DRAW, REVERSED, PERMUTED, DIGITS)}
    names = moved.reading.coordinate("task").tolist()
    gained = {name: points(moved, name, "ticket", "shuffled") for name in names}
    arms = moved.reading.coordinate("arm").tolist()
    dense = {name: points(moved, name, "ticket", "dense") for name in names if "dense" in arms}
    pairs = {"original init": ("ticket", "shuffled")}
    if "shuffled, new init" in arms:
        pairs |= {
            "new init": ("mask, new init", "shuffled, new init"),
            "first layer alone": ("ticket", "first layer shuffled"),
        }
    of_pairs = {label: {name: points(moved, name, *pair) for name in names} for label, pair in pairs.items()}
    accuracies = [
        interval_bars({name: interval.mean(100 * moved.of(name, arm), bounds=(0, 100)) for name in names}, label=arm)
        for arm in ("shuffled", "ticket", "dense")
        if arm in arms
    ]
    panels = [
        Figure.of("Accuracy", accuracies, Axis(""), Axis("test accuracy", "%")),
        Figure.of(
            "Advantage of the mask over shuffled",
            [interval_bars(each, label=label) for label, each in of_pairs.items()],
            Axis(""),
            Axis("advantage", UNIT),
        ),
    ]
    return lab.finding(
        kept[DRAW],
        claim=CLAIM,
        parts={
            REVERSED: kept[REVERSED],
            PERMUTED: kept[PERMUTED],
            DIGITS: gained[DIGITS],
            **{part: dense.get(task, UNKNOWN) for part, task in BEHIND.items()},
            NULL: points(moved, SAME, "another shuffling", "shuffled") if "another shuffling" in arms else UNKNOWN,
        },
        numbers={
            "share kept": {name: str(one) for name, one in kept.items()},
            "advantage": {label: {name: str(one) for name, one in each.items()} for label, each in of_pairs.items()},
            "ticket - dense": {name: str(one) for name, one in dense.items()},
        },
        figures=Figure.row(
            panels,
            title="Tickets of MNIST-1D on other tasks",
            caption=f"MLP, {small.text}, {len(small.seeds)} seeds, other data orders; means with 95 % intervals. Masks "
            "and weights are those of the first task.",
        ),
        readings=[moved.reading],
        sentences=[
            f"On {name} the ticket is {gained[name]} points better than its shuffled mask"
            + (f", {kept[name]} of the advantage on the source" if name in kept else "")
            + (f", and {dense[name]} better than the dense network" if name in dense else "")
            + "."
            for name in names
        ],
    )


def points(moved: Transfer, task: str, arm: str, than: str) -> Interval:
    """By how many points an arm is better than another on a task."""
    return interval.difference(*(100 * moved.of(task, name) for name in (arm, than)), bounds=ALL)
