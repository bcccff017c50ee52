"""Means over two correlated Gaussians by brute force, as an oracle for duals."""

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
REACH = 11.0


def pieces(edges: np.ndarray, panels: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre places and weights on `panels` panels between every two edges; edges have shape (..., E)."""
    places, weights = np.polynomial.legendre.leggauss(nodes)
    unit = ((np.arange(panels)[:, None] + (1 + places) / 2) / panels).ravel()
    widths = np.diff(edges, axis=-1)[..., None]
    at = edges[..., :-1, None] + widths * unit
    return at.reshape(*edges.shape[:-1], -1), (widths * np.tile(weights, panels) / (2 * panels)).reshape(
        *edges.shape[:-1], -1
    )


def density(z: np.ndarray) -> np.ndarray:
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def mean_product(f: Function, g: Function, q: float, other: float, rho: float, kinks: tuple[float, ...] = ()) -> float:
    """E f(u) g(v) for u ~ N(0, q), v ~ N(0, other) of correlation rho; functions are smooth but at the kinks."""
    x, y, sine = math.sqrt(q), math.sqrt(other), math.sqrt((1 - rho) * (1 + rho))
    ends = np.array([-REACH, REACH])
    z, w = pieces(np.sort(np.concatenate([ends, np.clip([kink / x for kink in kinks], -REACH, REACH)])), 16, 16)
    inner = [np.clip((kink / y - rho * z) / sine, -REACH, REACH) for kink in kinks]
    edges = np.sort(np.stack([np.full_like(z, -REACH), *inner, np.full_like(z, REACH)], -1), -1)
    t, v = pieces(edges, 12, 16)
    within = (v * density(t) * g(y * (rho * z[:, None] + sine * t))).sum(1)
    return float((w * density(z) * f(x * z) * within).sum())


def mean(f: Function, q: float, kinks: tuple[float, ...] = ()) -> float:
    """E f(u) for u ~ N(0, q)."""
    x = math.sqrt(q)
    edges = np.sort(np.concatenate([[-REACH, REACH], np.clip([kink / x for kink in kinks], -REACH, REACH)]))
    z, w = pieces(edges, 24, 20)
    return float((w * density(z) * f(x * z)).sum())
