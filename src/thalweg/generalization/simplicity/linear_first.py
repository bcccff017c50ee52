"""Whether a network learns first what a linear model could know."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.evaluation.rows import index_table
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.simplicity.checkpoints import Checkpoints, answers, as_checkpoints, rows_of, wanted
from thalweg.generalization.simplicity.error_parts import basis_of, half_time, parts_in
from thalweg.generalization.simplicity.information import as_classes, corrupted, explained_share, mutual_information
from thalweg.guard import guarded
from thalweg.losses import CrossEntropy
from thalweg.population import Problem
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearFirst(Result):
    """What `linear_first` found.

    Args:
        reading: by member and step, (member, step), NaN where a member is not finite: "accuracy"; "information",
            I(F; Y), and "beyond linear", I(F; Y | L); "explained share"; "linear error" and "non-linear error", and
            "constant error", the part of the linear one that is the same for all examples. By member (member,):
            "share", the explained share at the first step with the linear model's accuracy, "null share", that of an
            equally accurate corrupted copy of the last network, and "step", when that was, all NaN where it never was;
            "linear half-time" and "non-linear half-time", infinite where a part is never halved; "linear accuracy".
    """

    def figure(self, member: int = 0) -> Figure:
        """Information and the share explained by the linear model over time; and both parts of the error."""
        steps = self.reading.coordinate("step") + 1
        told = Figure.of(
            "What is known about the labels",
            [
                Line(steps, self["information"][member], label="all, I(F; Y)"),
                Line(steps, self["beyond linear"][member], label="beyond the linear model, I(F; Y | L)"),
            ],
            Axis("step + 1", scale="log"),
            Axis("information", "bits"),
        )
        marks = [Line(steps, self["explained share"][member], label="explained by the linear model")]
        null = self["null share"][member]
        lines = [ReferenceLine(float(null), label="corrupted copy")] if np.isfinite(null) else []
        share = Figure.of("Share explained", [*marks, *lines], Axis("step + 1", scale="log"), Axis("share"))
        parts = [Line(steps, self[f"{kind} error"][member], label=kind) for kind in ("linear", "non-linear")]
        error = Figure.of("Squared error", parts, Axis("step + 1", scale="log"), Axis("mean square", scale="log"))
        return Figure.row([told, share, error], title="The linear part first", caption=self.reading.notes[0])


@guarded
def linear_first(
    problem: Problem,
    checkpoints: Checkpoints,
    linear: ArrayLike,
    *,
    on: Sample | str | ExampleSet = "test",
    rows: Tensor | ArrayLike | None = None,
    seed: int = 0,
) -> LinearFirst:
    """What networks know along training that the best linear model knows too, and when the linear error is halved.

        explained share = (I(F; Y) - I(F; Y | L)) / I(F; Y)        at the first step with accuracy(F) >= accuracy(L)
        null share: the same of the last network, with predictions replaced by uniform classes down to that accuracy
        error = outputs - one-hot targets (of probabilities where the loss is cross-entropy), parts by `error_parts`

    Agreement with the linear model rises in any network that becomes better; only the difference to the null says that
    what is linear comes first. The order of the half-times is one that any smooth kernel has, see `kernel_half_times`.

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Adam(lr=3e-3), steps=60, batch_size=64, snapshot=(0, 30, 60))
    >>> linear = simplicity.best_linear(problem.data.train, problem.data.test)
    >>> found = simplicity.linear_first(problem, tw.train(problem, recipe), linear)
    >>> found["explained share"].shape, bool(found["information"][0, -1] > found["beyond linear"][0, -1])
    ((1, 3), True)

    Args:
        problem: of classes, also one-hot ones, as squared error needs them.
        checkpoints: a run with snapshots, or {step: population}.
        linear: the classes that the linear model predicts on these examples, see `best_linear`: (examples,).
        on: the examples.
        rows: which of them are each member's, by index: (members, n), such as `run.test_examples`; None: all.
        seed: of the corrupted copies, each of which is drawn by itself.

    Raises:
        UsageError: targets that are no classes, or not as many predictions as examples.
        ModelError: a model that does not return (batch, classes).

    Cost: an evaluation of every checkpoint.

    Paper: Kalimeris et al. (2019), arXiv:1905.11604; the null and the error's parts are ours.
    """
    check_type("linear_first problem", problem, Problem, "a Problem")
    along, drawn = as_checkpoints("linear_first", checkpoints), as_sample("linear_first", on).draw(problem)
    examples, steps = drawn.examples, np.array(list(along))
    labels, known = classes_of("linear_first", examples), as_classes("linear_first linear", linear)
    if len(labels) != len(known):
        msg = f"linear_first needs the linear model's class of each of {len(labels)} examples; got {len(known)}."
        raise UsageError(msg)
    members = len(next(iter(along.values())))
    own = None if rows is None else index_table("linear_first rows", rows, "member", members, len(examples))
    places = np.arange(len(labels))[None].repeat(members, 0) if own is None else own.numpy()
    labels, known, inputs = labels[places], known[places], rows_of("linear_first", examples).numpy()
    level = (known == labels).mean(1)
    bases = [basis_of(inputs)] * members if own is None else [basis_of(inputs[of]) for of in places]
    predicted, errors, shifts = [], [], []
    for population in along.values():
        found = answers("linear_first", problem, population, examples, rows=own)
        predicted.append(found.argmax(2).numpy())
        values = found.softmax(2) if isinstance(problem.loss, CrossEntropy) else found
        target = wanted("linear_first", problem, examples, found.shape[2])
        error = (values - (target if own is None else target[own])).numpy()
        errors.append(np.array([parts_in(basis, one) for basis, one in zip(bases, error, strict=True)]).T)
        shifts.append(np.square(error.mean(1)).sum(1))
    classes = found.shape[2]
    table = np.stack(predicted, 1)  # (member, step, example)
    linear_error, rest = (np.stack(part, 1) for part in zip(*errors, strict=True))
    finite = np.isfinite(linear_error + rest)
    accuracy = np.where(finite, (table == labels[:, None]).mean(2), np.nan)
    each = list(zip(table, labels, known, strict=True))
    told = np.array([[mutual_information(one, of) for one in member] for member, of, _ in each])
    told = np.where(finite, told, np.nan)
    beyond = np.array([[mutual_information(one, of, given=by) for one in member] for member, of, by in each])
    share = np.divide(told - beyond, told, out=np.full_like(told, np.nan), where=told > 0)
    reached = accuracy >= level[:, None]
    place = np.where(reached.any(1), reached.argmax(1), -1)
    null = np.full(len(table), np.nan)
    for member, first in enumerate(place):
        if first >= 0 and accuracy[member, -1] >= accuracy[member, first]:
            last, of, by = table[member, -1], labels[member], known[member]
            copy = corrupted(last, of, accuracy[member, first], classes=classes, seed=1_000 * seed + member)
            null[member] = explained_share(copy, by, of)
    at = np.where(place >= 0, share[np.arange(len(table)), place], np.nan)
    arrays = {
        "accuracy": accuracy,
        "information": told,
        "beyond linear": beyond,
        "explained share": share,
        "linear error": linear_error,
        "non-linear error": rest,
        "constant error": np.stack(shifts, 1),
        "share": at,
        "null share": null,
        "step": np.where(place >= 0, steps[place], np.nan),
        "linear half-time": half_time(steps, linear_error),
        "non-linear half-time": half_time(steps, rest),
        "linear accuracy": level,
    }
    names = list(arrays)
    text = drawn.text if own is None else f"{labels.shape[1]:,} examples of each member"
    reading = Reading(
        "linear part first",
        arrays,
        dict.fromkeys(names[:7], ("member", "step")) | dict.fromkeys(names[7:], ("member",)),
        {"member": np.arange(len(table)), "step": steps},
        {"information": "bits", "beyond linear": "bits"},
        sample_size=labels.shape[1],
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=(f"On {text}; the linear model's accuracy is {level.mean():.3f}.",),
    )
    return LinearFirst(reading)


@in_words
def best_linear(train: ExampleSet, on: ExampleSet, *, penalty: float = 1e-3) -> NDArray[np.int64]:
    """The classes that a logistic regression fitted to some examples predicts for others: (examples,).

        minimizes mean cross-entropy + penalty / 2 |W|^2,    inputs in units of their standard deviation

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> data = tw.data.digits().subset(train=300)
    >>> found = simplicity.best_linear(data.train, data.test)
    >>> labels = data.test.take(__import__("torch").arange(len(data.test)))[1].numpy()
    >>> bool((found == labels).mean() > 0.85)
    True

    Args:
        train: what it is fitted to; many that the network has not seen, as it stands for what a linear model can know.
        on: for which it predicts.
        penalty: above 0.

    Raises:
        UsageError: targets that are no classes, or inputs that are not one tensor of numbers.

    Cost: a convex fit: about a second for 8,000 examples of 40 features.
    """
    check_type("best_linear penalty", penalty, (int, float), "a number above 0")
    if not penalty > 0:
        msg = f"best_linear penalty must be above 0, or separable classes have no best model; got {penalty}."
        raise UsageError(msg)
    x, y = rows_of("best_linear", train).numpy(), classes_of("best_linear", train)
    if (y == y[0]).all():  # there is nothing to fit
        return np.full(len(on), y[0])
    mean, scale = x.mean(0), x.std(0)
    scale[scale == 0] = 1.0
    model = LogisticRegression(C=1 / (penalty * len(x)), max_iter=1_000, tol=1e-5)
    model.fit((x - mean) / scale, y)
    return model.predict((rows_of("best_linear", on).numpy() - mean) / scale).astype(np.int64)


def classes_of(name: str, examples: ExampleSet) -> NDArray[np.int64]:
    """The targets as classes, of one-hot ones the place of the 1: (examples,).

    Raises:
        UsageError: they are neither; `name` is the asker's.
    """
    _, targets = examples.slice(0, len(examples))
    if isinstance(targets, Tensor) and targets.ndim == 2 and _is_one_hot(targets):
        return targets.argmax(1).cpu().numpy()
    if not isinstance(targets, Tensor):
        msg = f"{name} needs targets that are classes, (examples,); got {type(targets).__name__}."
        raise UsageError(msg)
    return as_classes(f"{name} targets", targets.cpu().numpy())


def _is_one_hot(table: Tensor) -> bool:
    """Whether every row has a single 1 among zeros."""
    ones = table == 1
    return table.shape[1] > 1 and bool((ones | (table == 0)).all()) and bool((ones.sum(1) == 1).all())
