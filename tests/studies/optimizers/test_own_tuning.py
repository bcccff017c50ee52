"""No scored seed shares a choice, or a seed, with what was tuned: of every experiment that tunes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pytest

from thalweg.optim import AdamW
from thalweg.studies.lab import SCALES, Lab, Seeds
from thalweg.studies.optimizers import generalization, momentum, nesterov, sensitivity

TUNING = (generalization, momentum, nesterov, sensitivity)


class Asked(Exception):
    """An experiment asked for its seeds."""


@dataclass(frozen=True)
class Asking(Lab):
    """A lab that keeps the seeds asked for, and ends there."""

    given: list[Seeds] = field(default_factory=list)

    def seeds(self, *, quick: int, full: int, tuning: int = 0, shared_tuning: int = 0) -> Seeds:
        self.given.append(super().seeds(quick=quick, full=full, tuning=tuning, shared_tuning=shared_tuning))
        raise Asked


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("part", TUNING)
def test_each_scored_seed_has_tuning_seeds_that_no_other_has_and_that_are_not_scored(part, scale):
    lab = Asking(scale)
    with pytest.raises(Asked):
        list(part.experiment(lab))
    (seeds,) = lab.given
    assert seeds.shared_tuning == []
    assert {len(own) for own in seeds.own_tuning} <= {1, 2}
    every = [*chain(*seeds.own_tuning), *seeds.scored]
    assert len(seeds.own_tuning) == len(seeds.scored)
    assert len(set(every)) == len(every)


def test_opt7_tunes_and_scores_on_other_seeds_and_other_examples_and_each_seed_by_its_own(monkeypatch):
    """Every tuning seed errs least at a decay of its own, and the seed it belongs to is scored there."""
    seeds, decays = Lab().seeds(quick=4, full=16, tuning=1), [1.0, 2.0, 3.0, 4.0]
    examples, at = {"tuning": [], "scoring": []}, {}

    def errors(lab, problem, rule, steps, used, label):
        what = label.split()[0]
        examples[what].append(problem.data.test.inputs)
        if what == "scoring":
            at.update(dict.fromkeys(used, rule.weight_decay))
            return np.ones((1, len(used), 500))
        assert used == [seed for own in seeds.own_tuning for seed in own]
        found = np.ones((len(generalization.RATES) * len(decays), len(used), 500))
        found[np.arange(len(used)), np.arange(len(used))] = 0  # the first rate, and the decay of the seed's number
        return found

    monkeypatch.setattr(generalization, "errors", errors)
    monkeypatch.setattr(generalization, "GRIDS", dict.fromkeys(generalization.GRIDS, (AdamW, {"quick": decays})))
    list(generalization.experiment(Lab()))
    assert at == dict(zip(seeds.scored, decays, strict=True))
    for tuned in examples["tuning"]:
        for held_out in examples["scoring"]:
            assert not (tuned[:, None] == held_out[None]).all(2).any()


def losses_by_seed(best: Callable[[int], int], rates: int, seeds: list[int]) -> np.ndarray:
    """1 but 0 at the best rate of each seed: (rates, seeds)."""
    table = np.ones((rates, len(seeds)))
    table[[best(seed) for seed in seeds], np.arange(len(seeds))] = 0
    return table


def test_opt3_takes_each_rate_from_the_own_tuning_seed():
    """Momentum is best at rate seed % 11 everywhere; Nesterov at the rate before, on seeds to tune on alone."""
    seeds = Lab().seeds(quick=4, full=4, tuning=1)
    own = [own[0] for own in seeds.own_tuning]
    picks = {seed: index + 1 for index, seed in enumerate(own)} | {seed: i + 1 for i, seed in enumerate(seeds.scored)}
    momentums = losses_by_seed(picks.__getitem__, 11, seeds.own)
    wrong = losses_by_seed(lambda seed: picks[seed] - (seed in own), 11, seeds.own)
    tuned, scored = seeds.apart(np.stack([momentums, wrong]))
    assert nesterov.best_rates(tuned).tolist() == [[1, 2, 3, 4], [0, 1, 2, 3]]
    assert nesterov.won(tuned, scored).tolist() == [0, 0, 0, 0]  # momentum is at its best on each, Nesterov beside it
