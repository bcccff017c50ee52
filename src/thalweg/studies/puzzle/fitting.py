"""The experiment that trains the networks once, for what is asked of memorizing and of bounds."""

from collections.abc import Iterator

from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.puzzle import memorizing, not_vacuous, structure, vacuous
from thalweg.studies.puzzle.setting import shared
from thalweg.studies.study import decides


@decides(memorizing.CLAIM, vacuous.CLAIM, not_vacuous.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Train on every fraction of random labels, ask what networks have memorized, and what bounds say of them."""
    networks = shared(lab)
    yield structure.beside(memorizing.found(lab, memorizing.compared(lab, networks)), structure.measured(lab))
    looked = vacuous.looked_at(lab, networks)
    yield vacuous.found(lab, looked)
    yield not_vacuous.found(lab, looked.boards)
