"""When a run has learned its targets along given directions of the data, such as the frequencies on the circle."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.evaluation.rows import index_table
from thalweg.figures import Axis, Figure, HeatMap, Line
from thalweg.generalization.simplicity.checkpoints import Checkpoints, answers, as_checkpoints, first_reached, wanted
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LearningTimes(Result):
    """What `learning_times` found.

    Args:
        reading: "share" of the way to the targets (member, direction, step), and "time" (member, direction), the first
            step, interpolated, at which it is the level; infinite where it never is.
        level: the share that counts as learned.
    """

    level: float

    def exponents(self) -> Array:
        """Of every member the exponent q of time ~ coordinate^q, by least squares of the logarithms: (members,).

        NaN of a member that has not learned along every direction.

        Raises:
            UsageError: directions without positive coordinates, or fewer than two.
        """
        names = self.reading.coordinate("direction")
        if names.dtype.kind not in "iuf" or len(names) < 2 or names.min() <= 0:
            msg = "An exponent needs two directions or more with positive coordinates, such as frequencies; write "
            raise UsageError(msg + "learning_times(..., coordinates=[3, 5, 7, 9]).")
        x = np.log(names.astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            y = np.log(self["time"])
            found = ((x - x.mean()) * y).sum(1) / np.square(x - x.mean()).sum()
        return np.where(np.isfinite(y).all(1), found, np.nan)

    def figure(self, member: int = 0, predicted: ArrayLike | None = None) -> Figure:
        """The share learned by direction and step, with the times of the level, and predicted ones where given.

        Args:
            member: which.
            predicted: the times that a kernel predicts, see `kernel_times`: (directions,).
        """
        names, steps = self.reading.coordinate("direction"), self.reading.coordinate("step")
        rows = names.astype(np.float64) if names.dtype.kind in "iuf" else np.arange(len(names), dtype=np.float64)
        late = steps > 0
        order = np.argsort(rows)
        lines = [Line(self["time"][member][order], rows[order], label=f"{self.level:.0%} learned")]
        if predicted is not None:
            lines.append(Line(np.asarray(predicted, dtype=np.float64)[order], rows[order], label="the kernel predicts"))
        return Figure.of(
            "What is learned when",
            [HeatMap(steps[late], rows[order], self["share"][member][order][:, late].clip(0, 1)), *lines],
            Axis("step", scale="log"),
            Axis("direction"),
            Axis("share learned"),
            caption=" ".join(self.reading.notes),
        )


@guarded
def learning_times(
    problem: Problem,
    checkpoints: Checkpoints,
    directions: ArrayLike | Tensor,
    *,
    coordinates: Sequence[float] | Sequence[str] | None = None,
    on: Sample | str | ExampleSet = "train",
    rows: Tensor | ArrayLike | None = None,
    level: float = 0.9,
) -> LearningTimes:
    """How far outputs have come to the targets along each direction v of the data, and when to a level.

        r_t = v . (f_t - y) of every output,    share(t) = 1 - r_t . r_0 / |r_0|^2

    where r_0 is that of the first checkpoint: step 0, to count from the start.

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> data = simplicity.circle(32, (1, 2, 4), amplitude=0.1)
    >>> problem = tw.Problem(lambda: simplicity.LazyNet(2, 128), data, "squared_error", dtype=data.train.inputs.dtype)
    >>> recipe = tw.Recipe(tw.optim.SGD(lr=1.0), steps=100, batch_size=32, snapshot=tuple(range(0, 101, 5)))
    >>> found = simplicity.learning_times(
    ...     problem, tw.train(problem, recipe), data.ground_truth["modes"], coordinates=[1, 2, 4]
    ... )
    >>> bool((found["time"][0, :-1] < found["time"][0, 1:]).all())
    True

    Args:
        problem: its targets are numbers, or classes, which are one-hot; outputs are taken as they are.
        checkpoints: a run with snapshots, or {step: population}; the first is where shares are 0.
        directions: one number an example: (directions, examples), such as `data.ground_truth["modes"]` of `circle` or
            `principal_directions`; or of each member its own, (members, directions, examples).
        coordinates: a number or name of each, such as its frequency.
        on: the examples.
        rows: which of them are each member's, by index: (members, n), such as `run.examples`; None: all.
        level: the share that counts as learned, between 0 and 1.

    Raises:
        UsageError: directions of another length, or one along which there is nothing to learn.

    Cost: an evaluation of every checkpoint.

    Papers: Rahaman et al. (2019), arXiv:1806.08734; Basri et al. (2019), arXiv:1906.00425.
    """
    check_type("learning_times problem", problem, Problem, "a Problem")
    check_level("learning_times", level)
    along, drawn = as_checkpoints("learning_times", checkpoints), as_sample("learning_times", on).draw(problem)
    examples, members = drawn.examples, len(next(iter(along.values())))
    own = None if rows is None else index_table("learning_times rows", rows, "member", members, len(examples))
    count = len(examples) if own is None else own.shape[1]
    text = drawn.text if own is None else f"{count} examples of each member"
    table = _of_members(directions, members, count)
    left = []
    for population in along.values():
        found = answers("learning_times", problem, population, examples, rows=own)
        target = wanted("learning_times", problem, examples, found.shape[2])
        error = found - (target if own is None else target[own])
        left.append(torch.einsum("mdn,mno->mdo", table, error))
    rest = torch.stack(left, 2)  # (member, direction, step, output)
    first = rest[:, :, :1]
    size = first.square().sum(3)
    if bool((size == 0).any()):
        place = int((size[..., 0] == 0).any(0).nonzero()[0])
        msg = f"Along direction {place} there is nothing to learn: the targets are met there at the first checkpoint."
        raise UsageError(msg)
    share = (1 - (rest * first).sum(3) / size).numpy()
    steps = np.array(list(along))
    directed = table.shape[1]
    names = list(range(directed)) if coordinates is None else list(coordinates)
    if len(names) != directed:
        msg = f"learning_times needs a coordinate of each of {directed} directions; got {len(names)}."
        raise UsageError(msg)
    reading = Reading(
        "learning along directions",
        {"share": share, "time": first_reached(steps, share, level)},
        {"share": ("member", "direction", "step"), "time": ("member", "direction")},
        {"member": np.arange(len(share)), "direction": names, "step": steps},
        {"time": "steps"},
        sample_size=count,
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
        notes=(f"On {text}; learned is {level:.0%} of the way to the targets.",),
    )
    return LearningTimes(reading, level)


def _of_members(directions: ArrayLike | Tensor, members: int, examples: int) -> Tensor:
    """Directions of every member: (members or 1 for all, directions, examples).

    Raises:
        UsageError: tables of another number of members, or what `as_directions` refuses.
    """
    given = directions if isinstance(directions, Tensor) else np.asarray(directions)
    if given.ndim != 3:
        return as_directions("learning_times", given, examples).expand(members, -1, -1)
    if len(given) != members:
        shape = f"({members}, directions, {examples})"
        msg = f"learning_times directions of members must be {shape}; got {tuple(given.shape)}."
        raise UsageError(msg)
    return torch.stack([as_directions("learning_times", one, examples) for one in given])


def as_directions(name: str, directions: ArrayLike | Tensor, examples: int) -> Tensor:
    """Directions as a table: (directions, examples), float64 on the CPU.

    Raises:
        UsageError: not one number an example, or a direction of no length.
    """
    table = torch.as_tensor(directions if isinstance(directions, Tensor) else np.asarray(directions)).double().cpu()
    if table.ndim != 2 or table.shape[1] != examples or not len(table):
        msg = f"{name} directions must be (directions, {examples}), one number an example; got {tuple(table.shape)}."
        raise UsageError(msg)
    if not bool(table.isfinite().all()) or bool((table.norm(dim=1) == 0).any()):
        msg = f"{name} directions must be finite and none of them 0 everywhere."
        raise UsageError(msg)
    return table


def check_level(name: str, level: float) -> None:
    """Raise UsageError unless the level is between 0 and 1."""
    check_type(f"{name} level", level, (int, float), "a share between 0 and 1, such as 0.9")
    if not 0 < level < 1:
        msg = f"{name} level must be a share between 0 and 1, such as 0.9; got {level}."
        raise UsageError(msg)
