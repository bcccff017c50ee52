"""Intervals from the standard errors of a reading, and of a decomposition."""

import math
from collections.abc import Mapping

from thalweg.errors import unknown_name
from thalweg.generalization.bias_variance.forms import Form, SquaredForm
from thalweg.generalization.bias_variance.mean_squares import of_fits, reaches
from thalweg.results import Reading
from thalweg.statistics import Interval, student_t

_POSITIVE = ("error", "variance", "within judges")


def by_standard_error(reading: Reading, name: str, method: str, *, kind: str, positive: bool = False) -> Interval:
    """The 95 % interval of a scalar by Student's t; of one that cannot be below 0, after the logarithm.

    Raises:
        UsageError: no scalar of that name; `kind` is what it is called.
    """
    scalars = [one for one, dims in reading.dims.items() if not dims]
    if name not in scalars:
        raise unknown_name(kind, name, scalars)
    value, error = float(reading[name]), float(reading.standard_errors[name])
    degrees = float(reading.degrees_of_freedom[name])
    reach, units = error * float(student_t.factor(degrees)), int(degrees) + 1
    if not (positive and value > 0):
        return Interval(value, value - reach, value + reach, units, method)
    by = math.exp(min(reach / value, 700.0)) if math.isfinite(reach) else math.nan  # beyond, it overflows
    return Interval(value, value / by, value * by, units, f"{method}, after the logarithm")


def of_decomposition(
    reading: Reading, form: Form, judges: int, over_cases: Mapping[str, float], cases: int
) -> dict[str, Interval]:
    """The 95 % intervals of its parts; over_cases are standard errors for other cases."""
    jackknife = "jackknife over fits, and over cases"
    found = {
        name: by_standard_error(reading, name, jackknife, kind="part", positive=name in _POSITIVE)
        for name in over_cases
    }
    if not isinstance(form, SquaredForm):
        if "between judges" in found:  # the variance less that within, and so its ends
            found["between judges"] = _difference(
                float(reading["between judges"]), found["variance"], found["within judges"]
            )
        return found
    seeds, squares = len(form.predictions) // judges, of_fits(form.predictions, judges)
    coefficients = {"variance": {"between": 1.0}}
    if seeds > 1:
        coefficients["variance"] = {"between": 1 / seeds, "within": 1 - 1 / seeds}
        coefficients |= {"between judges": {"between": 1 / seeds, "within": -1 / seeds}, "within judges": {"within": 1}}
    t = float(student_t.factor(cases - 1))
    for name, of in coefficients.items():
        value, of_cases = float(reading[name]), t * over_cases[name]
        below, above = (math.hypot(of_cases, reach) for reach in reaches(_both(of), squares))
        low = max(0.0, value - below) if name in _POSITIVE and not math.isnan(below) else value - below
        method = "mean squares, chi-square, and Student's t over cases"
        found[name] = Interval(value, low, value + above, judges, method)
    return found


def _difference(value: float, of: Interval, less: Interval) -> Interval:
    below = math.hypot(of.estimate - of.low, less.high - less.estimate)
    above = math.hypot(of.high - of.estimate, less.estimate - less.low)
    return Interval(value, value - below, value + above, of.n, of.method)


def _both(of: Mapping[str, float]) -> dict[str, float]:
    return {f"{name} {kind}": by for name, by in of.items() for kind in ("level", "pattern")}
