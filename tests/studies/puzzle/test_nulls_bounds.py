"""Planted nulls of GEN2 and GEN3: classes on which nothing is vacuous, random labels, and bounds that are none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from thalweg.claims import Finding
from thalweg.generalization import bounds
from thalweg.generalization.bounds import Certificate
from thalweg.studies import Lab
from thalweg.studies.puzzle import certificates, codes, not_vacuous, samples, small_class, vacuous, validity
from thalweg.studies.puzzle.setting import Setting, trained
from thalweg.studies.puzzle.vacuous import Looked
from thalweg.studies.puzzle.validity import Validity

LAB = Lab("quick", 500, progress=None)
SEEDS = [500_000, 500_001, 500_002]


def outcomes(finding: Finding) -> dict[str, str]:
    """Of every part, whatever the budget: a test trains little."""
    return {part.part.id: part.outcome for part in finding.verdict.parts}


@pytest.fixture(scope="module")
def looked() -> Looked:
    """Small networks on 100 digits, and a small class."""
    networks = trained(LAB, Setting((64,), 100, 400, (0.0, 1.0), 1e-2), SEEDS)
    both = [[vacuous.board_of(LAB, networks, fraction, place) for place in range(3)] for fraction in (0.0, 1.0)]
    small = small_class.small_class(LAB, SEEDS)
    return Looked(*both, small, np.ones(3), vacuous.examples_needed(networks))


def test_bounds_of_large_networks_are_vacuous_and_of_a_small_class_not_all(looked: Looked) -> None:
    finding = vacuous.found(LAB.on((vacuous.CLAIM,)), looked)
    cover, dimension, rules = vacuous.SMALL.values()
    failing = {name for name, outcome in outcomes(finding).items() if outcome == "fails"}
    assert failing == {dimension}
    assert [outcomes(finding)[one] for one in (vacuous.COUNTED, vacuous.NORMS, cover, rules)] == ["holds"] * 4
    assert finding.verdict.outcome == "holds"  # the null has outcomes of its own
    assert finding.verdict.lecture is None  # a complexity is at most 1/2, whatever is measured
    assert (vacuous.smallest(looked.random) >= 0.9).all()
    counted = next(part for part in finding.verdict.parts if part.part.id == vacuous.COUNTED)
    assert counted.interval.low == pytest.approx(np.log10(bounds.vc(0.0, 100, 4_810, 0.05)))  # at no training error
    assert counted.interval.low == counted.interval.high
    assert looked.small.below == 0
    assert all(of.min() > 0.6 for name, of in looked.small.bounds.items() if name.startswith("VC"))
    assert "0 of 9 bounds" in " ".join(finding.sentences)
    finding.figures[0].to_matplotlib()


def test_what_is_below_one_half_is_a_bound(looked: Looked) -> None:
    rows = [board.row(name) for board in looked.small.boards for name in small_class.FAMILIES]
    assert not any(row.generous for row in rows)
    needed = bounds.relu_dimension([18, 8], [3, 1])
    assert 0.6 < bounds.vc(0.0, small_class.EXAMPLES, needed, small_class.DELTA) < 0.65


def test_one_network_with_a_bound_below_is_enough(looked: Looked) -> None:
    boards = [looked.small.boards[0], *looked.boards]
    rules = {part.id: part.rule for part in vacuous.CLAIM.parts}
    norms = vacuous.by_norms(replace(looked, boards=boards))
    counted = vacuous.below(vacuous.smallest([looked.small.boards[0], *looked.random]))
    assert rules[vacuous.NORMS].judge(norms.low, norms.high) == "fails"
    assert counted.estimate == 1
    assert rules[vacuous.RANDOM].judge(counted.low, counted.high) == "fails"


def test_it_does_not_hold_of_a_small_class_with_many_examples(looked: Looked) -> None:
    finding = vacuous.found(LAB.on((vacuous.CLAIM,)), replace(looked, boards=looked.small.boards))
    assert finding.verdict.outcome == "fails"
    weak = outcomes(finding)
    assert weak[vacuous.COUNTED] == "fails"
    assert weak[vacuous.NORMS] == "fails"
    assert (vacuous.smallest(looked.small.boards, vacuous.BY_NORMS) < 0.5).all()


def test_it_does_not_hold_where_the_small_class_is_vacuous_too(looked: Looked) -> None:
    large = replace(looked.small, bounds={name: of + 1 for name, of in looked.small.bounds.items()})
    finding = vacuous.found(LAB.on((vacuous.CLAIM,)), replace(looked, small=large))
    assert not {outcomes(finding)[part] for part in vacuous.SMALL.values()} & {"holds"}


def test_a_linear_classifier_is_vacuous_too() -> None:
    """Of 1,000 examples, in 64 dimensions: what the correction says."""
    assert 1.4 < bounds.vc(0.0, 1_000, 65, 0.05) < 1.6
    assert "a linear classifier in 64 dimensions" in str(vacuous.CLAIM.corrected)


@pytest.fixture(scope="module")
def checked() -> Validity:
    return validity.validity(500)


def test_bounds_are_valid_where_the_risk_is_known_and_what_is_none_is_caught(checked: Validity) -> None:
    limit = validity.DELTA + validity.SLACK
    assert all(one.n == 1_000 for one in (checked.valid | checked.broken).values())
    assert checked.worst.high < limit
    assert checked.valid["hold-out"].estimate > 0.01  # it is not valid by being loose
    assert checked.caught
    assert set(checked.broken) == set(validity.BROKEN)


Certificates = dict[str, Certificate]


@pytest.fixture(scope="module")
def few() -> tuple[Certificates, Certificates]:
    """The families of quick scale on few digits and steps: on true labels, and on random ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "TRAINED", 600)
        patch.setattr(certificates, "DRAWS", 100)
        patch.setattr(certificates, "PLAIN", certificates.adam(5e-3, 200))
        patch.setattr(certificates, "LINEAR_STEPS", 200)
        return certificates.on_true_labels(LAB, SEEDS), certificates.on_random_labels(LAB, SEEDS)


