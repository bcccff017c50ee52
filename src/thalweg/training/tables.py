"""Tables of losses and costs that users give as lists or arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError


def table_of(what: str, given: Any, *dims: str) -> NDArray[np.float64]:
    """Numbers by these dimensions, none of which is empty.

    Raises:
        UsageError: what was given is ragged, empty, no numbers, or has other dimensions; `what` names it.
    """
    named = f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"
    try:
        found = np.asarray(given)
    except ValueError:  # rows of several lengths
        found = np.asarray("")
    if found.dtype.kind not in "iuf":
        msg = f"{what} must be numbers {named}, as many in every row; got {given!r}."
        raise UsageError(msg)
    if found.ndim != len(dims) or not found.size:
        msg = f"{what} must be numbers {named}, at least one; got shape {found.shape}."
        raise UsageError(msg)
    return found.astype(np.float64)
