"""Curves of any basis: their bends trained, then loss and metrics on them and on the straight line."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from thalweg.connectivity.curve import Array, Basis, Curve, curve_schedule
from thalweg.connectivity.curve_draws import SAMPLINGS, Draws
from thalweg.connectivity.curve_subspace import Subspace
from thalweg.connectivity.descent import check_recipe, descend
from thalweg.connectivity.ends import check_ends
from thalweg.connectivity.samples import On, degrees, labelled, samples_of, seeds_of
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import Conditions, Points
from thalweg.evaluation.heights import above_higher_end
from thalweg.evaluation.points import AT_ONCE, everywhere
from thalweg.optim import Momentum
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, check_watcher, watched
from thalweg.results import Cost, Provenance, Reading
from thalweg.training import Recipe

_STEPS, _BATCH = 600, 50


def default_recipe(problem: Problem) -> Recipe:
    """How bends are trained where nobody says: momentum, weight decay 1e-3, `curve_schedule`."""
    size = min(_BATCH, len(problem.data.train))
    return Recipe(Momentum(0.1, weight_decay=1e-3), _STEPS, size, curve_schedule(_STEPS))


@dataclass(frozen=True, eq=False)
class CurveOptions:
    """What `bezier` and `polygonal` are asked for; see there. `name` is who asks."""

    name: str
    recipe: Recipe | None
    bends: int | None
    draws: int
    sampling: str
    subspace: int | None
    start: Curve | None
    on: On
    points: int
    statistics: str
    statistics_count: int
    plan: Plan | str
    seed: int | Sequence[int]

    def checked(self, problem: Problem, first: Population, second: Population, progress: object) -> None:
        """Raise UsageError for arguments that cannot be meant."""
        name = self.name
        check_ends(name, problem, [first, second], statistics=self.statistics)
        check_watcher(name, progress)
        check_recipe(name, self.recipe_for(problem))
        check_count(f"{name} draws", self.draws)
        check_count(f"{name} points", self.points, 2)
        check_choice(f"{name} sampling", self.sampling, SAMPLINGS)
        if self.sampling == "antithetic" and self.draws % 2:
            msg = f'{name} sampling="antithetic" draws t and 1 - t, so draws must be even; got {self.draws}.'
            raise UsageError(msg)
        if self.bends is not None:
            check_count(f"{name} bends", self.bends)
        if self.subspace is not None:
            check_count(f"{name} subspace", self.subspace)
            if self.subspace > problem.layout.parameters:
                msg = f"{name} subspace is a dimension up to {problem.layout.parameters:,}, of all parameters; got "
                raise UsageError(msg + f"{self.subspace:,}.")
        self._check_start(first, second)

    def _check_start(self, first: Population, second: Population) -> None:
        if self.start is None:
            return
        check_type(f"{self.name} start", self.start, Curve, "a Curve such as bezier(problem, first, second)")
        ends = self.start.control[0].theta, self.start.control[-1].theta
        if not all(torch.equal(one, other.theta) for one, other in zip(ends, (first, second), strict=True)):
            msg = f"{self.name} start must be a curve between these networks; its ends are others."
            raise UsageError(msg)
        if self.bends not in (None, len(self.start.control) - 2):
            msg = f"{self.name} start has {len(self.start.control) - 2} bends; got bends={self.bends}. Leave it out."
            raise UsageError(msg)

    def recipe_for(self, problem: Problem) -> Recipe:
        """The recipe, or the one of those who give none."""
        return default_recipe(problem) if self.recipe is None else self.recipe


def joined(
    problem: Problem,
    first: Population,
    second: Population,
    basis: Basis,
    options: CurveOptions,
    progress: Watcher | None,
) -> Curve:
    """Train the bends of a curve for every member, and evaluate curve and straight line."""
    began = time.perf_counter()
    options.checked(problem, first, second, progress)
    recipe, seeds = options.recipe_for(problem), seeds_of(options.name, options.seed, len(first))
    samples = samples_of(
        options.name,
        problem,
        options.on,
        statistics=options.statistics,
        statistics_count=options.statistics_count,
        plan=options.plan,
        seed=seeds[0],
    )
    control = _control(first, second, options)
    controls, trained = len(control), slice(1, len(control) - 1)
    subspace = None
    if options.subspace is not None:
        rows = torch.stack([bend.theta for bend in control[trained]])
        subspace = Subspace(rows, options.subspace, seeds, trained)
    done = 0 if options.start is None else options.start.steps
    with watched(progress) as told:
        found = descend(
            problem,
            control,
            trained,
            Draws(seeds, options.draws, options.sampling, basis, controls),
            recipe,
            seeds=seeds,
            move=subspace,
            first_step=done,
            label=options.name,
            plan=options.plan,
            progress=told,
        )
        t = torch.linspace(0, 1, options.points, dtype=torch.float64)
        weights = basis(t, controls)
        arrays, errors, dims, evaluations = evaluated(samples, found.control, weights, options.name, told)
    gradients = options.draws * int(found.losses.isfinite().sum())
    kinds = {"loss": problem.loss.unit, "error": "fraction"} | {one.name: one.unit for one in problem.metrics}
    reading = Reading(
        f"{options.name} curve",
        arrays,
        dims,
        {"on": labelled(samples), "member": np.arange(len(first)), "t": t.numpy()},
        {name: unit for name in arrays for kind, unit in kinds.items() if kind in name.split()},
        errors,
        degrees_of_freedom={name: degrees(samples, errors[name]) for name in errors},
        sample_size=len(samples[0].drawn),
        cost=Cost(time.perf_counter() - began, forwards=evaluations + gradients, backwards=gradients),
        provenance=Provenance.here(seeds, str(problem.device), str(problem.dtype), plan=str(found.plan)),
        notes=(*(one.text for one in samples), *_notes(options, recipe, found.diverged_at, controls - 2)),
    )
    return Curve(reading, found.control, basis, found.losses, found.diverged_at, samples, done + recipe.steps)


def _control(first: Population, second: Population, options: CurveOptions) -> list[Population]:
    """The ends with bends at equal distances between them, or those of the start."""
    if options.start is not None:
        return [first, *options.start.control[1:-1], second]
    pieces = (options.bends or 1) + 1
    mask = None if first.mask is None or second.mask is None else first.mask | second.mask
    shares = [k / pieces for k in range(1, pieces)]
    between = [replace(first, theta=torch.lerp(first.theta, second.theta, share), mask=mask) for share in shares]
    return [first, *between, second]


def evaluated(
    samples: list[Conditions], control: list[Population], weights: Tensor, name: str, told: Watcher
) -> tuple[dict[str, Array], dict[str, Array], dict[str, tuple[str, ...]], int]:
    """Arrays, standard errors and dims of all that is on the curve and on the line, and how many points that took."""
    count = len(weights)
    t = torch.linspace(0, 1, count, dtype=torch.float64)
    line = torch.zeros_like(weights)
    line[:, 0], line[:, -1] = 1 - t, t
    table = torch.cat([weights, line[1:-1]])  # the ends are those of the curve
    rows = -(-len(table) // -(-len(table) // AT_ONCE))
    evaluations, times = 0, -(-len(table) // rows) * len(control[0])
    means: dict[str, list[Array]] = {}
    spreads: dict[str, list[Array]] = {}
    for one in samples:
        points = Points(control, one, rows=rows, times=times)
        found = everywhere(points, table, f"{name}, evaluation", told)
        evaluations += found.evaluations
        for source, target in ((found.means, means), (found.standard_errors, spreads)):
            for metric, values in source.items():
                ends = values[:, :1], values[:, count - 1 : count]
                target.setdefault(metric, []).append(values[:, :count])
                target.setdefault(f"line {metric}", []).append(np.hstack([ends[0], values[:, count:], ends[1]]))
    arrays = {metric: np.stack(values) for metric, values in means.items()}
    errors = {metric: np.stack(values) for metric, values in spreads.items()}
    for accuracy in [metric for metric in arrays if metric.endswith("accuracy")]:
        error = accuracy.replace("accuracy", "error")
        arrays[error], errors[error] = 1 - arrays[accuracy], errors[accuracy]
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("on", "member", "t"))
    for metric in ("loss", "error", "line loss", "line error"):
        if metric in arrays:
            arrays[f"{metric} height"] = above_higher_end(arrays[metric])
            dims[f"{metric} height"] = ("on", "member")
    return arrays, errors if any(one.drawn.indices is not None for one in samples) else {}, dims, evaluations


def _notes(options: CurveOptions, recipe: Recipe, diverged_at: Tensor, bends: int) -> list[str]:
    """How the bends were trained, and who diverged."""
    where = "" if options.subspace is None else f" in a random subspace of {options.subspace:,} dimensions"
    notes = [f"{bends} bend{'s' * (bends != 1)}, trained{where} for {recipe.steps:,} steps of {options.draws} t."]
    diverged = (diverged_at >= 0).nonzero().flatten().tolist()
    if diverged:
        each = ", ".join(f"{member} at step {int(diverged_at[member])}" for member in diverged)
        notes.append(f"Diverged, and frozen there: member {each}.")
    return notes
