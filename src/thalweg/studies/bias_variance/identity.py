"""BV1: the decompositions are exact at test points, and not on the points that were fitted."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Bars, Figure
from thalweg.generalization.bias_variance import Optimism, decompose_predictions, optimism
from thalweg.statistics import POSITIVE, Interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Array = NDArray[np.float64]
RESIDUAL = "largest residual / error"
CLAIM = Claim(
    id="BV1",
    statement="At test points the error is noise + bias^2 + variance, to rounding, for squared error and, with the "
    "mean of logits, for cross-entropy; at training points it is less by 2 sigma^2 p/n.",
    lecture="Err = bias^2 + sigma^2 + variance, with E[y^2] = f^2 + eps^2.",
    rule=every_part(),
    unit=RESIDUAL,
    budget={"draws": 4_000},
    corrected="sigma^2 is E[eps^2], and the noise at the point must be independent of the fit: at test points. For "
    "cross-entropy the center is the softmax of the mean logits; the 0-1 loss has no such form.",
    parts=(
        Part("squared error", "The residual is rounding.", less(1e-10), RESIDUAL, bounds=POSITIVE),
        Part("cross-entropy", "The residual is rounding.", less(1e-10), RESIDUAL, bounds=POSITIVE),
        Part("mean of probabilities", "With these there is a residual.", greater(1e-3), RESIDUAL, bounds=POSITIVE),
        Part(
            "training points", "The error there is less by 2 sigma^2 p/n.", less(4), "distance / s.e.", bounds=POSITIVE
        ),
        Part("precision", "It is measured well enough to tell.", within(0.9, 1.1), "measured / 2 sigma^2 p/n"),
    ),
)
FITS, DEGREE, NOISE, CLASSES = 50, 5, 0.5, 4
POINTS, PARAMETERS, SIGMA = 60, 15, 1.0  # of the least squares on whose training points the identity fails


def cubic(seed: int) -> tuple[Array, Array, Array]:
    """Fits of degree 5 to noisy points of a cubic, the truth at test points, and both outcomes of noise +-sigma there.

    With noise of two outcomes, equally likely and independent of the fits, the expectation over it is exact.
    """
    rng = np.random.default_rng(seed)
    x, at = rng.uniform(-1, 1, (FITS, 30)), np.linspace(-1, 1, 101)
    truth = lambda t: 4 * t**3 - 2 * t  # noqa: E731
    noisy = truth(x) + NOISE * rng.normal(size=x.shape)
    fits = np.stack([np.polyval(np.polyfit(*one, DEGREE), at) for one in zip(x, noisy, strict=True)])
    return np.tile(fits, 2), np.tile(truth(at), 2), np.concatenate([truth(at) + NOISE, truth(at) - NOISE])


def residual_of_squares(seed: int) -> float:
    """|error - sigma^2 - bias^2 - variance| / error over test points."""
    fits, truth, targets = cubic(seed)
    found = decompose_predictions(fits, targets, truth=truth)
    error = ((fits - targets) ** 2).mean()
    return float(abs(error - NOISE**2 - found["bias^2"] - found["variance"]) / error)


def residuals_of_divergences(seed: int) -> tuple[float, float]:
    """The same by Kullback-Leibler divergences, with the mean of logits, and wrongly with that of probabilities."""
    rng = np.random.default_rng(seed)
    truth = softmax(2 * rng.normal(size=(200, CLASSES)), 1)
    logits = np.log(truth) + 0.5 * rng.normal(size=truth.shape) + rng.normal(size=(FITS, *truth.shape))
    found = decompose_predictions(logits, truth, "cross_entropy")
    error = -(truth * log_softmax(logits, 2)).sum(2).mean()
    right = error - found["noise"] - found["bias^2"] - found["variance"]
    middle = softmax(logits, 2).mean(0)
    divergence = lambda p, q: (p * np.log(p / q)).sum(-1).mean()  # noqa: E731
    wrong = error - found["noise"] - divergence(truth, middle) - divergence(middle, softmax(logits, 2))
    return float(abs(right) / error), float(abs(wrong) / error)


def of_training_points(seed: int, draws: int) -> Optimism:
    """By how much least squares errs less on the points that it was fitted to."""
    x = np.random.default_rng([seed, POINTS]).normal(size=(POINTS, PARAMETERS))
    hat = x @ np.linalg.pinv(x)
    return optimism(lambda y: hat @ y, x @ np.ones(PARAMETERS), SIGMA, draws=draws, seed=seed)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Finite populations of fits, whose sums are exact, and least squares on the points that it was fitted to."""
    seeds, draws = lab.seeds(quick=6, full=20).scored, 4_000
    squared = [residual_of_squares(seed) for seed in seeds]
    divided = [residuals_of_divergences(seed) for seed in seeds]
    right, wrong = zip(*divided, strict=True)
    found, expected = of_training_points(seeds[0], draws), 2 * SIGMA**2 * PARAMETERS / POINTS
    measured, error = float(found["optimism"]), float(found.reading.standard_errors["optimism"])
    ends = [(measured + side * error) / expected for side in (-4, 0, 4)]
    point = lambda value: Interval(value, value, value, len(seeds), "the worst of all populations")  # noqa: E731
    away = abs(measured - expected) / error
    parts = {
        "squared error": point(max(squared)),
        "cross-entropy": point(max(right)),
        "mean of probabilities": point(min(wrong)),
        "training points": Interval(away, away, away, draws, "one mean over draws"),
        "precision": Interval(ends[1], ends[0], ends[2], draws, "mean over draws, 4 standard errors"),
    }
    share, names = PARAMETERS / POINTS, ("training points", "new targets there")
    errors = np.array([float(found["train error"]), float(found["test error"])])
    exact = SIGMA**2 * np.array([1 - share, 1 + share])
    marks = [Bars(names, errors, label="measured"), Bars(names, exact, label="sigma^2 (1 -+ p/n)")]
    return lab.finding(
        parts=parts,
        ran={"draws": draws},
        figures=Figure.of(
            "Where the identity fails",
            marks,
            Axis("error on"),
            Axis("mean squared error"),
            caption=f"Least squares with p = {PARAMETERS} parameters, n = {POINTS} points, sigma = {SIGMA:g}; means of "
            f"{draws:,} draws.",
        ),
        readings=[
            lab.reading("residual of squared error / error", squared, {"seed": seeds}),
            lab.reading("residual of cross-entropy / error", right, {"seed": seeds}),
            lab.reading("residual with the mean of probabilities / error", wrong, {"seed": seeds}),
            found.reading,
        ],
        sentences=[
            f"Over {len(seeds)} populations of {FITS} fits, noise, bias^2 and variance miss the error by at most "
            f"{max(squared):.0e} of it, and of cross-entropy by {max(right):.0e}; with the mean of probabilities in "
            f"place of that of logits, by {min(wrong):.1%} to {max(wrong):.1%}.",
            f"On its training points least squares errs less by {measured:.3f} +- {error:.3f}; 2 sigma^2 p/n is "
            f"{expected:.3f}.",
        ],
        numbers={"optimism": measured, "its standard error": error, "2 sigma^2 p/n": expected},
    )
