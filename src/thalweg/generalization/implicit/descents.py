"""The update rules of `limit_points`, on |X theta - y|^2 / 2, for many problems at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_choice

Array = NDArray[np.float64]
Update = Callable[[Array, int, NDArray[np.int64]], Array]
NAMES = ("gradient descent", "momentum", "SGD", "Adam", "sign descent")


@dataclass(frozen=True)
class Linear:
    """Inputs (problems, examples, features) and targets (problems, examples)."""

    x: Array
    y: Array

    def residual(self, theta: Array) -> Array:
        """X theta - y: (problems, examples)."""
        return (self.x @ theta[:, :, None])[:, :, 0] - self.y

    def gradient(self, theta: Array) -> Array:
        """X'(X theta - y): (problems, features)."""
        return (self.residual(theta)[:, None, :] @ self.x)[:, 0, :]

    def stable_rate(self) -> Array:
        """1 / lambda_max(X'X): (problems, 1)."""
        return 1 / np.linalg.norm(self.x, ord=2, axis=(1, 2))[:, None] ** 2


@dataclass(frozen=True)
class Descent:
    """A rule: theta, the number of the step and an example of every problem give the next theta.

    Args:
        update: (theta, step, examples) -> theta; it remembers what it needs, so it is used once.
        falls: whether its rate does, so that all steps are to be taken.
    """

    update: Update
    falls: bool


def check(rules: Sequence[str], *, rate: float, momentum: float, epsilon: float) -> None:
    """Raise UsageError for rules or numbers that cannot be meant."""
    if isinstance(rules, str) or not len(rules) or len(set(rules)) < len(rules):
        msg = f"limit_points rules is a list of different names, such as {list(NAMES[:2])}; got {rules!r}."
        raise UsageError(msg)
    for name in rules:
        check_choice("A rule of limit_points", name, NAMES)
    if not (0 < rate < np.inf and 0 <= momentum < 1 and 0 <= epsilon < np.inf):
        msg = "limit_points needs rate above 0, momentum in [0, 1) and epsilon of at least 0; got "
        raise UsageError(msg + f"{rate}, {momentum} and {epsilon}.")


def descent(name: str, linear: Linear, steps: int, *, rate: float, momentum: float, epsilon: float) -> Descent:
    """A rule by name, at its first step.

    >>> import numpy as np
    >>> from thalweg.generalization.implicit.descents import Linear, descent
    >>> linear = Linear(np.array([[[1.0, 2.0]]]), np.array([[1.0]]))
    >>> rule = descent("gradient descent", linear, 10, rate=0.03, momentum=0.9, epsilon=1e-8)
    >>> rule.update(np.zeros((1, 2)), 0, np.array([0])).round(6).tolist()
    [[0.2, 0.4]]
    """
    if name == "gradient descent":
        return Descent(_heavy_ball(linear, 0.0), falls=False)
    if name == "momentum":
        return Descent(_heavy_ball(linear, momentum), falls=False)
    if name == "SGD":
        return Descent(_kaczmarz(linear), falls=False)
    if name == "Adam":
        return Descent(_adam(linear, steps, rate, epsilon), falls=True)
    return Descent(_sign(linear, steps, rate), falls=True)


def _heavy_ball(linear: Linear, momentum: float) -> Update:
    rate = linear.stable_rate()
    velocity = np.zeros((len(linear.x), linear.x.shape[2]))

    def update(theta: Array, step: int, examples: NDArray[np.int64]) -> Array:
        nonlocal velocity
        velocity = momentum * velocity + linear.gradient(theta)
        return theta - rate * velocity

    return update


def _kaczmarz(linear: Linear) -> Update:
    squares = (linear.x**2).sum(2)
    if not (squares > 0).all():
        msg = "SGD with rate 1 / |x_i|^2 needs examples that are not 0; leave out the rows of zeros."
        raise UsageError(msg)
    problems = np.arange(len(linear.x))

    def update(theta: Array, step: int, examples: NDArray[np.int64]) -> Array:
        x = linear.x[problems, examples]
        left = (x * theta).sum(1) - linear.y[problems, examples]
        return theta - x * (left / squares[problems, examples])[:, None]

    return update


def _adam(linear: Linear, steps: int, rate: float, epsilon: float) -> Update:
    first, second = np.zeros((2, len(linear.x), linear.x.shape[2]))
    beta1, beta2 = 0.9, 0.999

    def update(theta: Array, step: int, examples: NDArray[np.int64]) -> Array:
        nonlocal first, second
        gradient = linear.gradient(theta)
        first = beta1 * first + (1 - beta1) * gradient
        second = beta2 * second + (1 - beta2) * gradient**2
        mean = first / (1 - beta1 ** (step + 1))
        size = np.sqrt(second / (1 - beta2 ** (step + 1))) + epsilon
        # Where a gradient has always been 0 and epsilon is 0, there is nothing to move.
        return theta - rate * _cosine(step, steps) * np.divide(mean, size, out=np.zeros_like(mean), where=size > 0)

    return update


def _sign(linear: Linear, steps: int, rate: float) -> Update:
    def update(theta: Array, step: int, examples: NDArray[np.int64]) -> Array:
        return theta - rate * _cosine(step, steps) ** 2 * np.sign(linear.gradient(theta))

    return update


def _cosine(step: int, steps: int) -> float:
    return (1 + float(np.cos(np.pi * step / steps))) / 2
