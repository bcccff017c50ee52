"""What ensembles gain: predicted from the components of some judges, measured on others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_choice, unknown_name
from thalweg.figures import Axis, Figure, interval_bars
from thalweg.generalization.bias_variance.audit import errors_of
from thalweg.generalization.bias_variance.grams import DESIGNS, Grams, components, left_over
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import Interval, student_t

Array = NDArray[np.float64]
Sizes = Sequence[tuple[int, int]]
_JACKKNIFE = "jackknife over judges"
_SHARES = ("predicted share", "measured share")


@dataclass(frozen=True, eq=False)
class Ensembles(Result):
    """What `ensembles` and `ensembles_of_predictions` found.

    Args:
        reading: by ensemble (ensemble,), such as "8 x 1": "predicted" and "measured", the mean squared error of
            ensembles; "predicted share" and "measured share", that by the error of a single fit; and "miss", the log of
            the ratio of these shares. "predicted" is of the first half of the judges, "measured" of all ensembles that
            can be made of the other.
        intervals: of the shares and the miss by name and ensemble, see `interval`.
    """

    intervals: Mapping[str, Mapping[str, Interval]]

    def interval(self, name: str, ensemble: str) -> Interval:
        """The 95 % interval of a share or the miss of one ensemble, for other judges on the same cases.

        By the jackknife over the judges of each half, of the logarithm, with Student's t. With three judges a half it
        is wide, and with two there is none. Of planted noise of one output, with 3, 4, 8 and 16 judges a half, 4 seeds
        each and 60 cases, it covers the shares of ensembles of one judge, of two, of half and of all of them 90 to 97
        times of 100, and a miss of 0 93 to 99 times. Where seeds are crossed, what all judges have in common of them is
        not in it: of other seeds it covers the shares 85 to 96 times.

        >>> import numpy as np
        >>> from thalweg.generalization import bias_variance
        >>> draw = np.random.default_rng(0)
        >>> fits = 1 + draw.normal(size=(12, 1, 500)) + draw.normal(size=(12, 2, 500))
        >>> found = bias_variance.ensembles_of_predictions(fits, np.zeros(500), [(6, 1)])
        >>> print(found.interval("predicted share", "6 x 1"))  # 4/9
        0.4416 [0.4088, 0.4771]

        Raises:
            UsageError: neither a share nor the miss, or no such ensemble.
        """
        if name not in self.intervals:
            raise unknown_name("quantity", name, self.intervals)
        if ensemble not in self.intervals[name]:
            raise unknown_name("ensemble", ensemble, self.intervals[name])
        return self.intervals[name][ensemble]

    def figure(self) -> Figure:
        """Predicted and measured error of the ensembles, as shares of that of a single fit."""
        bars = [interval_bars(self.intervals[name], label=name.split()[0]) for name in _SHARES]
        axes = Axis("judges x occasions"), Axis("error / that of a single fit")
        return Figure.of("What averaging removes", bars, *axes, caption=" ".join(self.reading.notes))


@in_words
def ensembles_of_predictions(
    predictions: ArrayLike, targets: ArrayLike, sizes: Sizes | None = None, *, seeds: str = "nested"
) -> Ensembles:
    """Predict what ensembles of new members gain, by the noise of half the judges, and measure it on the other half.

        predicted(j, r) = bias^2 + (level + stable)/j + occasion/(j r),    of the first half
        measured(j, r) = mean over the ensembles of j judges and r occasions each that can be made of the other half
        miss = log [(predicted(j, r) / predicted(1, 1)) / (measured(j, r) / measured(1, 1))]

    The mean over all ensembles is a sum of products of errors, the same as that which predicts from these judges, so
    that none has to be made, and the doubt of both halves is of one kind.
    Gains are compared, not errors: two halves of a few training sets differ in how good they are. The miss is 0 on
    average by construction, so its size is what counts; averaging it over both directions, from the first half to the
    other and back, would all but cancel it.

    >>> import numpy as np
    >>> from thalweg.generalization import bias_variance
    >>> draw = np.random.default_rng(0)
    >>> fits = 1 + draw.normal(size=(8, 1, 500)) + draw.normal(size=(8, 2, 500))
    >>> found = bias_variance.ensembles_of_predictions(fits, np.zeros(500), [(1, 2), (4, 1)])
    >>> found["predicted share"].round(2).tolist(), found["measured share"].round(2).tolist()  # 5/6 and 1/2
    ([0.83, 0.5], [0.84, 0.51])

    Args:
        predictions: (judges, occasions, cases, ...), of at least four judges; see `audit_predictions`.
        targets: (cases, ...).
        sizes: (judges, occasions) of ensembles, at most half the judges and all the occasions; None: one judge on all
            occasions, half the judges on one each, and half of them on all.
        seeds: see `audit_predictions`.

    Raises:
        UsageError: fewer than two judges in a half, fewer than two occasions, fits without any error, or ensembles that
            are too large.
        DataError: predictions that are not finite.
    """
    check_choice("ensembles seeds", seeds, DESIGNS)
    errors = errors_of(predictions, targets)
    half, occasions = len(errors) // 2, errors.shape[1]
    if half < 2:
        msg = f"ensembles takes at least four judges, two to predict from and two to measure; got {len(errors)}."
        raise UsageError(msg)
    sizes = ((1, occasions), (half, 1), (half, occasions)) if sizes is None else sizes
    for size in sizes:
        if np.shape(size) != (2,):
            msg = f"Sizes of ensembles are pairs (judges, occasions), such as [(1, 4), (8, 1)]; got {size}."
            raise UsageError(msg)
        if not (1 <= size[0] <= half and 1 <= size[1] <= occasions):
            msg = f"Ensembles are of 1 to {half} judges (half of them) and 1 to {occasions} occasions; got {size}."
            raise UsageError(msg)
    first, others = Grams.of(errors[:half]), Grams.of(errors[half:])
    if not errors[:half].any() or not errors[half:].any():
        msg = "The fits of one half of the judges make no error at all, so there is none that an ensemble could remove."
        raise UsageError(msg)
    noise, found = components(first, seeds), components(others, seeds)
    predicted, measured = (np.array([left_over(of, j, r) for j, r in sizes]) for of in (noise, found))
    names, shares = [f"{j} x {r}" for j, r in sizes], (predicted / noise["mse"], measured / found["mse"])
    arrays = {"predicted": predicted, "measured": measured} | dict(zip(_SHARES, shares, strict=True))
    arrays["miss"] = np.log(shares[0] / shares[1])
    reading = Reading(
        "error of ensembles",
        arrays,
        dict.fromkeys(arrays, ("ensemble",)),
        {"ensemble": names},
        sample_size=len(errors),
        provenance=Provenance.here(dtype="float64"),
        notes=(f"Predicted from {half} judges, measured on {len(errors) - half} others.",),
    )
    return Ensembles(reading, _intervals(reading, names, [_log_errors(of, sizes, seeds) for of in (first, others)]))


def _log_errors(grams: Grams, sizes: Sizes, design: str) -> tuple[Array, int]:
    """Standard errors of the logs of shares by the jackknife over judges, (sizes,), and how many judges there are.

    Of fewer judges than the ensemble has, the error is still defined by their components.
    """
    judges = grams.judges
    if judges < 3:
        return np.full(len(sizes), np.nan), judges
    logs = np.empty((judges, len(sizes)))
    for one in range(judges):
        parts = components(grams.chosen(np.delete(np.arange(judges), one), slice(None)), design)
        left = np.array([left_over(parts, j, r) for j, r in sizes])
        logs[one] = np.log(np.where(left > 0, left, np.nan) / parts["mse"])  # small bias^2 may come out below 0
    return np.sqrt((judges - 1) / judges * ((logs - logs.mean(0)) ** 2).sum(0)), judges


def _intervals(
    reading: Reading, names: Sequence[str], errors: Sequence[tuple[Array, int]]
) -> dict[str, dict[str, Interval]]:
    """See `Ensembles.interval`; errors are `_log_errors` of both halves."""
    found: dict[str, dict[str, Interval]] = {}
    for which, (error, judges) in zip(_SHARES, errors, strict=True):
        by = np.exp(float(student_t.factor(judges - 1)) * error)
        found[which] = {
            name: Interval(value, value / up, value * up, judges, f"{_JACKKNIFE}, of the logarithm")
            for name, value, up in zip(names, reading[which].tolist(), by.tolist(), strict=True)
        }
    squares = np.array([error**2 for error, _ in errors])
    doubt = sum(of**2 / (judges - 1) for of, (_, judges) in zip(squares, errors, strict=True))
    with np.errstate(invalid="ignore"):  # judges that agree: there is no reach, whatever the degrees of freedom
        degrees = np.where(doubt == 0, np.inf, squares.sum(0) ** 2 / doubt)
    reach = student_t.factor(degrees) * np.sqrt(squares.sum(0))  # Welch's
    judges = sum(judges for _, judges in errors)
    found["miss"] = {
        name: Interval(value, value - by, value + by, judges, _JACKKNIFE)
        for name, value, by in zip(names, reading["miss"].tolist(), reach.tolist(), strict=True)
    }
    return found
