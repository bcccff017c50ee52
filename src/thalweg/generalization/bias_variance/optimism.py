"""How much smaller the error is on the points that were fitted: the optimism of the training error."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count, check_type
from thalweg.figures import Figure, interval_bars
from thalweg.figures.panel import Axis
from thalweg.generalization.bias_variance.intervals import by_standard_error
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import Interval, standard_error

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Optimism(Result):
    """What `optimism` found.

    Args:
        reading: "train error", "test error" (of new targets at the same inputs), "optimism", which is their difference,
            and "effective parameters", with standard errors over draws; and "optimism by draw" (draw,).
    """

    def interval(self, name: str) -> Interval:
        """The 95 % interval of one of them over draws.

        >>> import numpy as np
        >>> import thalweg as tw
        >>> found = tw.generalization.bias_variance.optimism(lambda y: y, np.zeros(50), 1.0)  # 2 noise^2
        >>> print(found.interval("optimism"))
        2.003 [1.991, 2.015]

        Raises:
            UsageError: no such quantity.
        """
        return by_standard_error(self.reading, name, "mean over draws, Student's t", kind="quantity")

    def figure(self) -> Figure:
        """Error on the targets that were fitted, on new ones, and the difference."""
        bars = interval_bars({name: self.interval(name) for name in ("train error", "test error", "optimism")})
        notes = " ".join(self.reading.notes)
        return Figure.of("Optimism of the training error", [bars], Axis(""), Axis("mean squared error"), caption=notes)


@in_words
def optimism(
    fit: Callable[[Array], ArrayLike], truth: ArrayLike, noise: float, *, draws: int = 1_000, seed: int = 0
) -> Optimism:
    """By how much the error of new targets at the training inputs is above that of the targets that were fitted.

        optimism = E[mean_i (y'_i - f_i)^2] - E[mean_i (y_i - f_i)^2] = 2/n sum_i Cov(f_i, y_i)

    with y = truth + noise and y' the same anew. That is the cross term of the decomposition, which is 0 at test points:
    there the noise is independent of the fit. For least squares with p features it is 2 noise^2 p / n, so in general
    n optimism / (2 noise^2) is the number of effective parameters.

    >>> import numpy as np
    >>> from thalweg.generalization import bias_variance
    >>> x = np.random.default_rng(0).normal(size=(60, 15))
    >>> hat = x @ np.linalg.pinv(x)  # least squares with 15 features
    >>> found = bias_variance.optimism(lambda y: hat @ y, np.zeros(60), 2.0, draws=1_000)
    >>> print(found.interval("effective parameters"))
    15.12 [14.78, 15.46]

    Args:
        fit: your own procedure: from targets (n,) at the training inputs to predictions (n,) there.
        truth: the targets without noise: (n,).
        noise: its standard deviation, the same everywhere.
        draws: how often targets are drawn and fitted.
        seed: of the draws.

    Raises:
        UsageError: a noise that is not positive, fewer than two draws, or predictions of another shape.

    Cost: `draws` fits.

    References:
        Efron (2004), doi:10.1198/016214504000000692; Hastie, Tibshirani & Friedman (2009), section 7.4.
    """
    at = np.asarray(truth, dtype=np.float64)
    check_type("optimism noise", noise, (int, float), "a standard deviation above 0")
    check_count("optimism draws", draws, 2)
    if at.ndim != 1 or not 0 < noise < np.inf:
        msg = f"optimism takes a truth (n,) and a noise above 0; got shape {at.shape} and {noise}."
        raise UsageError(msg)
    rng = np.random.default_rng(seed)
    train, test = np.empty(draws), np.empty(draws)
    for draw in range(draws):
        y = at + noise * rng.normal(size=len(at))
        found = np.asarray(fit(y), dtype=np.float64)
        if found.shape != at.shape:
            msg = f"fit must return predictions of shape {at.shape}, those at the training inputs; got {found.shape}."
            raise UsageError(msg)
        train[draw], test[draw] = ((y - found) ** 2).mean(), noise**2 + ((at - found) ** 2).mean()
    means = {"train error": train, "test error": test, "optimism": test - train}
    means["effective parameters"] = (test - train) * len(at) / (2 * noise**2)
    reading = Reading(
        "optimism of the training error",
        {name: of.mean() for name, of in means.items()} | {"optimism by draw": test - train},
        {"optimism by draw": ("draw",)},
        standard_errors={name: standard_error(of) for name, of in means.items()},
        degrees_of_freedom=dict.fromkeys(means, draws - 1),
        sample_size=draws,
        provenance=Provenance.here(seed, dtype="float64"),
        notes=(f"{draws:,} draws of {len(at)} targets; the noise of new ones is averaged out.",),
    )
    return Optimism(reading)
