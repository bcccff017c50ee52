"""Names that are not there: planned ones, those that belong elsewhere, and misspelled ones."""

import importlib.util
import pkgutil
from collections.abc import Iterable

from thalweg import planned
from thalweg.errors import UsageError, unknown_name


def unknown_verb(got: str, verbs: Iterable[str]) -> UsageError:
    """What to say of a word in the place of a verb."""
    near = planned.sentence(got)
    if near is not None:
        return UsageError(f"{near} Verbs that are here: {', '.join(verbs)}; `thalweg studies` lists the studies.")
    if got in _studies():
        return UsageError(f"{got!r} is a study; write: thalweg study {got}.")
    if got == "help":
        return UsageError("For help write: thalweg --help, or thalweg VERB --help.")
    return unknown_name("verb", got, verbs)


def _studies() -> set[str]:
    """The folders of studies, found without importing one: that would load torch."""
    room = importlib.util.find_spec("thalweg.studies")
    places = room.submodule_search_locations if room else None
    return {found.name for found in pkgutil.iter_modules(places) if found.ispkg}
