"""The study of optimizers at quick scale, end to end."""

from studies.quick import claims_of


def test_quick_scale_decides_or_says_that_it_cannot() -> None:
    claims = claims_of("optimizers")
    assert set(claims) == {f"OPT{i}" for i in range(1, 8)}
    assert claims["OPT5"]["verdict"] == claims["OPT6"]["verdict"] == "holds"  # these two are theorems
