"""The same draw of the initial weights at several scales, as arms of one training run."""

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.population.layout import same_layout

SCALES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0)


@guarded
def scale_of_initialization(
    problem: Problem, seeds: int | Iterable[int] = 1, scales: Sequence[float] = SCALES
) -> dict[str, Population]:
    """The problem's own initialization times s, all trained weights and biases, for every scale s: arms for `train`.

    Seeds are paired: the same draw in every arm. `train(problem, recipe, seeds, start=arms, paired=True)` gives the
    same seed the same batches in every arm, too. Compare arms at equal loss (`run.at_first`) as well as at equal steps,
    which are different questions. The curvature grows with s, so that one rate of plain descent cannot serve all.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> arms = tw.generalization.implicit.scale_of_initialization(problem, 2, [0.125, 1])
    >>> run = tw.train(problem, tw.Recipe(tw.optim.Adam(0.01), 3, 64), seeds=2, start=arms, paired=True)
    >>> list(arms), len(run.final)
    (['0.125', '1'], 4)

    Args:
        problem: whose model is initialized.
        seeds: one a member of each arm; an integer n means 0 to n - 1. Give `train` the same.
        scales: different numbers above 0. Frozen parameters and buffers keep theirs.

    Returns:
        by scale, as `f"{s:g}"`.

    Raises:
        UsageError: scales that cannot be meant.

    References:
        Chizat, Oyallon & Bach (2019), arXiv:1812.07956 (lazy at a large scale); Woodworth et al. (2020),
        arXiv:2002.09277.
    """
    check_type("scale_of_initialization problem", problem, Problem, "a Problem")
    names = [f"{scale:g}" for scale in scales]
    if not names or len(set(names)) < len(names) or not all(0 < scale < math.inf for scale in scales):
        msg = f"scale_of_initialization needs different scales above 0, at least one; got {list(scales)}."
        raise UsageError(msg)
    drawn = problem.initialize(seeds)
    return {name: drawn.with_theta(drawn.theta * scale) for name, scale in zip(names, scales, strict=True)}


def relative_movement(start: Population, end: Population) -> Float[Tensor, " members"]:
    """|theta - theta_0| / |theta_0| of every member: large where features were learned, near 0 where training is lazy.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> start = problem.initialize(2)
    >>> tw.generalization.implicit.relative_movement(start, start.with_theta(3 * start.theta)).round(decimals=4)
    tensor([2., 2.], dtype=torch.float64)

    Args:
        start, end: as many members of one architecture, or a start of one member.

    Returns:
        in float64: (members,); infinite where a start is 0.

    Raises:
        UsageError: populations that do not fit.
    """
    check_type("relative_movement start", start, Population, "a Population such as problem.initialize(3)")
    check_type("relative_movement end", end, Population, "a Population such as run.final")
    same_layout(start.layout, end.layout)
    if len(start) not in (1, len(end)):
        msg = f"relative_movement takes as many starts as ends; got {len(start)} and {len(end)}."
        raise UsageError(msg)
    before, after = start.theta.double(), end.theta.double()
    return torch.linalg.vector_norm(after - before, dim=1) / torch.linalg.vector_norm(before, dim=1)
