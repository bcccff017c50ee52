"""The computations behind the verdicts, on planted cases with known answers."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from thalweg.optim import SGD, Adam, AdamW, Momentum
from thalweg.population import Batch
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.optimizers import (
    STUDY,
    adaptive,
    bias_correction,
    decay,
    generalization,
    modes,
    momentum,
    nesterov,
    race,
    sensitivity,
)
from thalweg.studies.optimizers.problems import TASKS, digits_mlp, friedman, grid, next_byte, parity, photograph
from thalweg.studies.readings import edge_warnings
from thalweg.studies.seeds import tuning_and_scored


def test_tuning_and_scored_seeds_never_overlap_also_not_between_context_seeds():
    sets = [tuning_and_scored(Lab(seed=seed), 5, 20) for seed in (0, 1, 2)]
    every = [seed for tuning, scored in sets for seed in (*tuning, *scored)]
    assert len(set(every)) == len(every) == 75


def test_decoupled_decay_shrinks_every_scale_by_lr_times_decay():
    rates = decay.shrink_rates(AdamW(1e-3, weight_decay=0.1), 30, [0, 1])
    # The noise of theta does not decay with it: (1 - lr d)^t of the starting 1 is lost, up to theta's own walk.
    np.testing.assert_allclose(rates, 1e-4, rtol=0.05)


def test_l2_decay_is_inverse_to_the_scale_and_the_slope_says_so():
    rates = decay.shrink_rates(Adam(1e-3, weight_decay=1e-3), 200, [0, 1, 2])
    np.testing.assert_allclose(decay.slopes(rates), -1, atol=0.05)


def test_slopes_of_planted_power_laws():
    planted = np.stack([decay.SCALES**-1.0, decay.SCALES**0.25])
    np.testing.assert_allclose(decay.slopes(planted), [-1, 0.25], atol=1e-12)


def test_opt6_fails_when_the_slopes_are_not_as_predicted():
    verdict = decay.CLAIM.judge(interval.mean([0.5, 0.52, 0.48, 0.51, 0.5]))
    assert verdict.outcome == "fails"


def test_first_step_ratio_is_the_predicted_one():
    ratios = bias_correction.first_step_ratios(digits_mlp(Lab()), [0, 1])
    np.testing.assert_allclose(ratios, 0.1 / 0.001**0.5, rtol=1e-3)


def test_sensitivity_is_mean_minus_least_of_the_window():
    losses = np.full((15, 2), 2.0)
    losses[5:8] = 1.0  # within the window around 6, which is 3 to 9
    losses[12] = 0.0  # outside of it
    np.testing.assert_allclose(sensitivity.sensitivity(losses, 6), (4 * 2 + 3 * 1) / 7 - 1)
    assert sensitivity.sensitivity(losses, 14).shape == (2,)  # a window at the edge is shifted inside
    np.testing.assert_allclose(sensitivity.sensitivity(losses, 14), 6 * 2 / 7)


def test_opt1_fails_when_adam_is_the_more_sensitive_one():
    verdict = sensitivity.CLAIM.judge(interval.difference([0.1, 0.2, 0.15, 0.12, 0.18], [0.9, 1.0, 0.95, 1.1, 0.9]))
    assert verdict.outcome == "fails"


def test_quadratic_losses_against_the_closed_form_of_gradient_descent():
    eigenvalues = torch.tensor([0.1, 1.0], dtype=torch.float64)
    losses = modes.losses(modes.modes(SGD(0.5), eigenvalues, 20), eigenvalues)
    steps = np.arange(20)
    expected = (0.1 * 0.95 ** (2 * steps) + 0.5 ** (2 * steps)) / 1.1
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


def test_the_optimal_constants_give_the_predicted_contraction():
    eigenvalues = torch.logspace(-2, 0, 100, dtype=torch.float64)
    rules = Momentum(4 / 1.1**2, (9 / 11) ** 2), SGD(2 / 1.01)
    heavy, plain = (modes.losses(modes.modes(rule, eigenvalues, 400), eigenvalues) for rule in rules)
    assert (heavy[300] / heavy[200]) ** (1 / 200) == pytest.approx(9 / 11, rel=0.01)
    assert (plain[399] / plain[299]) ** (1 / 200) == pytest.approx(99 / 101, rel=1e-3)


# Nesterov's is tested with the rules: torch has it reformulated.
@pytest.mark.parametrize("name", [name for name in race.RULES if name != "Nesterov"])
def test_the_racers_go_where_torchs_go(name):
    rates = np.array([1e-3, 1e-2])
    found = race.paths(race.RULES[name](lr=1.0), rates, 30)
    makes = {
        "SGD": lambda p, lr: torch.optim.SGD(p, lr),
        "momentum": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
        "RMSprop": lambda p, lr: torch.optim.RMSprop(p, lr),
        "Adam": lambda p, lr: torch.optim.Adam(p, lr),
    }
    for course_name, course in race.COURSES.items():
        for column, rate in enumerate(rates):
            at = torch.tensor([course.start], dtype=torch.float64, requires_grad=True)
            peer = makes[name]([at], float(rate))
            for _ in range(30):
                peer.zero_grad()
                course.function(at).sum().backward()
                peer.step()
            np.testing.assert_allclose(found[course_name][-1, column], at.detach()[0].numpy(), rtol=1e-9)


def test_the_least_points_of_the_courses_are_least():
    draw = torch.Generator().manual_seed(0)
    for course in race.COURSES.values():
        around = torch.tensor(course.least, dtype=torch.float64)
        slope = torch.func.grad(lambda t, c=course: c.function(t).sum())(around)
        torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-12, rtol=0)
        spread = torch.rand(10_000, 2, generator=draw, dtype=torch.float64) * 8 - 4
        assert race.above(course, spread).min() >= 0


def test_the_best_racer_is_the_soonest_that_stays_near():
    course = race.COURSES["ravine"]
    soon, late, leaving = np.full((3, 11, 2), 0.0)
    soon[:3], late[:6], leaving[:1], leaving[9] = -4, -4, -4, -4
    assert race.best(course, np.stack([late, soon, leaving], axis=1)) == 1
    assert race.best(course, np.full((11, 2, 2), np.nan)) in (0, 1)


def test_wins_compare_each_rule_at_its_own_best_rate_on_scored_seeds_only():
    losses = np.full((2, 3, 4), 9.0)  # rules, rates, seeds: two tuning seeds, then two scored
    losses[0, 1] = [1, 1, 5, 5]  # momentum's best rate on the tuning seeds
    losses[0, 2] = [2, 2, 0, 0]  # lower on the scored seeds, but not chosen
    losses[1, 0] = [1, 1, 4, 6]  # Nesterov's best
    np.testing.assert_array_equal(nesterov.won(losses, 2), [1, 0])


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
    run = adaptive.train(problem, adaptive.Recipe(Adam(1e-3), 2, 16, evaluate=0), 2)
    squared = adaptive.mean_squared_gradient(problem, run, 3, seed=5)
    stream = adaptive.generator(5, "fresh batches")
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
    run = adaptive.train(problem, adaptive.Recipe(Adam(1e-3), 1, 16, evaluate=0), 1)
    slope = run.state.slots["first_moment"] / (1 - 0.9)  # after one step both moments are those of one gradient
    expected = 1e-3 / (slope.abs() + 1e-8)
    large = slope.abs() > 1e-4
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


def planted_race(sgd_rate: float, momentum_rate: float) -> momentum.Race:
    """Losses exp(-rate step), slower on all but the grid's fourth rate, a little different by seed."""
    at = np.arange(0, 101, 5)
    seeds = 1 + 0.02 * np.arange(8)
    slower = np.full(len(momentum.RATES), 0.5)
    slower[3] = 1.0
    losses = {
        name: np.exp(-rate * at[:, None, None] * slower[:, None] * seeds)
        for name, rate in (("SGD", sgd_rate), ("momentum", momentum_rate))
    }
    return momentum.judged(at, losses, 2)


