"""LTH5 does not hold where nothing can be learned, nor where planted accuracies say otherwise."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.claims import Finding
from thalweg.studies import Lab
from thalweg.studies.tickets import convnet
from thalweg.tickets import RewindingMap

LAB = Lab("full", 500, progress=None).on((convnet.CLAIM,))


def noise(lab: Lab, scale: float = 1.0) -> tw.Problem:
    """A small convnet, signals, and labels that have nothing to do with them."""
    draw = torch.Generator().manual_seed(lab.seed)
    x, y = torch.randn(200, 40, generator=draw), torch.randint(0, 4, (200,), generator=draw)
    data = tw.data.Data(tw.data.Examples(x[:100], y[:100]), tw.data.Examples(x[100:], y[100:]), "noise", 4)
    return tw.Problem(partial(tw.nets.signal_convnet, 3, 4, strides=(4, 4), scale=scale), data)


@pytest.fixture(scope="module")
def run() -> tuple[RewindingMap, RewindingMap]:
    """Of the experiment on noise: the maps at the large and the small rate."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("problem_of", noise), ("STEPS", 20)):
            patch.setattr(convnet, name, value)
        seeds = LAB.seeds(quick=2, full=8).scored
        return convnet.chains(LAB, convnet.LARGE, seeds), convnet.chains(LAB, convnet.SMALL, seeds)


def parts(finding: Finding) -> dict[str, str]:
    return {one.part.id: one.outcome for one in finding.verdict.parts}


def planted(found: RewindingMap, early: float, middle: float, late: float, other: float = 0.5) -> RewindingMap:
    """The same with accuracies of a mean at each step of rewinding, those of controls, and a dense network's of 0.8."""
    rng = np.random.default_rng(0)
    means = {0: early, found.steps[-1]: late}
    table = found["test_accuracy"]
    each = [means.get(step, middle) + 0.01 * rng.normal(size=table.shape[1:]) for step in found.steps]
    arrays = dict(found.reading.arrays) | {
        "test_accuracy": np.stack(each),
        "dense": 0.8 + 0.01 * rng.normal(size=table.shape[2]),
    }
    for name in ("shuffled", "earliest mask"):
        if name in arrays:
            arrays[name] = other + 0.01 * rng.normal(size=table.shape)
    dense = replace(found.dense, recipe=convnet.recipe_of(convnet.STEPS))
    return replace(found, reading=replace(found.reading, arrays=arrays), dense=dense)


def test_nothing_is_gained_where_nothing_is_learned(run: tuple[RewindingMap, RewindingMap]) -> None:
    finding = convnet.found(LAB, *run)
    assert finding.verdict.outcome == "undecided"
    assert finding.verdict.shortfall == "20 of 300 steps"
    assert parts(finding)[convnet.GAIN] != "holds"
    assert parts(finding)[convnet.MASK] != "holds"
    assert len(finding.figures[0].panels) == 2
    assert finding.sentences


def test_the_maps_are_those_of_the_design(run: tuple[RewindingMap, RewindingMap]) -> None:
    large, small = run
    assert large["test_accuracy"].shape == (3, 3, 8)
    assert small["test_accuracy"].shape == (2, 2, 8)
    assert large.steps == [0, 1, 4]
    assert np.isfinite(large["shuffled"][:, convnet.LEVEL - 1]).all()
    first = large.dense.final.layout["convolution1.weight"].columns
    assert all(bool(mask[:, first].all()) for masks in large.masks.values() for mask in masks)


def test_the_scored_level_is_74_percent_sparse() -> None:
    problem = convnet.problem_of(LAB)
    division = tw.tickets.ByLayer().division(problem, convnet.POLICY)
    kept = division.sizes
    for _ in range(convnet.LEVEL):
        kept = tw.tickets.ByLayer().kept(division, convnet.KEEP, kept)
    assert 1 - float(kept.sum()) / float(division.sizes.sum()) == pytest.approx(0.7375)


@pytest.mark.parametrize(
    ("early", "late", "failing"),
    [
        (0.7, 0.82, set()),
        (0.84, 0.87, {convnet.NOT_AT_0}),
        (0.7, 0.75, {convnet.MATCHES}),
        (0.75, 0.7, {convnet.GAIN, convnet.MATCHES}),
    ],
)
def test_the_verdict_is_that_of_planted_accuracies(
    run: tuple[RewindingMap, RewindingMap], early: float, late: float, failing: set[str]
) -> None:
    large, small = planted(run[0], early, late, late), planted(run[1], 0.85, 0.85, 0.85)
    finding = convnet.found(LAB, large, small)
    three = (convnet.GAIN, convnet.MATCHES, convnet.NOT_AT_0)
    assert {name for name in three if parts(finding)[name] == "fails"} == failing
    assert (finding.verdict.outcome == "holds") == (not failing)
    assert parts(finding)[convnet.STABLE] == "holds"
    assert {parts(finding)[name] for name in (convnet.MASK, convnet.WEIGHTS)} == {"holds"}


def test_a_step_that_matters_at_a_small_rate_is_said(run: tuple[RewindingMap, RewindingMap]) -> None:
    finding = convnet.found(LAB, planted(run[0], 0.7, 0.8, 0.82), planted(run[1], 0.7, 0.85, 0.85))
    assert parts(finding)[convnet.STABLE] == "fails"


@pytest.mark.parametrize(("middle", "outcome"), [(0.82, "holds"), (0.72, "fails")])
def test_what_comes_after_5_percent_is_within_2_points_or_not(
    run: tuple[RewindingMap, RewindingMap], middle: float, outcome: str
) -> None:
    finding = convnet.found(LAB, planted(run[0], 0.7, middle, 0.82), planted(run[1], 0.85, 0.85, 0.85))
    assert parts(finding)[convnet.SATURATED] == outcome
    assert any("98 % and k = 0.5 T are not" in one for one in finding.sentences)


def test_few_seeds_leave_it_undecided(run: tuple[RewindingMap, RewindingMap]) -> None:
    large = planted(run[0], 0.7, 0.82, 0.82)
    coordinates = dict(large.reading.coordinates) | {"seed": large.reading.coordinate("seed")[:2]}
    arrays = {name: one[..., :2] if name != "matching sparsity" else one for name, one in large.reading.arrays.items()}
    few = replace(large, reading=replace(large.reading, arrays=arrays, coordinates=coordinates))
    finding = convnet.found(LAB, few, None)
    assert finding.verdict.outcome == "undecided"
    assert finding.verdict.shortfall == "2 of 5 seeds"
