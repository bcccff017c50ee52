"""Minima joined by paths: the spanning tree of lowest saddles, the lowest pass between any two, what to join next.

Functions of a matrix of heights alone: (minima, minima), symmetric, the height of the best path known between two.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

Array = NDArray[np.float64]
Pair = tuple[int, int]
_ROUNDING = 1e-6  # shares of a loss by which two evaluations of one network may differ


def tree_edges(heights: Array) -> list[Pair]:
    """The pairs (i, j), i < j, of the minimum spanning tree, from the lowest height to the highest.

    Heights may be negative or 0, and a pair that is not finite is not joined; of equal ones the earlier pair counts as
    lower.

    Cost: that of sorting the pairs.
    """
    rows, columns = np.triu_indices(len(heights), 1)
    values = heights[rows, columns]
    order = np.argsort(np.where(np.isfinite(values), values, np.inf), kind="stable")
    ranks = np.zeros(heights.shape)  # SciPy takes 0 for no edge; a tree depends on the order of the heights alone
    ranks[rows[order], columns[order]] = np.where(np.isfinite(values[order]), np.arange(1, len(order) + 1), 0)
    tree = minimum_spanning_tree(ranks).tocoo()
    return [(int(i), int(j)) for _, i, j in sorted(zip(tree.data, tree.row, tree.col, strict=True))]


def merges(heights: Array) -> Iterator[tuple[float, list[int], list[int]]]:
    """How basins join as the level rises: the height, and the minima of both basins, from the lowest up."""
    basins = [[i] for i in range(len(heights))]
    for i, j in tree_edges(heights):
        one, other = (next(basin for basin in basins if k in basin) for k in (i, j))
        yield float(heights[i, j]), one, other
        basins = [basin for basin in basins if basin not in (one, other)] + [one + other]


def highest_on_the_way(heights: Array) -> Array:
    """The least height that must be reached from any minimum to any other: (minima, minima).

        h(i, j) = min over paths of minima from i to j of the highest pair on it

    It is that of the spanning tree's path, and an ultrametric: h(i, j) <= max(h(i, k), h(k, j)). Of a minimum to itself
    it is the diagonal of `heights`; of two that nothing joins, infinite.
    """
    found = np.full(heights.shape, np.inf)
    for height, one, other in merges(heights):
        found[np.ix_(one, other)] = found[np.ix_(other, one)] = height
    np.fill_diagonal(found, heights.diagonal())
    return found


def next_pairs(heights: Array, tried: NDArray[np.bool_], most: int) -> list[Pair]:
    """The pairs to join next, for the highest edges of the tree first.

    An edge that was not tried itself is tried. For one that was, another pair is tried that may take its place: without
    the edge the tree falls into two parts, and of the pairs from one to the other that were not tried it is the lowest.
    A path is never lower than its higher end, so pairs are left out of which an end is as high as the edge already.

    Args:
        heights: of the best known paths, and on the diagonal of the minima: (minima, minima).
        tried: between which minima a path was sought: (minima, minima).
        most: at most so many pairs, all different.

    Returns:
        Pairs (i, j), i < j; none where every pair that could lower the tree was tried.

    Source: Draxler, Veschgini, Salmhofer and Hamprecht, 2018, arXiv:1803.00885.
    """
    edges, found = tree_edges(heights), []
    for edge in reversed(edges):
        if len(found) == most:
            break
        possible = _ends(heights) < heights[edge] - _ROUNDING * abs(heights[edge])
        fresh = not tried[edge] and possible[edge]
        pair = edge if fresh else _instead(heights, possible & ~tried, edges, edge, found)
        if pair is not None:
            found.append(pair)
    return found


def _ends(heights: Array) -> Array:
    """The height of the higher end of every pair."""
    minima = heights.diagonal()
    return np.maximum(minima[:, None], minima[None])


def _instead(
    heights: Array, possible: NDArray[np.bool_], edges: list[Pair], edge: Pair, found: list[Pair]
) -> Pair | None:
    """The lowest possible pair across the cut that leaving out an edge makes."""
    kept = np.zeros(heights.shape, dtype=bool)
    for other in edges:
        kept[other] = other != edge
    _, part = connected_components(kept, directed=False)
    rows, columns = np.nonzero((part[:, None] != part[None]) & np.triu(possible, 1))
    pairs = [pair for pair in zip(rows.tolist(), columns.tolist(), strict=True) if pair not in found]
    return min(pairs, key=lambda pair: heights[pair], default=None)
