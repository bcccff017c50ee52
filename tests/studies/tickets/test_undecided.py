"""What is said of statements that are undecided: how many seeds would decide them, or why that is not known."""

import numpy as np

from thalweg import tickets
from thalweg.statistics import Interval
from thalweg.studies import Lab
from thalweg.studies.tickets import matching, one_shot, tasks
from thalweg.studies.tickets.setting import UNKNOWN
from thalweg.studies.tickets.undecided import seeds_to_decide, to_decide

LAB = Lab("full", 500, progress=None)


def test_undecided_statements_say_how_many_seeds_would_decide() -> None:
    found = Interval(0.5, -0.5, 1.5, 10, "twice too wide")
    words = {one_shot.SPARSE: found, one_shot.LESS: found, one_shot.LITTLE: found, one_shot.COST: UNKNOWN}
    first, second = seeds_to_decide(LAB, one_shot.CLAIM, words)
    assert "about 40 would" in first  # the lower end is to clear 0, half as far away as the interval reaches
    assert "about 40 would" in second  # and the upper end 1
    assert not seeds_to_decide(Lab("quick", 500), one_shot.CLAIM, words)
    assert not seeds_to_decide(LAB, matching.CLAIM, {"LTH1": Interval(0.5, -0.1, 1.1, 10, "clear of the margin")})
    (own,) = seeds_to_decide(LAB, matching.CLAIM, {"LTH1": Interval(0.0, -1.0, 1.0, 8, "twice too wide")})
    assert "about 32 would" in own


def test_what_cannot_be_extrapolated_is_said_to_be_so() -> None:
    """A share of a whole that may be 0 has no bounds: more seeds may well decide it."""
    share = tickets.share_of_gain([0.9, 1.2, -0.4, 0.8], [1.0, 1.5, -0.8, 0.2])
    assert np.isinf(share.high)
    (open_,) = seeds_to_decide(LAB, tasks.CLAIM, {"LTH9": share})
    assert "cannot be extrapolated" in open_
    (at_cut,) = seeds_to_decide(LAB, tasks.CLAIM, {"LTH9": Interval(0.8, 0.7, 0.9, 6, "at the threshold")})
    assert "no number would" in at_cut
    assert "20 rounds do not decide" in to_decide(tasks.CLAIM, {"LTH9": Interval(0.9, 0.7, 1.1, 20, "")}, "rounds")[0]
