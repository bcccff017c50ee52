"""LAN6: the higher the loss of a critical point, the more directions lead down from it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot

from thalweg.claims import Claim, Finding, greater
from thalweg.curvature import hessian
from thalweg.data import digits
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, Scatter
from thalweg.landscape import CriticalPoints, critical_points
from thalweg.nets import mlp
from thalweg.optim import Momentum
from thalweg.population import Batch, Population, Problem
from thalweg.population.derivatives import gradient
from thalweg.randomness import stream_key
from thalweg.spectra import negative_index
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="LAN6",
    statement="The higher the loss of a critical point, the larger the share of directions in which the loss curves "
    "downwards there: at the bottom it is about 0, and far above it critical points are saddles.",
    lecture="In high dimension there are no local minima, mostly saddles.",
    rule=greater(0),
    unit="Spearman's rank correlation of loss and share of negative eigenvalues, over the critical points of a seed",
    corrected="Bad minima exist (Safran & Shamir, 2018, arXiv:1712.08968). What can be tested is whether searches "
    "come upon them, and those from training runs and random points are no fair sample of all critical points.",
)
# Settings were looked at on the seeds 900 to 902, on which nothing is scored. Decay bounds the landscape and makes its
# critical points isolated: without it tanh networks of nearly linear units have valleys with hardly a slope, in which
# most searches end (Frye et al., 2021, arXiv:2003.10397).
WIDTHS = {"quick": (6, 5, 4), "full": (8, 8, 10)}  # of the network; the last is how many of the digits
DECAY = 5e-3
SMALL = 0.2  # a fresh network by this starts near the saddle at zero, and comes by others
SPREAD = (0.5, 2.0)  # a fresh network by a number between is a random point
TOLERANCE = 1e-9  # of the gradient's norm, by that of fresh networks
FEWEST = 4  # different critical points of a seed that have a rank correlation


class Decayed(nn.Module):
    """An MLP with tanh whose second output is the sum of squares of its parameters, for a loss with weight decay."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.network = mlp(*widths, activation="tanh")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (batch, classes), and the sum of squares (batch,)."""
        squares = torch.stack([parameter.square().sum() for parameter in self.network.parameters()]).sum()
        return self.network(x), squares.expand(len(x))


@dataclass(frozen=True)
class Start:
    """Where searches begin: one population of all seeds, and of each member its seed's place and its kind."""

    population: Population
    seed: NDArray[np.int64]
    kind: NDArray[np.str_]


