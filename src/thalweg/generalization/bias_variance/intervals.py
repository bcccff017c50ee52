"""Intervals from the standard errors of a reading."""

import math

from thalweg.errors import unknown_name
from thalweg.results import Reading
from thalweg.statistics import Interval, student_t


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
