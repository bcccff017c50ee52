"""The study `simplicity`: its verdicts at quick scale, on a seed on which nothing is scored."""

from studies.quick import claims_of

VERDICTS = {"SIM1": "holds", "SIM2": "holds"}


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("simplicity", seed=500)
    assert {name: found[name]["verdict"] for name in VERDICTS} == VERDICTS
    outcomes = {name: {part["id"]: part["verdict"] for part in claim["parts"]} for name, claim in found.items()}
    assert outcomes["SIM1"]["permuted targets"] == "holds"
    assert outcomes["SIM1"]["even frequencies"] == "undecided"  # trained at full scale alone
    assert outcomes["SIM2"]["half-times"] == "holds"
