"""The mean loss near the points of a population: what every sharpness is measured on."""

import contextlib
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Evaluator
from thalweg.evaluation.batch_size import EXAMPLES_AT_ONCE
from thalweg.evaluation.evaluate import shares
from thalweg.evaluation.sample import Sample, as_sample
from thalweg.optim.inplace import norms
from thalweg.population import Batch, Population, Problem
from thalweg.population.derivatives import check_differentiable
from thalweg.progress import Progress, Watcher, automatic, ignore, watched
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading
from thalweg.statistics import standard_error

Vectors = Float[Tensor, "members parameters"]
Array = NDArray[np.float64]
Radius = float | Sequence[float]
_ROUNDED = 8  # points that are theta to rounding


class Neighborhood:
    """The mean loss of every member at theta + scale * u, in evaluation mode, and the passes that were taken.

    Args:
        verb: the function that measures, for errors.
        problem, population, on, seed, progress: its arguments.

    Attributes:
        scale: of u: (members, parameters); 0 where a parameter stays. At first 1 where it is active.
        loss: at theta: (members,); NaN where a member is not finite.
    """

    def __init__(
        self,
        verb: str,
        problem: Problem,
        population: Population,
        on: Sample | str | ExampleSet,
        *,
        seed: int = 0,
        progress: Watcher | None = automatic,
    ) -> None:
        check_type(f"{verb} problem", problem, Problem, "a Problem")
        check_type(f"{verb} population", population, Population, "a Population such as run.final")
        check_type(f"{verb} seed", seed, int, "a whole number such as 0")
        problem.check(population)
        drawn = as_sample(verb, on).draw(problem)
        check_differentiable(problem)
        self.began, self.forwards, self.backwards = time.perf_counter(), 0, 0
        self.verb, self.problem, self.seed, self.progress = verb, problem, seed, progress
        self.told: Watcher = ignore
        self.theta, self.point = population.theta, population.copy()
        self.examples, self.count, self.text = drawn.examples, len(drawn), drawn.text
        self.mean = Evaluator(problem, self.point, self.examples, times=20)
        self.shares = shares(problem, population, self.examples, EXAMPLES_AT_ONCE)
        self.active = torch.ones_like(self.theta) if population.mask is None else population.mask.to(self.theta)
        self.scale = self.active
        self.loss = self.losses(torch.zeros_like(self.theta))
        self.loss[~(np.isfinite(self.loss) & self.theta.isfinite().all(1).cpu().numpy())] = np.nan

    def losses(self, u: Vectors) -> Array:
        """The losses at u: (members,)."""
        torch.addcmul(self.theta, self.scale, u, out=self.point.theta)
        self.forwards += 1
        return self.mean()["loss"].numpy()

    def rounded(self) -> tuple[Array, Array]:
        """The mean loss at points that are theta to rounding, and its standard error: (members,) each."""
        precision, found = torch.finfo(self.theta.dtype), []
        size = precision.eps * norms(self.theta) / norms(self.scale).clamp_min(precision.tiny)
        for place in range(_ROUNDED):
            stream = generator(self.seed, "rounding", place)
            draw = torch.randn(self.theta.shape[1], generator=stream, dtype=torch.float64)
            found.append(self.losses(size * draw.to(self.theta)))
        return np.mean(found, 0), standard_error(np.array(found), axis=0)

    def gradient(self, u: Vectors) -> tuple[Float[Tensor, "members 1"], Vectors]:
        """The losses at u, as a column, and their gradients in u."""
        torch.addcmul(self.theta, self.scale, u, out=self.point.theta)
        self.forwards, self.backwards = self.forwards + 1, self.backwards + 1
        value, gradient, part = 0.0, torch.zeros_like(u), torch.empty_like(u)
        for start, share in zip(range(0, self.count, EXAMPLES_AT_ONCE), self.shares, strict=True):
            if share == 0:  # no target of these counts
                continue
            batch = Batch.range(self.examples, start, min(start + EXAMPLES_AT_ONCE, self.count))
            value = value + share * self.mean.execution.gradient(batch, part).double()
            gradient += share * part
        return torch.as_tensor(value)[:, None], gradient * self.scale

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While it takes its passes."""
        with watched(self.progress) as told:
            self.told = told
            yield

    def tell(self, label: str, done: int, total: int) -> None:
        """Tell how far it is."""
        self.told(Progress(label, done, total, time.perf_counter() - self.began))

    def reading(
        self,
        name: str,
        arrays: dict[str, NDArray],
        *notes: str,
        radius: Radius | None = None,
        unit: str | None = None,
        error: Array | None = None,
        samples: int | None = None,
    ) -> Reading:
        """The reading of arrays that are (members,), or (members, radii) where the radius is a list.

        Args:
            name: what was measured.
            arrays: by name; the first is the measure itself.
            notes: sentences.
            radius: or several.
            unit: of the measure; None is the loss's.
            error: standard error of the measure, of its shape.
            samples: over how many that is, where they are few.
        """
        several = isinstance(radius, Sequence)
        measure, dims = next(iter(arrays)), ("member", "radius") if several else ("member",)
        shape = (len(self.theta), -1) if several else (len(self.theta),)
        passes = len(self.theta) * math.ceil(self.count / EXAMPLES_AT_ONCE)
        return Reading(
            name,
            {key: array.reshape(shape) for key, array in arrays.items()} | {"loss": self.loss},
            dict.fromkeys(arrays, dims) | {"loss": ("member",)},
            {"radius": radius} if several else {},
            {measure: self.problem.loss.unit if unit is None else unit, "loss": self.problem.loss.unit},
            {} if error is None else {measure: error.reshape(shape)},
            degrees_of_freedom={} if error is None or samples is None else {measure: samples - 1},
            sample_size=self.count,
            cost=Cost(time.perf_counter() - self.began, self.forwards * passes, self.backwards * passes),
            provenance=Provenance.here(
                self.seed, str(self.problem.device), str(self.problem.dtype), plan=str(self.mean.execution.plan)
            ),
            notes=(
                *notes,
                f"On {self.text}, in evaluation mode.",
            ),
        )


def radii(name: str, radius: Radius) -> list[float]:
    """The radius, or radii, as a list.

    Raises:
        UsageError: one that is not above 0 and finite, or none.
    """
    found = list(radius) if isinstance(radius, Sequence) else [radius]
    for one in found or [math.nan]:
        check_type(name, one, (int, float), "a number such as 0.05, or a list of them")
        if not 0 < one < math.inf:
            msg = f"{name} must be above 0 and finite; got {one}."
            raise UsageError(msg)
    return found
