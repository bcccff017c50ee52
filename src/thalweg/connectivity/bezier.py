"""Bezier curves of low loss between networks."""

import math
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


def bernstein(t: Float[Tensor, "..."], controls: int) -> Float[Tensor, "... controls"]:
    """Bernstein's polynomials C(n, k) t^k (1 - t)^(n - k), k = 0 to n = controls - 1: exactly 0 and 1 at both ends."""
    n = controls - 1
    return torch.stack([math.comb(n, k) * t**k * (1 - t) ** (n - k) for k in range(controls)], dim=-1)


@guarded
def bezier(
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
    """Join two networks by a Bezier curve whose bends are trained so that the mean loss on it is low.

        phi(t) = sum over k of C(n, k) t^k (1 - t)^(n - k) p_k,    n = bends + 1,  p_0 = first,  p_n = second
        min over p_1, ..., p_(n-1) of the mean over t ~ U(0, 1) of L(phi(t))

    All members' curves are trained at once, as one population.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> first, second = problem.initialize([0, 1]), problem.initialize([2, 3])
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=5, batch_size=50)
    >>> curve = tw.connectivity.bezier(problem, first, second, recipe, points=5)
    >>> curve["loss"].shape, len(curve.control), bool((curve["loss"][0, :, 2] < curve["line loss"][0, :, 2]).all())
    ((2, 2, 5), 3, True)

    Args:
        problem: whose loss on training examples is low on the curve.
        first, second: the ends, as many members in each; only read, and never moved.
        recipe: how the bends are trained, without sweeps; None: momentum at rate 0.1 with weight decay 1e-3, 600 steps
            of 50 examples, by `curve_schedule`. Evaluations and snapshots it may ask for are left out.
        bends: trained control points, at first at equal distances on the straight line. None: 1, or those of `start`.
        draws: values of t a step, all on the same batch.
        sampling: "stratified" (t_i = (i + u) / draws), "antithetic" (t_i and 1 - t_i) or "uniform".
        subspace: the dimension of a random subspace in which the bends may move, as a control; None: all of space.
        start: an earlier curve between these ends, from whose bends training goes on, with new batches, fresh moments
            and the recipe's schedule from its beginning.
        on: on which examples the curve is evaluated when it is trained, one or several; None: train, and test where
            there is one.
        points: at equal distances of t, both ends among them, that are evaluated.
        statistics, statistics_count: of the running statistics at the points (see `evaluation.weighted_sums`); while
            bends are trained, layers normalize by the batch.
        plan: see `train`.
        seed: of the batches, of t and of the subspace: one for all members, who then share batches and t, or one each.
        progress: told how far it is.

    Weight decay is that of phi(t) (see `descend`). A curve whose loss or gradient is not finite is frozen and named.

    Raises:
        UsageError: arguments that cannot be meant.
        KeyboardInterrupt: Ctrl-C, after the step under way.

    Cost: `draws` gradients a step and member, then two evaluations a point and member. Memory: two rows a draw.

    Source: Garipov et al., 2018, arXiv:1802.10026; Draxler et al., 2018, arXiv:1803.00885.
    """
    options = CurveOptions(
        name="bezier",
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
    return joined(problem, first, second, bernstein, options, progress)
