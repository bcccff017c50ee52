"""Where level lines and the ticks of color bars are, and how numbers are written beside them."""

import numpy as np
from numpy.typing import NDArray

from thalweg.figures.limits import drawable
from thalweg.figures.marks import Contour
from thalweg.figures.panel import Axis

_ABOUT = 8  # level lines where none were given
_COUNTED = 12  # cells in a row that each have a tick
_STEPS = 6  # of powers of ten along a color bar


def levels(contour: Contour, axis: Axis) -> NDArray[np.float64]:
    """Where a contour's lines run: those given, or about eight round values (on a log axis, of the exponent)."""
    if contour.levels is not None:
        given = drawable(contour.levels, axis)
        return given[np.isfinite(given)]
    z = drawable(contour.z, axis)
    if not np.isfinite(z).any():
        return np.array([])
    z = np.log10(z) if axis.scale == "log" else z
    low, high = float(np.nanmin(z)), float(np.nanmax(z))
    chosen = _round(low, high, _ABOUT)
    chosen = chosen[(chosen > low) & (chosen < high)]
    return 10.0**chosen if axis.scale == "log" else chosen


def _round(low: float, high: float, about: int) -> NDArray[np.float64]:
    """Round values from low to high, roughly `about` of them, equally spaced; none where nothing is between."""
    if high <= low:
        return np.array([])
    rough = (high - low) / about
    magnitude = 10.0 ** np.floor(np.log10(rough))
    step = min((m * magnitude for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(s - rough))
    return np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0  # no -0


def decades(low: float, high: float) -> NDArray[np.float64]:
    """Ticks of a log color bar from low to high; one where both are the same.

    They are at most seven powers of ten, or failing two of them 1-2-5 values, or failing those round ones.
    """
    first, last = int(np.ceil(np.log10(low) - 1e-9)), int(np.floor(np.log10(high) + 1e-9))
    if last > first:
        return np.power(10.0, np.arange(first, last + 1, -(-(last - first) // _STEPS)), dtype=np.float64)
    fine = np.outer(10.0 ** np.arange(first - 1, last + 2), [1, 2, 5]).ravel()
    fine = fine[(fine >= low) & (fine <= high)]
    if len(fine) > 1:
        return fine
    return _round(low, high, 4) if high > low else np.array([low])


def power(value: float, up: str, down: str, enough: int = 3) -> str:
    """A number as at a logarithmic axis, with enough digits and the marks that set an exponent: 10<sup>-3</sup>, 5."""
    mantissa, exponent = f"{value:.{enough - 1}e}".split("e")
    if abs(int(exponent)) < 3:
        return f"{value:.{enough}g}"
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    raised = f"10{up}{int(exponent)}{down}"
    written = raised if mantissa == "1" else f"{mantissa}\N{MIDDLE DOT}{raised}"
    return written.replace("-", "\N{MINUS SIGN}")


def numerals(values: NDArray[np.float64], up: str, down: str) -> list[str]:
    """Ascending numbers beside each other, with the fewest digits that put each where it is."""
    enough = digits(values)
    rounded = [float(f"{value:.{enough}g}") for value in values]
    plain = [f"{value:.{max(enough, 5)}g}" for value in rounded]
    written = [power(v, up, down, enough) if "e" in text else text for v, text in zip(rounded, plain, strict=True)]
    return [text.replace("-", "\N{MINUS SIGN}") for text in written]


def log_labels(values: NDArray[np.float64], up: str, down: str) -> list[str]:
    """The same on a logarithmic scale: by powers of ten where it spans two of them."""
    if values[-1] < 100 * values[0]:
        return numerals(values, up, down)
    return [power(value, up, down, max(3, digits(values))) for value in values]


def counts(centers: NDArray[np.float64]) -> bool:
    """Whether cells of a map are at a few whole numbers in a row, as numbers of things are.

    >>> import numpy as np
    >>> from thalweg.figures.ticks import counts
    >>> counts(np.arange(4.0)), counts(np.linspace(0, 1, 4))
    (True, False)
    """
    whole = bool((centers == np.round(centers)).all())
    return whole and 1 < len(centers) <= _COUNTED and bool((np.diff(centers) == 1).all())


def written_between(value: float, shown: tuple[float, float], up: str, down: str) -> str:
    """A tick of a log axis that shows less than two powers of ten: of 1-2-5 values the number, else nothing.

    Where it shows less than a factor of five every tick has its number.

    >>> from thalweg.figures.ticks import written_between
    >>> [written_between(value, (6, 70), "^", "") for value in (10, 20, 30, 50)]
    ['10', '20', '', '50']
    """
    leading = round(value / 10 ** np.floor(np.log10(value) + 1e-9))
    few = shown[1] < 5 * shown[0]
    return power(value, up, down) if few or leading in (1, 2, 5) else ""


def digits(values: NDArray[np.float64]) -> int:
    """How many digits leave every value within a hundredth of the way to its neighbors."""
    steps = np.diff(values) if len(values) > 1 else np.abs(values)
    near = np.minimum(np.append(steps, np.inf), np.append(np.inf, steps))[: len(values)] / 100
    for enough in range(2, 16):
        written = np.array([float(f"{value:.{enough}g}") for value in values])
        if (np.abs(written - values) <= near).all():
            return enough
    return 16
