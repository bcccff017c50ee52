"""Whether networks can memorize: one recipe on training sets with ever more random labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg.data import Data, Examples, pooled
from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Axis, Figure, Line
from thalweg.generalization.dealt import drawn_anew
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.training import Recipe, train
from thalweg.workers import Workers

Array = NDArray[np.float64]
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
_FALLING = 0.8  # of the training loss half-way, below which the last one is still on its way


@dataclass(frozen=True, eq=False)
class Memorization(Result):
    """What `memorization` found, and the networks, which other measurements can go on with.

    Args:
        reading: "train accuracy", "test accuracy" and "train loss" (fraction, step, seed), the training ones on the
            labels that were trained on; "changed", the share of labels that came to be others (fraction, seed).
        problem: whose training set are those of all members, one after the other.
        final: the members after the last step, all seeds of a fraction, then all of the next.
        examples, test_examples: which examples of `problem` are whose: (members, n) and (members, test).
    """

    problem: Problem
    final: Population = field(repr=False)
    examples: Int64[Tensor, "members n"] = field(repr=False)
    test_examples: Int64[Tensor, "members test"] = field(repr=False)

    @property
    def fractions(self) -> list[float]:
        """Of random labels."""
        return [float(one) for one in self.reading.coordinate("fraction")]

    @property
    def seeds(self) -> list[int]:
        """Of training sets, labels, initializations and data orders."""
        return [int(one) for one in self.reading.coordinate("seed")]

    @property
    def fitted(self) -> Array:
        """The first evaluated step without a training error: (fraction, seed), infinite where there is none."""
        steps = self.reading.coordinate("step").astype(np.float64)
        whole = self["train accuracy"] > 1 - 0.5 / self.examples.shape[1]
        return np.where(whole.any(1), steps[whole.argmax(1)], np.inf)

    @property
    def memorizes(self) -> Interval:
        """The share of seeds that come to no training error at every fraction, with Clopper and Pearson's interval."""
        return interval.fraction(np.isfinite(self.fitted).all(0).astype(float))

    @property
    def still_falling(self) -> bool:
        """Whether the training loss of those that did not fit still falls: the last is below 0.8 of that half-way.

        Then too few steps, or too low a rate, look like too small a network.
        """
        steps, short = self.reading.coordinate("step"), ~np.isfinite(self.fitted)
        half = int(np.argmin(np.abs(steps - steps[-1] / 2)))
        loss = self["train loss"]
        return bool(short.any() and loss[:, -1][short].mean() < _FALLING * loss[:, half][short].mean())

    def members(self, fraction: float) -> list[int]:
        """The members of a fraction, seed by seed.

        Raises:
            UsageError: nothing was trained at this fraction.
        """
        if fraction not in self.fractions:
            msg = f"Nothing was trained with a share of {fraction:g} random labels; there are {self.fractions}."
            raise UsageError(msg)
        first = self.fractions.index(fraction) * len(self.seeds)
        return list(range(first, first + len(self.seeds)))

    def training_set(self, member: int) -> Examples:
        """What a member was trained on, with its labels."""
        return _taken(self.problem.data.train, self.examples[member])

    def held_out(self, member: int) -> Examples:
        """What a member is tested on, with true labels."""
        return _taken(self.problem.data.test, self.test_examples[member])

    def figure(self) -> Figure:
        """Training and test accuracy over the fraction, at the end, and the highest test accuracy on the way."""
        lines = {
            "training, last step": self["train accuracy"][:, -1],
            "test, last step": self["test accuracy"][:, -1],
            "test, its best step": self["test accuracy"].max(1),
        }
        marks = [_line(self.fractions, values, label) for label, values in lines.items()]
        steps = self.reading.coordinate("step")[-1]
        return Figure.of(
            "Accuracy with random labels",
            marks,
            Axis("share of random labels"),
            Axis("accuracy", limits=(-0.02, 1.05)),
            caption=f"{self.reading.notes[0]} Means over {len(self.seeds)} seeds after {steps:,} steps, bands from the "
            "smallest to the largest. Test labels are true; the best step is chosen on them: an upper limit.",
        )


