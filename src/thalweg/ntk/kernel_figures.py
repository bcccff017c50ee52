"""How kernels are shown: as a heat map over pairs of examples, and by their eigenvalues."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thalweg.figures import Axis, Figure, HeatMap, Line

_SHOWN = 1_000  # eigenvalues at most that a figure shows

Kernel = NDArray[np.floating]


def heat_map(title: str, kernel: Kernel, note: str) -> Figure:
    """A kernel (examples, others)."""
    rows, columns = (np.arange(length) for length in kernel.shape)
    axes = Axis("other example"), Axis("example"), Axis("kernel")
    return Figure.of(title, (HeatMap(columns, rows, kernel),), *axes, caption=note)


def eigenvalues_of(kernel: Kernel) -> Kernel:
    """Of a symmetric kernel (examples, examples), the largest first, in float64."""
    whole = kernel.astype(np.float64)
    return np.linalg.eigvalsh((whole + whole.T) / 2)[::-1]


def spectra_of(kernels: Mapping[str, Kernel]) -> Figure:
    """The eigenvalues of symmetric kernels against their rank, a line for each by its name."""
    lines = []
    for name, kernel in kernels.items():
        values = eigenvalues_of(kernel)[:_SHOWN]
        shown = np.where(values > 0, values, np.nan)
        lines.append(Line(np.arange(1, len(values) + 1), shown, label=name if len(kernels) > 1 else ""))
    title = "their eigenvalues" if len(kernels) > 1 else "its eigenvalues"
    return Figure.of(title, lines, Axis("rank", scale="log"), Axis("eigenvalue", scale="log"), caption="")
