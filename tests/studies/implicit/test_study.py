"""The study `implicit`: its verdicts at quick scale, on a seed on which nothing is scored."""

from studies.quick import claims_of

VERDICTS = {
    "IMP1": "holds",
    "IMP2": "undecided",
    "IMP3": "holds",
    "IMP4": "holds",
    "IMP5": "undecided",
    "IMP6": "undecided",  # 4 random starts, one of them where the powers are of higher orders
}


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("implicit", seed=500)
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    outcomes = {name: {part["id"]: part["verdict"] for part in claim["parts"]} for name, claim in found.items()}
    assert outcomes["IMP2"]["diagonal net"] == "holds"  # networks are trained at full scale alone
    assert outcomes["IMP5"]["parity, small"] == outcomes["IMP5"]["parity, large"] == "holds"
