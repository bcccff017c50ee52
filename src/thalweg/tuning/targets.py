"""The loss that a comparison takes as reached, where none is given."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SLACK = 0.05  # of the way from the loss that is reached to that before training
_COUNTS = 0.5  # of the way down that the best rule comes, from which on a rule has a say


def reachable(
    problems: Sequence[str], rules: Sequence[str], tuned: NDArray[np.float64], before: NDArray[np.float64]
) -> tuple[NDArray[np.float64], list[str]]:
    """The worst tuned loss of each problem, a little of the way back to the loss before: (problems,).

    Rules that come less than half as far down as the best one have no say, or one that hardly learns would set a target
    that all reach in a step; a warning names them. NaN where no rule learns.

    Args:
        problems, rules: their names.
        tuned: at the end: (problems, rules), infinite where a rule diverged.
        before: training: (problems,).
    """
    way = before[:, None] - tuned
    furthest = way.max(1, keepdims=True)
    counts = (way > 0) & (way >= _COUNTS * furthest)
    found = np.where(counts.any(1), np.where(counts, tuned, -np.inf).max(1), np.nan)
    warnings = [
        f"{rule} on {problem} comes {100 * max(way[row, column], 0) / furthest[row, 0]:.2g} % as far down as the best "
        "rule: the target is set without it."
        for row, problem in enumerate(problems)
        for column, rule in enumerate(rules)
        if np.isfinite(tuned[row, column]) and furthest[row, 0] > 0 and not counts[row, column]
    ]
    return found + _SLACK * (before - found), warnings
