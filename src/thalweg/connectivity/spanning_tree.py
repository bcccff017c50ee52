"""Several minima joined by a tree of low paths: the lowest saddles between any two."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from types import NoneType

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.connectivity.auto_neb import auto_neb
from thalweg.connectivity.curve import Curve
from thalweg.connectivity.ends import check_ends
from thalweg.connectivity.spanning_tree_graph import Pair, highest_on_the_way, merges, next_pairs, tree_edges
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Conditions, Points, Sample
from thalweg.evaluation.points import AT_ONCE, everywhere
from thalweg.figures import Axis, Figure, HeatMap, Line, Scatter
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading, Result

Array = NDArray[np.float64]
_DRAWN = 15  # points of a piece of the graph, as many as draw a line without a sign at each
_LISTED = 12  # minima that an axis names in their order
Join = Callable[[Population, Population], Curve]


@dataclass(frozen=True, eq=False)
class SpanningTree(Result):
    """What `spanning_tree` found.

    Args:
        reading: "path" (minimum, other), the loss at the highest point of the best path known that joins two directly,
            on the diagonal that of the minimum; "straight line", of that one; "saddle", the least loss that must be
            reached on any way of such paths from one to the other, an ultrametric; "tried", between which a path was
            sought.
        edges: the pairs that the tree joins, from the lowest to the highest.
        curves: for each pair that was tried the curves of its round, and which member of them it is.
        converged: whether a last round of paths left the tree as it was, or all pairs were tried.
    """

    edges: tuple[Pair, ...]
    curves: dict[Pair, tuple[Curve, int]] = field(repr=False)
    converged: bool

    def facts(self) -> dict[str, str]:
        """How many minima and paths, and the highest edge of the tree."""
        minima, tried = len(self["path"]), len(self.curves)
        highest = max((self["path"][edge] for edge in self.edges), default=np.nan)
        return {
            "minima": f"{minima:,}",
            "paths": f"{tried:,} of {minima * (minima - 1) // 2:,}",
            "highest edge": f"{highest:.4g}",
        }

    def figure(self) -> Figure:
        """The disconnectivity graph: which minima one basin holds at each level of the loss; and all saddles.

        Source: Becker and Karplus, 1997, doi:10.1063/1.473299.
        """
        paths, unit, minima = self["path"], self.reading.units["path"], self._order()
        x = np.arange(len(paths), dtype=np.float64)
        places = {frozenset([minimum]): (x[at], paths[minimum, minimum]) for at, minimum in enumerate(minima)}
        basins: list[Array] = []
        for height, one, other in merges(paths):
            (left, low), (right, bottom) = places[frozenset(one)], places[frozenset(other)]
            flat = np.full(_DRAWN, height)
            across = np.linspace(left, right, _DRAWN), flat
            down = np.full(_DRAWN, left), np.linspace(low, height, _DRAWN)
            up = np.full(_DRAWN, right), np.linspace(height, bottom, _DRAWN)
            basins += [np.hstack([down, across, up, np.full((2, 1), np.nan)])]
            places[frozenset(one + other)] = (left + right) / 2, height
        drawn = np.hstack(basins) if basins else np.full((2, 1), np.nan)
        order = ", ".join(map(str, minima))
        marks = Line(*drawn, label="basins"), Scatter(x, paths.diagonal()[minima], label="minima")
        numbers = np.arange(len(paths))
        graph = Figure.of(
            "basins below each level",
            marks,
            Axis(f"minima, from left {order}" if len(minima) <= _LISTED else "minima, in an order of basins"),
            Axis("loss", unit),
        )
        saddles = HeatMap(numbers, numbers, np.where(np.isfinite(self["saddle"]), self["saddle"], np.nan).T)
        matrix = Figure.of("saddles", (saddles,), Axis("minimum"), Axis("other"), Axis("loss at the saddle", unit))
        caption = f"Minima from left to right: {order}. {' '.join(self.reading.notes)}"
        return Figure.row([graph, matrix], title="minima and saddles", caption=caption)

    def _order(self) -> list[int]:
        """The minima such that those of a basin are neighbors."""
        basins = [[minimum] for minimum in range(len(self["path"]))]
        for _, one, other in merges(self["path"]):
            basins = [basin for basin in basins if basin not in (one, other)] + [one + other]
        return [minimum for basin in basins for minimum in basin]


@guarded
def spanning_tree(
    problem: Problem,
    minima: Population,
    join: Join | None = None,
    *,
    rounds: int = 3,
    at_once: int | None = None,
    points: int = 25,
    on: Sample | str | ExampleSet = "train",
    statistics: str = "recompute",
    statistics_count: int = 1_024,
    plan: Plan | str = "auto",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> SpanningTree:
    """The minimum spanning tree of minima, whose weights are the losses at the highest points of paths between them.

    All pairs are joined by straight lines at first. In each round paths are sought, all as one population, between the
    minima that the highest edges of the tree join; where one was sought already, between the lowest other pair that may
    take its place (see `next_pairs`). It ends when a round leaves the tree as it was.

        saddle(i, j) = the highest edge on the tree's way from i to j
        saddle(i, j) <= max(saddle(i, k), saddle(k, j)) for every k

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=2, batch_size=50)
    >>> join = lambda first, second: tw.connectivity.string(problem, first, second, recipe, pivots=1, on="train")
    >>> tree = tw.connectivity.spanning_tree(problem, problem.initialize(3), join, rounds=1, points=3)
    >>> tree["saddle"].shape, len(tree.edges), tree.converged  # of linear networks straight lines are the lowest paths
    ((3, 3), 2, True)

    Args:
        problem: whose loss it is.
        minima: one member each, such as run.final; only read.
        join: a function (first, second) that joins the members of two populations by a `Curve`, evaluated on the same
            examples (its first sample), such as `string`, `auto_neb` or `bezier` with a recipe; None: `auto_neb`.
        rounds: at most.
        at_once: paths in a round, at most; None: one for each edge of the tree.
        points: on each straight line.
        on, statistics, statistics_count, plan, seed, progress: see `weighted_sums`.

    Raises:
        UsageError: fewer than two minima, minima without weighted sums (see `barrier`), or a `join` that gives
            something else.

    Cost: an evaluation a point of every pair's line, then that of `join`.

    Source: Draxler, Veschgini, Salmhofer and Hamprecht, 2018, arXiv:1803.00885.
    """
    began = time.perf_counter()
    check_type("spanning_tree join", join, (Callable, NoneType), "a function of two populations that returns a Curve")
    if len(minima) < 2:
        msg = f"spanning_tree needs at least 2 minima, the members of a population; got {len(minima)}."
        raise UsageError(msg)
    check_ends("spanning_tree", problem, list(minima), statistics=statistics)
    check_count("spanning_tree rounds", rounds, 0)
    check_count("spanning_tree points", points, 2)
    most = len(minima) - 1 if at_once is None else at_once
    check_count("spanning_tree at_once", most)
    settings = {"statistics": statistics, "statistics_count": statistics_count, "plan": plan, "seed": seed}
    conditions = Conditions.of("spanning_tree", problem, on=on, **settings)
    check_ends("spanning_tree", problem, list(minima), statistics=statistics)
    with watched(progress) as told:
        if join is None:
            join = lambda first, second: auto_neb(problem, first, second, on=on, progress=told, **settings)  # noqa: E731
        straight = _lines(minima, conditions, points, told)
        heights, tried = straight.copy(), np.zeros(straight.shape, dtype=bool)
        curves: dict[Pair, tuple[Curve, int]] = {}
        forwards, backwards, done, converged = points * len(minima) * (len(minima) - 1) // 2, 0, 0, False
        while done < rounds and not converged:
            pairs = next_pairs(heights, tried, most)
            before = _tree(heights)
            if pairs:
                curve = _joined(join, minima, pairs, conditions)
                forwards += curve.reading.cost.forwards
                backwards += curve.reading.cost.backwards
                for member, (pair, highest) in enumerate(zip(pairs, curve["loss"][0].max(1), strict=True)):
                    curves[pair] = curve, member
                    heights[pair] = heights[pair[::-1]] = np.fmin(heights[pair], highest)
                    tried[pair] = tried[pair[::-1]] = True
            converged, done = _tree(heights) == before, done + 1
    found = {"path": heights, "straight line": straight, "saddle": highest_on_the_way(heights), "tried": tried}
    last = "the last of which left the tree as it was" if converged else "and more may find a lower tree"
    notes = (conditions.text, f"{len(curves):,} paths in {done:,} rounds, {last}.")
    reading = Reading(
        "spanning tree of minima",
        found,
        dict.fromkeys(found, ("minimum", "other")),
        {"minimum": np.arange(len(minima)), "other": np.arange(len(minima))},
        dict.fromkeys(("path", "straight line", "saddle"), problem.loss.unit),
        sample_size=len(conditions.drawn),
        cost=Cost(time.perf_counter() - began, forwards=forwards, backwards=backwards),
        provenance=Provenance.here(seed, str(problem.device), str(problem.dtype)),
        notes=notes,
    )
    return SpanningTree(reading, tuple(tree_edges(heights)), curves, converged)


def _lines(minima: Population, conditions: Conditions, points: int, told: Watcher) -> Array:
    """The highest loss on every straight line: (minima, minima), on the diagonal that of the minimum."""
    pairs = list(combinations(range(len(minima)), 2))
    first, second = (minima[list(one)] for one in zip(*pairs, strict=True))
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    lines = Points([first, second], conditions, rows=min(AT_ONCE, points), times=len(pairs))
    found = everywhere(lines, torch.stack([1 - t, t], dim=1), "spanning_tree, straight lines", told)["loss"]
    heights = np.zeros((len(minima), len(minima)))
    for (i, j), losses in zip(pairs, found, strict=True):
        heights[i, j] = heights[j, i] = losses.max()
        heights[i, i], heights[j, j] = losses[0], losses[-1]
    return heights


def _joined(join: Join, minima: Population, pairs: list[Pair], conditions: Conditions) -> Curve:
    """The curves between these pairs, checked to be on the same examples as the straight lines."""
    first, second = (minima[list(one)] for one in zip(*pairs, strict=True))
    curve = join(first, second)
    check_type("What spanning_tree's join returns", curve, Curve, "a Curve, such as string(problem, first, second)")
    if len(curve["loss"][0]) != len(pairs):
        msg = f"spanning_tree's join must return a Curve of {len(pairs)} members; got {len(curve['loss'][0])}."
        raise UsageError(msg)
    if not conditions.same(curve.conditions[0]):
        got = curve.conditions[0].text
        differs = ", but others of that description" if got == conditions.text else ""
        msg = (
            "spanning_tree's join must return a Curve whose first sample is the one that on= says, with the running "
            f"statistics of the same examples. Expected: {conditions.text} Got: {got[:-1]}{differs}. Give join's "
            "method the same on, statistics, statistics_count and seed."
        )
        raise UsageError(msg)
    return curve


def _tree(heights: Array) -> list[tuple[Pair, float]]:
    """The edges of the tree and their heights."""
    return [(edge, float(heights[edge])) for edge in tree_edges(heights)]
