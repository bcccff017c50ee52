"""The computations behind the verdicts, on planted cases with known answers."""

import numpy as np
import pytest
import torch

from thalweg.optim import Adam, AdamW
from thalweg.population import Batch
from thalweg.randomness import generator
from thalweg.schedules import Cosine
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers import (
    STUDY,
    adaptive,
    bias_correction,
    decay,
    generalization,
    momentum,
    nesterov,
    sensitivity,
)
from thalweg.studies.optimizers.tasks import TASKS, digits_mlp, grid, next_byte
from thalweg.training import Recipe, train


def test_decoupled_decay_shrinks_every_scale_by_lr_times_decay():
    rates = decay.shrink_rates(AdamW(1e-3, weight_decay=0.1), 30, [0, 1])
    # The noise of theta does not decay with it: (1 - lr d)^t of the starting 1 is lost, up to theta's own walk.
    np.testing.assert_allclose(rates, 1e-4, rtol=0.05)


def test_l2_decay_is_inverse_to_the_scale_and_the_slope_says_so():
    rates = decay.shrink_rates(Adam(1e-3, weight_decay=1e-3), 200, [0, 1, 2])
    np.testing.assert_allclose(decay.exponents(rates), -1, atol=0.05)


def test_slopes_of_planted_power_laws():
    planted = np.stack([decay.SCALES**-1.0, decay.SCALES**0.25])
    planted[:, decay.SCALES < 5 * decay.L2] = 7.0  # there nothing is predicted
    np.testing.assert_allclose(decay.exponents(planted), [-1, 0.25], atol=1e-12)


def test_l2_decay_is_inverse_to_the_scale_only_where_gradients_exceed_lambda_theta():
    """Below, Adam divides the decay by itself: every step takes about lr from theta, whatever the scale."""
    lr = 1e-3
    rates = decay.shrink_rates(Adam(lr, weight_decay=decay.L2), 100, [0, 1]).mean(0)
    predicted = lr * decay.L2 / decay.SCALES
    np.testing.assert_allclose(rates[decay.EXCEEDING], predicted[decay.EXCEEDING], rtol=0.1)
    tiny = decay.SCALES < decay.L2 / 50
    np.testing.assert_allclose(rates[tiny], lr, rtol=0.1)
    assert decay.SCALES[decay.EXCEEDING].min() == pytest.approx(10 * decay.L2)


def test_first_step_ratio_is_the_predicted_one():
    ratios = bias_correction.first_step_ratios(digits_mlp(Lab()), [0, 1])
    np.testing.assert_allclose(ratios, 0.1 / 0.001**0.5, rtol=1e-3)


def test_sensitivity_is_mean_minus_least_of_the_window():
    losses = np.full((15, 2), 2.0)
    losses[5:8] = 1.0  # within the window around 6, which is 3 to 9
    losses[12] = 0.0  # outside of it
    found = sensitivity.sensitivity(losses, np.array([6, 14]))  # each seed about its own best rate
    np.testing.assert_allclose(found[0], (4 * 2 + 3 * 1) / 7 - 1)
    np.testing.assert_allclose(found[1], 6 * 2 / 7)  # a window at the edge is shifted inside


def test_windows_that_the_grid_cuts_are_counted():
    inner = sensitivity.RATES[[3, 7, 11]]
    assert list(sensitivity.off_center({"SGD": inner})) == []
    (sentence,) = sensitivity.off_center({"SGD": inner, "Adam": sensitivity.RATES[[2, 7, 12]]})
    assert sentence.startswith("The range of Adam is not centered on its best rate for 2 of 3 seeds:")


@pytest.mark.parametrize(("low", "said"), [(0.1, True), (-0.1, False)])
def test_plain_sgd_is_called_sensitive_only_if_it_is(low, said):
    plain, momentum_less = Interval(0.2, low, 0.3, 6, "planted"), Interval(-0.1, -0.2, -0.05, 6, "planted")
    words = sensitivity.than_adam(momentum_less, plain)
    assert words.startswith("less than Adam")
    assert ("so it is plain SGD that is sensitive" in words) == said


def test_wins_compare_each_rule_at_the_best_rate_of_each_seeds_own_tuning_seed():
    tuned, scored = np.full((2, 3, 2, 1), 9.0), np.full((2, 3, 2), 9.0)  # rules, rates, seeds
    tuned[0, 1, :, 0], scored[0, 1] = 1, [5, 5]  # momentum's best rate on the tuning seeds
    tuned[0, 2, :, 0], scored[0, 2] = 2, [0, 0]  # lower on the scored seeds, but not chosen
    tuned[1, 0, 0], scored[1, 0] = 1, [4, 0]  # Nesterov's best for the first
    tuned[1, 1, 1], scored[1, 1] = 1, [0, 6]  # and for the second
    np.testing.assert_array_equal(nesterov.best_rates(tuned), [[1, 1], [0, 1]])
    np.testing.assert_array_equal(nesterov.won(tuned, scored), [1, 0])


