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
    whole = whole_of(data)
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


def drawn_anew(
    data: Data, n: int, seeds: Sequence[int], *, stream: str, test: int | None = None
) -> tuple[list[Examples], Examples, Int64[Tensor, "seeds test"]]:
    """A training set for every seed out of all examples, those examples, and on which of them each seed is tested.

    Every seed draws for itself, so that sets of several seeds overlap, and is tested on what it did not draw.

    >>> import thalweg as tw
    >>> from thalweg.generalization.dealt import drawn_anew
    >>> sets, whole, tested = drawn_anew(tw.data.digits(), 500, [0, 1], stream="example")
    >>> [len(one) for one in sets], len(whole), tested.shape
    ([500, 500], 1797, torch.Size([2, 1297]))

    Args:
        data: in memory, training and test set together.
        n: examples of each set.
        seeds: of the draws.
        stream: of the draws; the set of a smaller n is the beginning of that of a larger one.
        test: on how many of the others each seed is tested; None: on all.

    Raises:
        UsageError: fewer examples than n and those to test on, or labels that are noisy already.
        DataError: examples that are not one tensor of numbers each.
    """
    whole = whole_of(data)
    rest = len(whole) - n if test is None else test
    if rest < 1 or n + rest > len(whole):
        wanted = f"{n:,} to train on and {max(rest, 1):,} others to test on"
        msg = f"{data.name!r} has {len(whole):,} examples; got {wanted}: ask for fewer."
        raise UsageError(msg)
    orders = [torch.randperm(len(whole), generator=generator(seed, stream)) for seed in seeds]
    return [whole.select(order[:n]) for order in orders], whole, torch.stack([order[n : n + rest] for order in orders])


def whole_of(data: Data) -> Examples:
    """All examples of both sets together.

    >>> import thalweg as tw
    >>> from thalweg.generalization.dealt import whole_of
    >>> len(whole_of(tw.data.digits()))
    1797

    Raises:
        UsageError: labels that are noisy already.
        DataError: examples that are not one tensor of numbers each.
    """
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
