"""Whether generalization is still to come, from a run that has fitted its training set and does not generalize."""

import math
import time
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample, evaluate
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.grokking.fourier import fourier
from thalweg.generalization.grokking.outputs import logits, tensors
from thalweg.generalization.grokking.projected import projected
from thalweg.generalization.grokking.times import GENERALIZED, MEMORIZED, first_lasting
from thalweg.population import Population, Problem
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import CORRELATION, Interval, interval
from thalweg.training import Run

Array = NDArray[np.float64]
Answer = Literal["not fitted", "generalized", "coming", "no sign of it", "cannot tell"]
WORTH = 0.02  # the least rise of the standing that counts; of random tables it drifts by about 0.01
_SENTENCES: dict[Answer, str] = {
    "not fitted": "The training set is not fitted yet, so there is no plateau.",
    "generalized": "It has generalized already.",
    "coming": "The right answers rise among the others, while accuracy stands still: training on is worth it.",
    "no sign of it": "The right answers do not rise among the others. Longer training may change that, and nothing "
    "here says that it will.",
    "cannot tell": "The change of the standing is too uncertain, or there are too few snapshots since memorization.",
}


@dataclass(frozen=True, eq=False)
class Plateau(Result):
    """What `plateau` found.

    Args:
        reading: at snapshots since memorization, (step, member) each: "standing", the share of wrong classes that the
            right one beats, on average over held-out examples (1/2 by chance); "accuracy" on them; "norm" of the
            weights, which by itself says nothing; and of a table of pairs "concentration" (see `fourier`) and
            "projected", the accuracy of the network reduced to one frequency a neuron.
        memorized: the first step at which all members had fitted the training set; infinite where they have not.
        rise: of the standing over the later half of the logarithm of the steps since then, over members and examples.
        patience: the step at which the standing would be that of 95 % accuracy, were its log odds to go on rising as
            over that half: an extrapolation, not a forecast. Infinite where it does not rise.
        answer: "not fitted", "generalized", "coming", "no sign of it" or "cannot tell".
    """

    memorized: float
    rise: Interval
    patience: Interval
    answer: Answer

    @property
    def sentence(self) -> str:
        """The answer in words, with the patience where there is one."""
        words = _SENTENCES[self.answer]
        if self.answer != "coming":
            return words
        many = self.patience.estimate / self.memorized
        return f"{words} If it goes on so, until about step {self.patience.estimate:,.0f}, {many:,.0f} times T_mem."

    def figure(self) -> Figure:
        """The standing and the accuracy over the logarithm of the step."""
        steps = self.reading.coordinate("step").astype(float)
        marks: list[Line | ReferenceLine] = []
        for name in ("standing", "accuracy", "projected"):
            if name in self.reading.arrays:
                values = self[name]
                ends = {"low": values.min(1), "high": values.max(1)} if values.shape[1] > 1 else {}
                marks.append(Line(steps, values.mean(1), label=name, **ends))
        marks.append(ReferenceLine(0.5, "horizontal", label="standing by chance"))
        axes = Axis("step", scale="log"), Axis("share", limits=(-0.02, 1.02))
        return Figure.of(f"Is generalization to come? Answer: {self.answer}", marks, *axes, caption=self.sentence)


