"""How the two codes of GEN3 are trained: a rule chooses it on seeds that are not scored, and every bound pays for it.

What is coded is planned, and how it is trained is not. So as little as possible is left to choose: steps are those of
the data-free posteriors of a network and a linear classifier; rates fall to 0, as rounded numbers flip for as long as
they do not; and weights -1 and 1 are trained as -1 and 1. The rest, the rate and two neighboring distances of levels,
is what has the smallest mean bound on other seeds. Their digits are among those of the bounds, so that a choice among
so many settings is told in so many more bits. It is made once for all seeds that are scored: the doubt about it is in
every bound, and not in the interval over seeds.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from thalweg import schedules
from thalweg.generalization import bounds
from thalweg.population import Problem
from thalweg.studies.puzzle.samples import Common, adam
from thalweg.training import Recipe

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)  # in distances of levels
DISTANCES = (0.5, 1.0, 2.0, 4.0)
SIZE, BITS = 100, 3  # the code of which distances are chosen
SCALE = 1.0
SUBSPACE_STEPS, LINEAR_STEPS = 1_200, 800


@dataclass(frozen=True)
class Setting:
    """How a code is trained.

    Args:
        rate: of Adam at the first step.
        settings: of how many it was chosen.
        levels: both distances, in the subspace.
    """

    rate: float
    settings: int
    levels: tuple[float, ...] = ()

    def recipe(self, steps: int) -> Recipe:
        """So many steps of batches of 100, at a rate that falls to 0."""
        return adam(self.rate, steps, schedules.Cosine())


UNCHOSEN = Setting(RATES[len(RATES) // 2], 1)  # the middle of the grid, by no look at data


def of_subspace(net: Problem, common: Common) -> Setting:
    """The rate, and the distance of levels with the better of its neighbors."""
    table = {}
    for rate in RATES:
        recipe = Setting(rate, 1).recipe(SUBSPACE_STEPS)
        found = bounds.random_subspace(net, recipe, SIZE, BITS, steps=DISTANCES, **common)
        means = found["bound by candidate"].mean(1).tolist()
        table |= {(rate, distance): mean for distance, mean in zip(DISTANCES, means, strict=True)}
    pairs = list(pairwise(DISTANCES))
    choices = [(rate, pair) for rate in RATES for pair in pairs]
    rate, pair = min(choices, key=lambda one: sorted(table[one[0], distance] for distance in one[1]))
    return Setting(rate, len(choices), pair)


def of_linear(net: Problem, common: Common) -> Setting:
    """The rate with the smaller bound of both codes."""
    means = [
        bounds.quantized_linear(net, Setting(rate, 1).recipe(LINEAR_STEPS), scale=SCALE, **common)["bound by candidate"]
        .mean(1)
        .min()
        for rate in RATES
    ]
    return Setting(RATES[int(np.argmin(means))], len(RATES))