def test_the_race_finds_a_planted_acceleration():
    race = planted_race(0.02, 0.06)
    assert race.rate == {"SGD": momentum.RATES[3], "momentum": momentum.RATES[3]}
    assert race.ratio.estimate == pytest.approx(3, rel=0.01)
    assert momentum.CLAIM.judge(race.ratio).outcome == "holds"


def test_opt2_fails_when_momentum_is_planted_to_be_slower():
    race = planted_race(0.04, 0.03)
    assert race.ratio.estimate == pytest.approx(0.75, rel=0.03)
    assert momentum.CLAIM.judge(race.ratio).outcome == "fails"


def test_a_target_that_is_never_reached_counts_as_the_whole_budget_and_is_reported():
    race = planted_race(0.04, 0.01)
    np.testing.assert_array_equal(race.needed["momentum"], 100)
    assert race.censored == {"SGD": 0, "momentum": 6}
    assert race.ratio.low == 0.0  # it may take far more steps than were counted
    assert math.isfinite(race.ratio.high)
    assert any("6 of 6 runs of momentum" in sentence for sentence in race.late)


def test_runs_of_momentum_that_never_arrive_keep_the_claim_from_holding():
    race = dataclasses.replace(planted_race(0.02, 0.06), censored={"SGD": 0, "momentum": 1})
    assert race.ratio.estimate > 2
    assert momentum.CLAIM.judge(race.ratio).outcome == "undecided"
    other = dataclasses.replace(planted_race(0.02, 0.06), censored={"SGD": 1, "momentum": 0})
    assert other.ratio.high == math.inf
    assert momentum.CLAIM.judge(other.ratio).outcome == "holds"


