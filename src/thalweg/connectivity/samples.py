"""On which samples curves and simplexes are evaluated, and whose random numbers they take."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Conditions, Sample
from thalweg.population import Plan, Problem

On = Sample | str | ExampleSet | Sequence[Sample | str | ExampleSet] | None


def sets_of(name: str, problem: Problem, on: On) -> list[Sample | str | ExampleSet]:
    """The sets of examples one by one; None is train, and test where there is one.

    Raises:
        UsageError: an empty list; `name` is who asks.
    """
    if on is None:
        return ["train"] if problem.data.test is None else ["train", "test"]
    sets = list(on) if isinstance(on, Sequence) and not isinstance(on, str) else [on]
    if not sets:
        msg = f"{name} on needs at least one set of examples, such as ['train', 'test']; got none."
        raise UsageError(msg)
    return sets


def labelled(conditions: Sequence[Conditions]) -> list[str]:
    """A name for each set of examples: "train", "test" or "examples", and more of it where two would have one name."""
    names = []
    for one in conditions:
        given = one.drawn.sample.examples
        names.append(given if isinstance(given, str) else "examples")
    if len(set(names)) < len(names):
        names = [one.drawn.text for one in conditions]
    if len(set(names)) < len(names):
        names = [f"{number}: {name}" for number, name in enumerate(names, start=1)]
    return names


def samples_of(
    name: str,
    problem: Problem,
    on: On,
    *,
    statistics: str,
    statistics_count: int,
    plan: Plan | str,
    seed: int,
) -> list[Conditions]:
    """The conditions of each sample; None is train, and test where there is one.

    Raises:
        UsageError: arguments that cannot be meant; `name` is who asks.
    """
    return [
        Conditions.of(
            name, problem, on=one, statistics=statistics, statistics_count=statistics_count, plan=plan, seed=seed
        )
        for one in sets_of(name, problem, on)
    ]


def degrees(samples: Sequence[Conditions], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of standard errors (samples, ...): one below the examples of each; infinite where all were evaluated."""
    each = np.array([np.inf if one.drawn.is_whole else len(one.drawn) - 1 for one in samples])
    return np.broadcast_to(each.reshape(-1, *(1 for _ in errors.shape[1:])), errors.shape)


def seeds_of(name: str, seed: int | Sequence[int], members: int) -> list[int]:
    """A seed for each member: one for all, or one each.

    Raises:
        UsageError: neither; `name` is who asks.
    """
    if isinstance(seed, int) and not isinstance(seed, bool):
        return [seed] * members
    check_type(f"{name} seed", seed, Sequence, "a whole number, or one for each member")
    assert isinstance(seed, Sequence)
    if len(seed) != members:
        msg = f"{name} needs one seed for all, or one for each of {members} members; got {len(seed)}."
        raise UsageError(msg)
    return [int(one) for one in seed]
