"""The risk of ridge on random features of a nonlinear network layer, where all sizes grow in proportion."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from thalweg.errors import UsageError
from thalweg.guard import guarded

Array = NDArray[np.float64]
# E s(G), E G s(G), and what is left of E s(G)^2, of the ReLU s at G ~ N(0, 1).
RELU_MEAN, RELU_LINEAR, RELU_REST = 1 / math.sqrt(2 * math.pi), 0.5, 0.25 - 1 / (2 * math.pi)


@guarded
def random_features_risk(
    features: ArrayLike,
    examples: float,
    *,
    signal: float = 1.0,
    noise: float = 0.0,
    nonlinear: float = 0.0,
    penalty: float = 0.0,
) -> Array:
    """The excess risk of ridge on `ReluFeatures` of inputs on a sphere, as inputs, features and examples grow.

    With d inputs, N/d = psi_1 features and n/d = psi_2 examples, zeta^2 = mu_1^2 / mu_*^2, and chi from

        nu_1 = psi_1 / (-xi - nu_2 - zeta^2 nu_2 / (1 - zeta^2 nu_1 nu_2)),   nu_2 likewise with psi_2 and nu_1,
        chi = nu_1 nu_2 at xi = i sqrt(psi_1 psi_2 penalty) / mu_*,

    it is |beta|^2 B + (sigma^2 + F^2) V + F^2, with B = E_1/E_0 and V = E_2/E_0 polynomials in chi, and F^2 the
    variance of what is not linear in the target. At penalty 0 it is infinite at N = n.

    >>> from thalweg.generalization.double_descent import random_features_risk
    >>> random_features_risk([0.5, 3.0, 6.0, 100.0], 3.0, signal=1.0, noise=0.5).round(2).tolist()
    [0.86, inf, 0.5, 0.12]

    Args:
        features: psi_1 = N/d, above 0: any shape.
        examples: psi_2 = n/d, above 0.
        signal: |beta| of the linear part of the target, y = x . beta + ..., |x|^2 = d, |beta| fixed.
        noise: sigma, a standard deviation.
        nonlinear: F, the standard deviation of the rest of the target.
        penalty: lambda of mean squared error + (N/d) lambda |a|^2 with outputs sum_i a_i relu(w_i . x / sqrt(d)), 0 for
            the minimum-norm solution.

    Raises:
        UsageError: numbers that cannot be meant.

    Cost: one root of a function of one number for every entry.

    References:
        Mei & Montanari (2019), arXiv:1908.05355, definition 1 and theorems 2 and 3.
    """
    numbers = np.asarray(features, dtype=np.float64)
    if not (numbers > 0).all() or not examples > 0:
        msg = f"random_features_risk takes features and examples per input, above 0; got {features} and {examples}."
        raise UsageError(msg)
    for name, value in {"signal": signal, "noise": noise, "nonlinear": nonlinear, "penalty": penalty}.items():
        if not 0 <= value < math.inf:
            msg = f"random_features_risk {name} must be finite and not negative; got {value}."
            raise UsageError(msg)
    risks = [_risk(one, float(examples), signal, noise, nonlinear, penalty) for one in numbers.ravel()]
    return np.array(risks).reshape(numbers.shape)


def _risk(psi1: float, psi2: float, signal: float, noise: float, nonlinear: float, penalty: float) -> float:
    square = RELU_LINEAR**2 / RELU_REST  # zeta^2
    if penalty == 0 and psi1 == psi2:
        return math.inf
    chi = -_product(psi1, psi2, square, psi1 * psi2 * penalty / RELU_REST)
    z2, z4, z6 = square, square**2, square**3
    e0 = (
        -(chi**5) * z6
        + 3 * chi**4 * z4
        + (psi1 * psi2 - psi2 - psi1 + 1) * chi**3 * z6
        - 2 * chi**3 * z4
        - 3 * chi**3 * z2
        + (psi1 + psi2 - 3 * psi1 * psi2 + 1) * chi**2 * z4
        + 2 * chi**2 * z2
        + chi**2
        + 3 * psi1 * psi2 * chi * z2
        - psi1 * psi2
    )
    e1 = psi2 * chi**3 * z4 - psi2 * chi**2 * z2 + psi1 * psi2 * chi * z2 - psi1 * psi2
    e2 = (
        chi**5 * z6
        - 3 * chi**4 * z4
        + (psi1 - 1) * chi**3 * z6
        + 2 * chi**3 * z4
        + 3 * chi**3 * z2
        - (psi1 + 1) * chi**2 * z4
        - 2 * chi**2 * z2
        - chi**2
    )
    return signal**2 * e1 / e0 + (noise**2 + nonlinear**2) * e2 / e0 + nonlinear**2


def _product(psi1: float, psi2: float, square: float, shift: float) -> float:
    """-chi, above 0, at shift = |xi|^2.

    With nu_1 = i a and nu_2 = i b, t = a b solves t |xi|^2 = (psi_1 - g(t)) (psi_2 - g(t)), where
    g(t) = t (1 + zeta^2 / (1 + zeta^2 t)) rises: the left side rises, and the right falls to 0 at the smaller psi.
    """
    least, other = min(psi1, psi2), 1 + square - square * min(psi1, psi2)
    end = (-other + math.sqrt(other**2 + 4 * square * least)) / (2 * square)  # g(end) = the smaller psi
    if shift == 0:
        return end

    def excess(t: float) -> float:
        g = t * (1 + square / (1 + square * t))
        return t * shift - (psi1 - g) * (psi2 - g)

    root: Any = brentq(excess, 0.0, end, xtol=1e-15, rtol=1e-14)
    return float(root)
