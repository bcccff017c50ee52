"""The study `ntk`: its claims, and verdicts of those experiments that are quick, on a seed on which nothing is scored.

The others are run on small settings, and on numbers put in by hand, in files of their own.
"""

from dataclasses import replace

from studies.quick import claims_of

from thalweg.studies import find
from thalweg.studies.ntk import addition, convergence, gaussian, widths

QUICK = (gaussian.experiment, widths.experiment, convergence.experiment, addition.experiment)
VERDICTS = {
    "NTK1": "holds",
    "NTK2": "holds",
    "NTK3": "holds",
    "NTK4": "holds",
    "NTK5": "holds",
    "NTK11": "undecided",
}


def test_it_decides_every_claim_once_and_corrects_the_lecture_where_it_says_so() -> None:
    claims = [claim for experiment in find("ntk").experiments for claim in experiment.claims]
    assert sorted(claim.id for claim in claims) == sorted(f"NTK{number}" for number in range(1, 12))
    assert all(claim.corrected for claim in claims if claim.lecture_rule is not None)


def test_verdicts_at_quick_scale() -> None:
    found = claims_of(replace(find("ntk"), experiments=QUICK), seed=500)
    assert {name: claim["verdict"] for name, claim in found.items()} == VERDICTS
    short = {name: claim["shortfall"] for name, claim in found.items() if "shortfall" in claim}
    assert short == {"NTK11": "0 of 6 trained nets"}
    assert all(claim["parts"] for claim in found.values())
