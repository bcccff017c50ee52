"""Names that are not there: planned ones, those that belong elsewhere, and misspelled ones."""

from collections.abc import Iterable

from thalweg import planned
from thalweg.errors import UsageError, unknown_name


def unknown_verb(got: str, verbs: Iterable[str]) -> UsageError:
    """What to say of a word in the place of a verb; names of studies are recognized without importing them."""
    near = planned.sentence(got)
    if near is not None:
        return UsageError(f"{near} Verbs that are here: {', '.join(verbs)}; `thalweg studies` lists the studies.")
    if got in ("optimizers", "schedules", "landscape"):
        return UsageError(f"{got!r} is a study; write: thalweg study {got}.")
    if got == "help":
        return UsageError("For help write: thalweg --help, or thalweg VERB --help.")
    return unknown_name("verb", got, verbs)
