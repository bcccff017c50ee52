"""Thalweg: a laboratory for the science of deep-learning optimization.

A population of networks is one matrix, theta (members, parameters); everything here is arithmetic on
its rows. The names below are the whole public vocabulary. Each is imported when first used, so that
`import thalweg` costs next to nothing and loads neither torch nor a plotting library.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg import (
        claims,
        connectivity,
        curvature,
        data,
        evaluation,
        figures,
        generalization,
        landscape,
        losses,
        nets,
        ntk,
        optim,
        population,
        results,
        schedules,
        spectra,
        statistics,
        studies,
        sweep,
        tickets,
        training,
        tuning,
        workers,
    )
    from thalweg.errors import DataError, ModelError, StorageError, ThalwegError, UsageError, WorkerError
    from thalweg.evaluation import Sample, evaluate
    from thalweg.figures import Figure
    from thalweg.population import Layout, Population, Problem
    from thalweg.results import Reading
    from thalweg.storage import Store
    from thalweg.training import Recipe, Run, Start, train

    __version__: str

__all__ = [
    "DataError",
    "Figure",
    "Layout",
    "ModelError",
    "Population",
    "Problem",
    "Reading",
    "Recipe",
    "Run",
    "Sample",
    "Start",
    "StorageError",
    "Store",
    "ThalwegError",
    "UsageError",
    "WorkerError",
    "__version__",
    "claims",
    "connectivity",
    "curvature",
    "data",
    "evaluate",
    "evaluation",
    "figures",
    "generalization",
    "landscape",
    "losses",
    "nets",
    "ntk",
    "optim",
    "population",
    "results",
    "schedules",
    "spectra",
    "statistics",
    "studies",
    "sweep",
    "tickets",
    "train",
    "training",
    "tuning",
    "workers",
]

_HOMES = {
    "thalweg.errors": ("DataError", "ModelError", "StorageError", "ThalwegError", "UsageError", "WorkerError"),
    "thalweg.population": ("Layout", "Population", "Problem"),
    "thalweg.evaluation": ("Sample", "evaluate"),
    "thalweg.figures": ("Figure",),
    "thalweg.results": ("Reading",),
    "thalweg.storage": ("Store",),
    "thalweg.training": ("Recipe", "Run", "Start", "train"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, the first time it is asked for."""
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name == "__version__":
        value = importlib.import_module("importlib.metadata").version("thalweg")
    elif name in __all__:  # all others are rooms
        value = importlib.import_module(f"thalweg.{name}")
    else:
        planned = importlib.import_module("thalweg.planned").sentence(name) if not name.startswith("_") else None
        msg = f"module 'thalweg' has no attribute {name!r}" + (f": {planned}" if planned else "")
        raise AttributeError(msg)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
