"""How noisy the gradients of batches are: measured from the gradient of every example."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.data import ExampleSet
from thalweg.errors import ModelError, UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.guard import guarded
from thalweg.population import Batch, Population, Problem
from thalweg.population.derivatives import check_differentiable, gradient
from thalweg.progress import Progress, Watcher, automatic, check_watcher, watched
from thalweg.results import Cost, Provenance, Reading, Result

_AT_ONCE = 512  # gradients of examples, where the memory budget allows


@dataclass(frozen=True, eq=False)
class GradientNoise(Result):
    """What `gradient_noise` found.

    Args:
        reading: "trace" of C, "squared gradient" |g|^2 of the mean loss and "noise scale" tr C / |g|^2, in examples,
            (member,) each; "batch variance", the trace of the covariance of the mean gradient of a batch (batch size,
            member). The noise scale is the simple one of McCandlish et al.; `sgd_noise_scale` is another quantity.
    """

    def figure(self) -> Figure:
        """The variance of batches over their size, beside |g|^2.

        They cross at S / (1 + S / N) for the noise scale S and N examples, as batches are drawn without replacement:
        near S where it is small against N, and below N wherever it is.
        """
        sizes = self.reading.coordinate("batch size")
        marks: list[Line | ReferenceLine] = [
            Line(sizes, row, label=f"member {member}") for member, row in enumerate(self["batch variance"].T)
        ]
        marks.append(ReferenceLine(float(self["squared gradient"].mean()), label="squared gradient, mean"))
        axes = Axis("batch size", scale="log"), Axis("variance of the gradient", scale="log")
        return Figure.of("Gradient noise", marks, *axes, caption=" ".join(self.reading.notes))


@guarded
def gradient_noise(
    problem: Problem,
    population: Population,
    *,
    on: Sample | str | ExampleSet = "train",
    batch_sizes: Sequence[int] = (1, 10, 100),
    progress: Watcher | None = automatic,
) -> GradientNoise:
    """The covariance of the gradients of single examples, and what it leaves in those of batches, for every member.

        g = mean_i g_i,    tr C = sum_i |g_i - g|^2 / (n - 1)
        tr Cov(mean of B examples without replacement) = (1 - B / N) tr C / B
        noise scale S = tr C / |g|^2

    S is the batch size whose noise is as large as the gradient, of batches drawn with replacement; without it that is
    S / (1 + S / N), which is near S where S is small against N. Of the N examples of the set n are measured. Where
    n < N, |g|^2 is that of the whole set, estimated without bias by |mean g_i|^2 - (1 - n / N) tr C / n, which can be
    negative where it is near 0; the noise scale is then NaN, and infinite where it is 0. In evaluation mode: without
    dropout, and with the running statistics of normalization.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population, on = problem.initialize(2), tw.Sample("train", 50)
    >>> found = tw.generalization.implicit.gradient_noise(problem, population, on=on, batch_sizes=[1, 2])
    >>> found["trace"].shape, found["batch variance"].shape, bool((found["noise scale"] > 1).all())
    ((2,), (2, 2), True)

    Args:
        problem, population: only read.
        on: the training set, or a random sample of it: at least 2 examples.
        batch_sizes: ascending, at most N.
        progress: told after every member.

    Raises:
        UsageError: arguments that cannot be meant, fewer than 2 examples, or a batch larger than the set.
        ModelError: a weighted loss, whose mean is not the mean over examples, or a model that draws random numbers in
            evaluation mode.

    Cost: a forward and a backward pass for each example and member, up to 512 examples at once.

    References:
        McCandlish et al. (2018), arXiv:1812.06162 (the simple noise scale); Smith & Le (2018), arXiv:1710.06451.
    """
    check_type("gradient_noise problem", problem, Problem, "a Problem")
    check_type("gradient_noise population", population, Population, "a Population such as run.final")
    check_watcher("gradient_noise", progress)
    problem.check(population)
    check_differentiable(problem)
    drawn = as_sample("gradient_noise", on).draw(problem)
    n, whole = len(drawn), len(drawn.whole)
    if n < 2:
        msg = f"gradient_noise needs at least 2 examples, to see how they differ; got {n}."
        raise UsageError(msg)
    sizes = _sizes(batch_sizes, whole)
    if problem.loss.weighted:
        msg = (
            f"gradient_noise is of losses that are a mean over examples, and {problem.loss.name} is weighted: its "
            "batches have means with weights of their own."
        )
        raise ModelError(msg)
    means, traces, began = [], [], time.monotonic()
    with watched(progress) as tell:
        for number, member in enumerate(population):
            mean, trace = _moments(problem, member, drawn.examples)
            means.append(mean)
            traces.append(trace)
            tell(Progress("gradient noise", number + 1, len(population), time.monotonic() - began))
    trace = np.array(traces)
    squared = np.array(means) - (1 - n / whole) * trace / n
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(squared >= 0, trace / squared, np.nan)
    reading = Reading(
        "gradient noise",
        {
            "batch variance": ((1 - sizes / whole) / sizes)[:, None] * trace,
            "trace": trace,
            "squared gradient": squared,
            "noise scale": scale,
        },
        {"batch variance": ("batch size", "member")}
        | dict.fromkeys(("trace", "squared gradient", "noise scale"), ("member",)),
        {"batch size": sizes},
        {"noise scale": "examples"},
        sample_size=n,
        cost=Cost(forwards=n * len(population), backwards=n * len(population)),
        provenance=Provenance.here(device=str(problem.device), dtype=str(problem.dtype)),
        notes=(f"On {drawn.text}.",),
    )
    return GradientNoise(reading)


@in_words
def sgd_noise_scale(rate: float, examples: int, batch_size: int, *, momentum: float = 0.0) -> float:
    """The one number by which rate, batch size and momentum enter the noise of SGD: rate (n / B - 1) / (1 - momentum).

    It grows with the learning rate, as a temperature does. The array "noise scale" of `gradient_noise` is another
    quantity, a batch size, in examples; one is not to be compared with the other.

    >>> import thalweg as tw
    >>> round(tw.generalization.implicit.sgd_noise_scale(0.1, 1_000, 100, momentum=0.9), 6)
    9.0

    Args:
        rate: the learning rate.
        examples, batch_size: n and B, without replacement; of the full batch, B = n, the scale is 0.
        momentum: of heavy ball, in [0, 1).

    Raises:
        UsageError: numbers that cannot be meant.

    References:
        Smith & Le (2018), arXiv:1710.06451.
    """
    check_count("sgd_noise_scale examples", examples)
    check_count("sgd_noise_scale batch_size", batch_size)
    if batch_size > examples or not 0 <= rate < np.inf or not 0 <= momentum < 1:
        msg = "sgd_noise_scale needs a batch of at most all examples, a rate of at least 0 and momentum in [0, 1); got "
        raise UsageError(msg + f"{batch_size} of {examples}, {rate} and {momentum}.")
    return rate * (examples / batch_size - 1) / (1 - momentum)


def _moments(problem: Problem, member: Population, examples: ExampleSet) -> tuple[float, float]:
    """|g|^2 and tr C, in float64: one pass about the gradient of the first examples, which no large mean can swamp."""
    n, parameters = len(examples), member.theta.shape[1]
    many = min(_AT_ONCE, max(1, problem.memory_budget // (4 * parameters * member.theta.element_size())))
    total = torch.zeros(parameters, dtype=torch.float64, device=member.theta.device)
    squares, center = 0.0, torch.zeros_like(total)
    for first in range(0, n, many):
        rows = torch.arange(first, min(first + many, n))
        found = _each(problem, member, Batch.of(examples, rows[:, None]), len(rows)).double()
        center = center if first else found.mean(0)
        apart = found - center
        total += apart.sum(0)
        squares += float((apart**2).sum())
    mean = total / n
    trace = (squares - n * float((mean**2).sum())) / (n - 1)
    return float(((center + mean) ** 2).sum()), max(trace, 0.0)


def _each(problem: Problem, member: Population, batch: Batch, count: int) -> Tensor:
    """The gradient of every example: as many copies of the member, each on an example of its own."""
    if count == 1:  # a single row of indices is a batch that all share, of one example
        found = gradient(problem, member, batch)
    else:
        found = gradient(problem, member.with_theta(member.theta.expand(count, -1)), batch)
    return found if member.mask is None else found * member.mask


def _sizes(batch_sizes: Sequence[int], whole: int) -> NDArray[np.int64]:
    for size in batch_sizes:
        check_count("gradient_noise batch_sizes", size)
    sizes = np.array(batch_sizes, dtype=np.int64)
    if not len(sizes) or (np.diff(sizes) <= 0).any() or sizes.max() > whole:
        msg = f"gradient_noise batch_sizes are ascending numbers from 1 to {whole}, all examples; got "
        raise UsageError(msg + f"{list(batch_sizes)}.")
    return sizes
