"""LAN8: full-batch gradient descent ends where its rate is just stable."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import one_hot

from thalweg import curvature, spectra
from thalweg.claims import Claim, Finding, within
from thalweg.data import digits
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.nets import mlp
from thalweg.optim import SGD, Momentum, Rule, stability_limit
from thalweg.population import Problem
from thalweg.statistics import interval
from thalweg.statistics.interval import Interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN8",
    statement="Trained on all examples at once, the largest curvature rises to the limit of stability and stays there: "
    "2/lr for gradient descent, 2 (1 + beta)/lr with momentum.",
    lecture="Sharp and flat minima (added: Cohen et al., 2021, arXiv:2103.00065).",
    rule=within(0.95, 1.05),
    unit="largest eigenvalue of the Hessian / the limit of stability, over the last quarter of training, of the rule "
    "with the worse verdict, so that the claim holds where it does for both; of equal ones, of that whose interval "
    "reaches farther from 1",
)
# Half of the largest rate of 4, 2, 1, ... at which none of the seeds 900 and 901, on which nothing is scored, diverged:
# so a fresh network is curved less than the limit, and there is a way to rise.
RULES: dict[str, Rule] = {"gradient descent": SGD(1.0), "momentum": Momentum(0.5, 0.9)}
SNAPSHOTS = 24


def problem_of(lab: Lab) -> Problem:
    """400 digits by squared error on a smooth network."""
    x, targets = digits().train.take(torch.arange(400))
    y = one_hot(torch.as_tensor(targets), 10).float()
    return Problem(
        lambda: mlp(64, 32, 32, 10, activation="tanh"), (x, y), "squared_error", metrics={}, device=lab.device
    )


def worst(ends: Mapping[str, Interval]) -> Interval:
    """The interval with the worst verdict of all rules, fails before undecided before holds; then the farthest end."""

    def order(end: Interval) -> tuple[int, float]:
        reach = float(np.nan_to_num(max(abs(end.low - 1), abs(end.high - 1)), nan=np.inf))
        return ("fails", "undecided", "holds").index(CLAIM.rule.judge(end.low, end.high)), -reach

    return min(ends.values(), key=order)


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN8."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=3, full=12))
    steps = lab.pick(quick=1_200, full=4_000)
    problem = problem_of(lab)
    relative: dict[str, Array] = {}
    at: Array = np.empty(0)
    densities: list[Figure] = []
    doubt = 0.0
    limits = {name: float(stability_limit(rule)) for name, rule in RULES.items()}
    for name, rule in RULES.items():
        limit = limits[name]
        recipe = Recipe(rule, steps, evaluate=0, snapshot=SNAPSHOTS)
        run = train(problem, recipe, seeds, progress=labelled(lab, f"LAN8, {name}"))
        at = np.array(list(run.snapshots), dtype=float)
        found = [
            spectra.top_eigenvalues(curvature.hessian(problem, population), 1, tolerance=0.01, seed=lab.seed)
            for population in run.snapshots.values()
        ]
        doubt = max(doubt, *(float(np.nanmax(np.abs(one.residuals / one.values))) for one in found))
        relative[name] = np.stack([one.values[:, 0] for one in found]) / limit
        living = [member for member, step in enumerate(run.diverged_at) if step < 0] or [0]
        ended = curvature.hessian(problem, run.final[living[0]])
        density = spectra.density(ended, steps=60, probes=4, seed=lab.seed).figure()
        mark = ReferenceLine(limit, "vertical", label="limit of stability")
        densities.append(density.with_marks(mark, title=f"where {name} ended"))
    late = at > 0.75 * steps
    ends = {name: interval.mean(values[late].mean(0)) for name, values in relative.items()}
    verdict = CLAIM.judge(
        worst(ends),
        numbers={
            "at the end, 95 % interval": {name: [end.low, end.high] for name, end in ends.items()},
            "before training": {name: float(values[0].mean()) for name, values in relative.items()},
            "highest": {name: float(values.max(0).mean()) for name, values in relative.items()},
        },
    )
    lines = tuple(
        Line(at, values.mean(1), low=values.min(1), high=values.max(1), label=name) for name, values in relative.items()
    )
    figure = Figure.of(
        "Curvature along training",
        (*lines, ReferenceLine(1.0, "horizontal", label="limit of stability")),
        Axis("step"),
        Axis("largest eigenvalue / limit"),
        caption=f"400 digits in one batch, squared error, MLP 64-32-32-10 with tanh, {len(seeds)} seeds; bands from "
        "the smallest to the largest. Eigenvalues by Lanczos' method; residuals are at most "
        f"{doubt:.1%} of them.",
    )
    yield Finding(
        verdict,
        figures=(
            figure,
            Figure.row(
                densities, title="The Hessian's eigenvalues at the end of training", caption=densities[0].caption or ""
            ),
        ),
        readings=(
            reading(
                lab,
                "largest eigenvalue / limit of stability",
                np.stack(list(relative.values())),
                {"rule": list(relative), "step": at, "seed": seeds},
            ),
        ),
        sentences=tuple(
            f"With {name} the largest eigenvalue goes from {values[0].mean():.2f} of the limit {limits[name]:.3g} to "
            f"{values.max(0).mean():.2f} at its highest and {ends[name]} in the last quarter."
            for name, values in relative.items()
        ),
    )
