"""What a comparison of update rules found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.figures import Axis, Figure, Line
from thalweg.results import Cost, Provenance, Reading, Summarized, Table
from thalweg.statistics import standard_error
from thalweg.tuning.profiles import performance_profile, profile_score

MOST = 4.0  # AlgoPerf's largest ratio


@dataclass(frozen=True, eq=False)
class Comparison(Summarized):
    """What `compare` found.

    Args:
        problems, rules: their names, in the order of the arrays.
        seeds: scored on.
        best: by problem and rule, the hyper-parameters chosen on the tuning seeds; none where every trial diverged.
        tuned: their mean loss on the tuning seeds: (problems, rules).
        losses: at the end of the schedule, infinite where it diverged: (problems, rules, seeds).
        steps: to the target of the problem, infinite where it was not reached or the run diverged in the end:
            (problems, rules, seeds).
        targets: (problems,); NaN where no rule learned.
        metric: which loss.
        unit: of the losses, where all problems have one.
        budget: trials, tuning seeds and steps each rule was given on each problem.
        warnings: a sentence for each best value at the end of its range or of what was tried, each search that only
            diverged, each rule that had no say in a target, and each whose steps cost two gradients.
        cost: of all runs, tuning and scoring.
        provenance: where it was made.
    """

    problems: tuple[str, ...]
    rules: tuple[str, ...]
    seeds: tuple[int, ...]
    best: Mapping[str, Mapping[str, Mapping[str, float]]]
    tuned: NDArray[np.float64]
    losses: NDArray[np.float64]
    steps: NDArray[np.float64]
    targets: NDArray[np.float64]
    metric: str
    unit: str
    budget: Mapping[str, int]
    warnings: tuple[str, ...]
    cost: Cost
    provenance: Provenance

    @property
    def costs(self) -> NDArray[np.float64]:
        """The median over seeds of the steps to the target: (problems, rules)."""
        return np.median(self.steps, axis=2)

    @property
    def scores(self) -> dict[str, float]:
        """Each rule's `profile_score` of the costs."""
        return dict(zip(self.rules, profile_score(self.costs, most=MOST).tolist(), strict=True))

    @property
    def reading(self) -> Reading:
        """Losses and steps by problem, rule and seed."""
        dims = ("problem", "rule", "seed")
        return Reading(
            "comparison of update rules",
            {self.metric: self.losses, "steps to target": self.steps, "target": self.targets},
            {self.metric: dims, "steps to target": dims, "target": ("problem",)},
            {"problem": list(self.problems), "rule": list(self.rules), "seed": list(self.seeds)},
            {self.metric: self.unit, "steps to target": "steps", "target": self.unit},
            sample_size=len(self.seeds),
            cost=self.cost,
            provenance=self.provenance,
            notes=("Infinite where a run diverged or did not reach the target.", *self._reused, *self.warnings),
        )

    def __getitem__(self, array: str) -> NDArray[Any]:
        """An array of the reading."""
        return self.reading[array]

    @property
    def _reused(self) -> tuple[str, ...]:
        """What is to be said where the examples that chose the values also score them."""
        return ("Values were chosen on the test examples that they are scored on.",) * (self.metric == "test_loss")

    def facts(self) -> dict[str, str]:
        """Problems, what each rule scores, and what each was given."""
        return {
            "problems": ", ".join(self.problems),
            "scores": ", ".join(f"{rule} {score:.2f}" for rule, score in self.scores.items()),
            "budget": ", ".join(f"{count:,} {name}" for name, count in self.budget.items()),
            "scored on": f"{len(self.seeds)} other seeds",
        }

    def details(self) -> Table:
        """The table."""
        return self.table()

    def remarks(self) -> tuple[str, ...]:
        """The warnings."""
        return self.warnings

    def table(self) -> Table:
        """One row a problem and rule: its best values, mean loss with standard error, median steps to the target.

        Single seeds are in `reading.table()`.
        """
        pairs = [(problem, rule) for problem in self.problems for rule in self.rules]
        return Table(
            {
                "problem": [problem for problem, _ in pairs],
                "rule": [rule for _, rule in pairs],
                "best": [
                    ", ".join(f"{name}={value:.3g}" for name, value in self.best[problem][rule].items()) or "none"
                    for problem, rule in pairs
                ],
                self.metric: self.losses.mean(2).ravel(),
                "standard_error": standard_error(self.losses).ravel(),
                "target": np.repeat(self.targets, len(self.rules)),
                "steps to target": self.costs.ravel(),
            }
        )

    def figure(self) -> Figure:
        """The performance profiles: how many problems each rule solves within a ratio of the best rule's steps."""
        ratios = np.linspace(1, MOST, 301)
        heights = performance_profile(self.costs, ratios)
        scores = self.scores
        lines = [
            Line(ratios, heights[:, i], label=f"{name}, score {scores[name]:.2f}") for i, name in enumerate(self.rules)
        ]
        many = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        tuned = f"each rule tuned by {self.budget['trials']} trials of {self.budget['tuning seeds']} seeds"
        return Figure.of(
            "Performance profiles",
            tuple(lines),
            Axis("steps / steps of the best rule"),
            Axis("share of problems solved", limits=(-0.03, 1.03)),
            caption=f"{many}, {tuned}; medians of {len(self.seeds)} other seeds. A score is the mean height.",
        )
