"""Update rules compared at equal expense, each tuned by the same search."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_choice, check_type
from thalweg.optim import Around, Rule
from thalweg.population import Problem
from thalweg.progress import Progress, Watcher, ignore
from thalweg.results import Axis, Figure, Line, Provenance, Reading
from thalweg.schedules import Constant, Schedule
from thalweg.sweep import values
from thalweg.training import Recipe, train
from thalweg.tuning import search as searches
from thalweg.tuning.profiles import performance_profile, profile_score, time_to_target

Make = Callable[..., Rule | Around]
SEARCHES = ("halton", "grid")
_EDGE = 0.05  # of a range's length, within which a best value counts as lying on its end
_SLACK = 0.05  # of the way from the loss every rule reaches to that before training
_MOST = 4.0  # AlgoPerf's largest ratio


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    Args:
        problems, rules: their names, in the order of the arrays.
        best: by problem and rule, the hyper-parameters chosen on the tuning seeds.
        tuned: their mean loss on the tuning seeds: (problems, rules).
        losses: at the end of the schedule, infinite where it diverged: (problems, rules, scoring seeds).
        steps: to the target of the problem, infinite where it was not reached: (problems, rules, scoring seeds).
        targets: (problems,).
        metric: which loss.
        budget: runs and steps each rule was given on each problem.
        warnings: a sentence for each best value on the end of its range.
        provenance: where it was made.
    """

    problems: tuple[str, ...]
    rules: tuple[str, ...]
    best: Mapping[str, Mapping[str, Mapping[str, float]]]
    tuned: NDArray[np.float64]
    losses: NDArray[np.float64]
    steps: NDArray[np.float64]
    targets: NDArray[np.float64]
    metric: str
    budget: Mapping[str, int]
    warnings: tuple[str, ...]
    provenance: Provenance

    @property
    def costs(self) -> NDArray[np.float64]:
        """The median over seeds of the steps to the target: (problems, rules)."""
        return np.median(self.steps, axis=2)

    @property
    def scores(self) -> dict[str, float]:
        """Each rule's `profile_score` of the costs."""
        return dict(zip(self.rules, profile_score(self.costs, most=_MOST).tolist(), strict=True))

    @property
    def reading(self) -> Reading:
        """Losses and steps by problem, rule and seed."""
        dims = ("problem", "rule", "seed")
        return Reading(
            "comparison of update rules",
            {self.metric: self.losses, "steps to target": self.steps, "target": self.targets},
            {self.metric: dims, "steps to target": dims, "target": ("problem",)},
            {"problem": list(self.problems), "rule": list(self.rules)},
            {"steps to target": "steps"},
            sample_size=self.losses.shape[2],
            provenance=self.provenance,
            notes=("Infinite where a run diverged or did not reach the target.", *self.warnings),
        )

    def figure(self) -> Figure:
        """The performance profiles: how many problems each rule solves within a ratio of the best rule's steps."""
        ratios = np.linspace(1, _MOST, 301)
        heights = performance_profile(self.costs, ratios)
        scores = self.scores
        lines = [
            Line(ratios, heights[:, i], label=f"{name}, score {scores[name]:.2f}") for i, name in enumerate(self.rules)
        ]
        return Figure(
            "Performance profiles",
            tuple(lines),
            Axis("steps / steps of the best rule"),
            Axis("share of problems solved", limits=(-0.03, 1.03)),
            caption=f"{len(self.problems)} problems; each rule tuned by {self.budget['trials']} trials of "
            f"{self.budget['tuning seeds']} seeds; medians of {self.losses.shape[2]} other seeds. A score is the mean "
            "height.",
        )