@pytest.mark.parametrize(("share", "outcome"), [(0.0, "fails"), (1.0, "undecided"), (0.5, "undecided"), (0.8, "holds")])
def test_opt3_is_judged_on_both_sides(share, outcome):
    assert nesterov.CLAIM.judge(interval.fraction(np.full(14, share))).outcome == outcome


def test_a_source_is_one_unit_whatever_is_trained_on_it():
    fractions = {"digits, linear": 1.0, "digits, convnet": 0.5, "wine, linear": 0.0}
    sources = {"digits, linear": "digits", "digits, convnet": "digits", "wine, linear": "wine"}
    assert nesterov.by_source(fractions, sources) == {"digits": [1.0, 0.5], "wine": [0.0]}


def test_tasks_of_one_source_are_named_alike():
    sources = [task.source for task in TASKS.values()]
    assert len(set(sources)) == 12  # and quadratics are the thirteenth
    assert TASKS["few digits"].source == TASKS["digits"].source


def test_the_problems_of_the_study_are_what_they_say():
    lab = Lab("full")
    codes, following = next_byte(50, 3, seed=0).train.take(torch.arange(50))
    assert codes.reshape(50, 3, -1).sum(2).eq(1).all()
    assert following.ndim == 1
    x, y = parity(200, 12, 3, seed=0).train.take(torch.arange(200))
    assert torch.equal(y, ((x[:, :3] < 0).sum(1) % 2 == 0).long())
    x, y = friedman(4000, seed=0).train.take(torch.arange(4000))
    # The linear terms alone: the slopes of x4 and x5 are as 10 to 5.
    slopes = torch.linalg.lstsq(x.double(), y.double()).solution.flatten()
    assert float(slopes[3] / slopes[4]) == pytest.approx(2, rel=0.1)
    assert slopes[5:].abs().max() < 0.05
    x, y = photograph(100, seed=0).train.take(torch.arange(100))
    assert (x.shape, y.shape) == ((100, 2), (100, 3))
    posed = list(grid(lab, ["iris", "diabetes"], ["linear"]))
    assert [one.problem.initialize(1).theta.shape[1] for one in posed] == [4 * 3 + 3, 10 + 1]


def test_sources_needed_follow_the_root_law():
    found = interval.Interval(0.6, 0.4, 0.8, 10, "planted")  # twice too wide
    assert nesterov.sources_needed(found) == 40
    assert nesterov.sources_needed(interval.Interval(0.7, 0.6, 0.8, 10, "clear")) is None


def test_opt4_fails_when_rates_grow_with_the_gradient():
    assert adaptive.CLAIM.judge(interval.mean([0.8, 0.7, 0.75, 0.9, 0.85])).outcome == "fails"


@pytest.mark.parametrize(
    ("low", "high", "words"), [(1.5, 3, "as the lecture says"), (0.1, 0.5, "unlike"), (0.5, 1.5, "no clear")]
)
def test_the_lectures_ordering_is_worded_from_the_interval(low, high, words):
    assert words in adaptive.compared(interval.Interval((low + high) / 2, low, high, 5, "planted"))


def test_opt7_fails_when_adamw_misses_more():
    verdict = generalization.CLAIM.judge(interval.difference([30, 31, 29.5, 30.5, 30.2], [32, 33, 31.0, 32.6, 32.1]))
    assert verdict.outcome == "fails"


def test_an_edge_of_the_decay_grid_is_named_with_its_side():
    decays = [0.01, 0.1, 1.0]
    table = np.ones((len(generalization.RATES), 3))
    inner, least, largest = table.copy(), table.copy(), table.copy()
    inner[1, 1] = least[1, 0] = largest[-1, -1] = 0
    found = {"A": generalization.best(inner, decays), "B": generalization.best(largest, decays)}
    assert list(generalization.warnings(found)) == [
        "B does best with the largest rate tried, 0.1: one beyond could be better.",
        "B does best with the largest decay tried, 1: one beyond could be better.",
    ]
    both = {"A": generalization.best(least, decays), "B": generalization.best(least, decays)}
    assert "nearly the same rule" in list(generalization.warnings(both))[-1]


def test_missed_examples_are_those_that_the_modules_miss():
    problem = digits_mlp(Lab())
    missed = generalization.errors(Lab(), problem, Adam(1e-2), 5, [0, 1], "test")
    run = generalization.train(
        problem,
        generalization.Recipe(Adam(1e-2), 5, generalization.BATCH, generalization.Cosine(warmup=0), evaluate=0),
        [0, 1],
    )
    test = problem.data.test
    for member in range(2):
        wrong = run.final.module(member)(test.inputs).argmax(1) != test.targets
        np.testing.assert_array_equal(missed[0, member], wrong.numpy())


def test_an_edge_is_warned_of_and_an_inner_point_is_not():
    grid = np.array([0.1, 1.0, 10.0])
    warnings = edge_warnings({"SGD": 10.0, "Adam": 1.0}, grid)
    assert len(warnings) == 1
    assert "SGD" in warnings[0]
