"""Lines with bands from the smallest to the largest over one dimension of a reading, such as its seeds."""

import warnings
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_choice, unknown_name
from thalweg.figures.figure import Figure
from thalweg.figures.marks import Line
from thalweg.figures.panel import Axis
from thalweg.results.quantity import Quantity
from thalweg.results.reading import Reading

Center = Literal["mean", "median", "geometric mean"]
_CENTERS = ("mean", "median", "geometric mean")


@in_words
def spread(
    reading: Reading,
    *,
    x: str,
    over: str,
    array: str | None = None,
    title: str | None = None,
    caption: str = "",
    center: Center = "mean",
    x_axis: Axis | None = None,
    y_axis: Axis | None = None,
) -> Figure:
    """Draw an array along one dimension, with a band from the smallest to the largest over another.

    There is one line for each entry of the remaining dimension, if there is one, named by its coordinates. Values
    that are NaN are left out, and the caption says how many they are; where all are, the line has a gap.

    Args:
        reading: what was measured.
        x: the dimension along which lines run; its coordinates are numbers.
        over: the dimension the band is over, such as "seed".
        array: which array of the reading; the first when not given.
        title: of the figure; the reading's name when not given.
        caption: sentences before the one that says what lines and bands are.
        center: what the line is over `over`: "mean", "median" or "geometric mean" (of positive values).
        x_axis: the horizontal axis; made from the reading when not given.
        y_axis: the vertical axis; made from the reading when not given.

    Raises:
        UsageError: no such dimension or array, more than one dimension remains, coordinates along `x` or values that
            are not numbers, or a geometric mean of values that are not positive.

    Example:
        >>> import thalweg as tw
        >>> loss = [[2.0, 1.0], [4.0, 1.5]]
        >>> reading = tw.Reading("loss", {"loss": loss}, {"loss": ("seed", "step")}, {"step": [0, 10]})
        >>> figure = tw.results.spread(reading, x="step", over="seed")
        >>> figure.panels[0].marks[0].y.tolist(), figure.caption
        ([3.0, 1.25], 'Mean of 2 seeds; bands run from the smallest to the largest.')
    """
    quantity = reading.quantity(array)
    _check(quantity, x, over, center)
    quantity = quantity.ordered()
    other = next((dim for dim in quantity.dims if dim not in {x, over}), None)
    order = [quantity.dims.index(dim) for dim in (other, x, over) if dim is not None]
    values = quantity.values.astype(np.float64).transpose(order)
    values = values if other else values[None]
    labels = quantity.entries(other) if other else [""]
    marks = [
        Line(quantity.coordinate(x), middle, low=low, high=high, label=label)
        for label, (middle, low, high) in zip(labels, (_ends(each, center) for each in values), strict=True)
    ]
    sentences = [caption, _words(values, over, center)]
    return Figure.of(
        reading.name if title is None else title,
        marks,
        x_axis or quantity.axis_of(x),
        y_axis or quantity.axis,
        caption=" ".join(sentence for sentence in sentences if sentence),
    )


def _check(quantity: Quantity, x: str, over: str, center: str) -> None:
    """Raise UsageError where there is nothing to draw so."""
    check_choice("center", center, _CENTERS)
    for dim in (x, over):
        if dim not in quantity.dims:
            raise unknown_name("dimension", dim, quantity.dims)
    rest = [dim for dim in quantity.dims if dim not in {x, over}]
    if x == over:
        msg = f"Lines along {x!r} have no band over {over!r}; x and over need two dimensions."
        raise UsageError(msg)
    if len(rest) > 1:
        msg = (
            f"{quantity.name!r} has the dimensions {', '.join(map(repr, rest))} besides, and lines tell one apart; "
            f"choose first: reading.select({rest[0]!r}, value)."
        )
        raise UsageError(msg)
    if quantity.is_text or quantity.coordinate(x).dtype.kind not in "iuf":
        what = f"{quantity.name!r}" if quantity.is_text else f"coordinates of {x!r}"
        msg = f"spread draws numbers along numbers, and the {what} are {'text' if quantity.is_text else 'names'}."
        raise UsageError(msg)
    if center == "geometric mean" and (quantity.values <= 0).any():
        msg = f"A geometric mean needs positive values; {quantity.name!r} goes down to {np.nanmin(quantity.values):g}."
        raise UsageError(msg)


def _ends(
    values: NDArray[np.float64], center: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Center, smallest and largest of each row without its NaN; NaN where nothing is left."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows that are all NaN
        if center == "geometric mean":
            middle = np.exp(np.nanmean(np.log(values), 1))
        else:
            middle = (np.nanmedian if center == "median" else np.nanmean)(values, 1)
        return middle, np.nanmin(values, 1), np.nanmax(values, 1)


def _words(values: NDArray[np.float64], over: str, center: str) -> str:
    count = values.shape[-1]
    missing = int(np.isnan(values).sum())
    text = f"{center.capitalize()} of {count} {over}{'s' * (count != 1)}; bands run from the smallest to the largest."
    if missing:
        text += f" {missing} of {values.size} values are not numbers and are left out."
    return text
