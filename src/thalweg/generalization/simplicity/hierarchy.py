"""A deep linear network learns broad splits of tree-structured data before fine ones, at exact times."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Axis, Figure, Line
from thalweg.generalization.simplicity.checkpoints import first_reached
from thalweg.generalization.simplicity.tree_features import tree_features, tree_splits
from thalweg.guard import guarded
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
_LEVEL = 0.5
_TITLES = {"tree": "Features on a tree", "shuffled": "Shuffled features"}


@dataclass(frozen=True, eq=False)
class Hierarchy(Result):
    """What `hierarchy` found.

    Args:
        reading: on "data", the tree and its features shuffled over the items: "share" learned of each level of splits
            (data, level, step) and "predicted share" in closed form; "time" and "predicted time" (data, level), the
            step at which half is learned, infinite where it is not; "strength" (data, level), root mean square of the
            targets along a split.
    """

    def figure(self) -> Figure:
        """The share learned of each level of splits over time, on the tree and on shuffled features; and its theory."""
        steps, panels = self.reading.coordinate("step"), []
        for place, name in enumerate(self.reading.coordinate("data").tolist()):
            lines = []
            for level in self.reading.coordinate("level").tolist():
                lines.append(Line(steps, self["share"][place, level], label=f"level {level}"))
                lines.append(Line(steps, self["predicted share"][place, level], thin=True))
            panels.append(Figure.of(_TITLES[name], lines, Axis("step"), Axis("share learned")))
        caption = "Thin: the closed form. Level 0 is what all items share; the last tells neighbors apart."
        return Figure.row(panels, title="Broad splits before fine ones", caption=caption)


@guarded
def hierarchy(
    depth: int = 4,
    *,
    features: int = 256,
    flip: float = 0.1,
    hidden: int = 256,
    start: float = 3e-4,
    learning_rate: float = 0.05,
    steps: int = 2_000,
    seed: int = 0,
) -> Hierarchy:
    """When a linear network with one hidden layer has learned each level of splits of items on a tree.

        loss = |M - W2 W1|^2 / 2,    M = features^T / sqrt(items * features),    inputs one-hot, full-batch descent
        share(level) = sum over its splits v of (W2 W1 v) . (M v) / sum of |M v|^2

    In theory every singular mode of M grows by itself, see `mode_strength`, so that shares are sums of these. With the
    values of every feature shuffled over the items only what all share, level 0, is left of the tree, and the other
    levels are learned together.

    >>> from thalweg.generalization import simplicity
    >>> found = simplicity.hierarchy(3, hidden=64, steps=600)
    >>> bool((found["time"][0, :-1] < found["time"][0, 1:]).all())
    True

    Args:
        depth, features, flip: of the tree, see `tree_features`.
        hidden: units; with few, modes meet in them, and late ones are later than by themselves.
        start: standard deviation of all weights at the start, above 0; the closed form is of small ones.
        learning_rate: the largest singular value of M is at most 1.
        steps: of descent.
        seed: of the data, the shuffles and the start.

    Raises:
        UsageError: arguments that cannot be meant.

    Cost: four products of (items, hidden) with (hidden, items) a step, twice: a second.

    Papers: Saxe, McClelland & Ganguli (2014), arXiv:1312.6120, and (2019), arXiv:1810.10531.
    """
    for name, value in {"start": start, "learning_rate": learning_rate}.items():
        check_type(f"hierarchy {name}", value, (int, float), "a number above 0")
        if not 0 < value < 1:
            msg = f"hierarchy {name} must be above 0 and below 1; got {value}."
            raise UsageError(msg)
    check_count("hierarchy steps", steps)
    check_count("hierarchy hidden", hidden)
    tree = tree_features(depth, features, flip=flip, seed=seed)
    splits, levels = tree_splits(depth)
    draw = np.random.default_rng(generator(seed, "hierarchy").initial_seed())
    sets = {"tree": tree, "shuffled": draw.permuted(tree, axis=0)}
    items = len(tree)
    first = draw.standard_normal((hidden, items)) * start
    second = draw.standard_normal((items, hidden)) * start
    shares, theory, strengths = [], [], []
    for values in sets.values():
        _, sizes, right = np.linalg.svd(values.T / np.sqrt(values.size), full_matrices=False)
        target = np.zeros((items, items))  # outputs turned so that all of it is in the first ones
        target[: len(sizes)] = sizes[:, None] * right
        along = target @ splits.T
        powers = np.square(along).sum(0)
        by_level = (levels == np.arange(depth + 1)[:, None]) / 1.0
        w1, w2, found = first.copy(), second.copy(), []
        for step in range(steps + 1):
            found.append(by_level @ ((w2 @ (w1 @ splits.T)) * along).sum(0) / (by_level @ powers))
            if step < steps:
                error = target - w2 @ w1
                w1, w2 = w1 + learning_rate * w2.T @ error, w2 + learning_rate * error @ w1.T
        shares.append(np.stack(found, 1))
        theory.append(_predicted(target, splits, by_level, first, second, learning_rate * np.arange(steps + 1.0)))
        strengths.append(np.sqrt(by_level @ powers / by_level.sum(1)))
    times = {"time": shares, "predicted time": theory}
    arrays = {"share": np.stack(shares), "predicted share": np.stack(theory), "strength": np.stack(strengths)}
    arrays |= {name: first_reached(np.arange(steps + 1), np.stack(one), _LEVEL) for name, one in times.items()}
    three, two = ("data", "level", "step"), ("data", "level")
    reading = Reading(
        "hierarchy",
        arrays,
        {"share": three, "predicted share": three, "strength": two, "time": two, "predicted time": two},
        {"data": list(sets), "level": np.arange(depth + 1), "step": np.arange(steps + 1)},
        {"time": "steps", "predicted time": "steps"},
        provenance=Provenance.here(seed, dtype="float64"),
        notes=(f"{items} items, {features} features, start {start:g}, learning rate {learning_rate:g}.",),
    )
    return Hierarchy(reading)


@in_words
def mode_strength(time: ArrayLike, singular: ArrayLike, start: ArrayLike) -> Array:
    """How strong a linear network with one hidden layer has made a mode of the data.

        da / dt = 2 a (s - a),    a(t) = s / (1 + (s / a_0 - 1) exp(-2 s t)),    s / 2 at t = ln(s / a_0 - 1) / (2 s)

    >>> import math
    >>> from thalweg.generalization import simplicity
    >>> round(float(simplicity.mode_strength(math.log(99) / 2, 1.0, 0.01)), 6)
    0.5

    Args:
        time: steps times learning rate, from 0.
        singular: s, the singular value of the targets against white inputs, above 0.
        start: a_0, above 0; of small weights w_1 and w_2 of the mode |w_1 + w_2|^2 / 4.

    Raises:
        UsageError: others.

    Paper: Saxe, McClelland & Ganguli (2014), arXiv:1312.6120.
    """
    t, s, a = (np.asarray(one, dtype=np.float64) for one in (time, singular, start))
    if not ((t >= 0).all() and (s > 0).all() and (a > 0).all()):
        msg = f"mode_strength needs times from 0, and singular and start above 0; got {time}, {singular} and {start}."
        raise UsageError(msg)
    return s / (1 + (s / a - 1) * np.exp(-2 * s * t))


def _predicted(target: Array, splits: Array, by_level: Array, first: Array, second: Array, times: Array) -> Array:
    """The shares of all levels in closed form: (levels, times)."""
    left, sizes, right = np.linalg.svd(target, full_matrices=False)
    kept = sizes > 1e-9 * sizes[0]
    left, sizes, right = left[:, kept], sizes[kept], right[kept]
    start = np.square(first @ right.T + (left.T @ second).T).sum(0) / 4
    weights = by_level @ np.square(splits @ right.T) * np.square(sizes)
    grown = mode_strength(times[:, None], sizes, start) / sizes
    return weights @ grown.T / weights.sum(1, keepdims=True)
