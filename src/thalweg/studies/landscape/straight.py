"""The descent without structure that is nearest to a run's path: straight ahead, with noise on all sides.

Shares of principal components are functions of the Gram matrix of a path's moves alone. On a loss that is equally
curved in all directions, with noise that is equal in all, every gradient is along the line to the minimum but for its
noise, which in many dimensions is at right angles to that line and to the noise of all other steps. So the moves have
the Gram matrix of a line and of noise,

    ahead ahead^T + diag(noise) C diag(noise),    ahead_t^2 + noise_t^2 = squared length of move t of the run,

with C the cosines between moves that the rule makes where every gradient is noise in a direction of its own: momentum
makes neighbors alike. A random walk is the case of nothing ahead. Curvature would also undo earlier noise, which is
left out: the noise would wander less, and the second component hold less of what the first leaves.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.optim import Rule, follow

Array = NDArray[np.float64]
_ROUNDS, _SETTLED = 2_000, 1e-6  # of the longest move; runs settle within 70 rounds, planted ones within 500


def cosines_of_noise(rule: Rule, steps: NDArray[np.int64]) -> Array:
    """Between the moves from each of these steps to the next, where every gradient has a direction of its own."""
    last = int(steps[-1])
    kicks = iter(torch.eye(last, dtype=torch.float64))
    start = torch.zeros(1, last, dtype=torch.float64)
    path = follow(rule, lambda theta: next(kicks).expand_as(theta), start, last)[:, 0].numpy()
    moves = np.diff(path[steps], axis=0)
    moves = moves / np.linalg.norm(moves, axis=1, keepdims=True)
    return moves @ moves.T


def straight(moves: Array, cosines: Array) -> Array:
    """The Gram matrix of the moves of a straight descent, each of them as long as the run's.

    How much of a move is ahead is found in turns: ahead is the leading eigenvector of what noise leaves of the Gram
    matrix, and noise what ahead leaves of the lengths (principal factor analysis with one factor). NaN where this
    does not settle.

    Args:
        moves: the Gram matrix of the run's moves between its snapshots.
        cosines: between moves of noise alone, see `cosines_of_noise`.
    """
    squares = np.diag(moves)
    noise = np.sqrt(squares)
    for _ in range(_ROUNDS):
        values, vectors = np.linalg.eigh(moves - np.outer(noise, noise) * cosines)
        ahead = np.sqrt(max(values[-1], 0.0)) * vectors[:, -1]
        ahead = np.clip(ahead, -np.sqrt(squares), np.sqrt(squares))
        before, noise = noise, np.sqrt(np.clip(squares - ahead**2, 0, None))
        if np.abs(noise - before).max() <= _SETTLED * np.sqrt(squares.max()):
            return np.outer(ahead, ahead) + np.outer(noise, noise) * cosines
    return np.full_like(moves, np.nan)


def shares(moves: Array) -> Array:
    """Of all principal components in the squared distance from the path's mean, by the Gram matrix of its moves.

    NaN where that is not known.
    """
    if not np.isfinite(moves).all():
        return np.full(len(moves) + 1, np.nan)
    points = np.pad(np.cumsum(np.cumsum(moves, axis=0), axis=1), ((1, 0), (1, 0)))
    points = points - points.mean(0)
    points = points - points.mean(1, keepdims=True)
    values = np.clip(np.linalg.eigvalsh(points)[::-1], 0, None)
    return values / values.sum()
