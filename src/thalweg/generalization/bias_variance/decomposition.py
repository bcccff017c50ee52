"""Bias and variance of many fits, unbiased, with errors, by case and averaged."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from thalweg.arguments import in_words
from thalweg.errors import DataError, UsageError, check_count, unknown_name
from thalweg.figures import Axis, Figure, Scatter, interval_bars
from thalweg.generalization.bias_variance.forms import (
    CrossEntropyForm,
    Form,
    SquaredForm,
    by_judges,
    corrected_spread,
    spread_within,
    within_judges,
)
from thalweg.generalization.bias_variance.intervals import of_decomposition
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import Interval, standard_error

Array = NDArray[np.float64]
UNITS = {"squared_error": "", "cross_entropy": "nats"}
_NOT_ADDITIVE = ("zero_one", "zero-one", "0-1", "0/1", "error", "accuracy")
_ROUNDING = 1e-6  # by which probabilities may miss a sum of 1


@dataclass(frozen=True, eq=False)
class Decomposition(Result):
    """What `decompose` and `decompose_predictions` found.

    Args:
        reading: "error", "bias^2" and "variance" over all cases, with standard errors for other fits and other cases;
            where the truth is known, "noise" and "cross term" too; with several fits of each judge, "between judges"
            and "within judges", which sum to the variance. Each of them "... by case" (case,), whose errors are for
            other fits alone (other judges, where these are told).
        loss: "squared_error" or "cross_entropy".
        intervals: by part, see `interval`.
    """

    loss: str
    intervals: Mapping[str, Interval]

    def interval(self, part: str) -> Interval:
        """The 95 % interval of a part, for other fits (other judges, where these are told) and other cases.

        Variances of squared error are mean squares, as uncertain as a chi-square with their effective degrees of
        freedom (see `NoiseAudit.interval`). All else is by the jackknife, of the error and of variances of
        cross-entropy after the logarithm. Where all cases share half the variance, these cover as many of 100, for 4, 8
        and 16 judges with 4 seeds each and 60 cases:

            variance 96, 97, 96; between judges 96, 97, 96; error 92, 90, 92; bias^2 96, 86, 89

        >>> import numpy as np
        >>> import thalweg as tw
        >>> fits = np.random.default_rng(0).normal(1.0, 2.0, (8, 500))
        >>> found = tw.generalization.bias_variance.decompose_predictions(fits, np.zeros(500))
        >>> print(found.interval("bias^2"), "|", found.interval("variance"))  # 1 and 4
        0.9284 [0.643, 1.214] | 3.999 [3.742, 4.267]

        Raises:
            UsageError: no such part.
        """
        if part not in self.intervals:
            raise unknown_name("part", part, self.intervals)
        return self.intervals[part]

    def figure(self) -> Figure:
        """The parts as bars with intervals, and variance against bias^2 by case."""
        parts = [name for name, dims in self.reading.dims.items() if not dims]
        bars = interval_bars({name: self.interval(name) for name in parts})
        cases = Scatter(self["bias^2 by case"], self["variance by case"], size=3)
        unit, notes = UNITS[self.loss], " ".join(self.reading.notes)
        return Figure.row(
            [
                Figure.of("Over all cases", [bars], Axis(""), Axis("error", unit)),
                Figure.of("Case by case", [cases], Axis("bias^2", unit), Axis("variance", unit)),
            ],
            title="What the error is made of",
            caption=notes,
        )


@in_words
def decompose_predictions(
    predictions: ArrayLike,
    targets: ArrayLike,
    loss: str = "squared_error",
    *,
    judges: int | None = None,
    truth: ArrayLike | None = None,
) -> Decomposition:
    """Divide the error of many fits into bias^2 and variance, without the bias of few fits.

    Squared error, with the mean fit f and summed over outputs:

        mean_j |y - f_j|^2 = |y - truth|^2 + |f - truth|^2 + mean_j |f_j - f|^2 - 2 (y - truth).(f - truth)

    Cross-entropy, with p_j the softmax of the logits of fit j, p that of their mean, and q the true probabilities:

        mean_j -log p_j[y] = -log q[y] + KL(q || p) + mean_j KL(p || p_j) + cross term

    The parts are noise, bias^2, variance, and a cross term which is 0 on average where the noise of the targets has
    nothing to do with the fits: not on training points. Without the truth, targets stand in its place, there is no
    noise and no cross term, and the noise is part of bias^2. The sums are exact. Of few fits the mean follows them, so
    the variance comes out too small and bias^2 too large by as much: both are corrected by the jackknife, which for
    squared error is exact (variance / (J - 1) with J fits, bias^2 less variance / J) and for cross-entropy leaves an
    error of order 1/J^2. So bias^2 may come out below 0 where it is small.

    By default all fits are independent: each has a training set of its own, or they are seeds of one training set, and
    the variance is that of seeds. Several seeds on each of several training sets are not: write judges=sets. With f_j
    the mean of the S fits of judge j, squared error then has the variance of a nested analysis of variance,

        variance = between + within,    within = mean_j sum_s |f_js - f_j|^2 / (S - 1)
        between = sum_j |f_j - f|^2 / (J - 1) - within / S,    bias^2 = |f - truth|^2 - sum_j |f_j - f|^2 / (J (J - 1))

    all unbiased, and the jackknife leaves out a judge with all its seeds. For cross-entropy it is the same of
    divergences, corrected by the jackknife over judges, and for the part within over the seeds of each.

    >>> import numpy as np
    >>> from thalweg.generalization import bias_variance
    >>> fits = np.array([[1.0, 2.0], [3.0, 2.0]])  # two fits of two cases
    >>> found = bias_variance.decompose_predictions(fits, [2.0, 1.0])
    >>> found["error"].tolist(), found["bias^2 by case"].tolist(), found["variance by case"].tolist()
    (1.0, [-1.0, 1.0], [2.0, 0.0])
    >>> nested = bias_variance.decompose_predictions([[1.0], [1.0], [3.0], [3.0]], [2.0], judges=2)
    >>> [float(nested[part]) for part in ("bias^2", "between judges", "within judges")]
    [-1.0, 2.0, 0.0]
    >>> logits = np.random.default_rng(0).normal(size=(4, 100, 3))
    >>> found = bias_variance.decompose_predictions(logits, np.zeros(100, int), "cross_entropy")
    >>> bool(abs(found["bias^2"] + found["variance"] - found["error"]) < 1e-12)
    True

    Args:
        predictions: (fits, cases, outputs), or (fits, cases) of one output; logits of classes for "cross_entropy".
        targets: (cases, outputs) or (cases,), as predictions are; for "cross_entropy" classes (cases,) or probabilities
            (cases, classes), which are then their own truth.
        loss: "squared_error" or "cross_entropy".
        judges: None where fits are independent of each other; else of how many judges (training sets) they are, as
            many of each, judges x seeds with seeds fastest, as `refit` returns them, and no seed shared by two judges.
        truth: what the targets are without noise, as they are; for "cross_entropy" the true probabilities.

    Raises:
        UsageError: the 0-1 loss, fewer than two fits or judges, fits that cannot be dealt out to judges, or shapes that
            do not fit.
        DataError: predictions that are not finite.

    References:
        Geman, Bienenstock & Doursat (1992), doi:10.1162/neco.1992.4.1.1; Heskes (1998),
        doi:10.1162/089976698300017232; Yang et al. (2020), arXiv:2002.11328.
    """
    check_loss(loss)
    form = form_of(predictions, targets, loss, truth)
    fits, cases = form.errors().shape
    judges = _judges_of(fits, judges)
    errors = form.errors()
    left_out, variance = form.spread_without(judges), corrected_spread(form, judges)
    parts = {"error": errors.mean(0), "bias^2": form.bias() - (variance - form.spread()), "variance": variance}
    whole = {name: by_judges(of, judges).mean(1) for name, of in (("error", errors), ("bias^2", form.divergences()))}
    if judges < fits:
        whole["within judges"] = within_judges(form, judges)
        parts["within judges"] = whole["within judges"].mean(0)
        parts["between judges"] = variance - parts["within judges"]
    # Without a judge there is one fewer, so the variance between the others is corrected by a little more.
    plain = _without_one(spread_within(form, judges))
    left_out = left_out + (left_out - plain) / max(1, judges - 2)
    without = {name: _without_one(of) for name, of in whole.items()} | {"variance": left_out}
    without["bias^2"] = without["bias^2"] - left_out
    if judges < fits:
        without["between judges"] = left_out - without["within judges"]
    note = "The truth is not known: bias^2 has the noise of the targets in it."
    if form.truth is not None:
        parts |= {"noise": form.noise(), "cross term": form.cross()}
        without |= {"noise": np.broadcast_to(parts["noise"], (judges, cases))}
        without["cross term"] = without["error"] - without["bias^2"] - left_out - without["noise"]
        note = "The noise of the targets is told apart, as the truth is known."
    by = f" ({judges} judges x {fits // judges} seeds)" if judges < fits else ""
    by_case = {name: _jackknife_error(of) for name, of in without.items()}
    over_cases = {name: float(standard_error(of)) for name, of in parts.items()}
    over_all = {name: np.hypot(_jackknife_error(of.mean(1)), over_cases[name]) for name, of in without.items()}
    reading = Reading(
        f"bias and variance of the {loss.replace('_', ' ')}",
        {name: of.mean() for name, of in parts.items()} | {f"{name} by case": of for name, of in parts.items()},
        {f"{name} by case": ("case",) for name in parts},
        units={name: UNITS[loss] for name in parts} if UNITS[loss] else {},
        standard_errors=over_all | {f"{name} by case": of for name, of in by_case.items()},
        degrees_of_freedom=dict.fromkeys(over_all, max(1, min(judges, cases) - 1))
        | dict.fromkeys((f"{name} by case" for name in parts), judges - 1),
        sample_size=fits,
        provenance=Provenance.here(dtype="float64"),
        notes=(f"{fits} fits{by} of {cases:,} cases.", note),
    )
    return Decomposition(reading, loss, of_decomposition(reading, form, judges, over_cases, cases))


def _judges_of(fits: int, judges: int | None) -> int:
    if judges is None:
        return fits
    check_count("decompose judges", judges)
    if fits % judges:
        msg = f"decompose deals fits out to judges, as many to each; got {fits} fits for {judges} judges."
        raise UsageError(msg)
    if judges < 2:
        msg = "Variance is over judges (training sets) too, and takes two of them; got judges=1. Write judges=None for "
        raise UsageError(msg + "what the seeds of one training set add.")
    return judges


def check_loss(loss: str) -> None:
    """Raise UsageError unless the loss divides into bias and variance.

    >>> from thalweg.generalization import bias_variance
    >>> bias_variance.decompose_predictions([[1], [0]], [1], "accuracy")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    thalweg.errors.UsageError: The 0-1 loss has no additive decomposition into bias and variance: ...
    """
    if loss in _NOT_ADDITIVE:
        msg = (
            "The 0-1 loss has no additive decomposition into bias and variance: where the vote is wrong, fits that "
            "differ from it are more often right, so variance lowers the error there. Write loss='squared_error' "
            "(of probabilities: the Brier score) or loss='cross_entropy'."
        )
        raise UsageError(msg)
    if loss not in UNITS:
        raise unknown_name("loss", loss, UNITS)


def form_of(predictions: ArrayLike, targets: ArrayLike, loss: str, truth: ArrayLike | None) -> Form:
    """The arrays, checked, with one axis for outputs."""
    outputs = np.asarray(predictions, dtype=np.float64)
    if outputs.ndim < 2 or 0 in outputs.shape:
        msg = f"Predictions are (fits, cases) or (fits, cases, outputs); got shape {outputs.shape}."
        raise UsageError(msg)
    if len(outputs) < 2:
        msg = "Variance is the spread of fits about their mean, and takes two of them; got 1. Train further ones, on "
        raise UsageError(msg + "other training sets (`refit`) or from other seeds.")
    lost = np.flatnonzero(~np.isfinite(outputs).reshape(len(outputs), -1).all(1))
    if len(lost):
        msg = f"Fits {lost.tolist()} of {len(outputs)} predict something that is not finite; leave these fits out."
        raise DataError(msg)
    if loss == "squared_error":
        of = _like(outputs, targets, "targets")
        known = None if truth is None else _like(outputs, truth, "truth")
        return SquaredForm(outputs.reshape(*outputs.shape[:2], -1), of, known)
    if outputs.ndim != 3 or outputs.shape[2] < 2:
        msg = f"Logits are (fits, cases, classes) of at least two classes; got shape {outputs.shape}."
        raise UsageError(msg)
    labels = np.asarray(targets)
    soft = _probabilities(labels, outputs.shape[1:])
    known = soft if labels.ndim == 2 else None
    if truth is not None:
        known = _probabilities(np.asarray(truth), outputs.shape[1:])
        if ((known == 0) & (soft > 0)).any():
            msg = (
                "A target has probability 0 by the truth, so that its noise is infinite; give the truth of these data."
            )
            raise UsageError(msg)
    return CrossEntropyForm(log_softmax(outputs, 2), soft, known)


def _like(outputs: Array, values: ArrayLike, name: str) -> Array:
    found = np.asarray(values, dtype=np.float64)
    if found.shape != outputs.shape[1:]:
        msg = f"For predictions {outputs.shape}, {name} are {outputs.shape[1:]}; got {found.shape}."
        if found.ndim == 1 and outputs.ndim == 3:
            msg += " Classes go with loss='cross_entropy', or one-hot: np.eye(classes)[labels]."
        raise UsageError(msg)
    return found.reshape(len(found), -1)


def _probabilities(labels: NDArray, shape: tuple[int, ...]) -> Array:
    """Classes or probabilities as probabilities: (cases, classes)."""
    cases, classes = shape
    if labels.shape == (cases,) and labels.dtype.kind in "iu" and labels.min() >= 0 and labels.max() < classes:
        return np.eye(classes)[labels]
    if labels.shape != shape or not ((labels >= 0).all() and np.allclose(labels.sum(1), 1, atol=_ROUNDING)):
        msg = f"Targets of logits are classes from 0 to {classes - 1}, ({cases},), or probabilities {shape} whose rows "
        raise UsageError(msg + f"sum to 1; got {labels.dtype} of shape {labels.shape}.")
    return np.asarray(labels, dtype=np.float64)


def _without_one(values: Array) -> Array:
    """The means over the first axis without one each."""
    return (len(values) * values.mean(0) - values) / (len(values) - 1)


def _jackknife_error(without: Array) -> Array:
    """The standard error by values without one fit each, over the first axis; NaN of two fits, which say nothing."""
    fits = len(without)
    if fits < 3:
        return np.full(without.shape[1:], math.nan)
    return np.sqrt((fits - 1) / fits * ((without - without.mean(0)) ** 2).sum(0))
