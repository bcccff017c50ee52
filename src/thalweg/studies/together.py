"""Experiments of one study or of many side by side, from one queue; whoever waits for them keeps what they find."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from thalweg.claims import Finding
from thalweg.claims.result import StudyResult
from thalweg.storage import Store
from thalweg.studies import catalog
from thalweg.studies.durations import duration_of
from thalweg.studies.growing import Growing
from thalweg.studies.lab import Lab, Scale
from thalweg.studies.piece import Conducted, Piece, conduct
from thalweg.studies.study import Study
from thalweg.studies.takeover import Takeover
from thalweg.workers import Heard, Workers


@dataclass(frozen=True)
class Step:
    """A study's result when an experiment of it came to its end.

    Args:
        number: which of the pieces.
        result: of its study, with all findings so far, in the study's order.
        findings: the new ones.
        error: that ended the experiment, with a note that names it.
    """

    number: int
    result: StudyResult
    findings: tuple[Finding, ...]
    error: Exception | None = None


class Together:
    """The experiments of some studies, those left by what a store has, the longest first.

    They end in any order, and no verdict depends on it: seeds are functions of the lab's seed alone. Only this process
    writes the store.

    >>> import thalweg as tw
    >>> from thalweg.studies.together import Together
    >>> claims = [tw.claims.Claim(name, "", "", tw.claims.greater(0), "numbers") for name in ("X1", "X2")]
    >>> def decided(claim):
    ...     return tw.studies.decides(claim)(lambda lab: lab.finding(tw.statistics.mean([0.9, 1.0, 1.1])))
    >>> study = tw.studies.Study("two", "Two claims", tuple(map(decided, claims)))
    >>> together = Together([study], tw.workers.Here())
    >>> [[finding.verdict.claim.id for finding in step.result.findings] for step in together.steps()]
    [['X1'], ['X1', 'X2']]

    Args:
        studies: names, or studies.
        workers: that carry them out.
        scale, seed, store, device: see `studies.run`.

    Attributes:
        pieces: what is to be carried out, in the order in which it begins.
    """

    def __init__(
        self,
        studies: Sequence[str | Study],
        workers: Workers,
        *,
        scale: Scale = "quick",
        seed: int = 0,
        store: Store | None = None,
        device: str = "cpu",
    ) -> None:
        self.workers = workers
        lab = Lab(scale, seed, None, device)
        self._growing: dict[str, Growing] = {}
        pieces: list[Piece] = []
        for study in studies:
            chosen = catalog.find(study) if isinstance(study, str) else study
            growing = Growing.begin(chosen, lab, store)
            growing.add(growing.taken, seconds=growing.result.seconds, keep=False)
            self._growing[chosen.name] = growing
            pieces += (Piece(_named(chosen), index, scale, seed, device) for index in growing.left)
        self.pieces = tuple(sorted(pieces, key=lambda piece: -duration_of(piece.claims)))

    def result(self, name: str) -> StudyResult:
        """Of the study of this name, so far."""
        return self._growing[name].result

    def taken(self, name: str) -> tuple[Finding, ...]:
        """What the study of this name took from the store."""
        return self._growing[name].taken

    def over(self, name: str) -> Takeover:
        """The same in words of `takeover`."""
        return self._growing[name].over

    def steps(self, heard: Heard = lambda number, progress: None) -> Generator[Step]:
        """Carry out all pieces: a step for each one as soon as it came to its end.

        Args:
            heard: is told how far each piece is, by its number.

        Raises:
            KeyboardInterrupt: Ctrl-C; what came to its end is kept.
            WorkerError: see `Workers.map`.
        """
        for done in self.workers.map(conduct, self.pieces, heard):
            yield self._step(done.number, done.found)

    def _step(self, number: int, conducted: Conducted) -> Step:
        study = self.pieces[number].study
        growing = self._growing[study if isinstance(study, str) else study.name]
        result = growing.add(
            conducted.findings, seconds=growing.result.seconds + conducted.seconds, origin=conducted.provenance
        )
        return Step(number, result, conducted.findings, conducted.error)


def _named(study: Study) -> str | Study:
    """The name of a study of the catalog, by which a worker finds it; another study goes along as it is."""
    known = study.name in catalog.MODULES and catalog.find(study.name) is study
    return study.name if known else study
