"""An observer that keeps what a function says of every member."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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

    Args:
        function: of (step, population), which it only reads, to a number or an array for each member: (members, ...).
            It is given each member as it is among any others, so what it gives of one must not depend on the rest.
        every: steps from one call to the next.

    Attributes:
        steps: of the calls.

    Raises:
        UsageError: arguments that cannot be meant; in training, what has no row for each member.
    """

    function: Callable[[int, Population], Tensor | ArrayLike]
    every: int = 1
    steps: list[int] = field(default_factory=list, init=False)
    _found: list[NDArray[Any]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        check_type("Observed function", self.function, Callable, "a function of (step, population)")
        check_count("Observed every", self.every)

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
        """Call the function, and keep a copy of what it gives."""
        given = self.function(step, population)
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
        part.steps, part._found = list(self.steps), [found[rows] for found in self._found]
        return part

    def heard(self) -> tuple[list[int], list[NDArray[Any]]]:
        """What it knows, to be sent back to the whole; `train` calls this."""
        return self.steps, self._found

    def merge(self, heard: Sequence[tuple[list[int], list[NDArray[Any]]]]) -> None:
        """Take what parts heard, in the order of their members; `train` calls this."""
        self.steps = heard[0][0]
        self._found = [np.concatenate(parts) for parts in zip(*(found for _, found in heard), strict=True)]
