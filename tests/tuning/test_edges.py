"""Best rates where the search ended: of one choice, and of many."""

import numpy as np

from thalweg.tuning import edge_warnings, on_edge

GRID = [0.01, 0.1, 1.0]


def test_only_the_ends_of_a_grid_are_its_edges():
    assert [on_edge(rate, GRID) for rate in GRID] == [True, False, True]


def test_one_rate_on_an_edge_is_named():
    (sentence,) = edge_warnings({"SGD": 1.0, "Adam": 0.1}, GRID)
    assert sentence.startswith("The best rate of SGD, 1, lies on the edge of its grid:")


def test_edges_are_counted_over_the_seeds_that_chose_them():
    best = {"SGD": np.array([0.1, 1.0, 0.01, 0.1]), "Adam": np.array([0.1, 0.1])}
    (sentence,) = edge_warnings(best, GRID)
    assert sentence.startswith("The best rate of SGD lies on the edge of its grid for 2 of 4 seeds, 1 at 0.01 and 1 at")


def test_what_is_chosen_and_what_chooses_are_named():
    (sentence,) = edge_warnings({"AdamW": [1.0, 1.0, 0.1]}, GRID, noun="decay", units="pairs")
    assert sentence == (
        "The best decay of AdamW lies on the edge of its grid for 2 of 3 pairs, 2 at 1: one beyond could be better."
    )
