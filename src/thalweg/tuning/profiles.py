"""How often a method is how close to the best, over problems."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError


def time_to_target(steps: ArrayLike, losses: ArrayLike, target: float) -> NDArray[np.float64]:
    """The first evaluated step at which each run's loss is at most the target: (members,), infinite where never.

    Args:
        steps: evaluated: (evaluations,).
        losses: (evaluations, members); NaN where a run has diverged.
        target: the loss to reach.
    """
    at, values = np.asarray(steps, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    reached = values <= target
    return np.where(reached.any(0), at[reached.argmax(0)], np.inf)


def performance_profile(costs: ArrayLike, ratios: ArrayLike) -> NDArray[np.float64]:
    """The share of problems that each method solves within a ratio of the best method's cost: (ratios, methods).

    rho_m(r) = |{p : cost_pm <= r min_m' cost_pm'}| / problems (Dolan & More, 2002, doi:10.1007/s101070100263).

    Args:
        costs: such as steps to a target: (problems, methods), infinite where it was not solved.
        ratios: at least 1: (ratios,).

    Raises:
        UsageError: costs that are no table of positive numbers.
    """
    table, best = _costs(costs)
    within = table[None] <= np.asarray(ratios, dtype=np.float64)[:, None, None] * best[None, :, None]
    return (within & np.isfinite(table)).mean(1)


def profile_score(costs: ArrayLike, *, most: float = 4.0) -> NDArray[np.float64]:
    """The mean height of each method's profile over ratios 1 to `most`: (methods,), 1 where it is always the best.

    The integral is exact: a problem solved at ratio r adds (most - r)/(most - 1) (AlgoPerf: Dahl et al., 2023,
    arXiv:2306.07179, section 4.2).
    """
    if not most > 1:
        msg = f"profile_score most must be a ratio above 1; got {most}."
        raise UsageError(msg)
    table, best = _costs(costs)
    solved = np.isfinite(table)
    ratio = np.where(solved, table, np.inf) / np.where(np.isfinite(best), best, 1.0)[:, None]
    return (np.clip(most - np.where(solved, ratio, most), 0, None) / (most - 1)).mean(0)


def _costs(costs: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = np.asarray(costs, dtype=np.float64)
    if table.ndim != 2 or not table.size or not (table > 0).all():
        msg = f"Costs are positive numbers (problems, methods), infinite where unsolved; got shape {table.shape}."
        raise UsageError(msg)
    return table, table.min(1)
