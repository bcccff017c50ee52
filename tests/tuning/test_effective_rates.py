"""The step a run would take next, against the step it takes."""

import numpy as np
import pytest
import torch
from curvature.planted import of_matrix, quadratic
from torch import nn

import thalweg as tw
from thalweg import optim, sweep, tuning
from thalweg.errors import UsageError
from thalweg.population import Batch
from thalweg.schedules import Cosine

X = torch.randn(60, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.arange(60) % 3


def _problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(4, 5, 3), (X, Y), dtype=torch.float64)


@pytest.mark.parametrize(
    "rule",
    [
        optim.SGD(sweep.values([0.1, 0.5])),
        optim.AdamW(sweep.values([1e-3, 1e-2])),
        optim.Averaged(optim.Adam(sweep.values([1e-3, 1e-2])), 0.9),
        optim.Muon(fallback=optim.AdamW(sweep.values([1e-3, 1e-2]))),
    ],
    ids=["SGD", "AdamW", "around Adam", "Muon"],
)
def test_it_is_the_step_that_the_run_takes_next(rule: optim.Rule) -> None:
    recipe = tw.Recipe(rule, 10, schedule=Cosine())
    problem = _problem()
    before = tw.train(problem, recipe, [3, 0], until=6)
    state = {name: tensor.clone() for name, tensor in before.state.slots.items()}
    reading = tuning.effective_rates(problem, before).reading
    for name, tensor in before.state.slots.items():
        assert torch.equal(tensor, state[name])
    after = tw.train(problem, recipe, [3, 0], resume=before, until=7)
    step = after.final.theta - before.final.theta
    for column, entry in enumerate(problem.layout):
        part = step[:, entry.columns]
        share = part.norm(dim=1) / before.final.theta[:, entry.columns].norm(dim=1)
        np.testing.assert_allclose(reading["update / weight"][:, column], share.numpy(), rtol=1e-8)
        gradients = []
        for member in range(4):
            module = before.final.module(member)
            loss = nn.functional.cross_entropy(module(X), Y)
            gradients.append(torch.autograd.grad(loss, dict(module.named_parameters())[entry.name])[0].flatten())
        cosine = nn.functional.cosine_similarity(part, -torch.stack(gradients), dim=1)
        np.testing.assert_allclose(reading["cosine of step and descent"][:, column], cosine.numpy(), atol=1e-8)


def test_with_batch_norm_and_dropout_it_is_the_step_that_the_run_takes_next() -> None:
    """On all examples, which a batch of the training holds in this order, so dropout falls on the same ones."""

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 3))

    problem = tw.Problem(model, (X, Y), dtype=torch.float64)
    recipe = tw.Recipe(optim.SGD(sweep.values([0.1, 0.3])), 10)
    before = tw.train(problem, recipe, [3, 0], until=6)
    running = {name: buffer.clone() for name, buffer in before.final.running.items()}
    reading = tuning.effective_rates(problem, before).reading
    for name, buffer in before.final.running.items():
        assert torch.equal(buffer, running[name])
    after = tw.train(problem, recipe, [3, 0], resume=before, until=7)
    step = after.final.theta - before.final.theta
    for column, entry in enumerate(problem.layout):
        share = step[:, entry.columns].norm(dim=1) / before.final.theta[:, entry.columns].norm(dim=1)
        # Before batch norm a bias has no gradient but rounding.
        np.testing.assert_allclose(reading["update / weight"][:, column], share.numpy(), rtol=1e-8, atol=1e-13)
    np.testing.assert_allclose(np.delete(reading["cosine of step and descent"], 1, axis=1), 1, rtol=1e-9)


def test_gradient_descent_goes_straight_down() -> None:
    problem = _problem()
    plain = tuning.effective_rates(problem, tw.train(problem, tw.Recipe(optim.SGD(0.1), 5), 2, until=2))
    np.testing.assert_allclose(plain["cosine of step and descent"], 1, rtol=1e-9)
    assert "rate" not in plain.reading.arrays


def test_the_gradient_is_that_of_the_sample() -> None:
    problem, some = _problem(), tw.Sample("train", 9, seed=1)
    run = tw.train(problem, tw.Recipe(optim.SGD(0.1), 5), 2, until=2)
    reading = tuning.effective_rates(problem, run, on=some).reading
    examples = some.draw(problem).examples
    step = 0.1 * tw.population.derivatives.gradient(problem, run.final, Batch.range(examples, 0, 9))
    for column, entry in enumerate(problem.layout):
        share = step[:, entry.columns].norm(dim=1) / run.final.theta[:, entry.columns].norm(dim=1)
        np.testing.assert_allclose(reading["update / weight"][:, column], share.numpy(), rtol=1e-8)
    assert reading.sample_size == 9
    assert "on 9 of 60 train examples" in reading.notes[0]


