"""Whether generalization is still to come, from a run that has fitted its training set and does not generalize."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.grokking.fourier import fourier
from thalweg.generalization.grokking.projected import projected
from thalweg.generalization.grokking.standings import answers
from thalweg.generalization.grokking.times import GENERALIZED, MEMORIZED, first_lasting
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import CORRELATION, Interval, interval
from thalweg.training import Run

Array = NDArray[np.float64]
Answer = Literal["not fitted", "generalized", "rising", "coming", "no sign of it", "cannot tell"]
WORTH = 0.02  # the least rise that counts; of random tables the standing drifts by about 0.01
_FEWEST = 3  # snapshots since memorization, to speak of a later half
_SENTENCES: dict[Answer, str] = {
    "not fitted": "The training set is not fitted at any snapshot, so there is no plateau.",
    "generalized": "Held-out examples are answered right already.",
    "rising": "Accuracy on held-out examples itself rises, so this is no plateau.",
    "coming": f"The right answers rise among the others, while accuracy rises by less than {WORTH}: training on may be "
    "worth it. How long it takes and how far it goes, this does not say.",
    "no sign of it": f"The right answers rise among the others by less than {WORTH}, and accuracy does not rise more. "
    "Longer training may change that, and nothing here says that it will.",
    "cannot tell": "The changes are too uncertain, or there are too few snapshots since memorization.",
}


@dataclass(frozen=True, eq=False)
class Plateau(Result):
    """What `plateau` found.

    Args:
        reading: at snapshots since the first member had memorized, (step, member) each: "standing", the share of wrong
            classes that the right one beats, on average over held-out examples (1/2 by chance); "accuracy" on them;
            "norm" of the weights, which by itself says nothing; and of a table of pairs "concentration" (see `fourier`)
            and "projected", the accuracy of the network reduced to one frequency a neuron. "memorized", the first
            snapshot at which a member is right on 99 % of its own training examples, infinite where there is none
            (member,).
        answers: of every member by itself, its interval over held-out examples: "not fitted", "generalized", "rising",
            "coming", "no sign of it" or "cannot tell".
        answer: of the members that have memorized, with three snapshots since then, and have not generalized: what all
            of them answer, or else that of `rise` and `gain`; "generalized" where all that have memorized have, and
            "not fitted" where none has.
        rise: of the standing of those members over the later half of the logarithm of the steps since each memorized,
            over members and examples.
        gain: the change of their accuracy over the same steps.
    """

    answers: tuple[Answer, ...]
    answer: Answer
    rise: Interval
    gain: Interval

    @property
    def sentence(self) -> str:
        """The answer in words, with the changes it rests on and how many members it leaves out."""
        words = [_SENTENCES[self.answer]]
        if math.isfinite(self.rise.estimate):
            words.append(f"Standing changed by {self.rise.estimate:+.3f}, accuracy by {self.gain.estimate:+.3f}.")
        left = {name: self.answers.count(name) for name in ("not fitted", "generalized") if name != self.answer}
        words += [f"Left out: {many} of {len(self.answers)} members, {name}." for name, many in left.items() if many]
        return " ".join(words)

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


@guarded
def plateau(
    problem: Problem, run: Run, *, on: Sample | str | ExampleSet = "test", operation: str | None = None
) -> Plateau:
    """Whether a run that fits its training set, and whose held-out accuracy does not rise, may yet generalize.

        standing = mean over held-out examples of the share of wrong classes with a smaller output than the right one

    Accuracy sees nothing before the right answer is the first. Its standing among the others does, and does not depend
    on the scale of the outputs, as the loss does: on tables of an operation it rises from below chance for most of the
    plateau, on a table of random answers it stays. The answer is "coming" where the standing rises by more than 0.02
    and accuracy does not, "rising" where accuracy does. "coming" says that the network gets better at held-out
    examples, which need not end in high accuracy: on a small table it may stop far below. Where a network generalizes
    at one stroke the standing says nothing. When it comes is not extrapolated, since the standing neither keeps its
    pace nor only slows. The norm of the weights grows through the jump, and effective ranks of weight matrices rise on
    random tables as well, so that neither is used.

    >>> import thalweg as tw
    >>> data = tw.data.modular(5, "random", train_fraction=0.6, encoding="tokens")
    >>> problem = tw.Problem(lambda: tw.nets.modular_mlp(5, 32), data)
    >>> recipe = tw.Recipe(tw.optim.AdamW(0.02), steps=120, evaluate=60, snapshot=30)
    >>> tw.generalization.grokking.plateau(problem, tw.train(problem, recipe, seeds=4)).answer
    'cannot tell'

    Args:
        problem: of classes, with examples held out; inputs and metrics may be anything.
        run: with snapshots after memorization: Recipe(..., snapshot=20, spacing="log").
        on: the held-out examples. Of a run with test examples of its members' own "test" is those: the pool also has
            examples that others hold out and a member was trained on. Members are then the units of `rise` and `gain`.
            Examples of your own are for every member.
        operation: "+", "-", "*" or "/" where these are tables of `data.modular` and a perceptron whose neurons can be
            read (see `fourier`): then the concentration and the projected network are shown too.

    Raises:
        UsageError: nothing held out, targets that are no classes, or some of the test examples where members have their
            own.
        ModelError: a model that does not return (batch, classes).

    Cost: one forward pass over the held-out and the training examples for each snapshot.
    """
    began = time.perf_counter()
    check_type("plateau run", run, Run, "what tw.train returned")
    held, rows = _held_out(problem, run, as_sample("plateau", on))
    points = {step: one for step, one in run.snapshots.items() if step > 0} | {run.step: run.final}
    trained = {step: answers(problem, one, problem.data.train, run.examples)[1] for step, one in points.items()}
    steps = np.array(sorted(points))
    fitted = np.stack([trained[step].double().mean(1).numpy() for step in steps])
    memorized = first_lasting(steps, fitted, MEMORIZED)
    steps = steps[steps >= min(memorized.min(), steps[-1])]
    found = [answers(problem, points[step], held, rows) for step in steps]
    standing, right = (np.stack([pair[place].double().numpy() for pair in found]) for place in (0, 1))
    arrays: dict[str, Array] = {
        "standing": standing.mean(2),
        "accuracy": right.mean(2),
        "norm": np.stack([points[step].theta.norm(dim=1).cpu().numpy() for step in steps]).astype(float),
    }
    if operation is not None:
        p = int(problem.data.classes or 0)
        arrays["concentration"] = np.stack([fourier(points[step], p, operation)["concentration"] for step in steps])
        reduced = [answers(problem, projected(points[step], p, operation), held, rows)[1] for step in steps]
        arrays["projected"] = np.stack([one.double().mean(1).numpy() for one in reduced])
    reading = Reading(
        "plateau",
        arrays | {"memorized": memorized},
        dict.fromkeys(arrays, ("step", "member")) | {"memorized": ("member",)},
        {"step": steps, "member": np.arange(len(run.final))},
        {"standing": "fraction", "accuracy": "fraction", "memorized": "steps"},
        sample_size=len(held) if rows is None else rows.shape[1],
        cost=Cost(time.perf_counter() - began, forwards=(len(points) + len(steps)) * len(run.final)),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
    )
    known, shared = np.isfinite(memorized), rows is None
    since = [_later_half(steps, step) for step in memorized]
    done = right[-1].mean(1) >= GENERALIZED
    by_member = tuple(
        _answer(bool(known[place]), bool(done[place]), *_changes(standing, right, since, [place], shared))
        for place in range(len(since))
    )
    pending = [place for place, first in enumerate(since) if first is not None and not done[place]]
    rise, gain = _changes(standing, right, since, pending, shared)
    agreed = {by_member[place] for place in pending}
    answer = agreed.pop() if len(agreed) == 1 else _answer(bool(known.any()), bool(done[known].all()), rise, gain)
    return Plateau(reading, by_member, answer, rise, gain)


def _held_out(problem: Problem, run: Run, sample: Sample) -> tuple[ExampleSet, Tensor | None]:
    """Held-out examples, and which of them are each member's own; None: all are everybody's."""
    whole = problem.data.test
    if run.test_examples is None or not (sample.examples == "test" or sample.examples is whole):
        return sample.draw(problem).examples, None
    drawn = sample.draw(problem)
    if not drawn.is_whole:
        msg = (
            f"The members of this run have test examples of their own, and {drawn.text} need not be among them: a "
            'member may have been trained on others. Write on="test", which takes each member\'s own.'
        )
        raise UsageError(msg)
    alike = bool((run.test_examples == run.test_examples[:1]).all())
    return (drawn.whole.select(run.test_examples[0]), None) if alike else (drawn.whole, run.test_examples)


def _later_half(steps: NDArray[np.int64], memorized: float) -> int | None:
    """Where the later half of the logarithm of the steps since memorization begins; None of too few snapshots."""
    own = np.flatnonzero(steps >= memorized)
    if len(own) < _FEWEST:
        return None
    middle = np.log(steps[own[[0, -1]]]).mean()
    return int(own[np.abs(np.log(steps[own[:-1]]) - middle).argmin()])


def _changes(
    standing: Array, right: Array, since: Sequence[int | None], members: Sequence[int], shared: bool
) -> tuple[Interval, Interval]:
    """Of the standing and of the accuracy of some members; tables are (step, member, example).

    Where examples are not shared by members, only members are samples of one kind.
    """
    found = []
    for table in (standing, right):
        change = [table[-1, place] - table[first, place] for place in members if (first := since[place]) is not None]
        if not change:
            found.append(Interval.missing("too few snapshots"))
        elif len(change) == 1:
            found.append(interval.mean(change[0], bounds=CORRELATION))
        elif not shared:
            found.append(interval.mean([one.mean() for one in change], bounds=CORRELATION))
        else:
            found.append(interval.crossed(np.stack(change)))
    return found[0], found[1]


def _answer(fitted: bool, done: bool, rise: Interval, gain: Interval) -> Answer:
    if not fitted:
        return "not fitted"
    if done:
        return "generalized"
    if gain.estimate > WORTH:
        return "rising" if gain.low > 0 else "cannot tell"
    if rise.known and rise.low > WORTH:
        return "coming"
    return "no sign of it" if rise.known and rise.high < WORTH else "cannot tell"
