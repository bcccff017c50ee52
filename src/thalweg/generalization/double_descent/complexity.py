"""How many parameters a fit really uses, and how many examples a procedure can fit: two axes on which curves fold."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count
from thalweg.generalization.double_descent.least_squares import LeastSquares


@in_words
def effective_parameters(fit: LeastSquares, features: ArrayLike, *, penalty: float = 0.0) -> float:
    """The effective parameters of least squares at some inputs: how far predictions there follow single targets.

        n / m  sum over m inputs of |s(x)|^2,      prediction(x) = s(x) . y

    On training inputs it is the rank, so n past the threshold. On test inputs it peaks at the threshold and falls
    beyond it although parameters are added: against it double descent folds back to one U.

    >>> import numpy as np
    >>> from thalweg.generalization.double_descent import effective_parameters, least_squares
    >>> phi = np.random.default_rng(0).standard_normal((20, 5))
    >>> round(effective_parameters(least_squares(phi, np.zeros(20)), phi), 10)
    5.0

    Args:
        fit: of the training set.
        features: of the inputs at which it is asked: (m, features).
        penalty: of ridge; 0 is the minimum-norm solution.

    References:
        Curth, Jeffares & van der Schaar (2023), arXiv:2310.18988, section 4.
    """
    return of_turned(fit, fit.turned(features), penalty)


def of_turned(fit: LeastSquares, turned: NDArray[np.float64], penalty: float = 0.0) -> float:
    """The same of features in the basis of right singular vectors, as `fit.turned` gives them."""
    weights = fit.singular / (fit.singular**2 + penalty)  # the rows of U' are orthonormal and leave lengths
    return float(fit.examples * ((turned * weights) ** 2).sum(1).mean())


@in_words
def effective_model_complexity(
    error: Callable[[int], float], most: int, *, tolerance: float = 0.1, least: int = 0
) -> int:
    """The most examples that a training procedure fits, by doubling and bisection.

        max {n : mean training error with n examples <= tolerance}

    It depends on the whole procedure: optimizer, steps, label noise, penalty. Test error peaks where it is near the
    number of examples.

    >>> from thalweg.generalization.double_descent import effective_model_complexity
    >>> effective_model_complexity(lambda n: max(0.0, 1 - 30 / n), most=1_000)
    33

    Args:
        error: the training error with n examples, such as the mean over a few seeds; it is taken to rise with n.
        most: examples that there are; where even these are fitted it is returned, and is a lower bound.
        tolerance: up to which training error counts as fitted.
        least: examples that are known to be fitted.

    Returns:
        The number of examples; 0 where not even one is fitted.

    Raises:
        UsageError: a tolerance outside of 0 to 1.

    Cost: about 2 log2(most) calls.

    References:
        Nakkiran et al. (2019), arXiv:1912.02292, definition 1.
    """
    check_count("effective_model_complexity most", most)
    if not 0 <= tolerance < 1:
        msg = f"effective_model_complexity tolerance is a training error from 0 to below 1; got {tolerance}."
        raise UsageError(msg)
    fitted, beyond = least, least + 1
    while beyond < most and error(beyond) <= tolerance:  # by doubling steps: large sets take long to fit
        fitted, beyond = beyond, min(most, 2 * beyond - least)
    if beyond >= most and error(most) <= tolerance:
        return most
    beyond = min(beyond, most)
    while beyond - fitted > 1:
        middle = (fitted + beyond) // 2
        fitted, beyond = (middle, beyond) if error(middle) <= tolerance else (fitted, middle)
    return fitted
