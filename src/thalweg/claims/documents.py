"""Verdicts as JSON: what everybody reads, and what is needed to make the verdict again."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from thalweg.claims.claim import Claim, Verdict
from thalweg.claims.judgment import Judgment, Part
from thalweg.claims.rule import EveryPart, rule_from_json, rule_to_json
from thalweg.errors import UsageError
from thalweg.statistics import Bounds, Interval
from thalweg.storage.encoding import decode_number, encode_number


def summary(verdict: Verdict) -> dict[str, Any]:
    """What a reader of the JSON wants: statement, outcome, interval, rule; also of parts and the lecture's wording."""
    claim = verdict.claim
    document = {
        "id": claim.id,
        "statement": claim.statement,
        "verdict": verdict.outcome,
        "reason": verdict.reason,
        "close": verdict.close,
        **_ends(verdict.interval),
        "unit": verdict.own.part.unit,
        "rule": claim.rule.text,
        "method": verdict.interval.method,
        "numbers": plain(verdict.numbers),
    }
    if isinstance(claim.rule, EveryPart):
        document["weakest part"] = verdict.own.part.id
    if verdict.parts:
        document["parts"] = [{"id": one.part.id} | _judgment(one) for one in verdict.parts]
    if verdict.lecture is not None:
        document["lecture"] = _judgment(verdict.lecture)
    if verdict.shortfall:
        document["shortfall"] = verdict.shortfall
    if verdict.lacking:
        document["lacking"] = list(verdict.lacking)
    return document


def whole(verdict: Verdict) -> dict[str, Any]:
    """What a store needs beside the summary to make the verdict anew."""
    claim = verdict.claim
    return {
        "claim": {
            "id": claim.id,
            "statement": claim.statement,
            "lecture": claim.lecture,
            "rule": None if isinstance(claim.rule, EveryPart) else rule_to_json(claim.rule),
            "unit": claim.unit,
            "corrected": claim.corrected,
            "bounds": _bounds_to_json(claim.bounds),
            "repeats": claim.repeats,
            "parts": [
                vars(part) | {"rule": rule_to_json(part.rule), "bounds": _bounds_to_json(part.bounds)}
                for part in claim.parts
            ],
            "lecture_rule": None if claim.lecture_rule is None else rule_to_json(claim.lecture_rule),
            "lecture_unit": claim.lecture_unit,
            "lecture_repeats": claim.lecture_repeats,
            "budget": dict(claim.budget),
        },
        "proportion": verdict.interval.proportion,
        "intervals": {one.part.id: _stored(one.interval) for one in verdict.parts},
        "lecture_interval": None if verdict.lecture is None else _stored(verdict.lecture.interval),
        "ran": dict(verdict.ran),
    }


def verdict_from(document: Mapping[str, Any]) -> Verdict:
    """The verdict whose summary and whole were joined in a document; its outcome is computed anew."""
    stored = document["claim"]
    claim = Claim(
        id=stored["id"],
        statement=stored["statement"],
        lecture=stored["lecture"],
        rule=EveryPart() if stored["rule"] is None else rule_from_json(stored["rule"]),
        unit=stored["unit"],
        corrected=stored["corrected"],
        bounds=_bounds_from_json(stored["bounds"]),
        repeats=stored.get("repeats", "seeds"),  # records written before intervals said what n counts
        parts=tuple(
            Part(**part | {"rule": rule_from_json(part["rule"]), "bounds": _bounds_from_json(part["bounds"])})
            for part in stored["parts"]
        ),
        lecture_rule=None if stored["lecture_rule"] is None else rule_from_json(stored["lecture_rule"]),
        lecture_unit=stored.get("lecture_unit"),  # as repeats
        lecture_repeats=stored.get("lecture_repeats"),
        budget=stored["budget"],
    )
    lecture = document["lecture_interval"]
    return claim.judge(
        None if isinstance(claim.rule, EveryPart) else _interval(document),
        numbers=document["numbers"],
        parts={name: _interval(one) for name, one in document["intervals"].items()},
        lecture=None if lecture is None else _interval(lecture),
        ran=document["ran"],
    )


def _bounds_to_json(bounds: Bounds) -> list[Any]:
    return [encode_number(end) for end in bounds]


def _bounds_from_json(document: list[Any]) -> Bounds:
    low, high = map(decode_number, document)
    return low, high


def _judgment(judgment: Judgment) -> dict[str, Any]:
    part = judgment.part
    words = {"statement": part.statement, "verdict": judgment.outcome, "reason": judgment.reason}
    words |= _ends(judgment.interval)
    return words | {"unit": part.unit, "rule": part.rule.text, "decides": part.decides}


def _ends(interval: Interval) -> dict[str, Any]:
    ends = {name: encode_number(getattr(interval, name)) for name in ("estimate", "low", "high")}
    return ends | {"n": interval.n}


def _stored(interval: Interval) -> dict[str, Any]:
    return _ends(interval) | {"method": interval.method, "proportion": interval.proportion}


def _interval(document: Mapping[str, Any]) -> Interval:
    ends = {name: decode_number(document[name]) for name in ("estimate", "low", "high")}
    return Interval(**ends, n=document["n"], method=document["method"], proportion=document.get("proportion", False))


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
