"""The study of optimizers at quick scale, end to end."""

from studies.quick import claims_of

VERDICTS = {
    "OPT1": "holds",
    "OPT2": "holds",
    "OPT3": "undecided",
    "OPT4": "holds",
    "OPT5": "holds",
    "OPT6": "holds",
    "OPT7": "undecided",
}


def test_verdicts_at_seed_0() -> None:
    found = claims_of("optimizers")
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    short = {name: claim["shortfall"] for name, claim in found.items() if "shortfall" in claim}
    assert short == {"OPT3": "4 of 10 sources of data", "OPT7": "250 of 1,500 steps"}
