"""The study of double descent end to end at quick scale."""

from studies.quick import claims_of

VERDICTS = {
    "DD1": "holds",
    "DD2": "undecided",  # quick has 100 examples, of which more is true than of 400
    "DD3": "holds",
    "DD7": "holds",
    "DD4": "undecided",  # quick has one of two data sets
    "DD5": "holds",
    "DD6": "holds",
}


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("double-descent")
    assert {name: claim["verdict"] for name, claim in found.items() if name in VERDICTS} == VERDICTS
    assert found["DD8"]["verdict"] != "fails"
