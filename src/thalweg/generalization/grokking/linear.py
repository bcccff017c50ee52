"""Grokking that can be solved: linear regression by gradient descent with weight decay."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.grokking.times import first_lasting
from thalweg.results import Reading, Result

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearGrokking(Result):
    """What `linear` found.

    Args:
        reading: "train" and "test", half the mean squared error after every step, and "norm" of the weights (step,);
            "memorized" and "generalized", the first steps at which either error is at most the tolerance, infinite
            where it is at none; "weights" after the last step (feature,), and "limit", where they go.
    """

    def figure(self) -> Figure:
        """Both errors and the norm over the logarithm of the step."""
        steps = self.reading.coordinate("step")[1:].astype(float)
        marks: list[Line | ReferenceLine] = [Line(steps, self[name][1:], label=name) for name in ("train", "test")]
        for name, label in (("memorized", "T_mem"), ("generalized", "T_grok")):
            if 0 < float(self[name]) < np.inf:
                marks.append(ReferenceLine(float(self[name]), "vertical", label=f"{label} = {float(self[name]):,.0f}"))
        axes = Axis("step", scale="log"), Axis("half the mean squared error", scale="log")
        return Figure.of("Linear regression that generalizes late", marks, *axes, caption=" ".join(self.reading.notes))


@in_words
def linear(
    train: tuple[ArrayLike, ArrayLike],
    test: tuple[ArrayLike, ArrayLike],
    start: ArrayLike,
    *,
    lr: float,
    decay: float,
    steps: int,
    tolerance: float = 0.01,
) -> LinearGrokking:
    """Linear regression by gradient descent from a large start: every step in closed form.

        w <- w - lr (X'(X w - y)/n + decay w)
        w_t = w* + sum over modes i of (1 - lr (s_i + decay))^t v_i v_i'(w_0 - w*),    w* = (X'X/n + decay)^-1 X'y/n

    with s_i, v_i the eigenvalues and eigenvectors of X'X/n. Modes of large s_i fit the training set at once; what of
    the start lies in the null space of X is invisible there, errs on the test set, and only shrinks by
    (1 - lr decay)^t. So the delay goes as 1/(lr decay), and without decay it never ends.

    >>> import numpy as np
    >>> from thalweg.generalization import grokking
    >>> draw = np.random.default_rng(0)
    >>> x, w = draw.normal(size=(60, 40)), np.eye(40)[0]
    >>> train, test = ((part, part @ w) for part in (x[:30], x[30:]))
    >>> found = grokking.linear(train, test, w + 3 * np.eye(40)[1], lr=0.1, decay=0.0, steps=50)
    >>> bool(found["train"][-1] < found["test"][-1]), float(found["generalized"])
    (True, inf)

    Args:
        train, test: inputs (examples, features) and targets (examples,).
        start: the weights at the start: (features,).
        lr, decay: the rate and the weight decay.
        steps: to be computed, all of them.
        tolerance: the error that counts as having fitted, and as generalizing.

    Raises:
        UsageError: shapes that do not fit, a rate at which a mode diverges, or a negative decay.

    Cost: one eigendecomposition, and steps x features numbers in pieces.

    Sources: Levi et al. (2023), Grokking in linear estimators, arXiv:2310.16441; arXiv:2601.19791 for ridge.
    """
    check_count("linear steps", steps)
    (x, y), (xt, yt), w = (_set("train", train), _set("test", test), np.asarray(start, np.float64))
    if w.shape != x.shape[1:] or xt.shape[1] != x.shape[1]:
        msg = f"linear needs as many weights as features; got {w.shape}, train {x.shape} and test {xt.shape}."
        raise UsageError(msg)
    n = len(x)
    s, v = np.linalg.eigh(x.T @ x / n)
    s = np.maximum(s, 0)
    s[s < s.max() * max(x.shape) * np.finfo(float).eps] = 0  # the null space of X
    if decay < 0 or not 0 < lr * (s.max() + decay) < 2:
        most = 2 / (s.max() + max(decay, 0))
        msg = f"linear needs decay >= 0 and lr below 2/(largest eigenvalue + decay) = {most:.3g}; got lr={lr:g}, "
        msg += f"decay={decay:g}."
        raise UsageError(msg)
    coordinates = v.T @ (x.T @ y / n)
    total = s + decay
    begun = v.T @ w
    # Of a mode that nothing moves (no data, no decay) the limit is where it began.
    limit = np.where(total > 0, coordinates / np.where(total > 0, total, 1), begun)
    factor = 1 - lr * total
    features, heldout = x @ v, xt @ v
    errors = {name: np.zeros(steps + 1) for name in ("train", "test", "norm")}
    piece = max(1, 2**20 // (len(s) + len(x) + len(xt)))
    for first in range(0, steps + 1, piece):
        at = np.arange(first, min(first + piece, steps + 1))
        weights = limit + factor ** at[:, None] * (begun - limit)
        errors["train"][at] = ((weights @ features.T - y) ** 2).mean(1) / 2
        errors["test"][at] = ((weights @ heldout.T - yt) ** 2).mean(1) / 2
        errors["norm"][at] = np.linalg.norm(weights, axis=1)
    last = v @ (limit + factor**steps * (begun - limit))
    came = [first_lasting(np.arange(steps + 1), -errors[name][:, None], -tolerance)[0] for name in ("train", "test")]
    arrays = errors | {"memorized": came[0], "generalized": came[1], "weights": last, "limit": v @ limit}
    reading = Reading(
        "linear grokking",
        arrays,
        dict.fromkeys(("train", "test", "norm"), ("step",)) | dict.fromkeys(("weights", "limit"), ("feature",)),
        {"step": np.arange(steps + 1)},
        {"memorized": "steps", "generalized": "steps"},
        sample_size=n,
        notes=(f"{n} examples, {x.shape[1]} features, lr {lr:g}, decay {decay:g}; exact at every step.",),
    )
    return LinearGrokking(reading)


def _set(name: str, given: tuple[ArrayLike, ArrayLike]) -> tuple[Array, Array]:
    x, y = (np.asarray(part, np.float64) for part in given)
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(x):
        msg = f"linear {name} is inputs (examples, features) and targets (examples,); got {x.shape} and {y.shape}."
        raise UsageError(msg)
    return x, y
