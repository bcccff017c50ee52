"""Whether there is a notebook, and what its kernel knows of the cell that is run."""

import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["cell", "shell"]


def shell() -> Any:
    """The shell of the notebook's kernel that this code runs in; None in a terminal, a script or a test.

    >>> from thalweg.notebook import shell
    >>> shell() is None
    True
    """
    ipython = sys.modules.get("IPython")  # a kernel has loaded it; elsewhere it takes long
    found = None if ipython is None else ipython.get_ipython()
    return found if hasattr(found, "kernel") else None


def cell() -> Mapping[str, Any]:
    """What the front end says of the cell that is run: its "cellId", and "deletedCells"; empty where it says nothing.

    >>> from thalweg.notebook import cell
    >>> dict(cell())
    {}
    """
    try:
        return dict(shell().get_parent()["metadata"])
    except (AttributeError, KeyError, TypeError, ValueError):  # no kernel, or one of another make
        return {}