def test_noisy_quadratics_reach_the_stationary_loss_of_heavy_ball():
    # E[h theta^2] / 2 with Var = lr s^2 (1 + beta) / (h (1 - beta) (2 (1 + beta) - lr h)), summed over 50 eigenvalues.
    seeds = list(range(400))
    losses = nesterov.descended(2.0, 400, seeds)[0, 5]  # momentum at lr 0.1
    lr, beta = nesterov.RATES[5], 0.9
    grid = 2.0 ** -np.linspace(0, 1, 10_001)
    each = lr * nesterov.NOISE**2 * (1 + beta) / ((1 - beta) * (2 * (1 + beta) - lr * grid)) / 2
    expected, error = 50 * each.mean(), losses.std(ddof=1) / len(seeds) ** 0.5
    assert abs(losses.mean() - expected) < 4 * error


def test_mean_squared_gradient_is_that_of_the_same_batches_one_by_one():
    problem = digits_mlp(Lab())
    run = train(problem, Recipe(Adam(1e-3), 2, 16, evaluate=0), 2)
    squared = adaptive.mean_squared_gradient(problem, run, 3, seed=5)
    stream = generator(5, "fresh batches")
    expected = torch.zeros_like(squared)
    for _ in range(3):
        rows = torch.randint(len(problem.data.train), (1, adaptive.BATCH), generator=stream)
        batch = Batch.of(problem.data.train, rows)
        for member in range(2):
            module = run.final.module(member)
            loss = torch.nn.functional.cross_entropy(module(batch.inputs), batch.targets)
            parts = torch.autograd.grad(loss, list(module.parameters()))
            expected[member] += torch.cat([part.flatten() for part in parts]) ** 2 / 3
    torch.testing.assert_close(squared, expected, rtol=1e-4, atol=1e-10)


def test_effective_rates_are_those_of_the_bias_corrected_second_moment():
    problem = digits_mlp(Lab())
    run = train(problem, Recipe(Adam(1e-3), 1, 16, evaluate=0), 1)
    gradient = run.state.slots["first_moment"] / (1 - 0.9)  # after one step both moments are those of one gradient
    expected = 1e-3 / (gradient.abs() + 1e-8)
    large = gradient.abs() > 1e-4
    torch.testing.assert_close(adaptive.effective_rates(run)[large], expected[large], rtol=1e-3, atol=0)


def test_by_tensor_takes_each_tensor_by_itself():
    layout = digits_mlp(Lab()).layout
    values = torch.cat([torch.full((entry.size,), float(i)) for i, entry in enumerate(layout)])[None]
    for median in (True, False):
        np.testing.assert_allclose(adaptive.by_tensor(layout, values, median=median), [range(len(layout.entries))])


def test_the_test_set_is_cut_in_two_halves_that_do_not_overlap():
    validation, held_out = generalization.halves(Lab())
    first, second = validation.data.test.inputs, held_out.data.test.inputs
    assert len(first) == len(second) == 500
    assert not (first[:, None] == second[None]).all(2).any()


def test_every_claim_has_its_part():
    assert sorted(claim.id for claim in STUDY.claims) == [f"OPT{i}" for i in range(1, 8)]


def test_a_tenth_of_the_rate_is_a_tenth_of_the_decay_except_for_the_constant_convention():
    found = {name: decay.shrink_rates(rule, 30, [0, 1], 0.1) for name, rule in decay.RULES.items()}
    np.testing.assert_allclose(found["AdamW, lr-coupled"], 1e-5, rtol=0.05)
    np.testing.assert_allclose(found["AdamW, schedule-coupled"], 1e-5, rtol=0.05)
    np.testing.assert_allclose(found["AdamW, constant"], 1e-4, rtol=0.05)


def test_half_is_lost_after_the_steps_that_the_errata_quote():
    assert decay.halving_steps(0.01) == pytest.approx(68.97, abs=0.01)
    assert 0.99**69 < 0.5 < 0.99**68
    assert decay.halving_steps(0.01 * 1e-3) == pytest.approx(69_314.4, abs=0.1)


@pytest.mark.parametrize(("share", "outcome"), [(0.0, "fails"), (1.0, "undecided"), (0.5, "undecided"), (0.8, "holds")])
def test_opt3_is_judged_on_both_sides(share, outcome):
    assert nesterov.CLAIM.judge(interval.fraction(np.full(14, share)), ran=nesterov.CLAIM.budget).outcome == outcome


