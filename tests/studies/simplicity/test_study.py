"""The study `simplicity`: its verdicts at quick scale, on a seed on which nothing is scored."""

from studies.quick import claims_of

VERDICTS = {"SIM1": "holds", "SIM2": "holds", "SIM3": "undecided", "SIM4": "holds", "SIM5": "holds"}


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("simplicity", seed=500)
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    outcomes = {name: {part["id"]: part["verdict"] for part in claim["parts"]} for name, claim in found.items()}
    assert outcomes["SIM1"]["permuted targets"] == "holds"
    assert outcomes["SIM1"]["even frequencies"] == "undecided"  # trained at full scale alone
    assert outcomes["SIM2"]["half-times"] == "holds"
    of_nets = ("slope, ReLU", "slope, tanh", "ratio, ReLU", "ratio, tanh")  # of fewer nets than the claim is about
    assert {outcomes["SIM3"][name] for name in of_nets} == {"holds"}
    assert found["SIM3"]["lecture"]["verdict"] == found["SIM4"]["lecture"]["verdict"] == "holds"
