"""Pivots of paths: arc lengths, redistribution, tangents and insertions against closed forms and brute force."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from thalweg.connectivity.string_pivots import (
    Insertion,
    across,
    arc_lengths,
    arc_shares,
    equal_shares,
    evened,
    inner,
    inserted,
    insertions,
    move,
    redistribution,
    straight,
    tangents,
)
from thalweg.randomness import generator


def _random(*shape: int, number: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(3, "rows", number), dtype=torch.float64)


def _paths(*counts: int, parameters: int = 3) -> tuple[Tensor, Tensor]:
    """Random pivots, and the ends again behind those of shorter paths."""
    pivots = _random(max(counts), len(counts), parameters)
    for path, count in enumerate(counts):
        pivots[count:, path] = pivots[count - 1, path]
    return pivots, torch.tensor(counts)


def _redistribute(pivots: Tensor, counts: Tensor, shares: Tensor | None = None) -> Tensor:
    moved = pivots.clone()
    move(moved, redistribution(pivots, equal_shares(counts) if shares is None else shares), counts)
    return moved


def _along(polygon: np.ndarray, point: np.ndarray) -> tuple[float, float]:
    """How far along a polygon the nearest of its points lies, and how far off that is; by brute force over segments."""
    found, passed = (np.inf, 0.0), 0.0
    for a, b in itertools.pairwise(polygon):
        length = float(np.linalg.norm(b - a))
        share = np.clip(np.dot(point - a, b - a) / length**2, 0, 1)
        off = float(np.linalg.norm(a + share * (b - a) - point))
        found = min(found, (off, passed + share * length))
        passed += length
    return found[1], found[0]


def test_arc_lengths_are_sums_of_distances() -> None:
    pivots, counts = _paths(4, 2, 6)
    lengths = arc_lengths(pivots)
    for path, count in enumerate(counts.tolist()):
        wanted = pivots[:count, path].diff(dim=0).norm(dim=1).cumsum(0)
        torch.testing.assert_close(lengths[1:count, path], wanted, rtol=1e-14, atol=0)
        assert bool((lengths[count:, path] == lengths[count - 1, path]).all())
    assert inner(counts).sum(0).tolist() == [2, 0, 4]


def test_pivots_on_a_straight_line_come_to_equal_distances() -> None:
    first, second = _random(1, 7), _random(1, 7, number=1)
    even = straight(first, second, 8)
    uneven = torch.lerp(first[None], second[None], torch.linspace(0, 1, 10, dtype=torch.float64)[:, None, None] ** 3)
    moved = _redistribute(uneven, torch.tensor([10]))
    apart = moved[:, 0].diff(dim=0).norm(dim=1)
    assert float((apart / apart.mean() - 1).abs().max()) < 1e-12
    torch.testing.assert_close(moved, even, rtol=0, atol=1e-12)


def test_pivots_come_to_equal_arc_lengths_of_the_polygon_they_were() -> None:
    pivots, counts = _paths(9)
    moved, before = _redistribute(pivots, counts)[:, 0].numpy(), pivots[:, 0].numpy()
    places, whole = [_along(before, row) for row in moved], float(arc_lengths(pivots)[-1, 0])
    np.testing.assert_allclose([place for place, _ in places], whole * np.arange(9) / 8, atol=1e-12 * whole)
    assert max(off for _, off in places) < 1e-12


def test_a_polygon_whose_corners_are_due_keeps_its_length() -> None:
    places = [[0.0, 0], [0.3, 0], [3, 0], [3, 0.01], [3, 3], [3, 3], [0, 3]]  # three sides of a square
    moved = _redistribute(torch.tensor(places, dtype=torch.float64)[:, None], torch.tensor([7]))
    apart = moved[:, 0].diff(dim=0).norm(dim=1)
    assert float((apart - 1.5).abs().max()) < 1e-12


def test_pivots_go_to_any_shares_that_are_given() -> None:
    pivots, counts = _paths(5)
    shares = torch.tensor([0, 0.1, 0.15, 0.9, 1], dtype=torch.float64)[:, None]
    moved, whole = _redistribute(pivots, counts, shares), float(arc_lengths(pivots)[-1, 0])
    found = [_along(pivots[:, 0].numpy(), row)[0] / whole for row in moved[:, 0].numpy()]
    np.testing.assert_allclose(found, shares[:, 0], atol=1e-12)


def test_pivots_that_are_there_already_stay_to_rounding_and_ends_to_the_bit() -> None:
    pivots = straight(_random(3, 4).float(), _random(3, 4, number=1).float(), 5)
    counts = torch.tensor([7, 7, 7])
    moved = _redistribute(pivots, counts, arc_shares(pivots, counts))
    torch.testing.assert_close(moved, pivots, rtol=1e-5, atol=1e-6)
    assert torch.equal(moved[[0, -1]], pivots[[0, -1]])


def test_a_path_of_length_zero_stays_and_is_at_equal_shares() -> None:
    pivots, counts = straight(_random(1, 4), _random(1, 4), 3), torch.tensor([5])
    assert torch.equal(_redistribute(pivots, counts), pivots)
    assert arc_shares(pivots, counts)[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_path_among_others_is_redistributed_as_if_it_were_alone() -> None:
    pivots, counts = _paths(4, 3, 7, 2)
    together = _redistribute(pivots, counts)
    for path, count in enumerate(counts.tolist()):
        alone = _redistribute(pivots[:count, path : path + 1], counts[path : path + 1])
        assert torch.equal(together[:count, path : path + 1], alone)
        assert bool((together[count - 1 :, path] == pivots[-1, path]).all())
        assert torch.equal(together[0, path], pivots[0, path])


def test_what_is_remembered_moves_as_the_pivots_do() -> None:
    pivots, counts = _paths(6)
    moves = redistribution(pivots, equal_shares(counts))
    torch.testing.assert_close(moves.of(2 * pivots + 1), 2 * moves.of(pivots) + 1, rtol=1e-12, atol=1e-12)


def _parabola(*x: float) -> Tensor:
    """Pivots (x, x^2) of one path."""
    at = torch.tensor(x, dtype=torch.float64)
    return torch.stack([at, at**2], dim=1)[:, None]


def _losses(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def _unit(x: float, y: float) -> list[float]:
    return [x / np.hypot(x, y), y / np.hypot(x, y)]


def test_tangents_of_a_parabola_point_to_the_higher_neighbor() -> None:
    pivots = _parabola(0, 1, 3, 4)  # the chord from a to b has the gradient a + b
    rising = tangents(pivots, _losses(0, 1, 2, 3))[:, 0]
    np.testing.assert_allclose(rising, [_unit(1, 4), _unit(1, 7)], rtol=1e-14)
    falling = tangents(pivots, _losses(3, 2, 1, 0))[:, 0]
    np.testing.assert_allclose(falling, [_unit(1, 1), _unit(1, 4)], rtol=1e-14)


@pytest.mark.parametrize(
    ("losses", "forward", "backward"),
    [
        ((0, 5, 3), 5, 2),  # a maximum whose higher neighbor is ahead
        ((3, 5, 0), 2, 5),
        ((4, 1, 3), 2, 3),  # a minimum whose higher neighbor is behind
        ((1, 1, 3), 2, 0),  # level behind
        ((0, 5, 0), 1, 1),  # both alike
        ((2, 2, 2), 1, 1),
    ],
)
def test_tangents_at_extrema_weigh_both_sides(losses: tuple[float, ...], forward: float, backward: float) -> None:
    found = tangents(_parabola(0, 1, 3), _losses(*losses))[0, 0]
    np.testing.assert_allclose(found, _unit(2 * forward + backward, 8 * forward + backward), rtol=1e-14)


def test_what_is_left_of_a_gradient_is_across_and_loses_nothing_else() -> None:
    pivots, _ = _paths(5, 5, parameters=6)
    tangent, gradient = tangents(pivots, _random(5, 2, number=2)), _random(3, 2, 6, number=3)
    left = across(gradient, tangent)
    assert float((left * tangent).sum(2).abs().max()) < 1e-14
    torch.testing.assert_close(gradient.square().sum(2), left.square().sum(2) + (gradient * tangent).sum(2) ** 2)
    same = torch.zeros(4, 1, 3, dtype=torch.float64)  # where points coincide there is no tangent to take away
    assert not tangents(same, _losses(0, 1, 2, 3)).any()


def test_pivots_are_wanted_where_the_loss_exceeds_the_chord() -> None:
    losses = np.array([0.0, 10.0, 0.0, 2.0])
    chord = losses[:-1, None] + np.array([0.25, 0.5, 0.75]) * np.diff(losses)[:, None]
    between = chord + np.array([[0.0, 0.9, 0.0], [0.0, 2.0, 3.0], [1.5, 0.0, 0.0]])  # of a range of 10
    found = insertions(losses, between, most=3, excess=0.1)
    assert [(one.gap, one.share) for one in found] == [(1, 0.75), (2, 0.25)]
    assert [one.excess for one in found] == pytest.approx([0.3, 0.15])
    assert [one.gap for one in insertions(losses, between, most=1, excess=0.1)] == [1]
    assert not insertions(losses, chord, most=3, excess=0.1)
    assert not insertions(np.ones(3), np.ones((2, 4)), most=3, excess=0.1)  # a flat path
    assert not insertions(np.array([0.0, np.nan]), np.array([[1.0]]), most=3, excess=0.1)


def test_inserted_pivots_lie_on_the_polygon_and_others_keep_their_bits() -> None:
    pivots, counts = _paths(3, 2)
    where = [[Insertion(0, 0.25, 1.0), Insertion(1, 0.5, 1.0)], [Insertion(0, 0.75, 1.0)]]
    new, shares, after = inserted(pivots, torch.tensor([[0, 0], [0.4, 1], [1, 1]], dtype=torch.float64), counts, where)
    assert after.tolist() == [5, 3]
    assert torch.equal(new[[0, 2, 4], 0], pivots[:, 0])
    assert torch.equal(new[[0, 2, 3, 4], 1], pivots[[0, 1, 1, 1], 1])
    wanted = [
        torch.lerp(pivots[k, path], pivots[k + 1, path], s) for k, path, s in [(0, 0, 0.25), (1, 0, 0.5), (0, 1, 0.75)]
    ]
    torch.testing.assert_close(torch.stack([new[1, 0], new[3, 0], new[1, 1]]), torch.stack(wanted), rtol=1e-14, atol=0)
    np.testing.assert_allclose(shares.T, [[0, 0.1, 0.4, 0.7, 1], [0, 0.75, 1, 1, 1]], atol=1e-15)
    torch.testing.assert_close(arc_lengths(new)[-1], arc_lengths(pivots)[-1], rtol=1e-14, atol=0)


def test_evened_paths_are_the_same_polygons() -> None:
    pivots, counts = _paths(2, 9, 4)
    new = evened(pivots, counts)
    assert new.shape == pivots.shape
    assert torch.equal(new[:, 1], pivots[:, 1])
    for path, count in enumerate(counts.tolist()):
        places = [_along(pivots[:count, path].numpy(), row) for row in new[:, path].numpy()]
        assert max(off for _, off in places) < 1e-14
        assert min(np.diff([place for place, _ in places])) > 0
        kept = [bool((new[:, path] == pivot).all(1).any()) for pivot in pivots[:count, path]]
        assert all(kept)
