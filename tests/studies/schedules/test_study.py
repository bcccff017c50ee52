"""The study of schedules at quick scale, end to end."""

from studies.quick import claims_of


def test_quick_scale_at_seed_0() -> None:
    found = claims_of("schedules")
    assert {name: (claim["verdict"], claim["reason"]) for name, claim in found.items()} == {
        "SCH1": ("undecided", ""),
        "SCH2": ("undecided", "100 of 1,000 steps"),
        "SCH3": ("undecided", "100 of 1,000 steps"),
    }
