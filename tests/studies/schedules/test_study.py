"""The study of schedules at quick scale, end to end."""

from studies.quick import claims_of


def test_quick_scale_decides_or_says_that_it_cannot() -> None:
    assert list(claims_of("schedules")) == ["SCH1", "SCH2", "SCH3"]
