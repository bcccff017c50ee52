"""Update rules compared at equal expense, each tuned by the same search."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.progress import Progress, Watcher, automatic, check_watcher, watched
from thalweg.results import Cost, Provenance
from thalweg.schedules import Constant, Schedule
from thalweg.sweep import plain
from thalweg.training import MemberGrid, Recipe, infinite_if_diverged, train
from thalweg.tuning.candidate import SEARCHES, Candidate, Make
from thalweg.tuning.comparison import Comparison
from thalweg.tuning.rates import cost_of, gradients_a_step
from thalweg.tuning.search import Range, stack_trials
from thalweg.tuning.targets import reachable
from thalweg.workers import Workers

_LOOKS = 100  # evaluations of a scored run


@guarded
def compare(
    problems: Mapping[str, Problem],
    rules: Mapping[str, tuple[Make, Mapping[str, Range]]],
    *,
    steps: int,
    batch_size: int | None = None,
    schedule: Schedule | None = None,
    search: str = "halton",
    trials: int = 15,
    tuning_seeds: int = 2,
    scoring_seeds: int = 5,
    metric: str = "train_loss",
    targets: Mapping[str, float] | None = None,
    seed: int = 0,
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Comparison:
    """Tune every rule on every problem by one search of equal size, and score it on other seeds.

    A search is one population: trials x seeds members. Only the loss at the end of the schedule is looked at, since
    rankings change before it (Wen et al., 2025, arXiv:2509.02046); what diverges has lost, even if it was at the target
    before.

    >>> import thalweg as tw
    >>> problems = {"digits": tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())}
    >>> lr = {"lr": tw.tuning.Range(0.01, 1)}
    >>> rules = {"SGD": (tw.optim.SGD, lr), "momentum": (tw.optim.Momentum, lr)}
    >>> found = tw.tuning.compare(problems, rules, steps=20, batch_size=64, trials=3, scoring_seeds=2)
    >>> found.losses.shape  # (problems, rules, seeds)
    (1, 2, 2)

    Args:
        problems: by name.
        rules: by name, a rule (or a function that makes one of named numbers) and the ranges to search, such as
            {"AdamW": (optim.AdamW, {"lr": Range(1e-4, 1e-1), "weight_decay": Range(1e-3, 1)})}.
        steps, batch_size, schedule: of every run.
        search: "halton" for `trials` points, or "grid" for as many a side as keep to `trials`, and Halton points for
            those that are left.
        trials: configurations each rule may try on each problem.
        tuning_seeds, scoring_seeds: members of every configuration, and of the best one; they share no seed.
        metric: "train_loss" or "test_loss". The latter chooses on the very examples that it scores on, which flatters
            all rules alike.
        targets: the loss to reach, by problem; None: what all rules reach on the tuning seeds that come at least half
            as far down as the best one, 5 % of the way back to the loss before training.
        seed: of the search, and the first seed of all.
        progress: told how far it is, in steps times members of the whole comparison.
        workers: who trains slices of the members, see `train`; None: this process.

    Raises:
        UsageError: a problem, rule, range, search, metric or target that cannot be meant, by name; before any training.

    Cost: problems x rules x (trials x tuning seeds + scoring seeds) runs. Steps to a target are
    whole ones, between evaluations that are 1 % of the steps apart (see `training.steps_to`).
    """
    check_choice("compare search", search, SEARCHES)
    check_choice("compare metric", metric, ("train_loss", "test_loss"))
    trials, tuning_seeds, scoring_seeds, seed = (plain(n) for n in (trials, tuning_seeds, scoring_seeds, seed))
    counts = {"trials": trials, "tuning_seeds": tuning_seeds, "scoring_seeds": scoring_seeds}
    for name, count in counts.items():
        check_count(f"compare {name}", count)
    check_count("compare seed", seed, 0)
    check_watcher("compare", progress)
    _check(problems, rules, metric, targets)
    tuning = list(range(seed, seed + tuning_seeds))
    scoring = list(range(seed + tuning_seeds, seed + tuning_seeds + scoring_seeds))
    common: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "schedule": schedule or Constant()}
    candidates = [Candidate.of(name, entry, search, trials, seed) for name, entry in rules.items()]
    for candidate in candidates:
        _check_recipe(candidate.name, Recipe(candidate.trials[0], **common), problems)
    recipes = [Recipe(stack_trials(candidate.trials), evaluate=0, **common) for candidate in candidates]

    searched = trials * tuning_seeds
    total = steps * len(problems) * len(rules) * (searched + scoring_seeds)
    began, done, cost = time.perf_counter(), 0, Cost()
    best: dict[str, dict[str, dict[str, float]]] = {name: {} for name in problems}
    tuned, before, histories = np.empty((len(problems), len(rules))), np.empty(len(problems)), {}
    warnings = [
        f"{one.name} takes two gradients a step, so its steps cost twice those of a rule that takes one."
        for one in candidates
        if gradients_a_step(one.trials[0]) == 2
    ]
    with watched(progress) as watcher:
        for row, (name, problem) in enumerate(problems.items()):
            for column, candidate in enumerate(candidates):
                label = f"{candidate.name} on {name}"
                found = train(
                    problem,
                    recipes[column],
                    tuning,
                    progress=_counting(watcher, label, done, searched, total, began),
                    workers=workers,
                )
                means = infinite_if_diverged(found.history.final(metric)).reshape(-1, tuning_seeds).mean(1)
                pick = int(means.argmin())
                tuned[row, column], before[row] = means[pick], found.history[metric][0].mean()
                done, cost = done + steps * searched, cost + cost_of(found)
                told = _counting(watcher, label, done, scoring_seeds, total, began)
                done += steps * scoring_seeds
                if np.isfinite(means[pick]):
                    best[name][candidate.name] = candidate.values(pick)
                    warnings += candidate.warnings(name, pick)
                    final = train(
                        problem,
                        Recipe(candidate.trials[pick], evaluate=_LOOKS, **common),
                        scoring,
                        progress=told,
                        workers=workers,
                    )
                    histories[row, column], cost = final.history, cost + cost_of(final)
                else:  # nothing is left to be scored
                    best[name][candidate.name] = {}
                    warnings.append(f"Every trial of {label} diverged with some seed: search smaller values.")
                    told(Progress(label, steps, steps, 0.0))

    if targets is None:
        goals, left_out = reachable(list(problems), list(rules), tuned, before)
        warnings += left_out
    else:
        goals = np.array([float(targets[name]) for name in problems])
    losses = np.full((len(problems), len(rules), scoring_seeds), np.inf)
    needed = losses.copy()
    for place, history in histories.items():
        losses[place] = infinite_if_diverged(history.final(metric))
        reached = history.steps_to(metric, float(goals[place[0]]))
        needed[place] = np.where(np.isfinite(losses[place]), np.maximum(np.ceil(reached), 1), np.inf)
    units = {problem.loss.unit for problem in problems.values()}
    first = next(iter(problems.values()))
    return Comparison(
        tuple(problems),
        tuple(rules),
        tuple(scoring),
        best,
        tuned,
        losses,
        needed,
        goals,
        metric,
        units.pop() if len(units) == 1 else "",
        {"trials": trials, "tuning seeds": tuning_seeds, "steps": steps},
        tuple(warnings),
        cost,
        Provenance.here(tuning + scoring, str(first.device), str(first.dtype)),
    )


def _check(problems: Any, rules: Any, metric: str, targets: Any) -> None:
    """Raise UsageError unless the names lead to what `compare` needs."""
    check_type("compare problems", problems or None, Mapping, "a mapping of names to Problems")
    check_type("compare rules", rules or None, Mapping, "a mapping of names to (rule, ranges)")
    for name, problem in problems.items():
        check_type(f"compare problems[{name!r}]", problem, Problem, "a Problem")
        if metric == "test_loss" and problem.data.test is None:
            msg = f"compare problems[{name!r}] has no test examples; compare by metric='train_loss', or give it some."
            raise UsageError(msg)
    if targets is not None:
        check_type("compare targets", targets, Mapping, "a mapping of every problem's name to a loss")
        for name in problems:
            if name not in targets:
                msg = f"compare targets needs a loss for every problem; {name!r} has none."
                raise UsageError(msg)
            check_type(f"compare targets[{name!r}]", plain(targets[name]), (int, float), "a loss")


def _check_recipe(rule: str, recipe: Recipe, problems: Mapping[str, Problem]) -> None:
    """Raise UsageError unless a recipe has one value of each number, and its batches suit every problem."""
    grid = MemberGrid(recipe, [0])
    swept = sorted(grid.values)
    shared = [name for name in swept if name.split(".")[0] in ("batch_size", "schedule")]
    if shared:
        msg = f"compare gives all runs one batch_size and one schedule, but {', '.join(shared)} is swept: give a value."
        raise UsageError(msg)
    if swept:
        msg = f"compare tries one value a trial, but {rule} sweeps {', '.join(swept)}: give a Range."
        raise UsageError(msg)
    for name, problem in problems.items():
        try:
            grid.groups(len(problem.data.train))
        except UsageError as error:
            msg = f"compare problems[{name!r}] cannot be trained so: {error}"
            raise UsageError(msg) from error


def _counting(progress: Watcher, label: str, before: int, members: int, total: int, began: float) -> Watcher:
    """A watcher of one run that tells the progress of the whole comparison."""

    def told(report: Progress) -> None:
        progress(Progress(label, before + members * report.done, total, time.perf_counter() - began))

    return told
