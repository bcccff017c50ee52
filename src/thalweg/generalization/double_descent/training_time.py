"""Test error over training time: gradient descent on least squares, exact at every step without taking any.

On |X theta - y|^2 / (2 n) from theta = 0, direction i of X = U diag(s) V' is fitted independently of all others:

    V'theta_t = (1 - (1 - rate s^2/n)^t) / s  U'y
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure
from thalweg.generalization.double_descent.least_squares import LeastSquares, least_squares
from thalweg.guard import guarded
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result, spread

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TimeCurve(Result):
    """What `over_training` returns: test risk over the steps of gradient descent.

    Args:
        reading: "risk" with its sigma^2, "train error" and "validation error", (step, seed) each; and "expected risk",
            its exact mean over the noise of the seed's examples, see `risk_over_training`.
    """

    @property
    def steps(self) -> NDArray[np.int64]:
        """At which they are taken: (steps,)."""
        return self.reading.coordinate("step")

    def figure(self) -> Figure:
        """The mean over seeds with its range, over steps on a log axis."""
        return spread(
            self.reading,
            x="step",
            over="seed",
            array="risk",
            caption=" ".join(self.reading.notes),
            x_axis=Axis("step", scale="log"),
            y_axis=Axis("test risk"),
        )


def gradient_descent(fit: LeastSquares, steps: ArrayLike, *, rate: float) -> Array:
    """theta after so many steps of gradient descent from 0 on the mean of squares over 2: (steps, features, ...).

    >>> import numpy as np
    >>> from thalweg.generalization.double_descent import gradient_descent, least_squares
    >>> fit = least_squares(np.diag([1.0, 2.0]), [1.0, 2.0])
    >>> gradient_descent(fit, [0, 1, 2, 1000], rate=0.5).round(4).tolist()
    [[0.0, 0.0], [0.25, 1.0], [0.4375, 1.0], [1.0, 1.0]]

    Args:
        fit: of the features and targets.
        steps: whole numbers, in any order: (steps,).
        rate: the learning rate; where it is above 2n over the largest squared singular value it diverges.

    Raises:
        UsageError: steps or a rate that cannot be meant.

    Cost: the same for any number of steps.
    """
    times = _steps(steps, rate)
    squares = fit.singular**2
    with np.errstate(over="ignore"):  # where it diverges
        grown = (1 - (1 - rate * squares / fit.examples) ** times[:, None]) / squares
    return np.stack([fit.from_targets(weights) for weights in grown])


@in_words
def risk_over_training(
    x: ArrayLike,
    coefficients: ArrayLike,
    steps: ArrayLike,
    *,
    rate: float,
    noise: float,
    variances: ArrayLike | None = None,
) -> Array:
    """The risk of gradient descent for given inputs, sigma^2 included, averaged over the noise exactly: (steps,).

    With X'X/n = W diag(l) W', g = (1 - rate l)^t, and D the covariance of test inputs:

        risk(t) = sigma^2 + |D^(1/2) W g W'beta|^2 + sigma^2/n tr(D W diag((1 - g)^2 / l) W')

    The usual approximation, which puts the expected variances for l, is 15 to 30 % off unless inputs are far fewer than
    examples.

    >>> import numpy as np
    >>> from thalweg.generalization.double_descent import risk_over_training
    >>> risk_over_training(np.eye(2), [1.0, 0.0], [0, 10_000], rate=1.0, noise=0.5).round(3).tolist()
    [0.75, 0.5]

    Args:
        x: training inputs: (examples, inputs).
        coefficients: beta: (inputs,).
        steps: whole numbers: (steps,).
        rate: the learning rate.
        noise: sigma.
        variances: of independent test inputs: (inputs,); None tests at the training inputs, with fresh noise.

    Raises:
        UsageError: shapes or numbers that do not fit.

    References:
        Heckel & Yilmaz (2020), arXiv:2007.10099; Ali, Kolter & Tibshirani (2019), arXiv:1810.10082.
    """
    inputs, beta = np.asarray(x, dtype=np.float64), np.asarray(coefficients, dtype=np.float64)
    if inputs.ndim != 2 or beta.shape != inputs.shape[1:]:
        msg = f"risk_over_training takes x (examples, inputs) and as many coefficients; got {inputs.shape} and "
        raise UsageError(msg + f"{beta.shape}.")
    times, n = _steps(steps, rate), len(inputs)
    second = inputs.T @ inputs / n
    values, vectors = np.linalg.eigh(second)
    values = np.maximum(values, 0)
    of_test = second if variances is None else np.diag(np.asarray(variances, dtype=np.float64))
    turned = vectors.T @ of_test @ vectors
    left = (1 - rate * values) ** times[:, None]
    bias = left * (vectors.T @ beta)
    with np.errstate(divide="ignore", invalid="ignore"):
        grown = np.where(values > 0, (1 - left) ** 2 / values, 0.0)
    variance = noise**2 / n * (grown * np.diag(turned)).sum(1)
    return noise**2 + ((bias @ turned) * bias).sum(1) + variance


@guarded
def over_training(
    steps: Sequence[int] | NDArray[np.int64],
    *,
    n: int = 300,
    inputs: tuple[int, ...] = (60, 5),
    variances: tuple[float, ...] = (1.0, 0.01),
    signals: tuple[float, ...] = (0.15, 0.5),
    noise: float = 1.0,
    rate: float = 0.2,
    validation: int = 300,
    seeds: Sequence[int] = range(20),
) -> TimeCurve:
    """Test risk of linear regression over training, with inputs on scales of their own: down, up, and down again.

    Inputs of large variance are fitted first, and fitted too well, before those of small variance begin. Each scale has
    its own descent and its own overfitting; at one scale there is one of each, and no second descent.

    >>> from thalweg.generalization import double_descent
    >>> risk = double_descent.over_training([2, 30, 2000], seeds=range(3))["risk"].mean(1)
    >>> bool(risk[0] < risk[1] > risk[2])
    True

    Args:
        steps: whole numbers.
        n: examples.
        inputs: how many on each scale.
        variances: of each scale's inputs.
        signals: the variance of the target that each scale explains; within a scale beta has a random direction.
        noise: sigma.
        rate: the learning rate.
        validation: examples, with the same noise, of the validation error.
        seeds: each draws inputs, beta and noise of its own.

    Raises:
        UsageError: scales that are not as many, or numbers that cannot be meant.

    Cost: one singular value decomposition a seed, whatever the steps.

    References:
        Heckel & Yilmaz (2020), arXiv:2007.10099.
    """
    if not len(inputs) == len(variances) == len(signals):
        msg = f"over_training takes inputs, variances and signals of every scale; got {inputs}, {variances} and "
        raise UsageError(msg + f"{signals}.")
    check_count("over_training n", n)
    times, of_each = _steps(steps, rate), np.repeat(variances, inputs)
    check_count("over_training validation", validation)
    if not len(seeds):
        msg = "over_training needs at least one seed; got none."
        raise UsageError(msg)
    risks, expected, errors, held = [], [], [], []
    for seed in seeds:
        draw = generator(seed, "training time")
        x = torch.randn(n, len(of_each), generator=draw, dtype=torch.float64).numpy() * np.sqrt(of_each)
        parts = [torch.randn(count, generator=draw, dtype=torch.float64).numpy() for count in inputs]
        scales = [np.sqrt(signal / variance) for signal, variance in zip(signals, variances, strict=True)]
        beta = np.concatenate([part / np.linalg.norm(part) * by for part, by in zip(parts, scales, strict=True)])
        y = x @ beta + noise * torch.randn(n, generator=draw, dtype=torch.float64).numpy()
        theta = gradient_descent(least_squares(x, y), times, rate=rate)
        risks.append(noise**2 + ((theta - beta) ** 2 * of_each).sum(1))
        expected.append(risk_over_training(x, beta, times, rate=rate, noise=noise, variances=of_each))
        errors.append(((theta @ x.T - y) ** 2).mean(1))
        fresh = torch.randn(validation, len(of_each), generator=draw, dtype=torch.float64).numpy() * np.sqrt(of_each)
        labels = fresh @ beta + noise * torch.randn(validation, generator=draw, dtype=torch.float64).numpy()
        held.append(((theta @ fresh.T - labels) ** 2).mean(1))
    scales = ", ".join(
        f"{count} of variance {variance:g} (signal {signal:g})"
        for count, variance, signal in zip(inputs, variances, signals, strict=True)
    )
    tables = {"risk": risks, "expected risk": expected, "train error": errors, "validation error": held}
    reading = Reading(
        "Gradient descent on least squares",
        {name: np.array(rows).T for name, rows in tables.items()},
        dict.fromkeys(tables, ("step", "seed")),
        {"step": times, "seed": np.array(seeds)},
        sample_size=len(seeds),
        provenance=Provenance.here(),
        notes=(f"{n} examples, inputs {scales}, sigma = {noise:g}, learning rate {rate:g}; risk with sigma^2.",),
    )
    return TimeCurve(reading)


def _steps(steps: ArrayLike, rate: float) -> NDArray[np.int64]:
    times = np.asarray(steps)
    if (
        times.ndim != 1
        or not len(times)
        or not np.isfinite(times).all()
        or (times % 1 != 0).any()
        or times.min() < 0
        or not 0 < rate < np.inf
    ):
        msg = f"Steps are a list of whole numbers of at least 0, and the rate is above 0; got {steps!r}, rate {rate}."
        raise UsageError(msg)
    return times.astype(np.int64)
