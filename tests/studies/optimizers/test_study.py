"""The study of optimizers at quick scale, end to end."""

from studies.quick import claims_of

VERDICTS = {
    "OPT1": "holds",
    "OPT2": "holds",
    "OPT3": "undecided",  # 4 sources of data
    "OPT4": "holds",
    "OPT5": "holds",
    "OPT6": "holds",
    "OPT7": "undecided",
}


def test_verdicts_at_seed_0() -> None:
    assert {name: claim["verdict"] for name, claim in claims_of("optimizers").items()} == VERDICTS
