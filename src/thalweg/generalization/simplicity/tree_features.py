"""Items on a tree whose features change at few branches: data with broad splits and fine ones."""

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_count, check_type
from thalweg.randomness import generator

Array = NDArray[np.float64]
_DEEPEST = 10


def tree_features(depth: int = 4, features: int = 256, *, flip: float = 0.1, seed: int = 0) -> Array:
    """Features of the leaves of a binary tree, each +1 or -1, that change sign at every branch with a probability.

        covariance of two leaves = (1 - 2 flip)^(2 h),    h the branches from a leaf to where the two part

    >>> from thalweg.generalization import simplicity
    >>> found = simplicity.tree_features(3, 5_000, flip=0.1)
    >>> found.shape, [round(float((found[0] * found[leaf]).mean()), 1) for leaf in (0, 1, 2, 4)]  # 1, .8^2, .8^4, .8^6
    ((8, 5000), [1.0, 0.6, 0.4, 0.3])

    Args:
        depth: of the tree, with 2^depth leaves, at most 10.
        features: independent of each other.
        flip: probability of a change at a branch, from 0 to 1/2.
        seed: of the stream (seed, "tree features").

    Returns:
        (items, features), neighbors on the tree next to each other.

    Raises:
        UsageError: arguments that cannot be meant.

    Paper: Saxe, McClelland & Ganguli (2019), arXiv:1810.10531.
    """
    check_depth("tree_features", depth)
    check_count("tree_features features", features)
    check_type("tree_features flip", flip, (int, float), "a probability from 0 to 1/2")
    if not 0 <= flip <= 0.5:
        msg = f"tree_features flip must be a probability from 0 to 1/2; got {flip}."
        raise UsageError(msg)
    draw = np.random.default_rng(generator(seed, "tree features").initial_seed())
    values = draw.choice([-1.0, 1.0], (1, features))
    for _ in range(depth):
        values = values.repeat(2, axis=0)
        values *= np.where(draw.random(values.shape) < flip, -1.0, 1.0)
    return values


def tree_splits(depth: int) -> tuple[Array, NDArray[np.int64]]:
    """The splits of a binary tree as orthonormal directions over its leaves, and the level of each.

    The first, of level 0, is constant; one of level l is +1 on one side of a node with l - 1 branches above it, -1 on
    the other, and 0 elsewhere, over its length. They are the eigenvectors of the covariance that `tree_features` has.

    >>> from thalweg.generalization import simplicity
    >>> splits, levels = simplicity.tree_splits(2)
    >>> (2 * splits).round(2).tolist(), levels.tolist()
    ([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0], [1.41, -1.41, 0.0, 0.0], [0.0, 0.0, 1.41, -1.41]], [0, 1, 2, 2])

    Args:
        depth: of the tree, at most 10.

    Returns:
        directions (2^depth, 2^depth), levels (2^depth,).

    Raises:
        UsageError: a depth that cannot be meant.
    """
    check_depth("tree_splits", depth)
    items = 2**depth
    rows, levels = [np.full(items, items**-0.5)], [0]
    for level in range(1, depth + 1):
        size = items >> (level - 1)
        for start in range(0, items, size):
            row = np.zeros(items)
            row[start : start + size // 2], row[start + size // 2 : start + size] = size**-0.5, -(size**-0.5)
            rows.append(row)
            levels.append(level)
    return np.array(rows), np.array(levels)


def check_depth(name: str, depth: int) -> None:
    """Raise UsageError unless a tree can be so deep."""
    check_count(f"{name} depth", depth)
    if depth > _DEEPEST:
        msg = f"{name} depth must be at most {_DEEPEST}, of which there are 2^depth leaves; got {depth}."
        raise UsageError(msg)
