"""Nodes on an axis, each set of them within the next, and the polynomials through them."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def leja(points: Array) -> NDArray[np.int64]:
    """The order of points whose every beginning is a good set of nodes.

    First ends and middle, then always the point whose product of distances to those before is the largest (Leja, 1957,
    doi:10.4064/ap-4-1-8-13).
    """
    with np.errstate(divide="ignore"):
        logs = np.log(np.abs(points[:, None] - points))
    order = list(dict.fromkeys((len(points) - 1, 0, len(points) // 2)))
    while len(order) < len(points):
        order.append(int(logs[:, order].sum(1).argmax()))
    return np.array(order)


def polynomial(points: Array, nodes: Array) -> Array:
    """The matrix (points, nodes) that takes values at nodes to those of the polynomial through them.

    By the barycentric formula (Berrut & Trefethen, 2004, doi:10.1137/S0036144502417715); at a node exactly its value.
    """
    capacity = max(np.ptp(points) / 4, np.finfo(float).tiny)
    between = (nodes[:, None] - nodes) / capacity
    weights = 1 / np.prod(between + np.eye(len(nodes)), axis=1)
    distance = points[:, None] - nodes
    at = distance == 0
    shares = weights / np.where(at, 1, distance)
    matrix = shares / shares.sum(1, keepdims=True)
    return np.where(at.any(1, keepdims=True), at, matrix)
