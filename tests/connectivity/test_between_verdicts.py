"""Verdicts between checkpoints: by whole intervals, of curves as of lines, and what sentences say of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.connectivity import between
from thalweg.connectivity.between_verdicts import Threshold
from thalweg.connectivity.resamples import Resamples, ends
from thalweg.evaluation import outputs

FEW: dict[str, Any] = {"points": 5, "resamples": 39, "progress": None}


def small(train: int) -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=train, test=60))


def trained(problem: tw.Problem, seeds: int, steps: int) -> tw.Population:
    return tw.train(problem, tw.Recipe(tw.optim.Adam(0.01), steps, 40, evaluate=0), seeds, progress=None).final


def test_verdicts_are_by_whole_intervals() -> None:
    error = Threshold("error", 0.02, np.ones(6), "nats", np.array([False] * 5 + [True]))
    values = np.array([0.0, 0.01, 0.03, 0.5, np.nan, 0.0])
    intervals = np.array([[0, 0.01], [0.005, 0.025], [0.01, 0.05], [0.4, 0.6], [np.nan] * 2, [0, 0]])
    wanted = ["joined", "undecided", "undecided", "not joined", "not joined", "same network"]
    assert error.verdicts(values, intervals) == wanted
    unknown = ["undecided"] * 4 + ["not joined", "same network"]
    assert error.verdicts(values, np.full((6, 2), np.nan)) == unknown


def test_curves_are_judged_by_the_same_resampled_examples_as_lines() -> None:
    problem = small(300)
    population = trained(problem, 2, steps=100)
    options = FEW | {"steps": 20, "points": 3, "on": ["test", "train"]}  # of three points no maximum lies between them
    found = between(problem, population, **options)
    targets = problem.data.test.targets
    networks = [found.curve.at(t) for t in (0, 0.5, 1)]
    wrong = torch.stack([(outputs(problem, one, "test")[0].argmax(-1) != targets).double() for one in networks])
    means = Resamples(len(targets), 39).means(wrong)
    barriers = np.maximum(means[:, 1] - (means[:, 0] + means[:, 2]) / 2, 0)
    wanted = np.stack(ends(barriers, axis=0))
    assert found["error barrier, 95 %"][2, 0, 0] == pytest.approx(wanted)
    middle = wrong.mean(1).numpy()
    assert found["error barrier"][2, 0, 0] == pytest.approx(max(middle[1] - (middle[0] + middle[2]) / 2, 0))
    assert wanted[0] < wanted[1]
    again = between(problem, population, worth=float(wanted.mean()), **options)
    assert again["verdict"][[0, 2], 0].tolist() == ["not joined", "undecided"]
    (sentence,) = [line for line in again.sentences if "whether the curve joins them is undecided" in line]
    assert f"(95 % interval {100 * wanted[0]:.1f} to {100 * wanted[1]:.1f}) on test, and the interval holds" in sentence
    assert again.table().columns["95 % from"][-2] == pytest.approx(wanted[0])


def test_a_barrier_without_an_interval_is_called_so() -> None:
    problem = small(100)
    found = between(problem, problem.initialize(2), curve=False, **FEW)
    arrays = {**found.reading.arrays, "error barrier, 95 %": np.full_like(found["error barrier, 95 %"], np.nan)}
    arrays["verdict"] = np.array([["undecided"], ["not tried"], ["not tried"]])
    other = replace(found, reading=replace(found.reading, arrays=arrays))
    assert "points (no interval) on train, against 2" in other.sentences[0]


def test_curves_that_diverge_are_named_by_their_checkpoints_and_the_remedy_is_a_smaller_rate() -> None:
    problem = small(100)
    one, far = trained(problem, 1, steps=40), problem.initialize([5])
    wild = tw.Recipe(tw.optim.SGD(1e30), steps=3, batch_size=50)
    found = between(problem, [one, one, far], recipe=wild, **FEW)
    assert found.curved == (1, 2)
    at = found["curve diverged at"]
    assert at[0] == -1
    assert (at[1:] > 0).all()
    named = f"were frozen there: of 0 and 2 at step {at[1]}, of 1 and 2 at step {at[2]}."
    (note,) = [note for note in found.reading.notes if "diverged" in note]
    assert named in note
    assert not any("member" in note for note in found.reading.notes)
    said = [line for line in found.sentences if line.startswith("0 and 2: not joined by the curve")]
    assert "diverged at step" in said[0]
    assert "SGD(lr=1e+30) in 3 steps (write recipe= with a smaller learning rate)" in said[0]
    assert "longer training" not in said[0]


def test_of_many_checkpoints_the_sentence_of_counts_has_threshold_and_barriers() -> None:
    problem = small(100)
    found = between(problem, trained(problem, 4, steps=40), curve=False, **FEW)
    (sentence,) = [line for line in found.sentences if line.startswith("Of 6 pairs")]
    low, high = (100 * end for end in (found["error barrier"][0, 0].min(), found["error barrier"][0, 0].max()))
    assert f"a line {len(found.joined())} of 6 (barriers {low:.1f} to {high:.1f} points)" in sentence
    assert sentence.endswith("the whole 95 % interval of its error barrier on train is below 2 points.")
