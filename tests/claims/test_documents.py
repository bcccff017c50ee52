"""Verdicts as documents: what is written is read again, also as it was written before intervals said what n counts."""

import json

import numpy as np
import pytest

from thalweg.claims import Claim, Part, every_part, greater
from thalweg.claims.documents import summary, verdict_from, whole
from thalweg.statistics import Interval, fraction, mean

PARTS = (
    Part("one", "It is more.", greater(0), "nats", repeats="draws"),
    Part("other", "It is often.", greater(0.5), "share", bounds=(0, 1)),
)
CLAIM = Claim("X1", "It is more and often.", "More.", every_part(), "nats", parts=PARTS)
VERDICT = CLAIM.judge(parts={"one": mean([1.0, 2.0, 3.0]), "other": fraction([1, 1, 1, 1, 1, 0])})


def document() -> dict:
    return json.loads(json.dumps(summary(VERDICT) | whole(VERDICT)))


def test_a_verdict_is_read_as_it_was_written():
    read = verdict_from(document())
    assert (read.claim, read.parts, read.outcome) == (VERDICT.claim, VERDICT.parts, VERDICT.outcome)
    assert read.lacking == VERDICT.lacking


@pytest.mark.parametrize("name", ["repeats", "proportion", "lecture_unit", "lecture_repeats"])
def test_a_record_from_before_what_n_counts_was_written_is_read(name: str):
    old = document()
    for holder in (old, old["claim"], *old["claim"]["parts"], *old["intervals"].values()):
        holder.pop(name, None)
    read = verdict_from(old)
    assert read.outcome == VERDICT.outcome
    assert [one.interval.high for one in read.parts] == [one.interval.high for one in VERDICT.parts]


def test_ends_of_numpys_type_are_strict_json() -> None:
    """Comparisons of NumPy's numbers are NumPy's booleans, which JSON does not know."""
    claim = Claim("T1", "It is more.", "It is.", greater(0), "nats")
    found = Interval(np.float64(1), np.float64(0.1), np.float64(1.9), 5, "made up")
    verdict = claim.judge(found)
    assert json.loads(json.dumps([summary(verdict), whole(verdict)]))[0]["close"] is True
