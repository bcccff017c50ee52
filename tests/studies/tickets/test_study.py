"""The study of tickets at quick scale."""

from studies.quick import claims_of

VERDICTS = {"LTH1": "holds", "LTH2": "undecided", "LTH3": "holds", "LTH4": "undecided", "LTH9": "holds"}


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("tickets")
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    assert all(claim["parts"] for claim in found.values())
