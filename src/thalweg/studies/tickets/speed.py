"""Shown beside LTH8: at what accuracy a ticket is faster, and how long it takes to train to the dense one's.

Tickets and small dense networks of equal size, from one search. Nothing of it is scored.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from thalweg import tickets
from thalweg.figures import Axis, Bars, Figure, Line, ReferenceLine
from thalweg.population import Problem
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.setting import SMALL, problem_of, recipe_of
from thalweg.tickets.receipt_timing import latencies
from thalweg.tickets.search_cost import steps_to_find
from thalweg.training import steps_to

LEVELS = (4, 6, 9)  # 81.5, 92 and 98 % of the weights at zero
RIVALS = ("ticket", "small dense")
SLACK = 0.005  # of accuracy
RECIPE = replace(recipe_of(SMALL.steps), evaluate=26)  # the study's, looked at on the way


@dataclass(frozen=True)
class Beside:
    """What is shown."""

    figures: tuple[Figure, ...]
    sentences: tuple[str, ...]


def seconds_of_a_step(modules: dict[str, nn.Module]) -> dict[str, float]:
    """Of training on 100 examples with momentum, as one would write it, medians of interleaved calls."""
    x, y = torch.randn(100, 40), torch.arange(100) % 10
    calls = {}
    for name, module in modules.items():
        masks = [(one, one.detach() != 0) for one in module.parameters() if name == "ticket" and one.ndim == 2]
        rule = torch.optim.SGD(module.parameters(), 1e-6, momentum=0.9)

        def step(module: nn.Module = module, rule: torch.optim.Optimizer = rule, masks: list = masks) -> None:
            rule.zero_grad()
            with torch.enable_grad():
                cross_entropy(module(x), y).backward()
            rule.step()
            for parameter, mask in masks:
                parameter.data.mul_(mask)

        calls[name] = step
    found = latencies(calls, rounds=40)
    return dict(zip(found.arms, found["latency"].tolist(), strict=True))


def beside(lab: Lab) -> Beside:
    """Search once, and time what was found: as it is called, and as it is trained."""
    problem, seeds = problem_of(lab, SMALL.width), lab.seeds(quick=3, full=3).scored
    search = tickets.search(
        problem,
        RECIPE,
        seeds=seeds,
        rounds=max(LEVELS),
        keep=SMALL.keep,
        arms=RIVALS,
        progress=lab.labelled("tickets whose speed is measured"),
        workers=lab.workers,
    )
    accuracy, dense = search["test_accuracy"].mean(2), float(search["dense test_accuracy"].mean())
    gains = np.array([[gain_of(problem, search, level, arm) for level in LEVELS] for arm in RIVALS])
    lines = [
        Line(gains[row], 100 * accuracy[row, np.array(LEVELS) - 1], label=name)
        for row, name in enumerate(("ticket in CSR", "small dense of equal size"))
    ]
    at_speed = Figure.of(
        "Accuracy against measured speed",
        (*lines, ReferenceLine(100 * dense, label="dense")),
        Axis("times faster than dense", scale="log"),
        Axis("test accuracy", "%"),
        caption=f"MNIST-1D, MLP 40-100-100-10, batch 256, {len(seeds)} seeds; "
        f"{', '.join(f'{1 - search.densities[level - 1]:.0%}' for level in LEVELS)} of the weights removed. So small a "
        "network is called in a time that depends little on its size. "
        "No point: a form that could not be made.",
    )
    bars, words = training_time(problem, search, dense)
    return Beside((at_speed, bars), (at_speed_words(search, gains, accuracy, dense), words))


def gain_of(problem: Problem, search: tickets.Search, level: int, arm: str) -> float:
    """How many times faster than dense the form is that it has: CSR of a ticket, cut out of a small dense network.

    NaN where it has not got that form.
    """
    found = tickets.receipt(problem, search.trained(level, arm)[0], batches=(256,), rounds=40)
    form = "csr" if arm == "ticket" else "sliced"
    return float(found["speedup"][0, list(found.modules).index(form)]) if form in found.modules else math.nan


def at_speed_words(search: tickets.Search, gains: np.ndarray, accuracy: np.ndarray, dense: float) -> str:
    """The last level in a sentence."""
    last, sparse = LEVELS[-1] - 1, 1 - search.densities[LEVELS[-1] - 1]
    return (
        f"On MNIST-1D (MLP 40-100-100-10, {dense:.1%}) the ticket without {sparse:.0%} of its weights is "
        f"{times_as_fast(gains[0, -1])} in CSR at {accuracy[0, last]:.1%}, and a small dense network of equal size "
        f"{times_as_fast(gains[1, -1])} at {accuracy[1, last]:.1%}."
    )


def times_as_fast(gain: float) -> str:
    """In words, at batch 256."""
    return "not to be timed" if math.isnan(gain) else f"{gain:.1f} times as fast as dense (batch 256)"


def training_time(problem: Problem, search: tickets.Search, dense: float) -> tuple[Figure, str]:
    """Seconds to the dense network's last accuracy, less half a point, with and without what the search took."""
    level, steps = LEVELS[0], search.dense.history.steps
    tickets_, small = (search.trained(level, arm)[0] for arm in RIVALS)
    cut = tickets.without_dead_units(problem, small).module(0)
    each = seconds_of_a_step(
        {"dense": search.trained(0)[0].module(0), "ticket": tickets_.module(0), "small dense": cut}
    )
    run = search.runs[level - 1]["ticket"]
    values = {"dense": search.dense.history["test_accuracy"]}
    values |= {arm: run.history["test_accuracy"][:, run.select(arm=arm)] for arm in RIVALS}
    reached = {name: steps_to(-(dense - SLACK), steps, -one) for name, one in values.items()}
    typical = {name: float(np.median(one)) for name, one in reached.items()}
    searched = steps_to_find(RECIPE, level, 0, "weights") * each["dense"]
    seconds = {name: typical[name] * each[name] for name in typical}
    seconds["ticket and its search"] = searched + seconds["ticket"]
    arrived = {name: one for name, one in seconds.items() if np.isfinite(one)}
    figure = Figure.of(
        "Training time to the dense network's accuracy",
        [Bars(tuple(arrived), np.array(list(arrived.values())))],
        Axis(),
        Axis("seconds of training"),
        caption=f"Median over seeds of the step at which the test accuracy is {100 * (dense - SLACK):.1f} %, times the "
        f"seconds of a step; {1 - search.densities[level - 1]:.0%} of the weights are removed. No bar: it never is.",
    )
    times = ", ".join(f"{name} {f'{one:.2g} s' if np.isfinite(one) else 'never'}" for name, one in seconds.items())
    return figure, f"Training to {dense - SLACK:.1%} takes: {times}; a ticket has to be found before it is trained."
