"""The study of schedules at quick scale, end to end."""

from studies.quick import claims_of


def test_quick_scale_at_seed_0() -> None:
    found = claims_of("schedules")
    verdicts = {name: claim["verdict"] for name, claim in found.items()}
    assert verdicts == {"SCH1": "undecided", "SCH2": "fails", "SCH3": "undecided"}