def test_rates_and_signal_are_those_of_the_moments_that_the_step_uses() -> None:
    problem, recipe = _problem(), tw.Recipe(optim.Adam(0.01), 5)
    reading = tuning.effective_rates(problem, tw.train(problem, recipe, 2, until=1)).reading
    after = tw.train(problem, recipe, 2, until=2).state.slots
    m, v = after["first_moment"] / (1 - 0.9**2), after["second_moment"] / (1 - 0.999**2)
    for column, entry in enumerate(problem.layout):
        rate = 0.01 / (v[:, entry.columns].sqrt() + 1e-8)
        for index, share in enumerate((0.1, 0.5, 0.9)):
            expected = np.quantile(rate.numpy(), share, axis=1)
            np.testing.assert_allclose(reading["rate"][:, column, index], expected, rtol=1e-9)
        signal = (m / (v.sqrt() + 1e-8))[:, entry.columns].square().median(dim=1).values
        np.testing.assert_allclose(reading["signal to noise"][:, column], signal.numpy(), rtol=1e-9)


@pytest.mark.parametrize(
    "rule",
    [
        optim.Adam(0.01, bias_correction=False),
        optim.Adam(0.01, eps=1e-3, eps_place="inside"),
        optim.AMSGrad(0.01),
        optim.RMSprop(0.01),
    ],
    ids=["uncorrected", "eps inside", "AMSGrad", "RMSprop"],
)
def test_rates_follow_the_conventions_of_the_rule(rule: optim.Rule) -> None:
    """What the step divides by what it averages."""
    problem, recipe = _problem(), tw.Recipe(rule, 9)
    run = tw.train(problem, recipe, 2, until=4)
    following = tw.train(problem, recipe, 2, resume=run, until=5)
    if "first_moment" in rule.slots:
        average = following.state.slots["first_moment"]
        average = average if getattr(rule, "bias_correction", True) is False else average / (1 - 0.9**5)
    else:
        average = tw.population.derivatives.gradient(problem, run.final, Batch.range(problem.data.train, 0, 60))
    rate = (run.final.theta - following.final.theta) / average
    reading = tuning.effective_rates(problem, run).reading
    for column, entry in enumerate(problem.layout):
        expected = np.quantile(rate[:, entry.columns].numpy(), 0.5, axis=1)
        np.testing.assert_allclose(reading["rate"][:, column, 1], expected, rtol=1e-6)


@pytest.mark.parametrize("rule", [optim.Muon(fallback=optim.AdamW(1e-3)), optim.SOAP(1e-3), optim.NAdam(1e-3)])
def test_rules_whose_divisor_is_not_known_have_no_rate(rule: optim.Rule) -> None:
    reading = tuning.effective_rates(_problem(), tw.train(_problem(), tw.Recipe(rule, 9), 1, until=2)).reading
    assert not {"rate", "signal to noise"} & set(reading.arrays)


def test_the_step_is_masked_and_clipped_as_in_training() -> None:
    problem = _problem()
    mask = torch.rand(problem.layout.parameters, generator=torch.Generator().manual_seed(1)) < 0.6
    recipe = tw.Recipe(optim.Momentum(0.1), 9, clip_norm=0.01)
    run = tw.train(problem, recipe, 2, until=3, mask=mask)
    reading = tuning.effective_rates(problem, run).reading
    step = tw.train(problem, recipe, 2, resume=run, until=4).final.theta - run.final.theta
    for column, entry in enumerate(problem.layout):
        share = step[:, entry.columns].norm(dim=1) / run.final.theta[:, entry.columns].norm(dim=1).clamp_min(1e-300)
        np.testing.assert_allclose(reading["update / weight"][:, column], share.numpy(), rtol=1e-8)


def test_the_batch_is_a_sample_drawn_at_random() -> None:
    problem, on = _problem(), tw.Sample("train", 20, seed=1)
    run = tw.train(problem, tw.Recipe(optim.AdamW(1e-2), 9), 2, until=3)
    found = tuning.effective_rates(problem, run, on=on)
    drawn = tuning.effective_rates(problem, run, on=on.draw(problem).examples)
    for name, array in found.reading.arrays.items():
        np.testing.assert_array_equal(array, drawn[name])
    first = tuning.effective_rates(problem, run, on=problem.data.train.select(torch.arange(20)))
    assert (first["cosine of step and descent"] != found["cosine of step and descent"]).any()
    assert (found.reading.sample_size, found.reading.notes[0]) == (
        20,
        "The step after step 3, on 20 of 60 train examples.",
    )


def test_what_cannot_be_meant() -> None:
    problem = _problem()
    done = tw.train(problem, tw.Recipe(optim.SGD(0.1), 3), 1)
    with pytest.raises(UsageError, match="no step left to take; stop before its end, as by train"):
        tuning.effective_rates(problem, done)
    some = tw.train(problem, tw.Recipe(optim.SAM(optim.SGD(0.1)), 3), 1, until=1)
    with pytest.raises(UsageError, match="this one takes it elsewhere"):
        tuning.effective_rates(problem, some)
    with pytest.raises(UsageError, match="effective_rates on is one of train, test; got 'all'"):
        tuning.effective_rates(problem, some, on="all")
    with pytest.raises(UsageError, match="effective_rates on must be a Sample such as"):
        tuning.effective_rates(problem, some, on=60)  # type: ignore[arg-type]