def compare(
    problems: Mapping[str, Problem],
    rules: Mapping[str, tuple[Make, Mapping[str, searches.Range]]],
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
        rules: by name, a rule (or what makes one of its hyper-parameters) and the ranges to search, such as
            {"AdamW": (optim.AdamW, {"lr": Range(1e-4, 1e-1), "weight_decay": Range(1e-3, 1)})}.
        steps, batch_size, schedule: of every run.
        search: "halton" for `trials` points, or "grid" for as many a side as keep to `trials`.
        trials: configurations each rule may try on each problem.
        tuning_seeds, scoring_seeds: members of every configuration, and of the best one; they share no seed.
        metric: "train_loss" or "test_loss".
        targets: the loss to reach, by problem; None: what every rule reaches on the tuning seeds, 5 % of the way back
            to the loss before training.
        seed: of the search, and the first seed of all.
        watch: called with the progress.

    Raises:
        UsageError: no problem or rule, or a search, metric or range that cannot be meant, by name.

    Cost: problems x rules x (trials x tuning seeds + scoring seeds) runs.
    """
    check_choice("compare search", search, SEARCHES)
    check_choice("compare metric", metric, ("train_loss", "test_loss"))
    check_type("compare problems", problems or None, Mapping, "a mapping of names to Problems")
    check_type("compare rules", rules or None, Mapping, "a mapping of names to (rule, ranges)")
    for name, count in (("trials", trials), ("tuning_seeds", tuning_seeds), ("scoring_seeds", scoring_seeds)):
        if count < 1:
            msg = f"compare {name} must be at least 1; got {count}."
            raise UsageError(msg)
    recipe = {"steps": steps, "batch_size": batch_size, "schedule": schedule or Constant()}
    tuning = list(range(seed, seed + tuning_seeds))
    scoring = list(range(seed + tuning_seeds, seed + tuning_seeds + scoring_seeds))
    points = {name: _points(name, ranges, search, trials, seed) for name, (_, ranges) in rules.items()}
    best: dict[str, dict[str, dict[str, float]]] = {}
    tuned, before, runs, warnings = np.empty((len(problems), len(rules))), np.empty(len(problems)), {}, []
    for row, (name, problem) in enumerate(problems.items()):
        best[name] = {}
        for column, (label, (make, ranges)) in enumerate(rules.items()):
            told = _labelled(watch, f"{label} on {name}")
            swept = {key: values(each.tolist(), axis="trial") for key, each in points[label].items()}
            found = train(problem, Recipe(make(**swept), evaluate=0, **recipe), tuning, watch=told)
            means = _infinite(found.history.final(metric)).reshape(-1, tuning_seeds).mean(1)
            pick = int(means.argmin())
            best[name][label] = {key: float(each[pick]) for key, each in points[label].items()}
            tuned[row, column], before[row] = means[pick], found.history[metric][0].mean()
            warnings += _edges(f"{label} on {name}", best[name][label], ranges)
            chosen = make(**best[name][label])
            runs[name, label] = train(problem, Recipe(chosen, evaluate=100, **recipe), scoring, watch=told)
    goals = _reachable(tuned, before) if targets is None else np.array([targets[name] for name in problems])
    shape = (len(problems), len(rules), scoring_seeds)
    losses, needed = np.empty(shape), np.empty(shape)
    for row, name in enumerate(problems):
        for column, label in enumerate(rules):
            history = runs[name, label].history
            losses[row, column] = _infinite(history.final(metric))
            needed[row, column] = np.maximum(time_to_target(history.steps, history[metric], float(goals[row])), 1)
    return Comparison(
        tuple(problems),
        tuple(rules),
        best,
        tuned,
        losses,
        needed,
        goals,
        metric,
        {"trials": trials, "tuning seeds": tuning_seeds, "steps": steps},
        tuple(warnings),
        Provenance.here(seed, str(next(iter(problems.values())).device)),
    )


def _points(
    rule: str, ranges: Mapping[str, searches.Range], search: str, trials: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """The configurations of one rule, by hyper-parameter."""
    if search == "halton":
        return searches.halton(trials, ranges, seed=seed)
    side = int(trials ** (1 / max(len(ranges), 1)) + 1e-9)
    if side < 2:
        msg = f"A grid over {len(ranges)} ranges needs trials of at least {2 ** len(ranges)}; {rule} has {trials}."
        raise UsageError(msg)
    return searches.grid(side, ranges)


def _edges(where: str, best: Mapping[str, float], ranges: Mapping[str, searches.Range]) -> list[str]:
    """A sentence for every best value near the end of its range."""
    ends = {name: ranges[name].share(value) for name, value in best.items()}
    return [
        f"The best {name} of {where}, {best[name]:.3g}, lies at the {'lower' if share < 0.5 else 'upper'} end of its "
        "range: one beyond could be better."
        for name, share in ends.items()
        if not _EDGE < share < 1 - _EDGE
    ]


def _reachable(tuned: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """The worst finite tuned loss of each problem, a little of the way back to the loss before: (problems,)."""
    worst = np.where(np.isfinite(tuned), tuned, -np.inf).max(1)
    return np.where(np.isfinite(worst), worst + _SLACK * (before - worst), before)


def _infinite(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isfinite(losses), losses, np.inf)


def _labelled(watch: Watcher, label: str) -> Watcher:
    def told(progress: Progress) -> None:
        watch(replace(progress, label=label))

    return told
