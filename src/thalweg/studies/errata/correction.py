"""One correction of the lecture."""

from dataclasses import dataclass

LECTURE = "02 Optimisation"


@dataclass(frozen=True)
class Correction:
    """One correction of the lecture, whose title is `LECTURE`.

    >>> from thalweg.studies.errata import CORRECTIONS
    >>> [one.section for one in CORRECTIONS if one.id == "cosine-counts-warmup"]
    ['Learning Rate Schedules: Cosine Annealing']

    Args:
        id: a short name.
        section: of the lecture, by its headings.
        lecture: what it says.
        right: what is right.
        why: the reason, checkable with pencil and paper where possible.
        source: papers, or the code of the libraries meant.
        claims: ids of the claims that put it to the test, of the catalog's studies or of planned ones.
    """

    id: str
    section: str
    lecture: str
    right: str
    why: str
    source: str
    claims: tuple[str, ...] = ()
