"""The study of the puzzle of generalization: its parts on planted nulls, and its verdicts at quick scale."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from studies.quick import claims_of

import thalweg as tw
from thalweg.studies import Lab
from thalweg.studies.puzzle import arms, memorizing, regularization, structure
from thalweg.studies.puzzle.arms import DIGITS, NOISY, NONE, SIGNALS, Arms
from thalweg.studies.puzzle.memorizing import CHANCE, GAP, MEMORIZES, NULLS, SMALL, Compared
from thalweg.studies.puzzle.setting import QUICK, trained

VERDICTS = {"GEN1": "holds", "GEN2": "holds", "GEN3": "undecided", "GEN4": "undecided"}


@pytest.fixture(scope="module")
def lab() -> Lab:
    """On seeds of its own."""
    return Lab("quick", 600, progress=None).on((memorizing.CLAIM,))


@pytest.fixture(scope="module")
def small(lab: Lab) -> dict[str, tw.generalization.Memorization]:
    """The models too small to memorize, with the recipe of the claim."""
    seeds = lab.seeds(quick=6, full=6).scored
    return {name: trained(lab, QUICK.with_hidden(*hidden), seeds) for name, hidden in NULLS.items()}


def test_small_models_do_not_memorize(lab: Lab, small: dict[str, tw.generalization.Memorization]) -> None:
    for null in small.values():
        finding = memorizing.found(lab, Compared(null, small))
        parts = {one.part.id: one.outcome for one in finding.verdict.parts}
        assert finding.verdict.outcome == "fails"
        assert parts[MEMORIZES] == "fails"
        assert parts[SMALL] == parts[GAP] == "holds"
        assert null["train accuracy"][0, -1].mean() > 0.9
        assert null["train accuracy"][-1, -1].mean() < 0.5


def test_a_short_budget_is_no_evidence_of_too_small_a_network(
    lab: Lab, small: dict[str, tw.generalization.Memorization]
) -> None:
    short = trained(lab, replace(QUICK, steps=100), lab.seeds(quick=6, full=6).scored)
    finding = memorizing.found(lab, Compared(short, small))
    assert not memorizing.memorizes(short).known
    assert finding.verdict.words == "undecided: 100 of 800 steps"
    assert any("short budget" in sentence for sentence in finding.sentences)


def test_a_leak_of_true_labels_is_seen(lab: Lab, small: dict[str, tw.generalization.Memorization]) -> None:
    """The network on true labels in the place of that on random ones."""
    null = small["softmax regression"]
    arrays = {name: values[[0, 0]] for name, values in null.reading.arrays.items()}
    leaking = replace(null, reading=replace(null.reading, arrays=arrays))
    judged = memorizing.judged(Compared(leaking, small))
    assert judged[CHANCE].low > 15
    assert not judged[GAP].high > 50


@dataclass(frozen=True, eq=False)
class Hurried(tw.generalization.Memorization):
    """One whose training loss still falls."""

    @property
    def still_falling(self) -> bool:
        return True


def test_a_small_model_whose_loss_still_falls_is_no_evidence(
    lab: Lab, small: dict[str, tw.generalization.Memorization]
) -> None:
    softmax = small["softmax regression"]
    hurried = Hurried(softmax.reading, softmax.problem, softmax.final, softmax.examples, softmax.test_examples)
    fine = small["8 hidden units"]
    for nulls in ({"a": hurried, "b": fine}, {"a": fine, "b": hurried}):
        assert not memorizing.judged(Compared(softmax, nulls))[SMALL].known


def test_nearest_neighbors_fit_every_label(small: dict[str, tw.generalization.Memorization]) -> None:
    train, test = memorizing.nearest(small["softmax regression"])
    assert (train == 100).all()
    assert test[0].min() > 90
    assert test[1].max() < 25


def test_digits_lie_in_fewer_dimensions_than_gaussians_of_their_covariance(
    lab: Lab, small: dict[str, tw.generalization.Memorization]
) -> None:
    null = small["softmax regression"]
    plain = memorizing.found(lab, Compared(null, small))
    found = structure.measured(lab)
    finding = structure.beside(plain, found)
    assert all(one["dimension"] < one["clone dimension"].min() - 2 for one in found.values())
    assert len(finding.readings) == len(plain.readings) + 2
    assert finding.figures[-1].title == "Real data have structure"
    assert "not scored" in finding.sentences[-1]
    assert finding.verdict == plain.verdict


def of_numbers(gain: float, plain: float = 0.8, fitted: float = 1.0, spread: float = 0.01) -> Arms:
    """Arms with planted accuracies: one decay gains on all seeds, the other on those to choose on alone."""
    seeds = Lab("full", 600).seeds(quick=0, full=12, shared_tuning=4)
    draw = np.random.default_rng(0)
    noise = spread * draw.normal(size=(3, 16))
    noise -= noise[:, 4:].mean(1, keepdims=True)
    luck = np.where(np.arange(16) < 4, gain - 0.01, -0.2)
    test = {NONE: plain + noise, "decay 1": plain + gain + noise[::-1], "decay 3": plain + luck + noise}
    return Arms(arms.SETTINGS[0], seeds, test, np.full(16, fitted))


@pytest.mark.parametrize(
    ("gain", "fitted", "outcome"),
    [(0.02, 1.0, "holds"), (0.15, 1.0, "fails"), (0.07, 1.0, "undecided"), (0.02, 0.9, "undecided")],
)
def test_the_ratio_is_that_of_planted_gains(gain: float, fitted: float, outcome: str) -> None:
    found = {SIGNALS: of_numbers(gain, fitted=fitted), DIGITS: of_numbers(0.001), NOISY: of_numbers(gain)}
    finding = regularization.finding(Lab("full", 600).on((regularization.CLAIM,)), found)
    assert found[SIGNALS].best == "decay 1"
    assert not found[SIGNALS].at_edge
    assert finding.verdict.outcome == outcome
    if fitted == 1:
        assert finding.verdict.own.interval.estimate == pytest.approx(gain / 0.7, abs=0.01)


def test_decay_gains_more_than_a_tenth_with_random_labels() -> None:
    lab = Lab("quick", 600, progress=None)
    noisy = replace(arms.SETTINGS[2], decays=(1.0,), dropouts=())
    found = arms.trained(lab, noisy, lab.seeds(quick=4, full=4, shared_tuning=1))
    assert regularization.judged({NOISY: found})[1][regularization.ON_NOISE].low > 0.1


def test_random_labels_that_are_not_fitted_say_nothing_of_noise() -> None:
    for fitted in (1.0, 0.9):
        part = regularization.judged({NOISY: of_numbers(0.15, fitted=fitted)})[1][regularization.ON_NOISE]
        assert part.known == (fitted == 1)


def test_arms_begin_alike_and_see_the_same_sets() -> None:
    lab = Lab("quick", 600, progress=None)
    seeds = lab.seeds(quick=2, full=2, shared_tuning=1)
    still = replace(arms.QUICK, steps=4, rate=1e-12, dropouts=(0.5,), shifted=True, decays=(1.0,))
    found = arms.trained(lab, still, seeds)
    assert set(found.test) == {NONE, "decay 1", "dropout 0.5", "shifts"}
    assert all(np.array_equal(values, found.test[NONE]) for values in found.test.values())


def test_shifts_move_by_one_place_and_keep_what_is_there() -> None:
    image = tw.data.Examples(tw.data.digits().train.inputs[:1], tw.data.digits().train.targets[:1])
    copies = arms.shifted(image, (64, 128, 10))
    grid = image.inputs.view(8, 8)
    assert len(copies) == 9
    assert np.array_equal(copies[4].inputs.view(8, 8), grid)
    assert np.array_equal(copies[0].inputs.view(8, 8)[1:, 1:], grid[:-1, :-1])
    signals = tw.data.mnist1d(train=80, test=20).train
    moved = arms.shifted(tw.data.Examples(signals.inputs, signals.targets), (40, 128, 10))
    assert [len(one) for one in moved] == [80] * 3
    assert np.array_equal(moved[0].inputs[:, 1:], signals.inputs[:, :-1])


def test_the_study_at_quick_scale() -> None:
    claims = claims_of("puzzle", seed=600)
    assert {name: claims[name]["verdict"] for name in VERDICTS} == VERDICTS
