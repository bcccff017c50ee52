"""Names that documents and the plan mention and that are not here yet, so that asking for one is answered as such.

Attributes answer, `thalweg.examine`, and so does the command line. `import thalweg.examine` and `from thalweg
import examine` do not: of a missing module Python writes its own sentence.
"""

import difflib

__all__ = ["PLANNED", "sentence"]

# In the order of the README and of ARCHITECTURE.md: what each one will be.
PLANNED: dict[str, str] = {
    "examine": "a report card of your own model and checkpoints (verb)",
    "two-views": "where sparse subnetworks and the tangent kernel meet (study)",
}

_NEAR = 0.8  # how like a planned name another word is to be taken for a misspelled one


def sentence(name: str) -> str | None:
    """That a name is planned, and what it will be; None for all others.

    >>> from thalweg.planned import sentence
    >>> sentence("two-views")
    "'two-views' is planned and not here yet: where sparse subnetworks and the tangent kernel meet (study)."
    >>> sentence("landscape") is None
    True
    """
    near = difflib.get_close_matches(name.lower().replace("_", "-"), PLANNED, n=1, cutoff=_NEAR)
    return f"{near[0]!r} is planned and not here yet: {PLANNED[near[0]]}." if near else None
