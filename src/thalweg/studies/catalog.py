"""Which studies there are. A study is imported when it is asked for, so that naming them costs nothing."""

import importlib

from thalweg import planned
from thalweg.errors import UsageError, unknown_name
from thalweg.studies.study import Study

# In the order of the tour: the name, and the module whose STUDY it is.
MODULES: dict[str, str] = {
    "optimizers": "thalweg.studies.optimizers",
    "schedules": "thalweg.studies.schedules",
    "puzzle": "thalweg.studies.puzzle",
    "implicit": "thalweg.studies.implicit",
    "simplicity": "thalweg.studies.simplicity",
    "grokking": "thalweg.studies.grokking",
    "bias-variance": "thalweg.studies.bias_variance",
    "double-descent": "thalweg.studies.double_descent",
    "landscape": "thalweg.studies.landscape",
    "connectivity": "thalweg.studies.connectivity",
    "tickets": "thalweg.studies.tickets",
    "ntk": "thalweg.studies.ntk",
}


def find(name: str) -> Study:
    """The study of this name.

    >>> import thalweg as tw
    >>> sorted(claim.id for claim in tw.studies.find("schedules").claims)
    ['SCH1', 'SCH2', 'SCH3']

    Raises:
        UsageError: there is none, and says which are near; it is planned; or the module named here holds another.
    """
    if name not in MODULES:
        raise _unknown(name)
    study = getattr(importlib.import_module(MODULES[name]), "STUDY", None)
    if not isinstance(study, Study) or study.name != name:
        held = f"the study {study.name!r}" if isinstance(study, Study) else "none"
        msg = f'{MODULES[name]} must hold STUDY = Study("{name}", ...); it holds {held}.'
        raise UsageError(msg)
    return study


def _unknown(name: str) -> UsageError:
    """That a study is not there: planned, or unknown."""
    near = planned.sentence(name) if isinstance(name, str) else None
    if near is None:
        return unknown_name("study", name, MODULES)
    return UsageError(f"{near} Studies that are here: {', '.join(MODULES)}.")


def studies() -> tuple[Study, ...]:
    """Every study, in the order of the tour.

    >>> import thalweg as tw
    >>> "optimizers" in [study.name for study in tw.studies.studies()]
    True

    Raises:
        UsageError: two claims have one id.
    """
    found = tuple(find(name) for name in MODULES)
    ids = [claim.id for study in found for claim in study.claims]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        msg = f"Every claim has an id of its own, but {', '.join(twice)} is there more than once."
        raise UsageError(msg)
    return found
