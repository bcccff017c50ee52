"""What running a study returns, as JSON and in a store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from thalweg.claims.claim import Claim, Verdict, rule_from_json, rule_to_json
from thalweg.claims.finding import Finding
from thalweg.errors import StorageError, UsageError
from thalweg.figures import Figure
from thalweg.results import Provenance, Reading
from thalweg.statistics.interval import Interval
from thalweg.storage import Store
from thalweg.storage.encoding import decode_number, encode_number

KIND = "study"
UNFINISHED = "unfinished"


@dataclass(frozen=True)
class StudyResult:
    """The findings of a study.

    Args:
        study: its name.
        scale: "quick" or "full".
        seed: it was run with.
        seconds: wall-clock time.
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
            "claims": [_claim_document(finding.verdict) for finding in self.findings],
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
            claim |= {
                "lecture": finding.verdict.claim.lecture,
                "corrected": finding.verdict.claim.corrected,
                "rule_parts": rule_to_json(finding.verdict.claim.rule),
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


def _claim_document(verdict: Verdict) -> dict[str, Any]:
    claim, interval = verdict.claim, verdict.interval
    return {
        "id": claim.id,
        "statement": claim.statement,
        "verdict": verdict.outcome,
        "estimate": encode_number(interval.estimate),
        "low": encode_number(interval.low),
        "high": encode_number(interval.high),
        "unit": claim.unit,
        "n": interval.n,
        "rule": claim.rule.text,
        "method": interval.method,
        "numbers": plain(verdict.numbers),
    }


def _finding(store: Store, document: Mapping[str, Any]) -> Finding:
    claim = Claim(
        id=document["id"],
        statement=document["statement"],
        lecture=document["lecture"],
        rule=rule_from_json(document["rule_parts"]),
        unit=document["unit"],
        corrected=document["corrected"],
    )
    interval = Interval(
        estimate=decode_number(document["estimate"]),
        low=decode_number(document["low"]),
        high=decode_number(document["high"]),
        n=document["n"],
        method=document["method"],
    )
    verdict = Verdict(claim, interval, document["numbers"])
    return Finding(
        verdict,
        figures=tuple(Figure.from_document(figure) for figure in document["figures"]),
        readings=tuple(Reading.load(store, key) for key in document["readings"]),
        sentences=tuple(document["sentences"]),
    )


def plain(value: Any) -> Any:
    """Numbers, texts, and lists and mappings of them, as strict JSON; numpy's become Python's.

    Raises:
        UsageError: anything else.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return encode_number(value)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    msg = f"The numbers of a verdict are numbers, texts, lists or mappings of them; got {type(value).__name__}."
    raise UsageError(msg)
