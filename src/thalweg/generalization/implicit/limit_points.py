"""Where descent on a linear model ends, of all the solutions that fit equally well."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, ReferenceLine, Scatter
from thalweg.generalization.implicit import descents
from thalweg.generalization.implicit.descents import Descent, Linear
from thalweg.generalization.implicit.linear_problems import linear_problems
from thalweg.guard import guarded
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
FITTED = 1e-20  # of the relative excess loss: from there on it says which solution it is
_FINE = 1e-27  # where rules of constant rates stop: little but rounding moves them
_CHECKED = 50  # steps between looks at the loss


@dataclass(frozen=True, eq=False)
class LimitPoints(Result):
    """What `limit_points` found.

    Args:
        reading: (rule, problem) each: "distance to the minimum norm", D; "distance to the projection", D0; "norm", over
            that of the minimum-norm solution; "excess loss", relative to |y|^2, and "steps" that were taken. (problem,
            feature): "minimum norm". (rule, problem, feature): "limit", where each ended.
    """

    @property
    def converged(self) -> NDArray[np.bool_]:
        """Whether the excess loss is below 1e-20; if not, the distances say nothing of the limit: (rule, problem)."""
        return self["excess loss"] < FITTED

    def figure(self) -> Figure:
        """Of every problem, the distance to the minimum-norm solution against the norm, one mark a rule."""
        names = [str(name) for name in self.reading.coordinate("rule")]
        distances = np.maximum(self["distance to the minimum norm"], np.finfo(float).eps)
        marks: list[Scatter | ReferenceLine] = [
            Scatter(norms, row, label=name) for name, norms, row in zip(names, self["norm"], distances, strict=True)
        ]
        marks.append(ReferenceLine(1e-8, label="the same to rounding below 1e-8"))
        x, y = Axis("norm / minimum norm"), Axis("distance / minimum norm", scale="log")
        title = "Which solution of zero loss descent ends at"
        return Figure.of(title, marks, x, y, caption=" ".join(self.reading.notes))


@guarded
def limit_points(
    x: ArrayLike,
    y: ArrayLike,
    start: ArrayLike | None = None,
    *,
    rules: Sequence[str] = descents.NAMES,
    steps: int = 20_000,
    rate: float = 0.03,
    momentum: float = 0.9,
    epsilon: float = 1e-8,
    seed: int = 0,
) -> LimitPoints:
    """Where update rules end on |X theta - y|^2 / 2, against the minimum-norm solution and the projection of the start.

    Every update of gradient descent, with momentum or on single examples, is a combination of rows of X, so what the
    start has in the null space of X stays there, and the limit is the nearest solution to the start:

        theta_0 + X^+ (y - X theta_0),    D  = |theta - X^+ y| / |X^+ y|
                                          D0 = |theta - (theta_0 + X^+ (y - X theta_0))| / |X^+ y|

    That is the minimum-norm solution X^+ y only where theta_0 is in the row space, such as 0. Adam and sign descent
    leave the span of the rows, and end elsewhere at the same loss.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> found = tw.generalization.implicit.limit_points([[1.0, 2.0]], [1.0], [1.0, 0.0], rules=["gradient descent"])
    >>> np.round(found["limit"][0, 0], 6).tolist(), np.round(found["minimum norm"][0], 6).tolist()
    ([1.0, 0.0], [0.2, 0.4])
    >>> found = tw.generalization.implicit.limit_points([[1.0, 2.0]], [1.0], rules=["sign descent"], steps=2_000)
    >>> bool(found.converged.all()), np.round(found["limit"][0, 0], 4).tolist()
    (True, [0.3333, 0.3333])

    Args:
        x, y: inputs (examples, features) and targets (examples,); or many problems of one size at once, (problems,
            examples, features) and (problems, examples).
        start: theta_0: (features,) or (problems, features); None is 0.
        rules: of "gradient descent" with rate 1 / lambda_max(X'X); "momentum" with the same rate; "SGD", a random
            example a step with rate 1 / |x_i|^2 (Kaczmarz; converges where the data interpolate); "Adam", whose rate
            falls to 0 by a cosine; "sign descent", whose rate falls by the square of that, as a constant rate never
            gets below its own step.
        steps: at most; rules of constant rates stop at an excess loss of 1e-27, near rounding.
        rate: at the start, of Adam and sign descent.
        momentum: of "momentum".
        epsilon: of Adam; where it is far above all gradients and the rate is as much larger, Adam is gradient descent
            with momentum.
        seed: of the order of examples.

    Raises:
        UsageError: shapes that do not fit, targets that are all 0, a row of zeros for SGD, or an unknown rule.

    Cost: steps x problems x examples x features, for each rule; float64.

    References:
        Zhang et al. (2017), arXiv:1611.03530; Strohmer & Vershynin (2009), arXiv:math/0702226; Gunasekar et al. (2018),
        arXiv:1802.08246; Wilson et al. (2017), arXiv:1705.08292.
    """
    check_count("limit_points steps", steps)
    inputs, targets, begun = linear_problems("limit_points", x, y, start)
    descents.check(rules, rate=rate, momentum=momentum, epsilon=epsilon)
    inverse = np.linalg.pinv(inputs)
    least = np.einsum("pdn,pn->pd", inverse, targets)
    norm = np.linalg.norm(least, axis=1)
    if not (norm > 0).all():
        msg = "limit_points measures distances in norms of the minimum-norm solution, which is 0 for these targets."
        raise UsageError(msg)
    linear = Linear(inputs, targets)
    nearest = begun + np.einsum("pdn,pn->pd", inverse, -linear.residual(begun))
    left = linear.residual(least)
    scale = (targets**2).sum(1)

    def excess(theta: Array) -> Array:
        return ((linear.residual(theta) - left) ** 2).sum(1) / scale

    made: dict[str, Descent] = {
        name: descents.descent(name, linear, steps, rate=rate, momentum=momentum, epsilon=epsilon) for name in rules
    }
    orders = _orders(len(inputs), inputs.shape[1], steps, seed) if "SGD" in rules else np.zeros((steps, 1), np.int64)
    ended = {name: _run(step, begun, orders, steps, excess) for name, step in made.items()}
    limits = np.stack([theta for theta, _ in ended.values()])
    arrays = {
        "distance to the minimum norm": np.linalg.norm(limits - least, axis=2) / norm,
        "distance to the projection": np.linalg.norm(limits - nearest, axis=2) / norm,
        "norm": np.linalg.norm(limits, axis=2) / norm,
        "excess loss": np.stack([excess(theta) for theta in limits]),
    }
    _, examples, features = inputs.shape
    notes = [f"{examples} examples, {features} features."]
    for name, row in zip(rules, arrays["excess loss"], strict=True):
        if not (row < FITTED).all():
            short = int((~(row < FITTED)).sum())
            notes.append(f"{name} did not reach a relative loss of {FITTED:g} on {short} of {len(row)} problems.")
    reading = Reading(
        "limit points",
        arrays
        | {
            "steps": np.array([taken for _, taken in ended.values()]),
            "minimum norm": least,
            "limit": limits,
        },
        dict.fromkeys(arrays, ("rule", "problem"))
        | {"steps": ("rule",), "minimum norm": ("problem", "feature"), "limit": ("rule", "problem", "feature")},
        {"rule": np.array(list(ended))},
        sample_size=len(inputs),
        provenance=Provenance.here(seed, dtype="float64"),
        notes=tuple(notes),
    )
    return LimitPoints(reading)


def _run(
    step: Descent, start: Array, orders: NDArray[np.int64], steps: int, excess: Callable[[Array], Array]
) -> tuple[Array, int]:
    """Where a rule ends, and after how many steps."""
    theta = start.copy()
    for k in range(steps):
        if not step.falls and k % _CHECKED == 0 and (excess(theta) < _FINE).all():
            return theta, k
        theta = step.update(theta, k, orders[k])
    return theta, steps


def _orders(problems: int, examples: int, steps: int, seed: int) -> NDArray[np.int64]:
    """Which example each problem sees at each step: (steps, problems)."""
    draws = [
        torch.randint(examples, (steps,), generator=generator(seed, "limit points", problem))
        for problem in range(problems)
    ]
    return torch.stack(draws, 1).numpy()
