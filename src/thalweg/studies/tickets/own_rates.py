"""Tickets and reinitialized ones, each at its own best rate.

Each scored seed takes for each arm the rate that was best on one tuning seed of its own, by examples that nothing else
is measured on. One run is a noisy judge, so that an arm's rates differ between seeds: the interval covers that, and the
comparison is of arms as they are tuned so, which is a little less than of each at the best rate there is.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg import tickets
from thalweg.population import Population
from thalweg.statistics import Interval, interval, own_choices
from thalweg.studies.lab import Lab, Seeds
from thalweg.studies.tickets.setting import ALL, RATE, TUNED, Searched, recipe_of, searched, signals

Array = NDArray[np.float64]
ARMS = ("ticket", "reinit")
RATES = (RATE, 0.45, 0.6, 0.8)


@dataclass(frozen=True, eq=False)
class OwnRates:
    """Accuracies at the scored level.

    Args:
        tuned: on tuning seeds and examples: (arms, rates, seeds).
        rates: chosen by every scored seed: (arms, seeds).
        scored: its accuracies on test examples there: (arms, seeds).
    """

    tuned: Array
    rates: Array
    scored: Array

    @property
    def at_the_end(self) -> str:
        """How many seeds chose the largest rate tried, beyond which an arm may be better still, in words."""
        counts = (self.rates == max(RATES)).sum(1)
        chose = " and ".join(
            f"{count} of {self.rates.shape[1]} {arm}s" for count, arm in zip(counts, ARMS, strict=True)
        )
        return f"{chose} chose {max(RATES)}, the largest that was tried"

    @property
    def better(self) -> Interval:
        """By how many points the ticket is better."""
        return interval.difference(*(100 * self.scored), bounds=ALL)


def own_rates(lab: Lab, seeds: Seeds, large: Searched) -> OwnRates:
    """Tune both arms on seeds of their own, and train the scored ones at the rates chosen."""
    tuning = [seed for own in seeds.own_tuning for seed in own]
    on = searched(lab, large.setting, tuning, {"reinit": (large.setting.scored,)}, "tuning", signals(test=TUNED))
    tuned = np.stack([at_rate(lab, on, rate, np.ones((2, len(tuning)), dtype=bool)) for rate in RATES], axis=1)
    choices = np.stack([own_choices(1 - of[:, :, None]) for of in tuned])
    found = np.stack([at_rate(lab, large, rate, choices == place) for place, rate in enumerate(RATES)])
    return OwnRates(tuned, np.array(RATES)[choices], np.take_along_axis(found, choices[None], 0)[0])


def at_rate(lab: Lab, found: Searched, rate: float, wanted: NDArray[np.bool_]) -> Array:
    """Accuracies of both arms at a rate, (arms, seeds); NaN where a network is not wanted and not there already.

    Those of both arms are one population. All searches are rewound to step 0, so that moments begin anew.
    """
    level = found.setting.scored
    if rate == RATE:
        return np.stack([found.search.of(level, arm) for arm in ARMS])
    accuracy = np.full((len(ARMS), len(found.seeds)), np.nan)
    if not wanted.any():
        return accuracy
    starts = found.search.start.population, tickets.reinitialized(found.problem, found.seeds)
    places = [np.flatnonzero(of).tolist() for of in wanted]
    run = lab.train(
        found.problem,
        recipe_of(found.setting.steps, rate),
        [found.seeds[place] for of in places for place in of],
        f"{' and '.join(ARMS)}, rate {rate:g}",
        start=Population.concatenate([start[of] for start, of in zip(starts, places, strict=True) if of]),
        mask=found.search.masks[level - 1]["ticket"][[place for of in places for place in of]],
        paired=True,
    )
    accuracy[wanted] = run.history.final("test_accuracy")
    return accuracy
