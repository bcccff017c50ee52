"""NTK2 to NTK4: verdicts on powers put in by hand, and networks on which they must not hold."""

import numpy as np
import pytest
import torch
from studies.ntk.planted import SEEDS, outcome, wide

from thalweg import ntk
from thalweg.results import Reading
from thalweg.statistics import exponents, interval
from thalweg.studies import Lab
from thalweg.studies.ntk import closed_form, drift, initialization
from thalweg.studies.ntk.setting import own_kernels, problem_of
from thalweg.studies.ntk.subsets import TRAIN, Sets, analytic, as_large
from thalweg.studies.ntk.wide import ARMS, DEEPER, all_of, hidden_move

LAB = Lab("quick", 900, progress=None)
NARROW = (16, 64, 256)
EXPERIMENTS = {"NTK2": initialization.found, "NTK3": drift.found, "NTK4": closed_form.found}


@pytest.fixture(scope="module")
def trained():
    return all_of(LAB, SEEDS, dict.fromkeys(ARMS, NARROW), 60)


@pytest.mark.parametrize("claim", EXPERIMENTS)
def test_they_hold_on_the_powers_that_they_state(claim):
    finding = EXPERIMENTS[claim](LAB.on((initialization.CLAIM, drift.CLAIM, closed_form.CLAIM)), wide())
    assert finding.verdict.claim.id == claim
    assert finding.verdict.outcome == "holds"
    assert {one.outcome for one in finding.verdict.parts if one.part.id != "narrow layer"} == {"holds"}
    assert finding.sentences
    for reading in finding.readings:
        assert Reading.from_json(reading.to_json()).to_json() == reading.to_json()
    for figure in finding.figures:
        figure.to_matplotlib()


@pytest.mark.parametrize(
    ("claim", "planted"),
    [
        ("NTK2", {"ReLU": {"distance": -0.1}}),
        ("NTK2", {"tanh": {"distance": -1.0}}),
        ("NTK3", {"tanh": {"drift": -0.5}, "ReLU": {"drift": -0.5}}),
        ("NTK3", {"ReLU": {"drift": -1.1}}),
        ("NTK4", {"tanh": {"own": -0.3}}),
        ("NTK4", {"at_widest": 0.05}),
    ],
)
def test_they_fail_on_other_powers_or_levels(claim, planted):
    found = EXPERIMENTS[claim](LAB.on((initialization.CLAIM, drift.CLAIM, closed_form.CLAIM)), wide(**planted))
    assert found.verdict.outcome == "fails"


def test_the_wording_of_the_lecture_holds_where_drift_goes_as_it_says():
    lab = LAB.on((drift.CLAIM,))
    as_said = {arm: {"drift": -0.5} for arm in ("tanh", "ReLU")}
    for planted, verdict in (({}, "fails"), (as_said, "holds")):
        words = drift.found(lab, wide(**planted)).verdict.lecture
        assert words is not None
        assert words.outcome == verdict


def test_beside_a_narrow_layer_the_distance_does_not_fall_and_without_it_does():
    sets = Sets.of(SEEDS)
    stays, falls = (
        interval.mean(exponents(NARROW, initialization.beside_narrow(LAB, sets, NARROW, narrow)))
        for narrow in (8, None)
    )
    assert outcome(initialization.CLAIM, "ReLU", stays) == "fails"
    assert falls.estimate == pytest.approx(-0.5, abs=0.15)
    assert falls.high < stays.low


def test_kernels_stay_away_from_the_sum_of_the_lecture(trained):
    for arm in ("tanh", "ReLU"):
        right = trained.by_kernel(arm, "distances", "analytic")
        for reading in initialization.READINGS:
            wrong = trained.by_kernel(arm, "distances", reading)
            assert interval.mean(exponents(NARROW, wrong)).low > -0.2
            assert wrong[-1].mean() > 3 * right[-1].mean()


def test_the_standard_deviation_over_networks_falls_as_the_root_of_the_width():
    values = initialization.fluctuation(LAB, Sets.of(SEEDS), (32, 512), ARMS["tanh"], 2)
    assert exponents((32, 512), values) == pytest.approx(-0.5, abs=0.15)


def test_in_a_mean_field_the_kernel_drifts_at_any_width(trained):
    slope = interval.mean(exponents(NARROW, trained.table("mean field", "drift")))
    assert outcome(drift.CLAIM, "tanh", slope) == "fails"
    assert trained.table("mean field", "drift").mean() > 0.5
    assert interval.mean(exponents(NARROW, trained.table("tanh", "drift"))).high < -0.6


