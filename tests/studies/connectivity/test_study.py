"""The study `connectivity`: its verdicts at quick scale, on a seed on which nothing is scored."""

from studies.quick import claims_of

VERDICTS = {"CON1": "holds", "CON2": "undecided", "CON4": "undecided", "CON3": "holds"}


def test_verdicts_at_quick_scale() -> None:
    found = claims_of("connectivity", seed=500)
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    outcomes = {name: {part["id"]: part["verdict"] for part in claim["parts"]} for name, claim in found.items()}
    assert list(outcomes["CON2"].values()).count("holds") == 2  # on digits; MNIST-1D is trained at full scale
    assert outcomes["CON1"]["permuted copy"] == "holds"
    assert outcomes["CON4"]["third side"] == "holds"
    assert outcomes["CON4"]["weights"] == outcomes["CON4"]["activations"] == "holds"
