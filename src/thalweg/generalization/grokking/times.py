"""When a network has fitted its training set, and when it generalizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.training import Run

Steps = NDArray[np.float64]
MEMORIZED, GENERALIZED, LASTING = 0.99, 0.95, 3


@in_words
def first_lasting(steps: ArrayLike, values: ArrayLike, level: float, lasting: int = 1) -> Steps:
    """The first step of `lasting` evaluations in a row at or above a level: (evaluations, members) to (members,).

    It is infinite where there is none by the last evaluation.

    >>> from thalweg.generalization.grokking import first_lasting
    >>> first_lasting([0, 10, 20, 30], [[0.0], [0.96], [0.9], [0.97]], 0.95).tolist()
    [10.0]
    >>> first_lasting([0, 10, 20, 30], [[0.0], [0.96], [0.9], [0.97]], 0.95, lasting=2).tolist()
    [inf]

    Args:
        steps: evaluated, ascending: (evaluations,).
        values: NaN, as of a member that diverged, is below every level: (evaluations, members).
        level: to be reached.
        lasting: evaluations in a row.
    """
    at, reached = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64) >= level
    count = len(reached) - lasting + 1
    if count < 1:
        return np.full(reached.shape[1], np.inf)
    run = np.all([reached[start : start + count] for start in range(lasting)], axis=0)
    return np.where(run.any(0), at[run.argmax(0)], np.inf)


@dataclass(frozen=True, eq=False)
class Times(Result):
    """What `times` found.

    Args:
        reading: "train" and "test", the metric on either set (step, member); "memorized" and "generalized", the steps
            at which either came, infinite where it did not (member,); "before", the largest value of the metric on the
            test set from the step of memorization to twice that step, NaN where there was none (member,).
    """

    @property
    def limit(self) -> float:
        """The last step evaluated, after which nothing is known."""
        return float(self.reading.coordinate("step")[-1])

    @property
    def ratio(self) -> Interval:
        """The geometric mean over members of T_grok / T_mem.

        A member that has not generalized counts with the last step, which it will at least take, so that the lower end
        is one of the true ratio, and the upper end is open.

        Raises:
            UsageError: a member had fitted or generalized at step 0, so that it has no such ratio.
        """
        early = np.flatnonzero((self["memorized"] <= 0) | (self["generalized"] <= 0))
        if len(early):
            msg = (
                f"T_grok / T_mem needs both above 0, and member {early[0]} came to T_mem or T_grok at step 0: it began "
                "with what it was to learn. Look at times(...).delay, the difference of both, or start runs untrained."
            )
            raise UsageError(msg)
        return interval.ratio_of_times(self["generalized"], self["memorized"], self.limit)

    @property
    def delay(self) -> Steps:
        """T_grok - T_mem: (members,), infinite where a member has not generalized, NaN where it fitted nothing."""
        memorized = self["memorized"]
        return np.where(
            np.isfinite(memorized), self["generalized"] - np.where(np.isfinite(memorized), memorized, 0), np.nan
        )

    @property
    def typical(self) -> dict[str, float]:
        """The geometric means of T_mem and of T_grok, of the members that came there; NaN where none did."""
        found = {}
        for name, label in (("memorized", "T_mem"), ("generalized", "T_grok")):
            known = self[name][np.isfinite(self[name]) & (self[name] > 0)]
            found[label] = float(np.exp(np.log(known).mean())) if len(known) else np.nan
        return found

    @property
    def share(self) -> Interval:
        """The share of members that generalized by the last step."""
        return interval.fraction(np.isfinite(self["generalized"]).astype(float))

    def figure(self) -> Figure:
        """Train and test accuracy over the logarithm of the step, with bands over members, and both times."""
        steps = self.reading.coordinate("step").astype(float)
        shown = steps > 0
        marks: list[Line | ReferenceLine] = []
        for name in ("train", "test"):
            values = self[name][shown]
            lines = {"low": np.nanmin(values, 1), "high": np.nanmax(values, 1)} if values.shape[1] > 1 else {}
            marks.append(Line(steps[shown], np.nanmean(values, 1), label=name, **lines))
        for label, middle in self.typical.items():
            if np.isfinite(middle):
                marks.append(ReferenceLine(middle, "vertical", label=label))
        members = self["train"].shape[1]
        censored = int(np.isinf(self["generalized"]).sum())
        caption = f"Means over {members} networks, bands from the smallest to the largest; " if members > 1 else ""
        caption += "T_mem and T_grok are geometric means of those that came there."
        if censored:
            caption += f" {censored} of {members} did not generalize in {self.limit:,.0f} steps."
        axes = Axis("step", scale="log"), Axis("accuracy", limits=(-0.02, 1.2))  # room for labels above the curves
        known = ", ".join(f"{label} = {middle:,.0f}" for label, middle in self.typical.items() if np.isfinite(middle))
        return Figure.of(known or "Nothing memorized", marks, *axes, caption=caption)


@in_words
def times(
    run: Run | Sequence[Run],
    *,
    metric: str = "accuracy",
    memorized: float = MEMORIZED,
    generalized: float = GENERALIZED,
    lasting: int = LASTING,
) -> Times:
    """When each member of a run had fitted its training set, and when it generalized.

        T_mem  = first evaluation with train_accuracy >= 0.99
        T_grok = first of 3 evaluations in a row with test_accuracy >= 0.95

    Both are as fine as the recipe's evaluations are: Recipe(evaluate=(*range(100), *range(100, steps + 1, 10))) for
    grokking, in which T_mem comes early.

    >>> import thalweg as tw
    >>> data = tw.data.modular(5, train_fraction=0.8, encoding="tokens")
    >>> problem = tw.Problem(lambda: tw.nets.modular_mlp(5, 32), data)
    >>> run = tw.train(problem, tw.Recipe(tw.optim.AdamW(0.01), steps=60, evaluate=60), seeds=2)
    >>> found = tw.generalization.grokking.times(run)
    >>> bool((found["memorized"] < 60).all()), found["generalized"].tolist()
    (True, [inf, inf])

    Args:
        run: or several with the same evaluations, such as of seeds with a training set of their own.
        metric: of the run's history, better the larger it is.
        memorized, generalized: the levels on the training and on the test set.
        lasting: how many evaluations in a row the test set must stay there.

    Raises:
        UsageError: no such metric, nothing held out, or runs that were evaluated at other steps.

    Source: Power et al. (2022), Grokking, arXiv:2201.02177.
    """
    runs = [run] if isinstance(run, Run) else list(run)
    check_count("times lasting", lasting)
    if not runs:
        msg = "times needs a run, or several of them; got none."
        raise UsageError(msg)
    for one in runs:
        check_type("times run", one, Run, "what tw.train returned")
    steps = runs[0].history.steps
    if any(not np.array_equal(one.history.steps, steps) for one in runs):
        msg = "Runs that are timed together are evaluated at the same steps; write the same Recipe(evaluate=...)."
        raise UsageError(msg)
    if f"test_{metric}" not in runs[0].history.metrics:
        names = ", ".join(runs[0].history.metrics)
        msg = (
            f"times reads train_{metric} and test_{metric}, and the history has {names}; hold examples out to test on."
        )
        raise UsageError(msg)
    tables = {split: np.hstack([one.history[f"{split}_{metric}"] for one in runs]) for split in ("train", "test")}
    fitted = first_lasting(steps, tables["train"], memorized)
    came = first_lasting(steps, tables["test"], generalized, lasting)
    between = (steps[:, None] >= fitted) & (steps[:, None] <= 2 * fitted)
    before = np.where(between, np.nan_to_num(tables["test"], nan=-np.inf), -np.inf).max(0)
    seeds = [int(seed) for one in runs for seed in one.axes["seed"]]
    reading = Reading(
        "memorization and generalization",
        tables | {"memorized": fitted, "generalized": came, "before": np.where(np.isfinite(before), before, np.nan)},
        dict.fromkeys(tables, ("step", "member")) | dict.fromkeys(("memorized", "generalized", "before"), ("member",)),
        {"step": steps, "member": np.arange(len(seeds))},
        {"memorized": "steps", "generalized": "steps"},
        sample_size=len(seeds),
        provenance=Provenance.here(seeds, str(runs[0].final.theta.device), str(runs[0].final.theta.dtype)),
        notes=(
            f"Memorized: first evaluation with train_{metric} >= {memorized:g}; generalized: first of {lasting} in a "
            f"row with test_{metric} >= {generalized:g}.",
        ),
    )
    return Times(reading)
