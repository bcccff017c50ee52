"""What running a study returns, as JSON and in a store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from thalweg.claims.documents import summary, verdict_from, whole
from thalweg.claims.finding import Finding
from thalweg.errors import StorageError
from thalweg.figures import Figure
from thalweg.results import Provenance, Reading
from thalweg.storage import Store

KIND = "study"
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class StudyResult:
    """The findings of a study.

    >>> from thalweg.claims import Claim, Finding, StudyResult, greater
    >>> from thalweg.statistics import Interval
    >>> claim = Claim("X1", "Twice is more than once.", "Twice is more.", greater(1), "ratio")
    >>> finding = Finding(claim.judge(Interval(2.0, 1.5, 2.5, 5, "made up")))
    >>> result = StudyResult("twice", "quick", 0, 0.1, "0.1.0", (finding,), planned=("X1",))
    >>> result.complete, result.key, result.to_document()["claims"][0]["verdict"]
    (True, 'twice/quick/0', 'holds')

    Args:
        study: its name.
        scale: "quick" or "full".
        seed: it was run with.
        seconds: wall-clock time; of experiments side by side, the sum of theirs.
        version: of Thalweg.
        findings: one a claim, in order; fewer than `planned` when it was interrupted.
        title: of the study.
        planned: the ids of all its claims.
        provenance: machine, versions, time and the command that makes it again.
    """

    study: str
    scale: str
    seed: int
    seconds: float
    version: str
    findings: tuple[Finding, ...]
    title: str = ""
    planned: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def complete(self) -> bool:
        """Whether every claim has a finding."""
        return len(self.findings) >= len(self.planned)

    @property
    def key(self) -> str:
        """Its name in a store. An unfinished run has one of its own, so it never replaces a finished one."""
        key = f"{self.study}/{self.scale}/{self.seed}"
        return key if self.complete else f"{key}/{UNFINISHED}"

    def to_document(self) -> dict[str, Any]:
        """The result as JSON-able data, without figures and readings (they are in the store).

        A number that is not finite is one of the words "NaN", "Infinity", "-Infinity".
        """
        return {
            "study": self.study,
            "scale": self.scale,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "version": self.version,
            "claims": [summary(finding.verdict) for finding in self.findings],
        }

    def to_json(self) -> str:
        """The result as strict JSON text."""
        return json.dumps(self.to_document(), indent=1, allow_nan=False)

    def save(self, store: Store) -> None:
        """Put the result and its readings into a store; a finished result removes its unfinished one.

        Raises:
            StorageError: the store cannot be written; the record is then as before.
        """
        document = self.to_document() | {
            "title": self.title,
            "planned": list(self.planned),
            "provenance": self.provenance.to_document(),
        }
        for claim, finding in zip(document["claims"], self.findings, strict=True):
            # Under the result's own key: an unfinished run leaves the readings of a finished one alone.
            place = f"{self.key}/{finding.verdict.claim.id}"
            for reading in finding.readings:
                # A finished result takes over what the unfinished one has, so that every array is written once.
                earlier = f"{self.key}/{UNFINISHED}/{finding.verdict.claim.id}/{reading.name}"
                if self.complete and reading.is_saved(store, earlier):
                    store.copy("reading", earlier, f"{place}/{reading.name}")
                else:
                    reading.save(store, f"{place}/{reading.name}")
            claim |= whole(finding.verdict) | {
                "sentences": list(finding.sentences),
                "figures": [figure.to_document() for figure in finding.figures],
                "readings": [f"{place}/{reading.name}" for reading in finding.readings],
            }
        store.put(KIND, self.key, document)
        if self.complete:
            _remove(store, f"{self.key}/{UNFINISHED}")

    @classmethod
    def load(cls, store: Store, key: str) -> "StudyResult":
        """The result saved under `key`; its verdicts are computed anew from their rules and intervals.

        Raises:
            StorageError: there is none, or the record is not one of a study.
        """
        document = store.get(KIND, key).document
        try:
            return cls(
                study=document["study"],
                scale=document["scale"],
                seed=document["seed"],
                seconds=document["seconds"],
                version=document["version"],
                findings=tuple(_finding(store, claim) for claim in document["claims"]),
                title=document["title"],
                planned=tuple(document["planned"]),
                provenance=Provenance.from_document(document["provenance"]),
            )
        except (KeyError, TypeError) as error:
            msg = f"The study {key!r} in {store.path} has a record of another form ({error!r}); run the study again."
            raise StorageError(msg) from error


def _remove(store: Store, key: str) -> None:
    """Delete a result and its readings, if there is one."""
    if (KIND, key) not in store:
        return
    readings = [name for claim in store.get(KIND, key).document["claims"] for name in claim["readings"]]
    store.delete(KIND, key)
    for name in readings:
        if ("reading", name) in store:
            store.delete("reading", name)


def _finding(store: Store, document: Mapping[str, Any]) -> Finding:
    return Finding(
        verdict_from(document),
        figures=tuple(Figure.from_document(figure) for figure in document["figures"]),
        readings=tuple(Reading.load(store, key) for key in document["readings"]),
        sentences=tuple(document["sentences"]),
    )
