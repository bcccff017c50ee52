"""LTH1 to LTH4 and LTH9, which look at the same perceptrons on MNIST-1D: they are searched for tickets once.

The small setting is trained at both scales, the large and the long one at full scale alone, where they decide. In the
small one the dense network is not trained out and every gap is larger: there are the controls that explain a gap, and
one-shot pruning at equal cost, which takes as long as all rounds. That one is left to full scale, as LTH4 is undecided
without the large setting.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.studies.tickets import arbitrary, matching, one_shot, reinitialized, tasks
from thalweg.studies.tickets.everything_kept import everything_kept
from thalweg.studies.tickets.frozen import frozen
from thalweg.studies.tickets.own_rates import OwnRates, own_rates
from thalweg.studies.tickets.setting import LARGE, LONG, SMALL, UNKNOWN, Searched, searched

EQUAL_COST = "one-shot, equal cost"
AT_SCORED = (
    "signs kept",
    "magnitude at init",
    "first layer shuffled",
    "reinit, shuffled",
    "another reinit",
    "another shuffling",
)


@dataclass(frozen=True, eq=False)
class Shared:
    """What the claims look at.

    Args:
        small: trained at both scales.
        large, long: at full scale.
        rates: the large setting's scored level at rates of each arm's own.
    """

    small: Searched
    large: Searched | None = None
    long: Searched | None = None
    rates: OwnRates | None = None


def shared(lab: Lab) -> Shared:
    """Search in all settings."""
    seeds = lab.seeds(quick=6, full=10, tuning=1)
    arms = dict.fromkeys(("reinit", "shuffled", *AT_SCORED), (SMALL.scored,))
    arms |= {"one-shot": (SMALL.dense, SMALL.sparse)}
    if lab.scale == "quick":
        return Shared(searched(lab, SMALL, seeds.scored, arms, "tickets"))
    every = tuple(range(1, SMALL.levels + 1))
    arms |= {"reinit": every, "shuffled": every, "one-shot": every[1:], EQUAL_COST: (SMALL.sparse,)}
    small = searched(lab, SMALL, seeds.scored[:6], arms, "tickets")
    both = (LARGE.dense, LARGE.scored)
    arms = {"one-shot": both, "reinit": both, "shuffled": (LARGE.scored,)}
    large = searched(lab, LARGE, seeds.scored, arms, "tickets")
    long = searched(lab, LONG, seeds.scored[:4], {"reinit": (LONG.scored,)}, "tickets")
    return Shared(small, large, long, own_rates(lab, seeds, large))


@decides(matching.CLAIM, reinitialized.CLAIM, arbitrary.CLAIM, one_shot.CLAIM, tasks.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Search for tickets beside their controls, compare them, and train those of the small setting on other tasks."""
    found = shared(lab)
    full, seeds = lab.scale == "full", found.small.seeds
    masks, kept = frozen(lab, seeds[:3]) if full else None, everything_kept(lab, seeds) if full else UNKNOWN
    yield matching.found(lab, found.small, found.large, found.long, masks, kept=kept)
    yield reinitialized.found(lab, found.small, found.large, found.long, found.rates)
    yield arbitrary.found(lab, found.small, found.large)
    yield one_shot.found(lab, found.small, found.large)
    yield tasks.found(lab, found.small)
