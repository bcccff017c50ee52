"""LTH6 does not hold of random masks, nor where nothing can be learned, and does of a mask that is there at once."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.studies import Lab
from thalweg.studies.tickets import convnet, emergence
from thalweg.tickets import EarlyBird, EarlyMasks, early_bird, early_masks

LAB = Lab("full", 500, progress=None).on((emergence.CLAIM,))
RECIPE = tw.Recipe(tw.optim.Momentum(0.2), 50, 50, tw.schedules.Cosine(), evaluate=0)
SEEDS = [500, 501, 502, 503]
SHARE = {"hidden": 0.1, "output": 0.5}


def digits(lab: Lab, width: int = 12) -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, width, 10), tw.data.digits().subset(train=200, test=200))


def noise(lab: Lab, scale: float = 1.0) -> tw.Problem:
    draw = torch.Generator().manual_seed(1)
    x, y = torch.randn(200, 40, generator=draw), torch.randint(0, 4, (200,), generator=draw)
    data = tw.data.Data(tw.data.Examples(x[:100], y[:100]), tw.data.Examples(x[100:], y[100:]), "noise", 4)
    return tw.Problem(partial(tw.nets.signal_convnet, 4, 4, strides=(4, 4), scale=scale), data)


@pytest.fixture(scope="module")
def channels() -> EarlyMasks:
    """Of labels that mean nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convnet, "problem_of", noise)
        patch.setattr(emergence, "CHANNEL_STEPS", 20)
        return emergence.of_channels(LAB, SEEDS)


def of_scores(score: object) -> tuple[EarlyMasks, EarlyBird]:
    """Masks of weights by a score, and how near they are."""
    fractions = emergence.FRACTIONS["full"]
    found = early_masks(digits(LAB), RECIPE, fractions, share=SHARE, seeds=SEEDS, score=score)
    return found, early_bird(digits(LAB), found.dense, SHARE, score=score)


def test_masks_drawn_afresh_have_not_emerged(channels: EarlyMasks) -> None:
    count = iter(range(10_000))

    def afresh(population: tw.Population, first: tw.Population) -> torch.Tensor:
        return tw.tickets.scores.random(population, [next(count) for _ in range(len(population))])

    weights, masks = of_scores(afresh)
    assert np.isnan(masks["emerged"]).all()
    assert abs(weights["overlap"][:-1].mean()) < 0.05
    finding = emergence.found(LAB, weights, masks, channels)
    assert finding.verdict.outcome != "holds"


def test_a_mask_that_is_there_at_once_has_the_whole_gain(channels: EarlyMasks) -> None:
    final = tw.train(digits(LAB), RECIPE, SEEDS, progress=None).final
    weights, masks = of_scores(lambda population, first: final.theta.abs())
    assert (masks["emerged"] == masks.reading.coordinate("step")[4]).all()
    finding = emergence.found(LAB, weights, masks, channels)
    assert finding.verdict.interval.low == finding.verdict.interval.high == 1
    assert finding.verdict.outcome == "holds"
    assert len(finding.figures) == 3


def test_a_gain_that_comes_late_fails(channels: EarlyMasks) -> None:
    weights, masks = of_scores(tw.tickets.by_magnitude)
    rng = np.random.default_rng(0)
    table = np.linspace(0.5, 0.8, len(weights["test_accuracy"]))[:, None] + 0.002 * rng.normal(size=(9, 4))
    arrays = dict(weights.reading.arrays) | {"test_accuracy": table, "random": np.array([0.5, 0.501, 0.499, 0.5])}
    late = replace(weights, reading=replace(weights.reading, arrays=arrays))
    finding = emergence.found(LAB, late, masks, channels)
    assert finding.verdict.outcome == "fails"
    assert finding.verdict.interval.estimate == pytest.approx(0.5, abs=0.05)


def test_channels_are_no_better_than_random_where_nothing_is_learned(channels: EarlyMasks) -> None:
    weights, masks = of_scores(tw.tickets.by_magnitude)
    outcomes = {one.part.id: one.outcome for one in emergence.found(LAB, weights, masks, channels).verdict.parts}
    assert outcomes[emergence.BETTER] != "holds"


@pytest.mark.parametrize(("early", "same", "better"), [(0.8, "holds", "holds"), (0.7, "fails", "fails")])
def test_channels_are_judged_by_what_they_are_worth(channels: EarlyMasks, early: float, same: str, better: str) -> None:
    weights, masks = of_scores(tw.tickets.by_magnitude)
    spread = np.array([0.001, -0.001, 0.002, -0.002])
    table = np.array([early, 0.8])[:, None] + np.array([[-1.0], [2.0]]) * spread
    arrays = dict(channels.reading.arrays) | {"test_accuracy": table, "random": 0.75 + 3 * spread}
    planted = replace(channels, reading=replace(channels.reading, arrays=arrays))
    verdict = emergence.found(LAB, weights, masks, planted).verdict
    assert [one.outcome for one in verdict.parts] == [same, better]


def test_the_level_is_that_of_lth1() -> None:
    problem = emergence.problem_of(LAB, emergence.WIDTH)
    allocation = tw.tickets.ByLayer()
    division = allocation.division(problem, tw.tickets.Policy())
    kept = allocation.kept(division, emergence.LEVEL)
    assert float(kept.sum()) / float(division.sizes.sum()) == pytest.approx(0.185, abs=0.001)


def test_without_channels_weights_alone_are_judged() -> None:
    finding = emergence.found(LAB, *of_scores(tw.tickets.by_magnitude), None)
    assert [one.outcome for one in finding.verdict.parts] == ["undecided", "undecided"]
    assert finding.verdict.interval.known
    assert len(finding.figures) == len(finding.readings) == 2