def test_the_closed_form_is_wrong_in_a_mean_field_and_with_another_kernel(trained):
    own = trained.by_kernel("tanh", "errors", "own")[-1]
    null = {kernel: trained.by_kernel("tanh", "errors", kernel)[-1] for kernel in ("NNGP", *initialization.READINGS)}
    null["mean field"] = trained.by_kernel("mean field", "errors", "own")[-1]
    for errors in null.values():
        assert outcome(closed_form.CLAIM, "tanh, widest", interval.geometric_mean(errors)) == "fails"
        assert interval.geometric_mean(errors / own).low > 1.5


def test_all_are_trained_for_long_and_answers_in_closed_form_are_near(trained):
    assert trained.table("tanh", "loss").max() < 1e-2
    widest = trained.trained["tanh"][-1]
    assert widest.steps == [0, 1, 2, 4, 8, 16, 32, 60]
    np.testing.assert_allclose(widest.answers[0], widest.closed[0], atol=1e-6)
    np.testing.assert_allclose(widest.answers, widest.closed, atol=0.1)


def test_networks_of_two_layers_are_trained_too():
    found = all_of(LAB, SEEDS[:2], dict.fromkeys(DEEPER, (8, 16)), 4)
    assert found.table("ReLU, two layers", "drift").shape == (2, 2)
    assert set(found.trained["tanh, two layers"][0].errors) == {"own", "analytic", "NNGP"}


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_kernels_on_own_inputs_are_those_of_the_room(activation, power):
    sets = Sets.of(SEEDS[:2])
    widths = (64, 12, 9, 1)
    problem = problem_of(LAB, sets.data, widths, activation, readout_power=power, dtype=torch.float64)
    networks, inputs = problem.initialize(sets.seeds), sets.inputs[:, :6].double()
    own = own_kernels(problem, networks, inputs, 4)
    for member in range(2):
        room = ntk.empirical_kernels(problem, networks[[member]], inputs[member], inputs[member, :4], outputs="trace")
        torch.testing.assert_close(own[member], room[0], rtol=1e-12, atol=1e-14)
    assert not inputs.requires_grad


def test_the_sum_of_the_lecture_is_as_its_factors_and_the_right_one_as_the_recursion():
    """ReLU with equal norms, of which the closed form is known."""
    sets = Sets.of(SEEDS[:1])
    found = {name: one[0] for name, one in analytic(sets, "relu").items()}
    gram = 2 * sets.inputs[0].double() @ sets.inputs[0, :TRAIN].double().mT / 64 + 0.01
    rho = (gram / 2.01).clamp(-1, 1)
    change = (torch.pi - rho.acos()) / (2 * torch.pi)
    nngp = 2.01 / (2 * torch.pi) * ((1 - rho**2).sqrt() + (torch.pi - rho.acos()) * rho) + 0.01
    for name, right in {
        "NNGP": nngp,
        "analytic": nngp + gram * change,
        "lecture, layer by layer": gram * change,
        "lecture, from the inputs": gram + nngp * change,
    }.items():
        torch.testing.assert_close(found[name], right, rtol=2e-3, atol=2e-4)  # arccos near 1 loses digits
    scaled = as_large(found["NNGP"][None], found["analytic"][None])[0]
    torch.testing.assert_close(scaled[:TRAIN].trace(), found["analytic"][:TRAIN].trace())
    deeper = analytic(sets, "relu", 2)["analytic"][0, :TRAIN].diagonal()
    assert deeper.tolist() == pytest.approx([1.02 + (2.02 + 2.01) / 2] * TRAIN)


def test_the_movement_of_a_hidden_unit_is_that_of_its_value_before_the_nonlinearity():
    sets = Sets.of(SEEDS[:2])
    problem = problem_of(LAB, sets.data, (64, 5, 1), "tanh")
    before, after = problem.initialize(sets.seeds), problem.initialize([950, 951])
    found = hidden_move(problem, before, after, sets.inputs)
    for member in range(2):
        layers = [one.module(member).get_submodule("hidden1") for one in (before, after)]
        old, new = (layer(sets.inputs[member, :TRAIN]) for layer in layers)
        assert found[member] == pytest.approx(float((new - old).square().mean().sqrt().detach()), rel=1e-5)
