"""Planted nulls of CON1 and CON3: lines that are flat, copies that do not part, and copies that have no time to."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from thalweg import connectivity
from thalweg.claims import Finding
from thalweg.studies import Lab
from thalweg.studies.connectivity import line_widths, lines, sharing
from thalweg.studies.connectivity.setting import DIGITS, SIGNALS, Ends, Setting, Shared, trained

LAB = Lab("quick", 500, progress=None)
SMALL = replace(DIGITS.with_hidden(32, 32), steps=150)
DEEP = replace(DIGITS.with_hidden(32, 32, 32, 32), steps=300)


def outcomes(finding: Finding) -> dict[str, str]:
    """Of every part, whatever the budget: runs are short here."""
    return {part.part.id: part.outcome for part in finding.verdict.parts}


def looked_at(ends: Ends) -> Finding:
    return lines.found(LAB.on((lines.CLAIM,)), Shared(ends))


@pytest.fixture(scope="module")
def ends() -> Ends:
    return trained(LAB, SMALL, range(500_000, 500_012))


def test_lines_between_different_seeds_are_high(ends: Ends) -> None:
    finding = looked_at(ends)
    assert set(outcomes(finding).values()) == {"holds"}
    assert finding.verdict.outcome == "undecided"  # of 150 steps
    assert "150 of 600 steps" in finding.verdict.words
    finding.figures[0].to_matplotlib()
    (numbers,) = finding.verdict.numbers["means, by definition"].values()
    name = "loss above the chord, train"
    assert numbers[lines.PERMUTED][name] > 0.5 * numbers[lines.SEEDS][name]  # of one network, and as high
    assert abs(numbers[lines.CONVEX][name]) < 1e-5
    assert numbers[lines.CONVEX]["loss above the mean of the ends, train"] > 1e-5  # which is no barrier


@pytest.mark.parametrize("setting", [SMALL, replace(SIGNALS, steps=150)])
def test_lines_of_a_convex_model_are_flat(setting: Setting) -> None:
    finding = looked_at(trained(LAB, setting.with_hidden(), range(500_000, 500_012)))
    assert "holds" not in outcomes(finding).values()
    error = next(part for part in finding.verdict.parts if part.part.id == lines.ERROR)
    assert error.interval.estimate < 0.3


def test_a_network_has_no_line_to_itself(ends: Ends) -> None:
    finding = looked_at(replace(ends, second=ends.first))
    found = outcomes(finding)
    assert found.pop("permuted copy") == "holds"  # which is of the first network alone
    assert "holds" not in found.values()
    (disagree,) = finding.verdict.numbers["share of test examples on which a pair disagrees"].values()
    assert not any(disagree)


def test_the_weakest_setting_decides(ends: Ends) -> None:
    flat = trained(LAB, SMALL.with_hidden(), range(500_000, 500_012))
    finding = lines.found(LAB.on((lines.CLAIM,)), Shared(ends, flat))
    assert "holds" not in outcomes(finding).values()
    assert len(finding.figures) == 2


def test_lines_of_several_widths_are_of_the_same_seeds(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_widths, "WIDTHS", (8, 48))
    found = line_widths.by_width(LAB, ends)
    assert list(found) == [8, 32, 48]
    own = connectivity.barrier(ends.problem, ends.first, ends.second, resamples=0)
    assert found[32] == (own["loss barrier"].mean(), 100 * own["error barrier, over mean"].mean())
    assert "the widths 8, 32, 48" in lines.of_widths(found)


def test_relabeled_units_leave_the_function(ends: Ends) -> None:
    other = lines.relabeled(ends.problem, ends.first, seed=0)
    assert not torch.equal(other.theta, ends.first.theta)
    x = ends.problem.data.test.inputs
    for member in range(len(other)):
        torch.testing.assert_close(other.module(member)(x), ends.first.module(member)(x), rtol=1e-3, atol=1e-4)
    moved = other.theta != ends.first.theta
    assert (moved[0] != moved[1]).any()  # another order for each member


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sharing.Plan(replace(DEEP, steps=60), 6, (0.0, 0.05, 0.2), (0.0, 0.2))
    monkeypatch.setattr(sharing, "PLANS", {"quick": plan})
    monkeypatch.setattr(sharing, "STABLE", replace(SMALL, steps=60))


def test_copies_that_see_the_same_batches_do_not_part(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing.connectivity, "instability", partial(connectivity.instability, orders=(0, 0)))
    (finding,) = sharing.experiment(LAB)
    assert outcomes(finding)[sharing.APART] != "holds"
    barriers = [one for one in finding.readings if one.name.startswith("one schedule")]
    assert len(barriers) == 4
    assert not any(values.any() for one in barriers for values in one.arrays.values())


def test_copies_that_part_from_half_of_training_on_are_together() -> None:
    late = sharing.measured(LAB, DEEP, DEEP.problem(LAB), (0.5, 0.7, 0.9), list(range(500_000, 500_006)))
    renamed = replace(late.reading, coordinates={**late.reading.coordinates, "step": np.array([0, 15, 60])})
    found = sharing.judged(replace(late, reading=renamed), DEEP.steps)
    part = {one.id: one for one in sharing.CLAIM.parts}
    outcome = {name: part[name].rule.judge(one.low, one.high) for name, one in found.items()}
    assert outcome[sharing.APART] != "holds"
    assert outcome[sharing.TOGETHER] != "fails"
    assert found[sharing.APART].estimate < 1


def test_the_last_step_up_to_30_percent_is_judged() -> None:
    table = np.array([[10.0, 11, 12], [5, 6, 7], [1, 1.1, 1.2], [0.1, 0.2, 0.3]]) / 100
    planted = SimpleNamespace(steps=[0, 10, 30, 50], barriers=lambda *_, **__: table)
    found = sharing.judged(planted, 100)
    assert found[sharing.APART].estimate == pytest.approx(11)
    assert found[sharing.TOGETHER].estimate == pytest.approx(1.1)
