"""The tree of lowest saddles against brute force over all trees and all paths, and the search for it."""

import itertools

import numpy as np
import pytest

from thalweg.connectivity.spanning_tree_graph import highest_on_the_way, merges, next_pairs, tree_edges


def _heights(minima: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed).normal(size=(minima, minima))
    heights = np.triu(draw, 1) + np.triu(draw, 1).T  # negative ones among them
    np.fill_diagonal(heights, -10.0)
    return heights


def _spans(edges: tuple[tuple[int, int], ...], minima: int) -> bool:
    basins = list(range(minima))
    for i, j in edges:
        basins = [basins[i] if basin == basins[j] else basin for basin in basins]
    return len(set(basins)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_no_spanning_tree_is_lower(seed: int) -> None:
    heights = _heights(5, seed)
    pairs = list(itertools.combinations(range(5), 2))
    trees = [edges for edges in itertools.combinations(pairs, 4) if _spans(edges, 5)]
    assert len(trees) == 125  # Cayley: n^(n - 2)
    lowest = min(trees, key=lambda edges: sum(heights[edge] for edge in edges))
    found = tree_edges(heights)
    assert sorted(found) == sorted(lowest)
    assert [heights[edge] for edge in found] == sorted(heights[edge] for edge in found)


@pytest.mark.parametrize("seed", range(5))
def test_the_way_over_the_lowest_pass_is_that_of_all_paths(seed: int) -> None:
    heights = _heights(5, seed)
    found = highest_on_the_way(heights)
    for i, j in itertools.combinations(range(5), 2):
        others = [k for k in range(5) if k not in (i, j)]
        ways = [(i, *some, j) for n in range(4) for some in itertools.permutations(others, n)]
        wanted = min(max(heights[pair] for pair in itertools.pairwise(way)) for way in ways)
        assert found[i, j] == found[j, i] == wanted
    for i, j, k in itertools.product(range(5), repeat=3):
        assert found[i, j] <= max(found[i, k], found[k, j])
    assert found.diagonal().tolist() == [-10.0] * 5


def test_heights_of_zero_and_equal_ones_are_joined() -> None:
    heights = np.zeros((4, 4))
    assert tree_edges(heights) == [(0, 1), (0, 2), (0, 3)]
    assert not highest_on_the_way(heights).any()


def test_what_nothing_joins_stays_apart() -> None:
    heights = np.array([[0.0, 1.0, np.inf], [1.0, 0.0, np.nan], [np.inf, np.nan, 0.0]])
    assert tree_edges(heights) == [(0, 1)]
    assert np.isinf(highest_on_the_way(heights)[2, :2]).all()
    assert [(height, sorted(one + other)) for height, one, other in merges(heights)] == [(1.0, [0, 1])]


def test_edges_are_tried_from_the_highest_and_then_what_could_take_their_place() -> None:
    heights = np.array([[0.0, 1, 9, 8], [1, 0, 3, 7], [9, 3, 0, 2], [8, 7, 2, 0]])  # the tree 0 - 1 - 2 - 3
    tried = np.zeros((4, 4), dtype=bool)
    assert next_pairs(heights, tried, 3) == [(1, 2), (2, 3), (0, 1)]
    assert next_pairs(heights, tried, 1) == [(1, 2)]
    tried[1, 2] = tried[2, 1] = True
    assert next_pairs(heights, tried, 1) == [(1, 3)]  # the lowest of 0-2, 0-3 and 1-3
    assert next_pairs(heights, ~np.eye(4, dtype=bool), 3) == []


def test_no_pair_is_tried_that_cannot_be_lower_than_its_ends() -> None:
    heights = np.array([[0.0, 1, 9], [1, 0, 3], [9, 3, 3]])  # the third minimum is as high as its edge
    assert next_pairs(heights, np.zeros((3, 3), dtype=bool), 3) == [(0, 1)]
    tried = np.array([[False, True, False], [True, False, False], [False, False, False]])
    assert next_pairs(heights, tried, 3) == []
    heights[1, 2] = heights[2, 1] = 3.5
    assert next_pairs(heights, tried, 3) == [(1, 2)]
    tried[1, 2] = tried[2, 1] = True
    assert next_pairs(heights, tried, 3) == [(0, 2)]


@pytest.mark.parametrize("seed", range(5))
def test_trying_what_is_next_finds_the_tree_of_the_true_heights(seed: int) -> None:
    true = _heights(6, seed)
    lines = true + np.abs(_heights(6, seed + 100)) * (1 - np.eye(6))  # straight lines are higher than the best paths
    heights, tried = lines.copy(), np.zeros((6, 6), dtype=bool)
    while pairs := next_pairs(heights, tried, 2):
        for i, j in pairs:
            assert not tried[i, j]
            heights[i, j] = heights[j, i] = true[i, j]
            tried[i, j] = tried[j, i] = True
    assert sorted(tree_edges(heights)) == sorted(tree_edges(true))
    np.testing.assert_array_equal(highest_on_the_way(heights), highest_on_the_way(true))
