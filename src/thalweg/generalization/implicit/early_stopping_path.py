"""Early stopping of least squares against ridge: a like path, of a risk that is at most 1.6862 times ridge's."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, Line
from thalweg.guard import guarded
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
RISK_RATIO = 1.6862  # the most that a risk at time t can be, over ridge's at 1 / t
SHRINKAGE_RATIO = 1.2985  # max over z of (1 - e^-z) (1 + z) / z
DISTANCE = 0.2299  # 1 - 1 / 1.2985
TIMES = np.geomspace(1e-2, 1e5, 300)
TIMES.flags.writeable = False


@dataclass(frozen=True, eq=False)
class EarlyStoppingPath(Result):
    """What `early_stopping_path` found.

    Args:
        reading: over (time,): "shrinkage ratio", the largest over directions; with targets "relative distance" of the
            two solutions; with coefficients and noise "flow" and "ridge", their risks, (risk, time), with "risk ratio",
            of "estimation" and "in-sample" risk, and "tuned ratio" and "final over stopped", (risk,).
    """

    def figure(self) -> Figure:
        """Both risks over time, where the truth is known; the distance or the shrinkage otherwise."""
        times, x = self.reading.coordinate("time"), Axis("time t, or 1 / penalty", scale="log")
        if "flow" not in self.reading.arrays:
            name = "relative distance" if "relative distance" in self.reading.arrays else "shrinkage ratio"
            return Figure.of("Gradient flow against ridge", [Line(times, self[name])], x, Axis(name))
        parts = []
        for place, name in enumerate(self.reading.coordinate("risk")):
            marks = [Line(times, self[path][place], label=path) for path in ("flow", "ridge")]
            parts.append(Figure.of(f"{name} risk", marks, x, Axis("risk", scale="log")))
        return Figure.row(parts, title="Early stopping against ridge", caption=" ".join(self.reading.notes))


@guarded
def early_stopping_path(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    coefficients: ArrayLike | None = None,
    noise: float | None = None,
    times: ArrayLike = TIMES,
    factor: float = 1.0,
) -> EarlyStoppingPath:
    """Gradient flow on least squares stopped at t, against ridge of penalty 1 / t, in closed form.

    On |y - X theta|^2 / (2 n) from 0, and ridge |y - X theta|^2 / n + lambda |theta|^2, direction i, of eigenvalue s_i
    of X'X/n, is shrunk by

        flow 1 - exp(-s_i t),    ridge s_i / (s_i + lambda),    lambda = factor / t

    whose ratio, flow's over ridge's, is between 1 and 1.2985 where factor is 1. So the solutions are nowhere more than
    0.2299 |theta_flow| apart, and with y = X beta + noise the risks, for b_i of beta in direction i,

        E|theta_t - beta|^2 = sum_i b_i^2 exp(-2 s_i t) + sigma^2/n (1 - exp(-s_i t))^2 / s_i    (estimation)
        E|theta_l - beta|^2 = sum_i b_i^2 lambda^2 / (s_i + lambda)^2 + sigma^2/n s_i / (s_i + lambda)^2

    and the same with s_i before every term (in-sample), have a ratio, flow's over ridge's, of at most 1.6862, term by
    term. The other way round there is no limit: with no noise ridge may have any number of times the risk of the flow.

    >>> import numpy as np
    >>> import thalweg as tw
    >>> x = np.random.default_rng(0).normal(size=(30, 10))
    >>> found = tw.generalization.implicit.early_stopping_path(x, coefficients=np.ones(10), noise=1.0)
    >>> bool((found["risk ratio"] <= 1.6862).all()), bool(found["shrinkage ratio"].max() <= 1.2985)
    (True, True)

    Args:
        x: inputs (examples, features).
        y: targets (examples,), for the distance of the two solutions; None leaves it out.
        coefficients, noise: beta (features,) and sigma, for the risks; None leaves them out.
        times: above 0: (times,).
        factor: of the penalty; any but 1 breaks one of the inequalities.

    Raises:
        UsageError: shapes that do not fit, one of coefficients and noise without the other, or numbers that cannot be
            meant.

    Cost: one eigendecomposition, whatever the times.

    References:
        Ali, Kolter & Tibshirani (2019), arXiv:1810.10082.
    """
    inputs, t = np.asarray(x, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if inputs.ndim != 2 or not inputs.size or not np.isfinite(inputs).all():
        msg = f"early_stopping_path x is finite numbers (examples, features); got shape {inputs.shape}."
        raise UsageError(msg)
    if t.ndim != 1 or not t.size or not (t > 0).all() or not 0 < factor < np.inf or not np.isfinite(t).all():
        msg = f"early_stopping_path needs times above 0 and a factor above 0; got {times!r} and {factor}."
        raise UsageError(msg)
    if (coefficients is None) != (noise is None):
        msg = "early_stopping_path has risks from coefficients and noise together; give both, or neither."
        raise UsageError(msg)
    n = len(inputs)
    left, singular, right = np.linalg.svd(inputs, full_matrices=False)
    kept = singular > singular.max() * max(inputs.shape) * np.finfo(float).eps
    left, singular, right = left[:, kept], singular[kept], right[kept]
    if not len(singular):
        msg = "early_stopping_path x is all 0."
        raise UsageError(msg)
    s = singular**2 / n
    z = s * t[:, None]
    flow, ridge = -np.expm1(-z), z / (z + factor)
    arrays: dict[str, Array] = {"shrinkage ratio": (flow / ridge).max(1)}
    dims: dict[str, tuple[str, ...]] = {"shrinkage ratio": ("time",)}
    if y is not None:
        fitted = left.T @ _vector("y", y, n) / singular
        whole = np.linalg.norm(flow * fitted, axis=1)
        apart = np.linalg.norm((flow - ridge) * fitted, axis=1)
        arrays["relative distance"] = np.divide(apart, whole, out=np.zeros_like(apart), where=whole > 0)
        dims["relative distance"] = ("time",)
    if coefficients is not None and noise is not None:
        if not 0 <= noise < np.inf:
            msg = f"early_stopping_path noise is a standard deviation of at least 0; got {noise}."
            raise UsageError(msg)
        beta = _vector("coefficients", coefficients, inputs.shape[1])
        b, unseen = right @ beta, float(beta @ beta - ((right @ beta) ** 2).sum())
        variance = noise**2 / n / s
        stopped, penalized = ((1 - shrunk) ** 2 * b**2 + variance * shrunk**2 for shrunk in (flow, ridge))
        # What of beta lies in the null space of X no estimate finds, and no training input shows.
        arrays["flow"] = np.stack([stopped.sum(1) + max(unseen, 0), (s * stopped).sum(1)])
        arrays["ridge"] = np.stack([penalized.sum(1) + max(unseen, 0), (s * penalized).sum(1)])
        arrays["risk ratio"] = _ratio(arrays["flow"], arrays["ridge"])
        arrays["tuned ratio"] = _ratio(arrays["flow"].min(1), arrays["ridge"].min(1))
        arrays["final over stopped"] = _ratio(arrays["flow"][:, np.argmax(t)], arrays["flow"].min(1))
        dims |= dict.fromkeys(("flow", "ridge", "risk ratio"), ("risk", "time"))
        dims |= dict.fromkeys(("tuned ratio", "final over stopped"), ("risk",))
    reading = Reading(
        "early stopping path",
        arrays,
        dims,
        {"time": t} | ({"risk": np.array(["estimation", "in-sample"])} if "flow" in arrays else {}),
        sample_size=n,
        provenance=Provenance.here(dtype="float64"),
        notes=(f"{n} examples, {inputs.shape[1]} features, penalty {factor:g} / t; exact at every time.",),
    )
    return EarlyStoppingPath(reading)


def _ratio(flow: Array, ridge: Array) -> Array:
    """1 where both risks are 0."""
    return np.divide(flow, ridge, out=np.ones_like(flow), where=ridge > 0)


def _vector(name: str, given: ArrayLike, size: int) -> Array:
    vector = np.asarray(given, dtype=np.float64)
    if vector.shape != (size,) or not np.isfinite(vector).all():
        msg = f"early_stopping_path {name} is {size} finite numbers here; got shape {vector.shape}."
        raise UsageError(msg)
    return vector