def judged(looked: Looked, true: Certificates, random: Certificates, checked: Validity) -> Finding:
    board = bounds.side_by_side(looked.boards)
    return not_vacuous.finding(LAB.on((not_vacuous.CLAIM,)), board, true, random, checked)


def test_true_labels(looked: Looked, few: tuple[Certificates, Certificates], checked: Validity) -> None:
    finding = judged(looked, *few, checked)
    assert finding.verdict.outcome == "undecided"
    assert "2 of 4 kinds" in finding.verdict.words
    found = outcomes(finding)
    assert found[not_vacuous.APART] == found[not_vacuous.CONTRADICTED] == found[not_vacuous.VALID] == "holds"
    assert found[not_vacuous.RANDOM] != "fails"
    assert few[0][certificates.HALF].row.bound.max() < 0.4
    panel = finding.figures[0].panels[0]
    assert {"hold-out", certificates.HALF, "VC, ReLU networks"} <= set(panel.y.names or ())
    finding.figures[0].to_matplotlib()


def test_nothing_is_below_one_half_on_random_labels(
    looked: Looked, few: tuple[Certificates, Certificates], checked: Validity
) -> None:
    _, random = few
    bound = np.concatenate([one["bound"] for name, one in random.items() if name in certificates.NOT_VACUOUS])
    assert (bound >= 0.9).all()
    found = not_vacuous.judged(random, random, checked)
    part = {one.id: one for one in not_vacuous.CLAIM.parts}[not_vacuous.TWO]
    assert part.rule.judge(found[not_vacuous.TWO].low, found[not_vacuous.TWO].high) == "fails"


def test_hold_out_on_random_labels_is_judged_by_its_share(few: tuple[Certificates, Certificates]) -> None:
    true, random = few
    assert "hold-out" not in not_vacuous.of_random(random)
    assert "in 3 of 3 seeds" in not_vacuous.of_random(random | {certificates.HOLD_OUT: true[certificates.HOLD_OUT]})


