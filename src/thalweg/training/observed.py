"""An observer that keeps what a function says of every member."""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from thalweg.errors import UsageError, check_count, check_type
from thalweg.population import Population


@dataclass(eq=False)
class Observed:
    """Keeps what a function gives for every member, as training runs: pass it to `train(observe=...)`.

    It can be cut, so that workers may train slices of what it observes.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> norms = tw.training.Observed(lambda step, members: members.theta.norm(dim=1), every=2)
    >>> run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=4, batch_size=64), seeds=3, observe=norms)
    >>> norms.steps, norms.values.shape
    ([0, 2, 4], (3, 3))

    What members have of their own is cut with them:

    >>> begun = problem.initialize(3).theta
    >>> moved = lambda step, members, begun: (members.theta - begun).norm(dim=1)
    >>> away = tw.training.Observed(moved, at=[0, 3], own=[begun])
    >>> run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=4, batch_size=64), seeds=3, observe=away)
    >>> away.steps, away.values[0].tolist(), bool((away.values[1] > 0).all())
    ([0, 3], [0.0, 0.0, 0.0], True)

    Args:
        function: of (step, population), which it only reads, to a number or an array for each member: (members, ...).
            It is given each member as it is among any others, so what it gives of one must not depend on the rest.
        every: steps from one call to the next.
        at: the steps of calls, of those that `every` names; None: all of them.
        own: arrays or tensors with a row for each member, whose rows the function is given, too: after the population,
            one by one.

    Attributes:
        steps: of the calls.

    Raises:
        UsageError: arguments that cannot be meant; in training, what has no row for each member.
    """

    function: Callable[..., Tensor | ArrayLike]
    every: int = 1
    at: Collection[int] | None = None
    own: Sequence[Tensor | NDArray[Any]] = field(default=(), repr=False)
    steps: list[int] = field(default_factory=list, init=False)
    _found: list[NDArray[Any]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check_type("Observed function", self.function, Callable, "a function of (step, population)")
        check_count("Observed every", self.every)
        check_type("Observed at", self.at, (Collection, NoneType), "the steps to observe, such as [0, 10, 100]")
        check_type("Observed own", self.own, Sequence, "a list of arrays with a row for each member")

    @property
    def values(self) -> NDArray[Any]:
        """What the function gave: (calls, members, ...).

        Raises:
            UsageError: it was not called yet.
        """
        if not self._found:
            msg = "Observed was given no step yet; pass it to train(observe=...), or call it with (step, population)."
            raise UsageError(msg)
        return np.stack(self._found)

    def __call__(self, step: int, population: Population) -> None:
        """Call the function, if it is the step's turn, and keep a copy of what it gives."""
        if self.at is not None and step not in self.at:
            return
        for one in self.own:
            if len(one) != len(population):
                msg = f"Observed own needs a row for each of {len(population)} members; got shape {tuple(one.shape)}."
                raise UsageError(msg)
        given = self.function(step, population, *self.own)
        found = np.array(given.detach().cpu().numpy() if isinstance(given, Tensor) else given)
        if found.shape[:1] != (len(population),):
            msg = (
                f"What is observed must have a row for each of {len(population)} members; the function gave shape "
                f"{found.shape}."
            )
            raise UsageError(msg)
        self.steps.append(step)
        self._found.append(found)

    def forget(self, step: int) -> None:
        """Drop what came at this step and later, which comes again; `train` calls this."""
        kept = sum(one < step for one in self.steps)
        self.steps, self._found = self.steps[:kept], self._found[:kept]

    def part(self, rows: slice) -> "Observed":
        """One that goes on with neighboring members; `train` calls this where workers train slices."""
        part = copy.copy(self)
        part.own = [one[rows] for one in self.own]
        part.steps, part._found = list(self.steps), [found[rows] for found in self._found]
        return part

    def heard(self) -> tuple[list[int], list[NDArray[Any]]]:
        """What it knows, to be sent back to the whole; `train` calls this."""
        return self.steps, self._found

    def merge(self, heard: Sequence[tuple[list[int], list[NDArray[Any]]]]) -> None:
        """Take what parts heard, in the order of their members; `train` calls this."""
        self.steps = heard[0][0]
        self._found = [np.concatenate(parts) for parts in zip(*(found for _, found in heard), strict=True)]
