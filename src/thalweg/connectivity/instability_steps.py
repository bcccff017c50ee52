"""At which steps copies part, and of which seeds."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from thalweg.errors import UsageError, check_type
from thalweg.randomness import numbered
from thalweg.training import MemberGrid, Recipe

At = int | float | Sequence[int | float]


def parting_steps(recipe: Recipe, at: At, *, last: int) -> list[int]:
    """The steps meant by whole numbers, which are steps, and by others, which are shares of the recipe's steps.

    >>> import thalweg as tw
    >>> from thalweg.connectivity.instability_steps import parting_steps
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=200)
    >>> parting_steps(recipe, (0.2, 0, 0.05, 10, 3), last=199)
    [0, 3, 10, 40]

    Args:
        recipe: by which the copies are trained.
        at: one or several: an int is a step, a float between 0.0 and 1.0 a share; 1 is the first step and 1.0 the last.
        last: the last step that is possible.

    Raises:
        UsageError: none at all, what is neither, or a step beyond the last one.
    """
    listed: Any = at.tolist() if hasattr(at, "tolist") else at
    given = [listed] if isinstance(listed, int | float) else listed
    check_type("instability at", given, list | tuple | range, "steps and shares of all steps, such as (0, 10, 0.2)")
    if not given:
        msg = "instability needs at least one step at which copies part; write at=(0, 0.05, 0.2)."
        raise UsageError(msg)
    return sorted({_step(recipe, one, last) for one in given})


def _step(recipe: Recipe, one: Any, last: int) -> int:
    step = None
    if isinstance(one, float) and 0 <= one <= 1:
        step = round(one * recipe.steps)
    elif isinstance(one, Integral) and not isinstance(one, bool):
        step = int(one)
    if step is None or not 0 <= step <= last:
        beyond = "" if step is None else f", which is step {step}"
        msg = (
            f"Copies part at a step from 0 to {last:,} (an int), or at a share of the {recipe.steps:,} steps (a float "
            f"from 0.0 to 1.0); got {one!r}{beyond}."
        )
        raise UsageError(msg)
    return step


def parting_seeds(recipe: Recipe, seeds: int | Sequence[int]) -> list[int]:
    """The seeds one by one: at least two, since everything is said with an interval over them.

    Raises:
        UsageError: fewer than two, one that is given twice or is no whole number, or a recipe with sweeps.
    """
    check_type("instability recipe", recipe, Recipe, "a Recipe")
    listed: Any = seeds.tolist() if hasattr(seeds, "tolist") else seeds
    given: Any = (
        list(numbered("instability", listed, 1)) if isinstance(listed, int) and not isinstance(listed, bool) else listed
    )
    check_type("instability seeds", given, list | tuple | range, "how many, or a list of whole numbers")
    whole = all(isinstance(seed, Integral) and not isinstance(seed, bool) for seed in given)
    if not whole or len(given) < 2 or len(set(given)) < len(given):
        msg = f"instability needs at least 2 seeds for its intervals, whole numbers and each once; got {seeds!r}."
        raise UsageError(msg)
    given = [int(seed) for seed in given]
    swept = [name for name in MemberGrid(recipe, given[:1]).axes if name != "seed"]
    if swept:
        msg = (
            f"instability trains one trunk a seed; leave sweeps out of the recipe (it sweeps {', '.join(swept)}) and "
            "call it once for each value."
        )
        raise UsageError(msg)
    return given