def plateau(
    problem: Problem, run: Run, *, on: Sample | str | ExampleSet = "test", operation: str | None = None
) -> Plateau:
    """Whether a run that fits its training set, and whose held-out accuracy stands still, is about to generalize.

        standing = mean over held-out examples of the share of wrong classes with a smaller output than the right one

    Accuracy sees nothing before the right answer is the first. Its standing among the others does, and does not depend
    on the scale of the outputs, as the loss does: on tables of an operation it rises from below chance for most of the
    plateau, on a table of random answers it stays. What it says of other data is that the network gets better at
    it, which need not end in high accuracy; and where a network generalizes at one stroke it says nothing. Of a network
    modulo 31 the patience was right to a third from twice T_mem on; elsewhere it is a guess. The norm of the
    weights grows through the jump, and effective ranks of weight matrices rise on random tables as well, so that
    neither is used.

    >>> import thalweg as tw
    >>> data = tw.data.modular(5, "random", train_fraction=0.6, encoding="tokens")
    >>> problem = tw.Problem(lambda: tw.nets.modular_mlp(5, 32), data)
    >>> recipe = tw.Recipe(tw.optim.AdamW(0.02), steps=120, evaluate=60, snapshot=30)
    >>> tw.generalization.grokking.plateau(problem, tw.train(problem, recipe, seeds=4)).answer
    'cannot tell'

    Args:
        problem: of classes, with examples held out.
        run: with snapshots after memorization: Recipe(..., snapshot=20, spacing="log").
        on: the held-out examples.
        operation: "+", "-", "*" or "/" where these are tables of `data.modular` and a perceptron whose neurons can be
            read (see `fourier`): then the concentration and the projected network are shown too.

    Raises:
        UsageError: nothing held out, or targets that are no classes.
        ModelError: a model that does not return (batch, classes).

    Cost: one evaluation of the held-out examples for each snapshot.
    """
    began = time.perf_counter()
    check_type("plateau run", run, Run, "what tw.train returned")
    held = as_sample("plateau", on).draw(problem).examples
    _, targets = tensors(held)
    if targets.is_floating_point() or targets.ndim != 1:
        msg = (
            f"plateau ranks classes, one whole number an example; a target here is {targets.dtype} {targets.shape[1:]}."
        )
        raise UsageError(msg)
    fitted = float(first_lasting(run.history.steps, run.history["train_accuracy"], MEMORIZED).max())
    points = {step: one for step, one in run.snapshots.items() if step >= max(fitted, 1)} if np.isfinite(fitted) else {}
    if fitted <= run.step:
        points |= {run.step: run.final}
    if not points:
        points = {run.step: run.final}
    steps = np.array(sorted(points))
    tables = np.stack([standings(problem, points[step], held).cpu().numpy() for step in steps])
    evaluated = [evaluate(problem, points[step], held)["accuracy"].numpy() for step in steps]
    arrays: dict[str, Array] = {
        "standing": tables.mean(2),
        "accuracy": np.stack(evaluated),
        "norm": np.stack([points[step].theta.norm(dim=1).cpu().numpy() for step in steps]).astype(float),
    }
    if operation is not None:
        p = int(problem.data.classes or 0)
        arrays["concentration"] = np.stack([fourier(points[step], p, operation)["concentration"] for step in steps])
        reduced = [evaluate(problem, projected(points[step], p, operation), held)["accuracy"].numpy() for step in steps]
        arrays["projected"] = np.stack(reduced)
    rise, patience = _rise(steps, tables, goal_of(int(problem.data.classes or 2)))
    reading = Reading(
        "plateau",
        arrays,
        dict.fromkeys(arrays, ("step", "member")),
        {"step": steps, "member": np.arange(len(run.final))},
        {"standing": "fraction", "accuracy": "fraction"},
        sample_size=len(held),
        cost=Cost(time.perf_counter() - began, forwards=2 * len(steps) * len(run.final)),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
    )
    return Plateau(reading, fitted, rise, patience, _answer(fitted, arrays["accuracy"][-1], rise))


def standings(problem: Problem, population: Population, examples: ExampleSet) -> torch.Tensor:
    """The share of wrong classes that the right one beats, ties counting half, by example: (members, examples).

    >>> import thalweg as tw
    >>> from thalweg.generalization import grokking
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = grokking.standings(problem, problem.initialize(2), problem.data.test)
    >>> found.shape, bool((found.mean(1) - 0.5).abs().max() < 0.1)
    (torch.Size([2, 360]), True)
    """
    _, targets = tensors(examples)
    values = logits(problem, population, examples)
    own = values.gather(2, targets.expand(len(values), -1)[..., None])
    beaten = (values < own).sum(2) + ((values == own).sum(2) - 1) / 2
    return beaten / (values.shape[2] - 1)


def goal_of(classes: int) -> float:
    """The standing at which about 95 % are right: the others are beaten by a tenth of the classes, or by one."""
    return 1 - (1 - GENERALIZED) * max(0.1, 1 / (classes - 1))


def _rise(steps: NDArray[np.int64], tables: Array, goal: float) -> tuple[Interval, Interval]:
    """Over the later half of the logarithm of the steps; tables are (step, member, example)."""
    none = Interval(math.nan, math.nan, math.nan, tables.shape[1], "too few snapshots")
    if len(steps) < 3:
        return none, none
    first = int(np.abs(np.log(steps[:-1]) - np.log(steps[[0, -1]]).mean()).argmin())
    change = tables[-1] - tables[first]
    rise = interval.crossed(change) if len(change) > 1 else interval.mean(change[0], bounds=CORRELATION)
    means = np.clip(tables[[first, -1]].mean(2), 1e-6, 1 - 1e-6)
    odds = np.log(means / (1 - means))
    pace = (odds[1] - odds[0]) / (steps[-1] - steps[first])
    ahead = np.maximum(math.log(goal / (1 - goal)) - odds[1], 0)
    if (pace <= 0).any():
        return rise, Interval(math.inf, math.nan, math.nan, len(pace), "the standing does not rise in every member")
    return rise, interval.geometric_mean(steps[-1] + ahead / pace)


def _answer(fitted: float, accuracy: Array, rise: Interval) -> Answer:
    if not np.isfinite(fitted):
        return "not fitted"
    if (accuracy >= GENERALIZED).all():
        return "generalized"
    if not rise.known:
        return "cannot tell"
    if rise.low > WORTH:
        return "coming"
    return "no sign of it" if rise.high < WORTH else "cannot tell"
