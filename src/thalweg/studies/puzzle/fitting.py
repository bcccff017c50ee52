"""The experiment that trains the networks once, for what is asked of memorizing and of bounds."""

from collections.abc import Iterator

from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.puzzle import memorizing
from thalweg.studies.puzzle.setting import shared
from thalweg.studies.study import decides


@decides(memorizing.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Train on every fraction of random labels, and ask what the networks have memorized."""
    networks = shared(lab)
    yield memorizing.found(lab, memorizing.compared(lab, networks))
