"""An experiment as a piece of work that any process can carry out: what it is given, and what it sends back."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from thalweg.claims import Finding
from thalweg.errors import UsageError
from thalweg.progress import watched
from thalweg.results import Provenance
from thalweg.studies import catalog
from thalweg.studies.lab import Lab, Scale
from thalweg.studies.study import Experiment, Study
from thalweg.workers import Tell
from thalweg.workers.outcome import sendable


@dataclass(frozen=True)
class Piece:
    """One experiment of a study.

    >>> from thalweg.studies.piece import Piece
    >>> print(Piece("schedules", 1))
    SCH2, SCH3 of the study 'schedules'

    Args:
        study: a name, which whoever carries it out looks up, or a study that has no place in the catalog.
        index: which of its experiments.
        scale, seed, device: of its lab.
    """

    study: str | Study
    index: int
    scale: Scale = "quick"
    seed: int = 0
    device: str = "cpu"

    def __str__(self) -> str:
        chosen = self._study()
        return f"{', '.join(self.claims)} of the study {chosen.name!r}"

    @property
    def claims(self) -> tuple[str, ...]:
        """The ids of what it decides."""
        return tuple(claim.id for claim in self._study().experiments[self.index].claims)

    def findings(self, tell: Tell) -> Iterator[Finding]:
        """What it finds, as it comes."""
        chosen = self._study()
        yield from checked(chosen, chosen.experiments[self.index], Lab(self.scale, self.seed, tell, self.device))

    def _study(self) -> Study:
        return catalog.find(self.study) if isinstance(self.study, str) else self.study


@dataclass(frozen=True)
class Conducted:
    """What came of an experiment.

    Args:
        findings: all, or those before the error.
        seconds: wall-clock time, where it ran.
        provenance: of where it ran.
        error: that ended it.
    """

    findings: tuple[Finding, ...]
    seconds: float
    provenance: Provenance
    error: Exception | None = None


def conduct(piece: Piece, tell: Tell) -> Conducted:
    """Carry out an experiment. An error is part of what came of it: it does not stop the others, and Ctrl-C does."""
    start = time.perf_counter()
    found: list[Finding] = []
    error: Exception | None = None
    with watched(tell) as told:  # what shows itself where nobody watches is silent
        try:
            found.extend(piece.findings(told))
        except Exception as raised:
            error = raised
            error.add_note(f"In {piece}.")
    seconds = time.perf_counter() - start
    return Conducted(tuple(found), seconds, Provenance.here(piece.seed, piece.device), error and sendable(error))


def checked(study: Study, experiment: Experiment, lab: Lab) -> Iterator[Finding]:
    """The experiment's findings, each claim of it once.

    Raises:
        UsageError: it decides another claim, or one twice, or leaves one out.
    """
    expected = [claim.id for claim in experiment.claims]
    seen: list[str] = []
    for finding in experiment(lab):
        name = finding.verdict.claim.id
        if name not in expected or name in seen:
            msg = f"The study {study.name!r} must decide each of {', '.join(expected)} once; it went on with {name}."
            raise UsageError(msg)
        seen.append(name)
        yield finding
    if len(seen) < len(expected):
        missing = ", ".join(name for name in expected if name not in seen)
        msg = f"The study {study.name!r} ended without a finding on {missing}."
        raise UsageError(msg)