def problem_of(lab: Lab) -> Problem:
    """Digits in their first principal components, by squared error with weight decay, on a small smooth network."""
    widths, count = WIDTHS[lab.scale], lab.pick(quick=100, full=200)
    train = digits().train
    x, labels = (torch.as_tensor(part) for part in train.slice(0, len(train)))
    some = (labels < widths[-1]).nonzero().flatten()[:count]
    centered = (x[some] - x[some].mean(0)).double()
    components = torch.linalg.svd(centered, full_matrices=False)[2][: widths[0]]
    components = components * components.sum(1, keepdim=True).sign()  # which an SVD leaves open

    def error(outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return (outputs[0] - target).square().mean(-1)

    def loss(outputs: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        return error(outputs, target) + DECAY / 2 * outputs[1]

    data = centered @ components.T, one_hot(labels[some], widths[-1]).double()
    return Problem(
        lambda: Decayed(widths), data, loss, metrics={"error": error}, device=lab.device, dtype=torch.float64
    )


def starts(problem: Problem, lab: Lab, seeds: list[int]) -> Start:
    """Points along a training run of each seed that begins small, and random points."""
    steps = lab.pick(quick=(4, 7, 12, 30, 400), full=(6, 8, 12, 16, 24, 100, 1_000, 4_000))
    fresh = problem.initialize(seeds)
    recipe = Recipe(Momentum(2.0), steps[-1], evaluate=0, snapshot=steps)
    small = fresh.with_theta(SMALL * fresh.theta)
    run = train(problem, recipe, seeds, start=small, progress=labelled(lab, "LAN6, training"))
    points, kinds = [population.theta for population in run.snapshots.values()], ["run"] * len(steps)
    for number, scale in enumerate(np.geomspace(*SPREAD, lab.pick(quick=3, full=4))):
        keys = [stream_key(seed, "random point", number) for seed in seeds]
        points.append(float(scale) * problem.initialize(keys).theta)
        kinds.append("random")
    population = problem.initialize([0]).with_theta(torch.cat(points))
    return Start(population, np.tile(np.arange(len(seeds)), len(kinds)), np.repeat(kinds, len(seeds)))


def different(losses: Array) -> NDArray[np.bool_]:
    """One of all values that agree to 1e-7 of the largest (points,): the first in ascending order, as a mask."""
    order = losses.argsort(kind="stable")
    ascending = losses[order]
    apart = 1e-7 * np.abs(ascending).max(initial=0)
    mask = np.zeros(len(losses), dtype=bool)
    mask[order] = np.diff(ascending, prepend=-np.inf) > apart
    return mask


def rank_correlation(first: Array, second: Array) -> float:
    """Spearman's; NaN of fewer than `FEWEST` points, or where all of one are equal."""
    from scipy import stats

    if len(first) < FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def over_seeds(correlations: Array) -> interval.Interval:
    """The mean over the seeds that have a correlation, by Gaffke's interval on (1 + correlation)/2, from 0 to 1.

    Where a few seeds all have 1 it does not take that for certain.
    """
    known = correlations[np.isfinite(correlations)]
    if not len(known):
        return interval.Interval(math.nan, math.nan, math.nan, 0, "no seed has a rank correlation")
    found = interval.fraction((1 + known) / 2)
    ends = {name: 2 * getattr(found, name) - 1 for name in ("estimate", "low", "high")}
    return replace(found, **ends, method=found.method.replace("fractions", "rank correlations"))


@dataclass(frozen=True)
class Found:
    """What was measured where each search ended; NaN where that is no critical point: (searches,) each.

    Args:
        loss, error: with decay and without.
        index: share of negative eigenvalues.
        smallest: eigenvalue.
        single: whether it is a critical point, and the first with its loss of its seed.
    """

    loss: Array
    error: Array
    index: Array
    smallest: Array
    single: NDArray[np.bool_]


def measured(problem: Problem, start: Start, search: CriticalPoints) -> Found:
    """Loss and index of the critical points."""
    found = search.converged
    loss, error, index, smallest = np.full((4, len(found)), np.nan)
    if found.any():
        points = search.population[found.nonzero()[0].tolist()]
        values, curvature = evaluate(problem, points, problem.data.train), negative_index(hessian(problem, points))
        loss[found], error[found] = values["loss"].numpy(), values["error"].numpy()
        index[found], smallest[found] = curvature["negative"], curvature["smallest eigenvalue"]
    single = np.zeros(len(found), dtype=bool)
    for seed in np.unique(start.seed):
        mine = (found & (start.seed == seed)).nonzero()[0]
        single[mine[different(loss[mine])]] = True
    return Found(loss, error, index, smallest, single)


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on LAN6."""
    _, seeds = tuning_and_scored(lab, 0, lab.pick(quick=6, full=10))
    problem = problem_of(lab)
    whole = Batch.range(problem.data.train, 0, len(problem.data.train))
    norms = torch.linalg.vector_norm(gradient(problem, problem.initialize(seeds), whole), dim=1)
    start = starts(problem, lab, seeds)
    search = critical_points(
        problem,
        start.population,
        tolerance=TOLERANCE * float(norms.mean()),
        steps=lab.pick(quick=60, full=80),
        progress=labelled(lab, "LAN6, critical points"),
    )
    yield finding(lab, problem, seeds, start, search)


def finding(lab: Lab, problem: Problem, seeds: list[int], start: Start, search: CriticalPoints) -> Finding:
    """What the points that were found say; undecided where they are too few."""
    found = measured(problem, start, search)
    own = [found.single & (start.seed == seed) for seed in range(len(seeds))]
    correlations = np.array([rank_correlation(found.loss[mine], found.index[mine]) for mine in own])
    by_error = np.array([rank_correlation(found.error[mine], found.index[mine]) for mine in own])
    losses, index = found.loss[found.single], found.index[found.single]
    high = losses > (losses.min() + losses.max()) / 2 if len(losses) else np.zeros(0, dtype=bool)
    lowest = np.array([found.index[mine][found.loss[mine].argmin()] for mine in own if mine.any()])
    flat = (~search.converged & (search["curvature along the gradient"] < 1e-3)).sum()
    verdict = CLAIM.judge(
        over_seeds(correlations),
        numbers={
            "searches": len(found.single),
            "searches that ended at a critical point": int(search.converged.sum()),
            "searches that ended at a minimum of |g| that is not 0": int(flat),
            "different critical points": len(losses),
            "minima among them": int((index == 0).sum()),
            "of high loss, in the upper half of the range": int(high.sum()),
            "minima among those of high loss": int((index[high] == 0).sum()),
            "share of negative eigenvalues at the lowest point of each seed": lowest.tolist(),
            "rank correlation with the loss without decay": str(over_seeds(by_error)),
            f"seeds with fewer than {FEWEST} points, left out": int(np.isnan(correlations).sum()),
        },
    )
    parts = {"from a training run": start.kind == "run", "from a random point": start.kind == "random"}
    widths = WIDTHS[lab.scale]
    figure = Figure.of(
        "Critical points",
        tuple(
            Scatter(found.index[found.single & part], found.loss[found.single & part], label=label)
            for label, part in parts.items()
        ),
        Axis("share of negative eigenvalues"),
        Axis("loss with decay"),
        caption=f"MLP {'-'.join(map(str, widths))} with tanh, {problem.layout.parameters} parameters; "
        f"{len(problem.data.train)} digits in {widths[0]} principal components; squared error with weight decay "
        f"{DECAY:g}; {len(seeds)} seeds. Gradients are below {TOLERANCE:g} of a fresh network's.",
    )
    names = ("loss", "loss without decay", "negative index", "smallest eigenvalue", "first with its loss")
    table = np.stack([found.loss, found.error, found.index, found.smallest, found.single])
    sentences = [
        f"{int(search.converged.sum())} of {len(found.single)} searches ended at a critical point, {len(losses)} of "
        f"them different; {int(high.sum())} have a loss in the upper half of the range, and "
        f"{int((index[high] == 0).sum())} of these are minima."
    ]
    if len(lowest):
        sentences.append(f"At the lowest of each seed {lowest.mean():.1%} of the eigenvalues are negative.")
    return Finding(
        verdict,
        figures=(figure,),
        readings=(
            reading(lab, "rank correlation of loss and index", correlations, {"seed": seeds}),
            reading(
                lab,
                "where searches ended",
                table,
                {"of a point": names, "search": np.arange(len(found.single))},
                notes=("NaN where a search did not end at a critical point.",),
            ),
        ),
        sentences=tuple(sentences),
    )
