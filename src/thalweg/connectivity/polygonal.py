"""Polygonal chains of low loss between networks."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.connectivity.curve import Curve
from thalweg.connectivity.curve_training import CurveOptions, joined
from thalweg.data import ExampleSet
from thalweg.evaluation import Sample
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic
from thalweg.training import Recipe


def hats(t: Float[Tensor, "..."], controls: int) -> Float[Tensor, "... controls"]:
    """max(0, 1 - |n t - k|), k = 0 to n = controls - 1: linear between neighbors, exactly 0 and 1 at control points."""
    places = torch.arange(controls).to(t)
    return (1 - ((controls - 1) * t.unsqueeze(-1) - places).abs()).clamp_min(0)


@guarded
def polygonal(
    problem: Problem,
    first: Population,
    second: Population,
    recipe: Recipe | None = None,
    *,
    bends: int | None = None,
    draws: int = 2,
    sampling: str = "stratified",
    subspace: int | None = None,
    start: Curve | None = None,
    on: Sample | str | ExampleSet | Sequence[Sample | str | ExampleSet] | None = None,
    points: int = 61,
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int | Sequence[int] = 0,
    progress: Watcher | None = automatic,
) -> Curve:
    """Join two networks by straight pieces from bend to bend, trained so that the mean loss on them is low.

        phi(t) = sum over k of max(0, 1 - |n t - k|) p_k,    n = bends + 1,  p_0 = first,  p_n = second
        min over p_1, ..., p_(n-1) of the mean over t ~ U(0, 1) of L(phi(t))

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=5, batch_size=50)
    >>> curve = tw.connectivity.polygonal(
    ...     problem, problem.initialize([0]), problem.initialize([1]), recipe, bends=2, points=4
    ... )
    >>> curve.weights([0.0, 0.5, 1.0]).tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 1.0]]

    Args:
        problem, first, second, recipe, bends, draws, sampling, subspace, start, on, points, statistics,
            statistics_count, plan, seed, progress: see `bezier`.

    Raises:
        UsageError: arguments that cannot be meant.
        KeyboardInterrupt: Ctrl-C, after the step under way.

    Cost: that of `bezier`.

    Source: Garipov et al., 2018, arXiv:1802.10026.
    """
    options = CurveOptions(
        name="polygonal",
        recipe=recipe,
        bends=bends,
        draws=draws,
        sampling=sampling,
        subspace=subspace,
        start=start,
        on=on,
        points=points,
        statistics=statistics,
        statistics_count=statistics_count,
        plan=plan,
        seed=seed,
    )
    return joined(problem, first, second, hats, options, progress)