SHARPNESS = "largest eigenvalue / stability limit"


def test_curvature_is_seen_against_the_limit_of_every_member() -> None:
    problem = quadratic(np.array([-9.0, 0.5, 1.0, 4.0]))
    rates = [0.3, 0.45, 0.55]
    for rule, limits in (
        (optim.SGD(sweep.values(rates)), [2 / lr for lr in rates]),
        (optim.Momentum(sweep.values(rates), 0.5), [3 / lr for lr in rates]),
        (optim.Averaged(optim.SGD(sweep.values(rates), weight_decay=0.1)), [2 / lr - 0.1 for lr in rates]),
    ):
        run = tw.train(problem, tw.Recipe(rule, 9), 1, until=1)
        reading = tuning.effective_rates(problem, run).reading
        np.testing.assert_allclose(reading[SHARPNESS], 4 / np.array(limits), rtol=1e-4)
        assert reading.dims[SHARPNESS] == ("member",)
        assert reading.cost.hvps > 0


def test_a_step_that_is_clipped_overshoots_the_less() -> None:
    """theta goes 9.0 to 8.5, where 3 lr / 2 is 1.5."""
    problem = quadratic(np.array([3.0]))
    start = problem.initialize(1).with_theta(torch.full((1, 1), 9.0, dtype=torch.float64))
    recipe = tw.Recipe(optim.SGD(1.0), 5, clip_norm=0.5)
    run = tw.train(problem, recipe, 1, start=start, until=1)
    slope = 3 * float(run.final.theta)
    assert tuning.effective_rates(problem, run)[SHARPNESS][0] == pytest.approx(3 * (0.5 / slope) / 2, rel=1e-6)


def test_what_is_pruned_has_no_rate() -> None:
    problem = _problem()
    mask = torch.rand(problem.layout.parameters, generator=torch.Generator().manual_seed(1)) < 0.5
    entry = problem.layout["output.bias"]
    mask[entry.columns] = False
    run = tw.train(problem, tw.Recipe(optim.AdamW(1e-3), 9), 2, until=5, mask=mask)
    reading = tuning.effective_rates(problem, run).reading
    gone = [one.name for one in problem.layout].index("output.bias")
    assert np.isnan(reading["rate"][:, gone]).all()
    assert np.isnan(reading["signal to noise"][:, gone]).all()
    others = np.delete(reading["rate"], gone, axis=1)
    assert (others[..., 0] < 1e3).all()  # lr / eps is 1e5, of what is pruned and of what leads nowhere else


def test_a_schedule_moves_the_limit() -> None:
    problem = quadratic(np.array([1.0, 4.0]))
    recipe = tw.Recipe(optim.SGD(0.1), 4, schedule=tw.schedules.Linear())
    for done in (1, 3):
        reading = tuning.effective_rates(problem, tw.train(problem, recipe, 1, until=done)).reading
        rate = 0.1 * float(recipe.schedule(done + 1, 4))
        assert reading[SHARPNESS][0] == pytest.approx(4 * rate / 2, rel=1e-6)


@pytest.mark.parametrize(
    "rule", [optim.AdamW(0.01, beta1=0.8, eps=1e-3), optim.RMSprop(0.01)], ids=["AdamW", "RMSprop"]
)
def test_adaptive_rules_see_the_matrix_that_is_preconditioned_as_their_step_is(rule: optim.Rule) -> None:
    matrix = torch.tensor([[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]], dtype=torch.float64)
    problem = of_matrix(matrix)
    run = tw.train(problem, tw.Recipe(rule, 9), 1, until=3)
    following = tw.train(problem, tw.Recipe(rule, 9), 1, resume=run, until=4)
    move = run.final.theta * (1 - 0.01 * rule.weight_decay) - following.final.theta
    moved = following.state.slots["first_moment"] if rule.slots[0] == "first_moment" else run.final.theta @ matrix
    divisor = (0.01 * moved / move)[0]  # theta moves by -lr m / P
    balanced = divisor.rsqrt()[:, None] * matrix * divisor.rsqrt()
    limit = (2 - 0.01 * rule.weight_decay) / 0.01 * (1.8 / 0.2 if isinstance(rule, optim.Adam) else 1)
    wanted = float(torch.linalg.eigvalsh(balanced)[-1]) / limit
    assert tuning.effective_rates(problem, run)[SHARPNESS][0] == pytest.approx(wanted, rel=1e-6)


def test_rules_without_a_limit_have_no_such_ratio() -> None:
    problem = _problem()
    run = tw.train(problem, tw.Recipe(optim.Lion(0.1), 3), 1, until=1)
    assert SHARPNESS not in tuning.effective_rates(problem, run).reading.arrays


def test_a_rule_that_looks_ahead_is_refused() -> None:
    problem = _problem()
    run = tw.train(problem, tw.Recipe(optim.Nesterov(0.1), 3), 1, until=1)
    with pytest.raises(UsageError, match="this one takes it elsewhere"):
        tuning.effective_rates(problem, run)
