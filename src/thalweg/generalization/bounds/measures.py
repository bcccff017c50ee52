"""Measures of complexity of many networks at once, each to be held against the gap of generalization."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.curvature import fisher_rao_norm, worst_case_sharpness
from thalweg.data import ExampleSet
from thalweg.errors import ModelError, check_type
from thalweg.evaluation import Sample, as_sample, outputs
from thalweg.generalization.bounds.arguments import Array, product
from thalweg.generalization.bounds.bartlett import spectral_complexity
from thalweg.generalization.bounds.flatness import flatness
from thalweg.generalization.bounds.gibbs import check_accuracy
from thalweg.generalization.bounds.layer_norms import LayerNorms, layer_norms
from thalweg.generalization.bounds.margins import margins
from thalweg.generalization.bounds.path_norm import path_norm
from thalweg.generalization.bounds.ranking import Ranking, ranking
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, ignore, watched
from thalweg.results import Cost, Provenance, Reading, Result

_QUANTILE = 0.1  # of the margins, which stands for all of them
_SIZE = 0.1  # of the ball of sharpness, in units of |theta|


@dataclass(frozen=True, eq=False)
class ComplexityMeasures(Result):
    """What `complexity_measures` found.

    Args:
        reading: each measure by its name (member), the larger the more complex; infinite of what has no margin, NaN of
            members that are not finite.
        axes: which member is which, as `run.axes` has it; None where none were given.
    """

    axes: Mapping[str, NDArray[Any]] | None = field(default=None, repr=False)

    def ranked(self, gap: ArrayLike, *, axes: Mapping[str, ArrayLike] | None = None, noise: float = 0.0) -> Ranking:
        """How well each measure orders the networks by their gap, along every hyper-parameter; see `ranking`.

        Args:
            gap: test error minus training error: (members,).
            axes: by name, the value of each member; None: those of the run.
            noise: differences of gaps up to this are left out.

        Raises:
            UsageError: no axes, or arrays that do not fit.
        """
        known = axes if axes is not None else (self.axes or {})
        return ranking(self.reading.arrays, gap, known, noise=noise)


@guarded
def complexity_measures(
    problem: Problem,
    population: Population,
    *,
    initial: Population | None = None,
    axes: Mapping[str, NDArray[Any]] | None = None,
    on: Sample | str | ExampleSet = "train",
    rise: float = 0.1,
    draws: int = 8,
    sharpness_steps: int = 10,
    seed: int = 0,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
) -> ComplexityMeasures:
    """Norms, margins, paths, flatness, sharpness and curvature of all networks, each computed for all at once.

    - "norm", "distance from the initialization": |theta|, |theta - theta_0|;
    - "product of spectral norms", "product of Frobenius norms", "stable rank" (sum of |W|_F^2 / |W|_2^2), "spectral
      complexity" of Bartlett, "path norm"; and all but the rank "over margin", the 10 % quantile of the margins;
    - "inverse margin"; "loss", and "entropy" of the predicted probabilities, of training examples;
    - "sharpness": the rise of the loss in a ball of a tenth of the median length of theta; "Fisher-Rao norm";
    - "1 / sigma", "1 / relative sigma": sigma is the standard deviation of noise that raises the error by `rise` (see
      `flatness`); "PAC-Bayes": |theta - theta_0|^2 / (2 sigma^2).

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=200, test=100))
    >>> initial = problem.initialize(2)
    >>> recipe = tw.Recipe(tw.optim.Adam(0.01), steps=60, batch_size=50, evaluate=1)
    >>> run = tw.train(problem, recipe, seeds=2, start=initial, paired=True)
    >>> found = tw.generalization.bounds.complexity_measures(problem, run.final, initial=initial, draws=2)
    >>> len(found.reading.arrays) >= 16, found["1 / sigma"].shape
    (True, (2,))

    Args:
        problem: of classes, or yes and no.
        population: only read.
        initial: where each member began, or one for all; None: measures by it are left out.
        axes: which member is which, such as `run.axes`, for `ranked`.
        on: training examples.
        rise, draws: see `flatness`.
        sharpness_steps: of the ascents.
        seed: of the noise.
        plan: see `train`.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant.
        ModelError: answers that are not right or wrong. A measure that is not stated for the model, such as products of
            norms for a residual one, is left out, and a note says why.

    Cost: 24 x `draws` forward passes and twice `sharpness_steps` gradients of every network, mostly.

    References:
        Jiang, Neyshabur, Mobahi, Krishnan & Bengio (2020), arXiv:1912.02178.
    """
    began = time.perf_counter()
    check_type("complexity_measures problem", problem, Problem, "a Problem")
    check_type("complexity_measures population", population, Population, "a Population such as run.final")
    problem.check(population)
    check_accuracy("complexity_measures", problem)
    drawn = as_sample("complexity_measures", on).draw(problem)
    examples, notes = drawn.examples, [f"On {drawn.text}."]
    found: dict[str, Array] = {"norm": _lengths(population.theta)}
    with watched(progress) as told:

        def tell(done: int) -> None:
            told(Progress("complexity measures", done, 5, time.perf_counter() - began))

        gamma = np.quantile(margins(problem, population, on=examples, plan=plan), _QUANTILE, axis=1, method="lower")
        over = np.where(gamma > 0, 1 / np.where(gamma > 0, gamma, 1.0), np.inf)
        if initial is not None:
            start = initial.theta.expand_as(population.theta)
            found["distance from the initialization"] = _lengths(population.theta - start)
        try:
            norms = layer_norms(problem, population, initial=initial)
        except ModelError as refusal:
            notes.append(f"{refusal} Measures by norms of layers are left out.")
        else:
            found |= _by_layers(problem, population, norms, over, plan)
        found["inverse margin"] = over
        tell(1)
        found |= _by_outputs(problem, population, examples, plan)
        tell(2)
        smooth = _by_curvature(problem, population, examples, found["norm"], sharpness_steps, seed)
        found |= smooth
        tell(3)
        quiet: dict[str, Any] = {"rise": rise, "draws": draws, "on": examples, "seed": seed, "plan": plan}
        sigma = flatness(problem, population, progress=ignore, **quiet)["sigma"]
        found["1 / sigma"] = 1 / sigma
        tell(4)
        found["1 / relative sigma"] = (
            1 / flatness(problem, population, relative=True, progress=ignore, **quiet)["sigma"]
        )
        if initial is not None:
            found["PAC-Bayes"] = found["distance from the initialization"] ** 2 / (2 * sigma**2)
        tell(5)
    finite = population.theta.isfinite().all(1).cpu().numpy()
    arrays = {name: np.where(finite, values, np.nan) for name, values in found.items()}
    reading = Reading(
        "measures of complexity",
        arrays,
        dict.fromkeys(arrays, ("member",)),
        sample_size=len(drawn),
        cost=Cost(time.perf_counter() - began, forwards=24 * draws * len(population)),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=tuple(notes),
    )
    return ComplexityMeasures(reading, axes)


def _lengths(vectors: Tensor) -> Array:
    return vectors.double().norm(dim=1).cpu().numpy()


def _by_layers(
    problem: Problem, population: Population, norms: LayerNorms, over: Array, plan: Plan | str
) -> dict[str, Array]:
    slopes = np.array(norms.chain.slopes)
    reference = "(2,1) distance" if "(2,1) distance" in norms.reading.arrays else "(2,1)"
    found = {
        "product of spectral norms": norms.product("spectral"),
        "product of Frobenius norms": norms.product("Frobenius"),
        "spectral complexity": spectral_complexity(norms["spectral"] * slopes, norms[reference]),
    }
    if norms.chain.kinked:
        found["path norm"] = path_norm(problem, population, plan=plan)
    found |= {f"{name} over margin": product(values, over) for name, values in found.items()}
    largest = norms["spectral"]
    with np.errstate(over="ignore", invalid="ignore"):
        rank = (norms["Frobenius"] / np.where(largest > 0, largest, 1.0)) ** 2  # 0 of a layer that is 0
    found["stable rank"] = rank.sum(1)
    return found


def _by_outputs(problem: Problem, population: Population, examples: ExampleSet, plan: Plan | str) -> dict[str, Array]:
    logits = outputs(problem, population, examples, plan=plan).double()
    if logits.ndim == 3 and logits.shape[2] > 1:
        log = logits.log_softmax(2)
    else:
        yes = logits.reshape(len(logits), -1, 1)
        log = torch.cat([yes, -yes], 2).neg().exp().log1p().neg()
    entropy = -(log.exp() * log).sum(2).mean(1)
    return {"entropy": torch.nan_to_num(entropy, nan=0.0).cpu().numpy()}


def _by_curvature(
    problem: Problem, population: Population, examples: ExampleSet, norm: Array, steps: int, seed: int
) -> dict[str, Array]:
    fisher = fisher_rao_norm(problem, population, on=examples, progress=ignore)
    finite = norm[np.isfinite(norm) & (norm > 0)]
    radius = _SIZE * float(np.median(finite)) if len(finite) else _SIZE
    sharp = worst_case_sharpness(
        problem, population, radius=radius, steps=steps, on=examples, seed=seed, progress=ignore
    )
    return {
        "loss": fisher["loss"],
        "Fisher-Rao norm": np.sqrt(fisher["squared norm"]),
        "sharpness": sharp["sharpness"],
    }
