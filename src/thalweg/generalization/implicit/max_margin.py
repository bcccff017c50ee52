"""Logistic descent on separable classes: it never ends, and its direction goes to the largest margin."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, Line
from thalweg.generalization.implicit.linear_problems import linear_problems
from thalweg.guard import guarded
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
_SEPARABLE = 1e-9  # of the distance left in the dual problem, which is 0 where no direction separates
_EXACT, _NEAR = 1e-9, 1e-6  # by which the smallest margin may be off 1


@dataclass(frozen=True, eq=False)
class MaxMargin(Result):
    """What `max_margin` found.

    Args:
        reading: "angle" to the separator of largest margin in radians, "norm" |w|, and "margin", the smallest
            y x.w / |w| over the largest possible, (step, problem) each; "norm of the separator" (problem,); "growth",
            what |w| gained over ln t in the last decade of steps, which goes to the norm of the separator: (problem,);
            "separator" and "direction" at the end (problem, feature).
    """

    @property
    def steps(self) -> NDArray[np.int64]:
        """At which they are taken: (steps,)."""
        return self.reading.coordinate("step")

    def figure(self) -> Figure:
        """The angle on its log axis beside |w|, over the logarithm of the step."""
        x = Axis("step", scale="log")
        many = len(self["growth"])
        left = [Line(self.steps, row, label="" if many > 1 else "descent") for row in self["angle"].T]
        right = [Line(self.steps, row, label="" if many > 1 else "descent") for row in self["norm"].T]
        parts = [
            Figure.of("Angle to the separator of largest margin", left, x, Axis("angle", "rad", scale="log")),
            Figure.of("Norm of the weights", right, x, Axis("|w|")),
        ]
        return Figure.row(parts, title="Logistic descent", caption=" ".join(self.reading.notes))


@guarded
def max_margin(
    x: ArrayLike,
    y: ArrayLike,
    start: ArrayLike | None = None,
    *,
    steps: int = 20_000,
    at: Sequence[int] | None = None,
) -> MaxMargin:
    """The direction and the norm of logistic descent over log time, against the separator of largest margin.

        w <- w + rate / n sum_i y_i x_i / (1 + exp(y_i x_i.w)),    rate = 1 / lambda_max(X'X / 4n)
        w* = argmin |w| with y_i x_i.w >= 1 for all i,             w_t = w* ln t + (what stays bounded)

    So |w_t| grows as |w*| ln t without end, and the angle shrinks as 1 / ln t only: ten times as many steps hardly
    turn it. There is no bias; give the inputs a column of ones for one, which is then part of the norm.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> x, y = [[1.0, 0.2], [-1.0, 0.2], [2.0, 3.0]], [1, -1, 1]
    >>> found = tw.generalization.implicit.max_margin(x, y, steps=2_000)
    >>> round(float(found["norm of the separator"][0]), 6), bool(found["angle"][-1, 0] < found["angle"][1, 0])
    (1.0, True)

    Args:
        x, y: inputs (examples, features) and classes -1 or 1 (examples,); or many problems of one size at once,
            (problems, examples, features) and (problems, examples).
        start: the weights at the start: (features,) or (problems, features); None is 0.
        steps: to be taken, at least 100.
        at: steps at which it is looked at; None: about 40 from 1 to the last, evenly on a log axis.

    Raises:
        UsageError: shapes that do not fit, classes that are not -1 and 1, or that no direction separates.

    Cost: steps x problems x examples x features, and a quadratic program for each problem, solved exactly by
    nonnegative least squares; float64.

    References:
        Soudry et al. (2018), arXiv:1710.10345; Lawson & Hanson (1974), chapter 23, for the quadratic program.
    """
    check_count("max_margin steps", steps, least=100)
    inputs, classes, w = linear_problems("max_margin", x, y, start)
    if not (np.abs(classes) == 1).all():
        msg = f"max_margin y is classes -1 and 1; got {np.unique(classes)[:5].tolist()}."
        raise UsageError(msg)
    signed = inputs * classes[:, :, None]
    separators = np.stack([hard_margin(one) for one in signed])
    norms = np.linalg.norm(separators, axis=1)
    times = _times(steps, at)
    n = signed.shape[1]
    rate = 4 / np.linalg.norm(signed, ord=2, axis=(1, 2))[:, None] ** 2  # over n, as is the gradient
    turned = np.ascontiguousarray(signed.transpose(0, 2, 1))
    kept, wanted = {0: w}, set(times.tolist())
    for k in range(1, steps + 1):
        margins = (signed @ w[:, :, None])[:, :, 0]
        w = w + rate * (turned @ (1 / (1 + np.exp(np.minimum(margins, 700))))[:, :, None])[:, :, 0]
        if k in wanted or k == steps // 10:
            kept[k] = w
    path = np.stack([kept[k] for k in times])
    lengths = np.linalg.norm(path, axis=2)
    safe = np.where(lengths > 0, lengths, np.nan)[:, :, None]  # 0 has no direction
    units, best = path / safe, separators / norms[:, None]
    # From the difference of unit vectors, as the cosine of a small angle is 1 to rounding.
    angle = 2 * np.arcsin(np.minimum(np.linalg.norm(units - best, axis=2) / 2, 1))
    margin = np.einsum("pnd,tpd->tpn", signed, units).min(2) * norms
    reading = Reading(
        "logistic descent",
        {
            "angle": angle,
            "norm": lengths,
            "margin": margin,
            "growth": (np.linalg.norm(w, axis=1) - np.linalg.norm(kept[steps // 10], axis=1))
            / np.log(steps / (steps // 10)),
            "norm of the separator": norms,
            "separator": separators,
            "direction": w / np.linalg.norm(w, axis=1, keepdims=True),
        },
        dict.fromkeys(("angle", "norm", "margin"), ("step", "problem"))
        | dict.fromkeys(("growth", "norm of the separator"), ("problem",))
        | dict.fromkeys(("separator", "direction"), ("problem", "feature")),
        {"step": times},
        {"angle": "rad"},
        sample_size=len(signed),
        provenance=Provenance.here(dtype="float64"),
        notes=(f"{n} examples, {signed.shape[2]} features; the angle falls as 1 / ln(step) only.",),
    )
    return MaxMargin(reading)


@in_words
def hard_margin(signed: ArrayLike) -> Array:
    """The w of least norm with z_i.w >= 1 for all rows z_i = y_i x_i: the separator of margin 1 / |w|.

    With E the matrix of columns (z_i, 1) and f = (0, ..., 0, 1), u = argmin |E u - f| over u >= 0 and r = E u - f:

        w = -r_1..d / r_(d+1),    and no direction separates the classes where r = 0

    >>> from thalweg.generalization.implicit import hard_margin
    >>> hard_margin([[2.0, 0.0], [2.0, 5.0]]).round(12).tolist()
    [0.5, 0.0]

    Args:
        signed: inputs times their classes -1 or 1: (examples, features).

    Returns:
        (features,).

    Raises:
        UsageError: no table, classes that no direction separates, or inputs of so different lengths that float64 does
            not tell.

    References:
        Lawson & Hanson (1974), Solving Least Squares Problems, chapter 23 (least distance programming).
    """
    z = np.asarray(signed, dtype=np.float64)
    if z.ndim != 2 or not z.size or not np.isfinite(z).all():
        msg = f"hard_margin takes finite numbers (examples, features); got shape {z.shape}."
        raise UsageError(msg)
    scale = float(np.abs(z).max()) or 1.0  # so that what is small against 1 is small against the data
    E = np.concatenate([z.T / scale, np.ones((1, len(z)))])
    f = np.append(np.zeros(z.shape[1]), 1.0)
    try:
        u, left = nnls(E, f)
    except RuntimeError as error:
        raise UsageError(_LOST) from error
    if left < _SEPARABLE:
        msg = (
            "No direction separates these classes, or none by more than a billionth of the largest input: descent has "
            "a finite limit, or a margin that float64 does not see. Give features of one scale."
        )
        raise UsageError(msg)
    r = E @ u - f
    w = -r[:-1] / r[-1] / scale
    if abs((z @ w).min() - 1) > _EXACT:
        w = np.linalg.lstsq(z[u > 0], np.ones(int((u > 0).sum())), rcond=None)[0]  # by the examples at the margin alone
    if not abs((z @ w).min() - 1) < _NEAR:
        raise UsageError(_LOST)
    return w


_LOST = (
    "The separator of largest margin is not found in float64, as inputs or features differ too much in length; scale "
    "them alike."
)


def _times(steps: int, at: Sequence[int] | None) -> NDArray[np.int64]:
    given = np.geomspace(1, steps, 41).round() if at is None else np.asarray(at)
    if given.ndim != 1 or not len(given) or (given % 1 != 0).any() or given.min() < 0 or given.max() > steps:
        msg = f"max_margin at is a list of steps from 0 to {steps}; got {at!r}."
        raise UsageError(msg)
    return np.unique(given.astype(np.int64))