def test_two_certificates_of_one_family_have_a_row_each(
    looked: Looked, few: tuple[Certificates, Certificates], checked: Validity
) -> None:
    true, random = few
    finding = judged(looked, true | {certificates.FREE_LINEAR: true[certificates.HALF]}, random, checked)
    assert certificates.FREE_LINEAR in (finding.figures[0].panels[0].y.names or ())


def test_a_single_bound_that_is_contradicted_is_enough(
    looked: Looked, few: tuple[Certificates, Certificates], checked: Validity
) -> None:
    true, random = few
    half = true[certificates.HALF]
    planted = replace(half.reading, arrays={**half.reading.arrays, "contradicted": np.array([False, True, False])})
    finding = judged(looked, true | {certificates.HALF: replace(half, reading=planted)}, random, checked)
    assert outcomes(finding)[not_vacuous.CONTRADICTED] == "fails"


@pytest.mark.parametrize("name", validity.BROKEN[:2])
def test_what_is_no_bound_does_not_pass_as_one(
    looked: Looked, few: tuple[Certificates, Certificates], checked: Validity, name: str
) -> None:
    finding = judged(looked, *few, replace(checked, valid={**checked.valid, name: checked.broken[name]}))
    assert outcomes(finding)[not_vacuous.VALID] == "fails"


def test_a_bound_of_held_out_examples_in_disguise_is_larger(few: tuple[Certificates, Certificates]) -> None:
    half = few[0][certificates.HALF]
    assert (half["KL"] == 0).all()
    assert (half["bound"] > half["hold-out bound"]).all()
    assert certificates.looser(half, draws=100) >= half["bound"].mean()
    signs = few[0][certificates.LINEAR]
    assert certificates.looser(signs) >= signs["bound"].mean()


def test_codes_are_trained_by_what_is_smallest_on_other_seeds_and_pay_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "TRAINED", 300)
    monkeypatch.setattr(codes, "RATES", (1e-6, 0.3))
    monkeypatch.setattr(codes, "SUBSPACE_STEPS", 60)
    monkeypatch.setattr(codes, "LINEAR_STEPS", 60)
    how = certificates.chosen(LAB, SEEDS[:1])
    assert {name: one.rate for name, one in how.items()} == {certificates.SUBSPACE: 0.3, certificates.LINEAR: 0.3}
    assert how[certificates.SUBSPACE].settings == 6
    of = certificates.digits(SEEDS[:1])
    net, common = of.problem(LAB, 64, 4, 10), certificates.given(LAB, of, "")
    recipe = how[certificates.SUBSPACE].recipe(5)
    plain, paid = (bounds.random_subspace(net, recipe, 10, 2, steps=[1.0], settings=n, **common) for n in (1, 8))
    assert (paid["bits"] - plain["bits"] == 3).all()
    assert (paid["bound"] > plain["bound"]).all()
    plain, paid = (bounds.quantized_linear(net, recipe, codes=["sign"], settings=n, **common) for n in (1, 8))
    assert (paid["bits"] - plain["bits"] == 3).all()
    assert "of 6 settings" in not_vacuous.of_choice("code", how[certificates.SUBSPACE])


def test_digits_are_drawn_anew_for_each_seed() -> None:
    of = certificates.digits(SEEDS[:2], 1.0)
    assert of.examples.shape == (2, 1_437)
    assert of.test_examples.shape == (2, 360)
    assert of.data.test is not None
    inputs, whole = (torch.as_tensor(part.inputs) for part in (of.data.train, of.data.test))  # type: ignore[union-attr]
    for mine, others in zip(of.examples, of.test_examples, strict=True):
        seen = {row.numpy().tobytes() for row in inputs[mine]}
        assert not any(row.numpy().tobytes() in seen for row in whole[others])
