"""Which studies there are. A study is imported when it is asked for, so that naming them costs nothing."""

import importlib

from thalweg.errors import unknown_name
from thalweg.studies.study import Study

# In the order of the tour: the name, and the module whose STUDY it is.
MODULES: dict[str, str] = {
    "optimizers": "thalweg.studies.optimizers",
    "schedules": "thalweg.studies.schedules",
    "landscape": "thalweg.studies.landscape",
}


def find(name: str) -> Study:
    """The study of this name.

    >>> import thalweg as tw
    >>> sorted(claim.id for claim in tw.studies.find("schedules").claims)
    ['SCH1', 'SCH2', 'SCH3']

    Raises:
        UsageError: there is none; says which are near.
    """
    if name not in MODULES:
        raise unknown_name("study", name, MODULES)
    return importlib.import_module(MODULES[name]).STUDY


def studies() -> tuple[Study, ...]:
    """Every study, in the order of the tour.

    >>> import thalweg as tw
    >>> [study.name for study in tw.studies.studies()]
    ['optimizers', 'schedules', 'landscape']
    """
    return tuple(find(name) for name in MODULES)
