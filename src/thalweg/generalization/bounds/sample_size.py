"""How many examples a bound needs before it says something."""

from collections.abc import Callable

from thalweg.arguments import in_words
from thalweg.errors import UsageError

_MOST = 10**18


@in_words
def examples_needed(bound: Callable[[int], float], level: float = 1.0, *, least: int = 8) -> int:
    """The smallest sample at which a bound that falls with its size is below a level.

    >>> import thalweg as tw
    >>> b = tw.generalization.bounds
    >>> b.examples_needed(lambda m: b.vc(0.0, m, 38_000, 0.05))
    1663618

    Args:
        bound: of a number of examples.
        level: such as 1, or the error of a guess.
        least: from which the bound is stated.

    Raises:
        UsageError: a bound that is not below the level at 10^18 examples.

    Cost: the bound at some 60 sizes.
    """
    if bound(least) < level:
        return least
    high = least
    while not bound(high) < level:
        high *= 2
        if high > _MOST:
            msg = f"examples_needed: the bound is not below {level:g} at {_MOST:.0e} examples, so it may never be."
            raise UsageError(msg)
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if bound(middle) < level else (middle, high)
    return high