@guarded
def memorization(
    model: Callable[[], nn.Module],
    data: Data,
    recipe: Recipe,
    *,
    n: int,
    fractions: Sequence[float] = FRACTIONS,
    seeds: Sequence[int] | int = 4,
    device: str | torch.device = "cpu",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Memorization:
    """Train a model with one recipe at every fraction of random labels, as one population.

    A random label is drawn anew over all classes, its own among them: a fraction q changes about q (1 - 1/classes). A
    seed has the same training examples, initialization and batches at every fraction, and its labels that are random
    at a smaller fraction are at a larger one too. It is tested on all examples that it did not draw, with true labels.

    >>> import thalweg as tw
    >>> recipe = tw.Recipe(tw.optim.Adam(1e-2), 60, 50)
    >>> found = tw.generalization.memorization(
    ...     lambda: tw.nets.mlp(64, 64, 10), tw.data.digits(), recipe, n=50, fractions=(0, 1), seeds=2
    ... )
    >>> found.fitted.shape, bool((found["test accuracy"][0, -1] > found["test accuracy"][1, -1] + 0.2).all())
    ((2, 2), True)

    Args:
        model: makes the network.
        data: classes, in memory; its training and test set are drawn from together.
        recipe: the same at every fraction; evaluate=60 with spacing="log" shows when labels are fitted.
        n: examples to train on.
        fractions: of random labels, each once.
        seeds: how many, or which.
        device: where networks are trained.
        progress: told how far it is.
        workers: who trains slices of the members, see `train`; None: this process.

    Raises:
        UsageError: a recipe with sweeps, fractions that are none, too few examples, or labels that are no classes.
        DataError: examples that are not one tensor of numbers each.

    Cost: training fractions x seeds members.

    References:
        Zhang, Bengio, Hardt, Recht and Vinyals (2016), arXiv:1611.03530.
    """
    check_type("memorization recipe", recipe, Recipe, "a Recipe")
    check_count("memorization n", n)
    shares = [float(one) for one in fractions]
    if not shares or len(set(shares)) < len(shares):
        msg = f"memorization fractions are shares of random labels, each once; got {list(fractions)}."
        raise UsageError(msg)
    chosen = list(range(seeds)) if isinstance(seeds, int) else [int(one) for one in seeds]
    clean, whole, tested = drawn_anew(data, n, chosen, stream="memorization")
    sets = [
        Data(one, name=data.name, classes=data.classes).with_random_labels(share, seed)
        for share in shares
        for one, seed in zip(clean, chosen, strict=True)
    ]
    pool, table = pooled([one.train for one in sets if isinstance(one.train, Examples)])
    problem = Problem(model, Data(pool, whole, data.name, data.classes), device=device)
    tested = tested.repeat(len(shares), 1)
    every = chosen * len(shares)
    run = train(problem, recipe, every, examples=table, test_examples=tested, progress=progress, workers=workers)
    if len(run.final) != len(sets):
        msg = f"memorization trains one recipe; got one with {len(run.final) // len(sets)} members by its sweeps."
        raise UsageError(msg)
    arrays = {
        name: run.history[name.replace(" ", "_")].reshape(-1, len(shares), len(chosen)).swapaxes(0, 1)
        for name in ("train accuracy", "test accuracy", "train loss")
    }
    changed = np.array([0.0 if one.flipped is None else float(one.flipped.double().mean()) for one in sets])
    reading = Reading(
        "memorization",
        arrays | {"changed": changed.reshape(len(shares), -1)},
        dict.fromkeys(arrays, ("fraction", "step", "seed")) | {"changed": ("fraction", "seed")},
        {"fraction": np.array(shares), "step": run.history.steps, "seed": np.array(chosen)},
        {"train loss": problem.loss.unit},
        sample_size=len(chosen),
        provenance=Provenance.here(chosen, str(run.final.theta.device), str(run.final.theta.dtype)),
        notes=(f"{n:,} examples of {data.name}, {problem.layout.parameters:,} parameters.",),
    )
    return Memorization(reading, problem, run.final, table, tested)


def _taken(examples: object, rows: Int64[Tensor, " n"]) -> Examples:
    """These of the examples, which are in memory."""
    assert isinstance(examples, Examples)
    return examples.select(rows.to(torch.as_tensor(examples.targets).device))


def _line(fractions: Sequence[float], values: Array, label: str) -> Line:
    """Means over seeds, in a band from the smallest to the largest: (fractions, seeds)."""
    return Line(np.array(fractions), values.mean(1), low=values.min(1), high=values.max(1), label=label)
