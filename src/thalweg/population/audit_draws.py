"""When stacked results are audited, and of which members: at random, as a function of seed and step alone."""

import torch
from torch import Tensor

from thalweg.population.population import Population
from thalweg.population.problem import Problem
from thalweg.randomness import generator, stream_key

LEAST = 8  # audits a run, or a problem of its evaluations and derivatives; fewer only where there are fewer steps
ONE_IN = 50  # steps beyond which there are more: an audit takes less time than a step of two or more members
ONE_CELL_IN = 400  # outputs of a member on a batch, of which a call audits one
Audited = dict[int, int]  # a member by the number of a batch


class Schedule:
    """Which of the steps first, ..., last - 1 are audited: the first, and one at random in each part of the others.

    There are as many equal parts as audits, `LEAST` or one in `ONE_IN` steps if that is more. It is a function of
    (seed, step) alone, so a run that goes on is audited where the uninterrupted one is.

    >>> from thalweg.population.audit_draws import Schedule
    >>> steps = [step for step in range(2_000) if Schedule(0, 0, 2_000).due(step)]
    >>> len(steps), steps[0], steps[-1] >= 1_950
    (40, 0, True)
    >>> sum(Schedule(0, 5, 10).due(step) for step in range(5, 10))
    5
    """

    def __init__(self, seed: int, first: int, last: int) -> None:
        self.seed, self.first, self.steps = seed, first, last - first
        self.parts = min(self.steps, max(LEAST, self.steps // ONE_IN))
        self._part, self._chosen = -1, -1

    def due(self, step: int) -> bool:
        """Whether this step is audited."""
        place = step - self.first
        part = place * self.parts // self.steps
        if part != self._part:
            start, stop = (-(-number * self.steps // self.parts) for number in (part, part + 1))
            drawn = torch.randint(start, stop, (), generator=generator(self.seed, "audit steps", part))
            self._part, self._chosen = part, int(drawn) if part else 0
        return place == self._chosen


def due(problem: Problem, work: str) -> int | None:
    """The number of a call whose like come again and again, where it is to be audited; else None.

    The first eight calls for a problem are, and then one in fifty, at random.
    """
    number = problem.audits[work] = problem.audits.get(work, -1) + 1
    chosen = number < LEAST or stream_key(0, f"audit {work}", number // ONE_IN) % ONE_IN == number % ONE_IN
    return number if chosen else None


def drawn_member(seed: int, step: int, eligible: Tensor) -> int | None:
    """One of the members that are eligible, at random by (seed, step); None where there is none."""
    order = torch.randperm(len(eligible), generator=generator(seed, "audit", step))
    chosen = order[eligible.cpu()[order]]
    return int(chosen[0]) if len(chosen) else None


def due_member(problem: Problem, work: str, population: Population) -> tuple[int, int] | None:
    """The number of a call that is to be audited, and the member, one whose parameters are finite; else None."""
    number = due(problem, work)
    member = None if number is None else drawn_member(0, number, population.theta.isfinite().all(1))
    return None if number is None or member is None else (number, member)


def drawn_cells(seed: int, number: int, batches: int, eligible: Tensor) -> Audited:
    """Which member is audited on which batches of an evaluation, at random by (seed, number).

    >>> import torch
    >>> from thalweg.population.audit_draws import drawn_cells
    >>> [len(drawn_cells(0, 0, batches, torch.ones(64, dtype=torch.bool))) for batches in (1, 100)]
    [1, 15]

    Args:
        seed, number: of the random stream.
        batches: how many.
        eligible: the members that may be drawn: (members,).

    Returns:
        The member by the number of the batch; one, and more where there are hundreds of members times batches: one for
        every 400, less those that fall on one batch.
    """
    stream, among = generator(seed, "audit evaluation", number), eligible.cpu().nonzero().flatten()
    chosen: Audited = {}
    for _ in range(1 + len(among) * batches // ONE_CELL_IN if len(among) else 0):
        batch = int(torch.randint(batches, (), generator=stream))
        chosen[batch] = int(among[torch.randint(len(among), (), generator=stream)])
    return chosen
