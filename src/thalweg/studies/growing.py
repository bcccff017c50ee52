"""A study's result as its findings come: in whatever order they do, it has them in the study's."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from thalweg.claims import Finding
from thalweg.claims.result import StudyResult
from thalweg.results import Provenance
from thalweg.storage import Store
from thalweg.studies.lab import Lab
from thalweg.studies.study import Study
from thalweg.studies.takeover import Takeover, begun, left


@dataclass
class Growing:
    """The result so far, and the store in which it is kept.

    Args:
        study: whose result.
        result: with the findings so far.
        over: what was taken from the store, and what is to be computed.
        taken: the findings that were taken from it, which `result` has not yet.
        store: where the result is kept; None is nowhere.
        origins: where the findings were made, as far as that is known.
    """

    study: Study
    result: StudyResult
    over: Takeover
    taken: tuple[Finding, ...]
    store: Store | None = None
    origins: list[Provenance] = field(default_factory=list)

    @classmethod
    def begin(cls, study: Study, lab: Lab, store: Store | None) -> "Growing":
        """The result without a finding, and what an interrupted run left for it."""
        result = begun(study, lab)
        kept, over = left(study, result, store)
        if kept is None:
            return cls(study, result, over, (), store)
        there = {finding.verdict.claim.id: finding for finding in kept.findings}
        taken = tuple(there[claim.id] for claim in study.claims if claim.id in over.taken)
        result = replace(result, provenance=kept.provenance, seconds=kept.seconds)
        return cls(study, result, over, taken, store, [kept.provenance])

    @property
    def left(self) -> tuple[int, ...]:
        """Which experiments are to be carried out."""
        return tuple(
            index
            for index, experiment in enumerate(self.study.experiments)
            if not all(claim.id in self.over.taken for claim in experiment.claims)
        )

    def add(
        self, findings: Sequence[Finding], *, seconds: float, origin: Provenance | None = None, keep: bool = True
    ) -> StudyResult:
        """The result with further findings.

        Args:
            findings: new ones.
            seconds: that the study took by now.
            origin: where they were made; None is where the result was begun.
            keep: whether to save it; a whole result is saved in any case.
        """
        there = {finding.verdict.claim.id: finding for finding in (*self.result.findings, *findings)}
        if origin is not None:
            self.origins.append(origin)
        self.result = replace(
            self.result,
            findings=tuple(there[claim.id] for claim in self.study.claims if claim.id in there),
            seconds=seconds,
            provenance=_merged(self.result.provenance, self.origins) if origin else self.result.provenance,
        )
        if self.store is not None and findings and (keep or self.result.complete):
            self.result.save(self.store)
        return self.result


def _merged(provenance: Provenance, origins: Sequence[Provenance]) -> Provenance:
    """With the processors of all origins, and their threads if these are equal."""
    threads = {origin.threads for origin in origins}
    cpus = dict.fromkeys(origin.cpu for origin in origins)
    return replace(provenance, cpu="; ".join(cpus), threads=threads.pop() if len(threads) == 1 else None)
