"""Training sets dealt out of one set of examples: disjoint ones, and one with labels of its own for every seed."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import Data, Examples
from thalweg.errors import DataError, UsageError
from thalweg.randomness import generator


def dealt(
    examples: int, sets: int, size: int, *, seed: int, stream: str
) -> tuple[Int64[Tensor, "sets size"], Int64[Tensor, " rest"]]:
    """Which of the examples are in each of several disjoint sets, and which are in none, all in a random order.

    >>> from thalweg.generalization.dealt import dealt
    >>> sets, rest = dealt(10, 3, 2, seed=0, stream="example")
    >>> sets.shape, sorted([*sets.flatten().tolist(), *rest.tolist()]) == list(range(10))
    (torch.Size([3, 2]), True)

    Args:
        examples: how many there are, at least sets x size.
        sets, size: how many sets, and how many examples in each.
        seed, stream: the stream of the draw.
    """
    order = torch.randperm(examples, generator=generator(seed, stream))
    return order[: sets * size].view(sets, size), order[sets * size :]


def own_sets(
    data: Data, n: int, noise: float, seeds: Sequence[int]
) -> tuple[list[Examples], Examples, NDArray[np.bool_]]:
    """A noisy training set for every seed, clean examples, and which of those each seed is tested on.

    The sets are disjoint where there are enough examples for that and to test on as many as are trained on; if not,
    each seed draws its own, and is tested on what it did not draw.

    >>> import thalweg as tw
    >>> from thalweg.generalization.dealt import own_sets
    >>> sets, pool, tested = own_sets(tw.data.digits(), 100, 0.2, [0, 1])
    >>> [len(one) for one in sets], len(pool), bool(tested.all())
    ([100, 100], 1597, True)

    Args:
        data: classes, in memory, in training and test set together.
        n: examples of each set.
        noise: the share of labels of each set that are made wrong.
        seeds: of the sets and their noise.

    Returns:
        the sets; examples; (seeds, examples).

    Raises:
        UsageError: no example is left to test on, or labels that are noisy already.
        DataError: examples that are not one tensor of numbers each.
    """
    whole = _whole(data)
    total, count = len(whole), len(seeds)
    if total - count * n >= n:
        sets, rest = dealt(total, count, n, seed=min(seeds), stream="own sets")
        pool, tested = whole.select(rest), np.ones((count, len(rest)), dtype=bool)
        clean = [whole.select(rows) for rows in sets]
    else:
        pool = data.split_anew(1, seed=0, stream="own sets").test
        assert isinstance(pool, Examples)
        if len(pool) <= n:
            msg = f"{data.name!r} has {total:,} examples, and {n:,} of them to train on leave none to test on."
            raise UsageError(msg)
        tested, clean = np.ones((count, len(pool)), dtype=bool), []
        for row, seed in enumerate(seeds):
            ((chosen,), _) = dealt(len(pool), 1, n, seed=seed, stream="own sets")
            tested[row, chosen.numpy()] = False
            clean.append(pool.select(chosen))
    if not noise:
        return clean, pool, tested
    noisy = [
        Data(one, classes=data.classes).with_label_noise(noise, seed) for one, seed in zip(clean, seeds, strict=True)
    ]
    return [one.train for one in noisy if isinstance(one.train, Examples)], pool, tested


def _whole(data: Data) -> Examples:
    """All examples of both sets together."""
    parts = [part for part in (data.train, data.test) if isinstance(part, Examples)]
    both = [part for part in (data.train, data.test) if part is not None]
    if len(parts) < len(both) or not all(isinstance(part.inputs, Tensor) for part in parts):
        msg = f"{data.name!r} does not hold its examples in memory as one tensor of numbers each."
        raise DataError(msg)
    if data.flipped is not None:
        msg = f"{data.name!r} has noisy labels already; training sets with noise of their own are dealt of clean ones."
        raise UsageError(msg)
    return Examples(
        *(torch.cat([torch.as_tensor(getattr(one, part)) for one in parts]) for part in ("inputs", "targets"))
    )
