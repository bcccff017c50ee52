"""The checkpoints of a user as one population, and all pairs of them."""

from collections.abc import Sequence
from itertools import combinations

from torch import nn

from thalweg.connectivity.ends import check_ends
from thalweg.errors import UsageError, check_type
from thalweg.evaluation.anchors import differences
from thalweg.population import Population, Problem

Checkpoints = Population | Sequence[Population | nn.Module]
Pair = tuple[int, int]


def population_of(problem: Problem, checkpoints: Checkpoints, *, statistics: str) -> Population:
    """The checkpoints as members of one population, after everything that speaks against it has been looked for.

    >>> import thalweg as tw
    >>> from thalweg.connectivity.between_checkpoints import population_of
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> modules = [problem.model(), problem.model()]
    >>> len(population_of(problem, [problem.initialize(1), *modules], statistics="recompute"))
    3

    Raises:
        UsageError: a single network, networks of another architecture (every difference of each is listed), networks
            that are not finite, or between which there are none (see `barrier`).
    """
    check_type("between problem", problem, Problem, "a Problem")
    population = Population.concatenate(_parts(problem, checkpoints))
    problem.check(population)
    if len(population) < 2:
        msg = "between needs at least 2 checkpoints; got 1. Files are read by problem.load(['one.pt', 'two.pt'])."
        raise UsageError(msg)
    lost = (~population.theta.isfinite().all(1)).nonzero().flatten().tolist()
    if lost:
        kept = [member for member in range(len(population)) if member not in lost]
        which = f"checkpoint {lost[0]} has" if len(lost) == 1 else f"checkpoints {', '.join(map(str, lost))} have"
        msg = f"between needs networks that did not diverge, and {which} parameters that are not finite; "
        raise UsageError(msg + f"leave out what diverged: of a Population write population[{kept}].")
    check_ends("between", problem, list(population), statistics=statistics)
    return population


def _parts(problem: Problem, checkpoints: Checkpoints) -> list[Population]:
    """A population for every part of what was given, all of the problem's architecture."""
    wanted = "a Population, a list of Populations or modules, or what problem.load(['one.pt', 'two.pt']) gives"
    check_type("between checkpoints", checkpoints, (Population, Sequence, nn.Module), wanted)
    given = [checkpoints] if isinstance(checkpoints, Population | nn.Module) else list(checkpoints)
    if not given:
        msg = f"between needs at least 2 checkpoints; got none. Give {wanted}."
        raise UsageError(msg)
    parts: list[Population] = []
    for one in given:
        check_type("between checkpoint", one, (Population, nn.Module), wanted)
        module = isinstance(one, nn.Module)
        parts.append(Population.of([one]).to(problem.device, problem.dtype) if module else one)
    model, number, faults = problem.initialize(1), 0, []
    for part in parts:
        found = differences(model, part)
        if found:
            faults.append(f"checkpoint {number}: {'; '.join(found)}")
        number += len(part)
    if faults:
        msg = (
            "between needs networks of the problem's architecture, and weights of others have no line between them. In "
            f"what they differ, the problem's model first and the checkpoint second: {'. '.join(faults)}."
        )
        raise UsageError(msg)
    return parts


def pairs_of(count: int) -> list[Pair]:
    """All pairs of so many.

    >>> from thalweg.connectivity.between_checkpoints import pairs_of
    >>> pairs_of(3)
    [(0, 1), (0, 2), (1, 2)]
    """
    return list(combinations(range(count), 2))