def test_a_source_is_one_unit_whatever_is_trained_on_it():
    fractions = {"digits, linear": 1.0, "digits, convnet": 0.5, "wine, linear": 0.0}
    sources = {"digits, linear": "digits", "digits, convnet": "digits", "wine, linear": "wine"}
    assert nesterov.by_source(fractions, sources) == {"digits": [1.0, 0.5], "wine": [0.0]}


def test_tasks_of_one_source_are_named_alike():
    sources = [task.source for task in TASKS.values()]
    assert len(set(sources)) == 12  # and quadratics are the thirteenth
    assert TASKS["few digits"].source == TASKS["digits"].source


def test_the_problems_of_the_study_are_what_they_say():
    codes, following = next_byte(50, 3, seed=0).train.take(torch.arange(50))
    assert codes.reshape(50, 3, -1).sum(2).eq(1).all()
    assert following.ndim == 1
    posed = list(grid(Lab(), [("iris", "linear"), ("diabetes", "linear")]))
    assert [one.problem.initialize(1).theta.shape[1] for one in posed] == [4 * 3 + 3, 10 + 1]


def test_each_seed_has_the_setting_that_errs_least_on_its_own_tuning_seeds():
    decays = [0.01, 0.1]
    tuned = np.ones((len(generalization.RATES) * 2, 2, 1))  # settings, seeds, tuning seeds of each
    tuned[1, 0] = tuned[2, 1] = 0
    first, second, _ = generalization.RATES
    assert generalization.chosen(tuned, decays) == [(first, 0.1), (second, 0.01)]


def test_each_seed_is_scored_at_its_own_setting(monkeypatch):
    """What comes back says which seed was trained with which setting."""

    def errors(lab, problem, rule, steps, seeds, label):
        return np.array([[[seed, float(rule.lr), float(rule.weight_decay)] for seed in seeds]])

    monkeypatch.setattr(generalization, "errors", errors)
    settings = [(0.1, 1.0), (0.2, 1.0), (0.1, 1.0)]
    found = generalization.scored(Lab(), digits_mlp(Lab()), "AdamW", 5, settings, [7, 5, 6])
    np.testing.assert_array_equal(found, [[7, 0.1, 1.0], [5, 0.2, 1.0], [6, 0.1, 1.0]])


def test_seeds_on_an_edge_of_the_grid_are_counted_with_its_value():
    rates, decays = generalization.RATES, [0.01, 0.1, 1.0]
    tried = {"A": decays, "B": decays}
    inner, least, largest = (rates[1], 0.1), (rates[1], 0.01), (rates[-1], 1.0)
    assert list(generalization.warnings({"A": [inner, inner], "B": [largest, inner]}, tried)) == [
        "The best rate of B lies on the edge of its grid for 1 of 2 seeds, 1 at 0.1: one beyond could be better.",
        "The best decay of B lies on the edge of its grid for 1 of 2 seeds, 1 at 1: one beyond could be better.",
    ]
    apart = {"A": [least, inner], "B": [inner, least]}  # never both of one seed
    assert not any("nearly the same rule" in one for one in generalization.warnings(apart, tried))
    both = {"A": [least, inner], "B": [least, inner]}
    last = list(generalization.warnings(both, tried))[-1]
    assert last.startswith("Both do best with next to no decay for 1 of 2 seeds")


def test_missed_examples_are_those_that_the_modules_miss():
    problem = digits_mlp(Lab())
    missed = generalization.errors(Lab(), problem, Adam(1e-2), 5, [0, 1], "test")
    recipe = Recipe(Adam(1e-2), 5, generalization.BATCH, Cosine(warmup=0), evaluate=0)
    run = train(problem, recipe, [0, 1])
    test = problem.data.test
    for member in range(2):
        wrong = run.final.module(member)(test.inputs).argmax(1) != test.targets
        np.testing.assert_array_equal(missed[0, member], wrong.numpy())


def test_the_constants_of_the_quadratic_contract_as_predicted():
    contraction, ratio, _ = momentum.quadratic()
    for name, predicted in momentum.PREDICTED.items():
        assert contraction[name] == pytest.approx(predicted, rel=2e-3)
    assert ratio > 5  # sqrt(100) / 2 in the long run


@pytest.mark.parametrize(("late", "outcome"), [("momentum", "undecided"), ("SGD", "holds")])
def test_runs_that_never_arrive_count_against_the_rule_whose_they_are(late, outcome):
    times = {"SGD": np.full(6, 80.0) + np.arange(6), "momentum": np.full(6, 30.0)}
    times[late][-1] = np.inf
    ratio = interval.ratio_of_times(times["SGD"], times["momentum"], 100)
    assert ratio.estimate > 2
    assert momentum.CLAIM.judge(ratio, ran=momentum.CLAIM.budget).outcome == outcome
