"""The seeds that a verb is given, one by one."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from thalweg.errors import UsageError
from thalweg.randomness import numbered
from thalweg.sweep import plain


def seeds_of(what: str, seeds: Any, bytes_each: int, *, repeated: bool = False) -> list[int]:
    """The seeds of an argument `seeds`: 0 to n - 1 where it is a number n.

    >>> from thalweg.training.seeds import seeds_of
    >>> seeds_of("train", 3, 4), seeds_of("train", [7, 5], 4)
    ([0, 1, 2], [7, 5])

    Args:
        what: the verb.
        seeds: as given.
        bytes_each: what a member takes of this process's memory.
        repeated: whether one may be there more than once.

    Raises:
        UsageError: none, one twice, others than whole numbers, or more than fit.
    """
    if getattr(seeds, "ndim", 1) == 0:
        seeds = plain(seeds)
    if isinstance(seeds, int | np.integer):
        seeds = numbered(what, int(seeds), bytes_each)
    given = seeds if isinstance(seeds, Iterable) and not isinstance(seeds, str) else [seeds]
    chosen = [plain(seed) for seed in given]
    twice = len(set(chosen)) < len(chosen) and not repeated
    if not chosen or twice or not all(isinstance(seed, int) for seed in chosen):
        msg = f"{what} seeds must be how many, at least 1, or a list of whole numbers, each once; got "
        msg += f"{seeds.stop if isinstance(seeds, range) and not seeds else seeds!r}."
        raise UsageError(msg)
    return chosen
