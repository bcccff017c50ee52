"""Where the members of a run began and where they ended, of those that can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_type
from thalweg.population import Population, Problem
from thalweg.training import Run


@dataclass(frozen=True, eq=False)
class Endpoints:
    """The same members before and after training.

    Args:
        start, final: as populations, row by row the same member.
        members: which they are in the run: (members,).
        notes: what a reader should know of the choice.
    """

    start: Population
    final: Population
    members: NDArray[np.int64]
    notes: tuple[str, ...]


def endpoints(
    name: str, problem: Problem, run: Run | Population, start: Population | None, members: Sequence[int] | None
) -> Endpoints:
    """The members of a run, or of a trained population with its start, that stayed finite.

    The start of a run is its snapshot of the step at which it began; without one, members that were initialized by
    seed are initialized again.

    Raises:
        UsageError: a start that is not known or does not fit, members that were trained in different ways, or none
            that stayed finite.
    """
    check_type(f"{name} problem", problem, Problem, "a Problem")
    check_type(f"{name} run", run, (Run, Population), "a Run, or a trained Population with start=")
    final = run.final if isinstance(run, Run) else run
    problem.check(final)
    begun = _start(name, problem, run, start)
    problem.check(begun)
    if len(begun) != len(final):
        msg = f"{name} start must have the run's {len(final)} members; got {len(begun)}."
        raise UsageError(msg)
    chosen = np.arange(len(final)) if members is None else np.atleast_1d(np.asarray(members))
    if not len(chosen) or chosen.dtype.kind not in "iu" or (chosen < 0).any() or (chosen >= len(final)).any():
        msg = f"{name} members must be some of 0 to {len(final) - 1}, such as run.select(lr=0.1); got {members!r}."
        raise UsageError(msg)
    if isinstance(run, Run):
        _check_alike(name, run, chosen)
    finite = (final.theta.isfinite().all(1) & begun.theta.isfinite().all(1)).cpu().numpy()
    if isinstance(run, Run):
        finite = finite & (run.diverged_at < 0)
    kept = chosen[finite[chosen]]
    if not len(kept):
        msg = f"{name} needs a member that stayed finite; all {len(chosen)} diverged."
        raise UsageError(msg)
    lost = len(chosen) - len(kept)
    notes = (f"{lost} of {len(chosen)} members diverged and are left out.",) if lost else ()
    return Endpoints(begun[kept.tolist()], final[kept.tolist()], kept, notes)


def _start(name: str, problem: Problem, run: Run | Population, start: Population | None) -> Population:
    if start is not None:
        check_type(f"{name} start", start, Population, "a Population, where the members began")
        return start
    if not isinstance(run, Run):
        msg = f"{name} of a Population needs start=, the same members before training; or give the Run."
        raise UsageError(msg)
    began = {int(step) for step in run.state.began}
    if len(began) == 1 and (first := began.pop()) in run.snapshots:
        return run.snapshots[first]
    if all(origin.rows is None for origin in run.grid.origins):
        fresh = problem.initialize(run.grid.seeds)
        return fresh if run.final.mask is None else fresh.with_mask(run.final.mask)
    msg = (
        f"{name} does not know where the members began: the run has no snapshot of it. Train with Recipe(..., "
        "snapshot=(0,)), or write start= for the population that it was started from."
    )
    raise UsageError(msg)


def _check_alike(name: str, run: Run, chosen: NDArray[np.int64]) -> None:
    """Raise UsageError where members differ in more than their seed."""
    for axis, values in run.axes.items():
        here = np.unique(values[chosen])
        if axis not in ("seed", "start_member") and len(here) > 1:
            msg = (
                f"{name} takes members that differ in their seed alone, and these have {len(here)} values of {axis!r}; "
                f"write members=run.select({axis}={here[0].item()!r})."
            )
            raise UsageError(msg)
