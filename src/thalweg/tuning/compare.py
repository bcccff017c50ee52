"""Update rules compared at equal expense, each tuned by the same search."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.population import Problem
from thalweg.progress import Progress, Watcher, ignore
from thalweg.results import Cost, Provenance
from thalweg.schedules import Constant, Schedule
from thalweg.training import Recipe, Unfolded, train
from thalweg.tuning.comparison import Comparison
from thalweg.tuning.entrant import SEARCHES, Entrant, Make
from thalweg.tuning.profiles import time_to_target
from thalweg.tuning.rates import cost_of, infinite_if_gone
from thalweg.tuning.search import Range, together

_SLACK = 0.05  # of the way from the loss every rule reaches to that before training
_LOOKS = 100  # evaluations of a scored run


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
    watch: Watcher = ignore,
) -> Comparison:
    """Tune every rule on every problem by one search of equal size, and score it on other seeds.

    A search is one population: trials x seeds members. Only the loss at the end of the schedule is looked at, since
    rankings change before it (Wen et al., 2025, arXiv:2509.02046); what diverges has lost.

    Args:
        problems: by name.
        rules: by name, a rule (or a function that makes one of named numbers) and the ranges to search, such as
            {"AdamW": (optim.AdamW, {"lr": Range(1e-4, 1e-1), "weight_decay": Range(1e-3, 1)})}.
        steps, batch_size, schedule: of every run.
        search: "halton" for `trials` points, or "grid" for as many a side as keep to `trials`.
        trials: configurations each rule may try on each problem.
        tuning_seeds, scoring_seeds: members of every configuration, and of the best one; they share no seed.
        metric: "train_loss" or "test_loss".
        targets: the loss to reach, by problem; None: what every rule that learns reaches on the tuning seeds, 5 % of
            the way back to the loss before training.
        seed: of the search, and the first seed of all.
        watch: called with the progress, in steps times members of the whole comparison.

    Raises:
        UsageError: a problem, rule, range, search, metric or target that cannot be meant, by name; before any training.

    Cost: problems x rules x (trials x tuning seeds + scoring seeds) runs. Steps to a target are told apart by 1 % of
    the steps.
    """
    check_choice("compare search", search, SEARCHES)
    check_choice("compare metric", metric, ("train_loss", "test_loss"))
    counts = {"trials": trials, "tuning_seeds": tuning_seeds, "scoring_seeds": scoring_seeds}
    for name, count in counts.items():
        check_count(f"compare {name}", count)
    _check(problems, rules, metric, targets)
    tuning = list(range(seed, seed + tuning_seeds))
    scoring = list(range(seed + tuning_seeds, seed + tuning_seeds + scoring_seeds))
    common: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "schedule": schedule or Constant()}
    entrants = [Entrant.of(name, entry, search, trials, seed) for name, entry in rules.items()]
    recipes = [Recipe(together(entrant.trials), evaluate=0, **common) for entrant in entrants]
    for entrant in entrants:
        swept = set(Unfolded(Recipe(entrant.trials[0], **common), [0]).axes) - {"seed"}
        if swept:
            msg = (
                f"compare tries one value a trial, but {entrant.name} sweeps {', '.join(sorted(swept))}: give a Range."
            )
            raise UsageError(msg)

    members = [len(entrant.trials) * tuning_seeds for entrant in entrants]
    total = steps * len(problems) * sum(count + scoring_seeds for count in members)
    began, done, cost = time.perf_counter(), 0, Cost()
    best: dict[str, dict[str, dict[str, float]]] = {name: {} for name in problems}
    tuned, before, histories, warnings = np.empty((len(problems), len(rules))), np.empty(len(problems)), {}, []
    for row, (name, problem) in enumerate(problems.items()):
        for column, entrant in enumerate(entrants):
            label = f"{entrant.name} on {name}"
            told = _counting(watch, label, done, members[column], total, began)
            found = train(problem, recipes[column], tuning, watch=told)
            means = infinite_if_gone(found.history.final(metric)).reshape(-1, tuning_seeds).mean(1)
            pick = int(means.argmin())
            best[name][entrant.name] = entrant.values(pick)
            tuned[row, column], before[row] = means[pick], found.history[metric][0].mean()
            warnings += entrant.warnings(name, pick, float(means[pick]))
            done += steps * members[column]
            told = _counting(watch, label, done, scoring_seeds, total, began)
            final = train(problem, Recipe(entrant.trials[pick], evaluate=_LOOKS, **common), scoring, watch=told)
            histories[row, column] = final.history
            done += steps * scoring_seeds
            cost += cost_of(found) + cost_of(final)

    goals = _reachable(tuned, before) if targets is None else np.array([float(targets[name]) for name in problems])
    shape = (len(problems), len(rules), scoring_seeds)
    losses, needed = np.empty(shape), np.empty(shape)
    for place, history in histories.items():
        losses[place] = infinite_if_gone(history.final(metric))
        reached = time_to_target(history.steps, history[metric], float(goals[place[0]]))
        needed[place] = np.maximum(reached, 1)
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
            check_type(f"compare targets[{name!r}]", targets[name], (int, float), "a loss")


def _reachable(tuned: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """The worst tuned loss of each problem, a little of the way back to the loss before: (problems,).

    Rules that end above where they began count for nothing; NaN where all do.
    """
    learned = tuned < before[:, None]
    worst = np.where(learned, tuned, -np.inf).max(1)
    found = np.where(learned.any(1), worst, np.nan)
    return found + _SLACK * (before - found)


def _counting(watch: Watcher, label: str, before: int, members: int, total: int, began: float) -> Watcher:
    """A watcher of one run that tells the progress of the whole comparison."""

    def told(progress: Progress) -> None:
        watch(Progress(label, before + members * progress.done, total, time.perf_counter() - began))

    return told
