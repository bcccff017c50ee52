"""The noise of many judges on many occasions: level, stable pattern and occasion noise, unbiased and with errors."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import DataError, UsageError, check_choice, check_count
from thalweg.figures import Axis, Bars, Figure, interval_bars
from thalweg.generalization.bias_variance.grams import COMPONENTS, CROSSED, DESIGNS, Grams, components, left_over
from thalweg.generalization.bias_variance.intervals import by_standard_error
from thalweg.generalization.bias_variance.mean_squares import coefficients, mean_squares, reaches
from thalweg.results import Provenance, Reading, Result
from thalweg.statistics import Interval, student_t

Array = NDArray[np.float64]
_GROUPS = 20  # of cases, that are left out one by one
_BY_CASE = ("bias^2", "judges", "occasions")


@dataclass(frozen=True, eq=False)
class NoiseAudit(Result):
    """What `audit` and `audit_predictions` found.

    Args:
        reading: "bias^2", "level", "stable pattern", "occasion level" and "occasion pattern", which sum to "mse", with
            standard errors for other judges, cases and, where they are crossed, occasions; and "bias^2 by case",
            "judges by case" (level and stable pattern together) and "occasions by case", (case,) each.
        judges, occasions: how many there are.
        seeds: "nested" or "crossed".
        shared: the part of the occasion noise that all judges have in common, 0 where seeds are nested.
        intervals: by component, see `interval`.
    """

    judges: int
    occasions: int
    seeds: str
    shared: float
    intervals: Mapping[str, Interval]

    def interval(self, component: str) -> Interval:
        """The 95 % interval of a component, for other judges, occasions and cases.

        Components of the noise are sums and differences of mean squares, so their ends lie where the chi-square
        distribution has them, each mean square with its effective degrees of freedom (see `mean_squares`), farther
        above than below; to these the jackknife over cases is added in squares. Predictions of judges are taken for
        normal. That of bias^2 is by the jackknife over judges, cases and crossed occasions, and that of the mse too,
        after the logarithm. Of planted noise of one output they cover as many of 100, for 4, 8 and 16 judges with 4
        seeds each and 60 cases:

            level 95, 96, 96; stable pattern 100, 100, 99; occasion level 96, 96, 96; occasion pattern 100, 100, 100;
            bias^2 100, 98, 95; mse 97, 95, 94

        >>> import numpy as np
        >>> import thalweg as tw
        >>> judges, draw = np.random.default_rng(0).normal(size=(12, 1, 200)), np.random.default_rng(1)
        >>> found = tw.generalization.bias_variance.audit_predictions(
        ...     judges + 0.5 * draw.normal(size=(12, 4, 200)), np.zeros(200))
        >>> print(found.interval("stable pattern"), "|", found.interval("occasion pattern"))  # 1 and 1/4
        1.006 [0.9184, 1.097] | 0.2471 [0.2338, 0.2606]

        Raises:
            UsageError: no such component.

        References:
            Satterthwaite (1946), doi:10.2307/3002019; Burdick & Graybill (1992), Confidence intervals on variance
            components; Zou & Donner (2008), doi:10.1002/sim.3095; Bai & Saranadasa (1996), Statistica Sinica 6.
        """
        check_choice("component", component, (*COMPONENTS, "mse"))
        return self.intervals[component]

    def predicted(self, *, judges: int = 1, occasions: int = 1) -> float:
        """The mean squared error of ensembles of new judges, each on new occasions, whose predictions are averaged.

            bias^2 + (level + stable pattern)/judges + (occasion level + occasion pattern)/(judges occasions)

        What all judges share of an occasion, where seeds are crossed, is divided by the occasions alone.

        >>> import numpy as np
        >>> import thalweg as tw
        >>> noise = np.random.default_rng(0).normal(size=(8, 4, 500))
        >>> found = tw.generalization.bias_variance.audit_predictions(noise, np.zeros(500))
        >>> round(found.predicted(), 2), round(found.predicted(judges=8, occasions=4), 2)  # 1 and 1/32
        (0.99, 0.03)

        Raises:
            UsageError: less than one judge or occasion.
        """
        check_count("predicted judges", judges)
        check_count("predicted occasions", occasions)
        return left_over({name: float(self[name]) for name in COMPONENTS} | {"shared": self.shared}, judges, occasions)

    def figure(self) -> Figure:
        """The components, and what is left of the error by averaging over judges, over occasions, and over both."""
        sizes = ((1, 1), (1, self.occasions), (self.judges, 1), (self.judges, self.occasions))
        names, left = zip(*((f"{j} x {r}", self.predicted(judges=j, occasions=r)) for j, r in sizes), strict=True)
        parts, error = interval_bars({name: self.interval(name) for name in COMPONENTS}), Axis("mean squared error")
        ensembles = Bars(names, np.array(left))
        return Figure.row(
            [
                Figure.of("Components", [parts], Axis(""), error),
                Figure.of("Ensembles, predicted", [ensembles], Axis("judges x occasions"), error),
            ],
            title="What the error is made of",
            caption=" ".join(self.reading.notes),
        )


@in_words
def audit_predictions(predictions: ArrayLike, targets: ArrayLike, *, seeds: str = "nested") -> NoiseAudit:
    """Divide the squared error of judges on occasions into bias^2, level, stable pattern and occasion noise.

    The error of judge j on case i at occasion r is, summed in squares over outputs,

        e_ijr = bias_i + level_j + stable_ij + occasion level_jr + occasion pattern_ijr

    and mse = mean_i bias_i^2 + level + stable pattern + occasion level + occasion pattern. Judges are whatever is to
    be compared: training sets, architectures, hyper-parameters; occasions whatever else varies: seeds, batch orders.
    Components are those of an analysis of variance, in which judges, occasions and cases are samples: unbiased, so one
    that is small may come out below 0. They sum to the mse exactly, since bias^2 has the rest of the noise in the mean
    over all fits taken off.

    >>> import numpy as np
    >>> from thalweg.generalization import bias_variance
    >>> draw = np.random.default_rng(0)
    >>> judges = draw.normal(size=(60, 1, 1)) + draw.normal(size=(60, 1, 400))
    >>> fits = 3 + judges + 0.5 * draw.normal(size=(60, 4, 400))
    >>> found = bias_variance.audit_predictions(fits, np.zeros(400))
    >>> parts = [float(found[name]) for name in bias_variance.COMPONENTS]
    >>> [round(part, 1) for part in parts]  # planted: 9, 1, 1, 0 and 1/4; the level is the noisiest
    [9.5, 0.8, 1.0, 0.0, 0.3]
    >>> bool(abs(sum(parts) - found["mse"]) < 1e-12)
    True

    Args:
        predictions: (judges, occasions, cases, outputs), or (judges, occasions, cases) of one output; of classes give
            probabilities, and one-hot targets.
        targets: (cases, outputs) or (cases,).
        seeds: "nested" where every judge has occasions of its own; "crossed" where occasion r is the same seed for
            all judges, as in a sweep, whose noise they then have in common.

    Raises:
        UsageError: fewer than two judges, occasions or cases, or shapes that do not fit.
        DataError: predictions that are not finite.

    References:
        Kahneman, Sibony & Sunstein (2021), Noise, chapter 6; Searle, Casella & McCulloch (1992), Variance components.
    """
    check_choice("audit seeds", seeds, DESIGNS)
    errors = errors_of(predictions, targets)
    judges, occasions, cases, outputs = errors.shape
    whole = Grams.of(errors)
    found, left_out = components(whole, seeds), [_over(values) for values in _left_out(errors, whole, seeds)]
    names = (*COMPONENTS, "mse")
    reading = Reading(
        "noise of judges on occasions",
        {name: found[name] for name in names} | {f"{name} by case": of for name, of in _by_case(errors, seeds).items()},
        {f"{name} by case": ("case",) for name in _BY_CASE},
        standard_errors={name: math.hypot(*(of[name] for of in left_out)) for name in names},
        degrees_of_freedom=dict.fromkeys(names, min(judges, min(cases, _GROUPS)) - 1),
        sample_size=judges * occasions,
        provenance=Provenance.here(dtype="float64"),
        notes=(
            f"{judges} judges on {occasions} occasions each ({seeds} seeds), {cases:,} cases"
            + (f", summed over {outputs} outputs." if outputs > 1 else "."),
        ),
    )
    intervals = _intervals(reading, whole, seeds, outputs, left_out[-1], min(cases, _GROUPS))
    return NoiseAudit(reading, judges, occasions, seeds, found["shared"], intervals)


def _intervals(
    reading: Reading, whole: Grams, seeds: str, outputs: int, over_cases: dict[str, float], groups: int
) -> dict[str, Interval]:
    """See `NoiseAudit.interval`; over_cases are the standard errors for other cases."""
    jackknife = "jackknife over judges and cases"
    found = {
        name: by_standard_error(reading, name, jackknife, kind="component", positive=name == "mse")
        for name in ("bias^2", "mse")
    }
    squares, t = mean_squares(whole, seeds, outputs), float(student_t.factor(groups - 1))
    for name in COMPONENTS[1:]:
        value, of_cases = float(reading[name]), t * over_cases[name]
        below, above = (math.hypot(of_cases, reach) for reach in reaches(coefficients(name, whole, seeds), squares))
        method = "mean squares, chi-square, and jackknife over cases"
        found[name] = Interval(value, value - below, value + above, whole.judges, method)
    return found


def errors_of(predictions: ArrayLike, targets: ArrayLike) -> Array:
    """Predictions less targets, with one axis for outputs: (judges, occasions, cases, outputs)."""
    found, of = np.asarray(predictions, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if found.ndim < 3 or 0 in found.shape or of.shape != found.shape[2:]:
        msg = "Predictions are (judges, occasions, cases, ...) for targets (cases, ...); "
        msg += f"got {found.shape} for {of.shape}."
        if of.ndim == 1 and found.ndim == 4:
            msg += " Classes go one-hot: np.eye(classes)[labels]."
        raise UsageError(msg)
    judges, occasions, cases = found.shape[:3]
    if judges < 2:
        msg = "Level and pattern noise are how judges differ, and take two of them (training sets, architectures, "
        raise UsageError(msg + f"hyper-parameters); got {judges}.")
    if occasions < 2:
        msg = "Without a second occasion (seed, batch order) of each judge, what a judge always does cannot be told "
        raise UsageError(msg + f"from what it did once; got {occasions}.")
    if cases < 2:
        msg = f"Level noise is what a judge does in all cases, and takes two of them; got {cases}."
        raise UsageError(msg)
    lost = np.argwhere(~np.isfinite(found).reshape(judges, occasions, -1).all(2))
    if len(lost):
        msg = (
            f"Predictions of {len(lost)} of {judges * occasions} fits are not finite; the first is judge {lost[0][0]} "
        )
        raise DataError(msg + f"on occasion {lost[0][1]}. Leave its judge out.")
    return (found - of).reshape(judges, occasions, cases, -1)


def _left_out(errors: Array, whole: Grams, seeds: str) -> Iterator[list[dict[str, float]]]:
    """Components without one judge each, without one group of cases each, and without one occasion where crossed."""
    judges, occasions, cases = errors.shape[:3]
    if judges > 2:
        kept = (np.delete(np.arange(judges), one) for one in range(judges))
        yield [components(whole.chosen(some, slice(None)), seeds) for some in kept]
    else:
        yield []
    if seeds == CROSSED:
        kept = (np.delete(np.arange(occasions), one) for one in range(occasions if occasions > 2 else 0))
        yield [components(whole.chosen(slice(None), some), seeds) for some in kept]
    groups = np.array_split(np.arange(cases), min(_GROUPS, cases)) if cases > 2 else []
    sums = cases * errors.mean(2)
    found = []
    for group in groups:
        part, count = errors[:, :, group], cases - len(group)
        products = (cases * whole.products - len(group) * Grams.of(part).products) / count
        means = ((sums - part.sum(2)) / count).reshape(judges * occasions, -1)
        found.append(components(replace(whole, products=products, of_means=means @ means.T, cases=count), seeds))
    yield found


def _over(left_out: list[dict[str, float]]) -> dict[str, float]:
    """The standard error of each component by its values with one unit left out; NaN where nothing could be."""
    names = (*COMPONENTS, "mse")
    if not left_out:
        return dict.fromkeys(names, math.nan)
    n = len(left_out)
    values = {name: np.array([one[name] for one in left_out]) for name in names}
    return {name: math.sqrt((n - 1) / n * float(((of - of.mean()) ** 2).sum())) for name, of in values.items()}


def _by_case(errors: Array, seeds: str) -> dict[str, Array]:
    """bias^2, level and stable pattern together, and occasion noise: (cases,) each; their means are the components'."""
    judges, occasions = errors.shape[:2]
    square = lambda values: (values**2).sum(-1)  # noqa: E731
    mean, by_judge = errors.mean((0, 1)), errors.mean(1)
    between = square(by_judge - mean).sum(0) * occasions / (judges - 1)
    if seeds == CROSSED:
        by_occasion = errors.mean(0)
        rest = square(errors - by_judge[:, None] - by_occasion + mean).sum((0, 1)) / ((judges - 1) * (occasions - 1))
        common = (square(by_occasion - mean).sum(0) * judges / (occasions - 1) - rest) / judges
    else:
        rest, common = square(errors - by_judge[:, None]).sum((0, 1)) / (judges * (occasions - 1)), 0.0
    judged = (between - rest) / occasions
    bias = square(mean) - judged / judges - common / occasions - rest / (judges * occasions)
    return dict(zip(_BY_CASE, (bias, judged, common + rest), strict=True))
