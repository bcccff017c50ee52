"""The penalty that steps of a finite size add to the loss, measured on the user's own problem."""

from dataclasses import dataclass

import numpy as np

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample, evaluate
from thalweg.figures import Axis, Bars, Figure
from thalweg.generalization.implicit.gradient_noise import gradient_noise
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.results import Provenance, Reading, Result


@dataclass(frozen=True, eq=False)
class GradientPenalty(Result):
    """What `gradient_penalty` found.

    Args:
        reading: "loss", "gradient penalty", "batch penalty", and "modified loss", their sum, (member,) each.
    """

    def figure(self) -> Figure:
        """Both penalties of every member, as shares of its loss."""
        members = [f"member {member}" for member in range(len(self["loss"]))]
        marks = [Bars(members, self[name] / self["loss"], label=name) for name in ("gradient penalty", "batch penalty")]
        caption = " ".join(self.reading.notes)
        return Figure.of("What finite steps add to the loss", marks, Axis(), Axis("penalty / loss"), caption=caption)


@guarded
def gradient_penalty(
    problem: Problem,
    population: Population,
    rate: float,
    *,
    batch_size: int | None = None,
    on: Sample | str | ExampleSet = "train",
    progress: Watcher | None = automatic,
) -> GradientPenalty:
    """The loss whose gradient flow small steps follow to the next order, for every member, term by term.

        gradient descent    E + rate/4 |grad E|^2
        SGD, epoch mean     E + rate/4 |grad E|^2 + rate/(4 m) sum_k |grad E_k - grad E|^2

    for the m batches k of an epoch. The last term is its mean over all ways to cut an epoch into batches of B of the N
    examples, rate/4 (1 - B / N) tr C / B, for the covariance C of the gradients of single examples. It is a series in
    the rate, for plain steps and a finite time: neither at the edge of stability nor for Adam is training described by
    it, and the size of the penalty says nothing of what it does to the error on other examples.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> population, on = problem.initialize(2), tw.Sample("train", 50)
    >>> found = tw.generalization.implicit.gradient_penalty(problem, population, 0.1, batch_size=10, on=on)
    >>> bool((found["batch penalty"] > found["gradient penalty"]).all()), found["modified loss"].shape
    (True, (2,))

    Args:
        problem, population: only read.
        rate: the learning rate of plain gradient descent or SGD.
        batch_size: B; None is full batches, without the last term.
        on: the training set, or a random sample of it: at least 2 examples.
        progress: told after every member.

    Raises:
        UsageError, ModelError: see `gradient_noise`, or a rate that is not above 0.

    Cost: that of `gradient_noise`, and an evaluation.

    References:
        Barrett & Dherin (2021), arXiv:2009.11162; Smith, Dherin, Barrett & De (2021), arXiv:2101.12176.
    """
    check_type("gradient_penalty rate", rate, (int, float), "a number such as 0.1")
    if not 0 < rate < np.inf:
        msg = f"gradient_penalty rate must be above 0; got {rate}."
        raise UsageError(msg)
    check_type("gradient_penalty problem", problem, Problem, "a Problem")
    drawn = as_sample("gradient_penalty", on).draw(problem)
    size = len(drawn.whole) if batch_size is None else batch_size
    check_count("gradient_penalty batch_size", size)
    if size > len(drawn.whole):
        msg = f"gradient_penalty batch_size is at most all {len(drawn.whole):,} examples; got {size:,}."
        raise UsageError(msg)
    noise = gradient_noise(problem, population, on=on, batch_sizes=(size,), progress=progress)
    loss = evaluate(problem, population, drawn.examples)["loss"].double().cpu().numpy()
    arrays = {
        "loss": loss,
        "gradient penalty": rate / 4 * noise["squared gradient"],
        "batch penalty": rate / 4 * noise["batch variance"][0],
    }
    arrays["modified loss"] = np.sum(list(arrays.values()), axis=0)
    batches = "full batches" if batch_size is None else f"batches of {batch_size:,}"
    reading = Reading(
        "implicit gradient penalty",
        arrays,
        dict.fromkeys(arrays, ("member",)),
        sample_size=len(drawn),
        cost=noise.reading.cost,
        provenance=Provenance.here(device=str(problem.device), dtype=str(problem.dtype)),
        notes=(f"Rate {rate:g}, {batches}, on {drawn.text}; to the first order in the rate.",),
    )
    return GradientPenalty(reading)
