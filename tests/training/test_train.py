"""Whole runs against plain training loops."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import CASE, CASES, Case, X, Y, every, flat_gradient, mean_loss, mlp, plain_call
from torch import Tensor, nn

import thalweg as tw
from thalweg import optim, sweep
from thalweg.data import from_user
from thalweg.errors import UsageError
from thalweg.evaluation import evaluate
from thalweg.population import Plan, Problem
from thalweg.progress import Progress
from thalweg.randomness import BatchOrder, global_stream

MLP = CASE["mlp"]
RECIPE = tw.Recipe(optim.AdamW(0.02), steps=6, batch_size=5)


def _plain_run(case: Case, problem: Problem, seed: int, steps: int, batch_size: int) -> nn.Module:
    """One module trained with torch alone, by SGD with momentum."""
    module = problem.initialize([seed]).module(0).train()
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], 0.05, momentum=0.9)
    order = BatchOrder([seed], len(problem.data.train), batch_size)
    for step in range(steps):
        inputs, targets = problem.data.train.take(order.indices(step)[0])
        optimizer.zero_grad()
        with global_stream(seed, "forward", step):
            outputs = plain_call(module, inputs)
        mean_loss(case, outputs, targets).backward()
        optimizer.step()
    return module


@pytest.mark.parametrize("plan", ["stacked", "looped"])
@every(CASES)
def test_members_equal_modules_trained_by_torch_alone(case: Case, plan: str) -> None:
    if plan == "stacked" and (case.stochastic or not case.stackable):
        plan = "auto"
    problem = case.problem(dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(optim.Momentum(0.05), 5, batch_size=7), [2, 0, 5], plan=plan)
    for member, seed in enumerate([2, 0, 5]):
        wanted = _plain_run(case, problem, seed, 5, 7).state_dict()
        got = run.final.state_dict(member)
        assert got.keys() == wanted.keys()
        for name, tensor in wanted.items():
            torch.testing.assert_close(got[name], tensor, rtol=1e-10, atol=1e-13, msg=lambda m, n=name: f"{n}: {m}")


def test_running_statistics_move_in_training_and_rest_in_evaluation() -> None:
    case = CASE["batchnorm"]
    problem = case.problem(dtype=torch.float64)
    few, many = (
        tw.train(problem, tw.Recipe(optim.SGD(0.05), 5, batch_size=7, evaluate=count), 3, plan="stacked")
        for count in (0, 5)
    )
    assert few.final.buffers["norm.num_batches_tracked"].tolist() == [5, 5, 5]
    for name, buffer in few.final.buffers.items():
        assert torch.equal(many.final.buffers[name], buffer), name
    assert (few.final.buffers["norm.running_mean"] != 0).all()


@pytest.mark.parametrize("name", ["mlp", "batchnorm", "dropout", "attention", "recurrent"])
def test_a_members_bits_do_not_depend_on_who_else_is_trained(name: str) -> None:
    problem = CASE[name].problem()
    together = tw.train(problem, RECIPE, [0, 1, 2], plan="looped")
    alone = tw.train(problem, RECIPE, [1], plan="looped")
    assert torch.equal(alone.final.theta[0], together.final.theta[1])
    assert np.array_equal(alone.history["train_loss"][:, 0], together.history["train_loss"][:, 1])
    for buffer in alone.final.buffers:
        assert torch.equal(alone.final.buffers[buffer][0], together.final.buffers[buffer][1])


def test_dropout_chooses_the_looped_plan_and_draws_anew_at_every_step() -> None:
    problem = CASE["dropout"].problem()
    run = tw.train(problem, RECIPE, 3)
    assert run.plan.mode == "looped"
    assert "draws random numbers in training mode, each member from a stream of its own" in run.plan.reason
    losses = run.history.batch_loss
    assert len(np.unique(losses)) == losses.size
    with pytest.raises(UsageError, match="each member from a stream of its own"):
        tw.train(problem, RECIPE, 3, plan="stacked")


def test_the_same_call_gives_the_same_bits() -> None:
    for case in (MLP, CASE["batchnorm"]):
        one, other = (tw.train(case.problem(), RECIPE, 4, plan="stacked") for _ in range(2))
        assert torch.equal(one.final.theta, other.final.theta)


def test_tied_weights_stay_tied() -> None:
    run = tw.train(CASE["tied"].problem(), RECIPE, 2)
    module = run.final.module(1)
    assert module.out.weight is module.embed.weight
    assert torch.equal(run.final.state_dict(1)["out.weight"], run.final.state_dict(1)["embed.weight"])


def test_frozen_parameters_stay() -> None:
    problem = CASE["frozen"].problem()
    before = problem.initialize(2)
    run = tw.train(problem, RECIPE, 2)
    assert torch.equal(run.final.buffers["first.weight"], before.buffers["first.weight"])
    assert (run.final.theta != before.theta).any()


@pytest.mark.parametrize("plan", ["stacked", "looped"])
def test_sweeps_equal_their_values_alone(plan: str) -> None:
    problem = MLP.problem(dtype=torch.float64)
    swept = tw.Recipe(
        optim.Momentum(lr=sweep.values([0.02, 0.1]), beta=sweep.values([0.5, 0.9], axis="lr")),
        steps=8,
        batch_size=sweep.values([4, 9]),
        clip_norm=sweep.values([0.2, 100], axis="clip"),
        schedule=tw.schedules.Cosine(warmup=sweep.values([1, 3], axis="clip")),
    )
    run = tw.train(problem, swept, [0, 4], plan=plan)
    assert len(run.final) == 2 * 2 * 2 * 2
    for member in range(0, 16, 3):
        at = {name: values[member] for name, values in run.axes.items()}
        alone = tw.Recipe(
            optim.Momentum(lr=float(at["lr"]), beta=float(at["beta"])),
            steps=8,
            batch_size=int(at["batch_size"]),
            clip_norm=float(at["clip_norm"]),
            schedule=tw.schedules.Cosine(warmup=float(at["schedule.warmup"])),
        )
        single = tw.train(problem, alone, [int(at["seed"])], plan=plan)
        torch.testing.assert_close(single.final.theta[0], run.final.theta[member], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("look", ["beta", "full"])
def test_gradients_are_really_taken_ahead(look: str) -> None:
    problem = MLP.problem(dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(optim.Nesterov(0.2, 0.9, look=look), 10), [3])
    module = problem.initialize([3]).module(0)
    theta = torch.nn.utils.parameters_to_vector(module.parameters()).detach().clone()
    velocity = torch.zeros_like(theta)
    for _ in range(10):
        ahead = theta - 0.2 * velocity * (0.9 if look == "beta" else 1)
        torch.nn.utils.vector_to_parameters(ahead, module.parameters())
        module.zero_grad()
        F.cross_entropy(module(X.double()), Y).backward()
        velocity = 0.9 * velocity + flat_gradient(module)
        theta = theta - 0.2 * velocity
    torch.testing.assert_close(run.final.theta[0], theta, rtol=1e-11, atol=1e-14)


def test_true_and_reformulated_nesterov_differ_by_a_change_of_variable() -> None:
    problem = MLP.problem(dtype=torch.float64)
    true = tw.train(problem, tw.Recipe(optim.Nesterov(0.1, 0.9), 50, batch_size=6), 3)
    other = tw.train(problem, tw.Recipe(optim.Nesterov(0.1, 0.9, look="reformulated"), 50, batch_size=6), 3)
    ahead = true.final.theta - 0.1 * 0.9 * true.state.slots["velocity"]
    torch.testing.assert_close(ahead, other.final.theta, rtol=1e-10, atol=1e-12)


def test_clipping_bounds_each_members_own_gradient() -> None:
    problem = MLP.problem(dtype=torch.float64)
    start = problem.initialize(3)
    recipe = tw.Recipe(optim.SGD(1.0), 1, clip_norm=sweep.values([1e-3, 0.1, 1e6]))
    run = tw.train(problem, recipe, [0, 1, 2])
    for member in range(9):
        seed, limit = int(run.axes["seed"][member]), run.axes["clip_norm"][member]
        module = start.module(seed)
        F.cross_entropy(module(X.double()), Y).backward()
        gradient = flat_gradient(module)
        wanted = gradient * min(1.0, limit / float(gradient.norm()))
        torch.testing.assert_close(start.theta[seed] - run.final.theta[member], wanted, rtol=1e-9, atol=1e-15)


def test_masked_members_keep_their_zeros_under_every_rule() -> None:
    problem = MLP.problem()
    mask = torch.rand(3, problem.layout.parameters, generator=torch.Generator().manual_seed(1)) < 0.5
    for rule in (optim.SGD, optim.Momentum, optim.Nesterov, optim.RMSprop, optim.Adam, optim.AdamW):
        run = tw.train(problem, tw.Recipe(rule(lr=0.05, weight_decay=0.1), 5, clip_norm=0.5), 3, mask=mask)
        assert (run.final.theta[~mask] == 0).all()
        assert (run.final.theta[mask] != 0).all()
        assert torch.equal(run.final.mask, mask)
        assert all((slot[~mask] == 0).all() for slot in run.state.slots.values())


def test_one_mask_for_all_is_that_mask_for_each() -> None:
    problem = MLP.problem()
    mask = torch.arange(problem.layout.parameters) % 3 > 0
    one = tw.train(problem, RECIPE, 2, mask=mask, plan="looped")
    each = tw.train(problem, RECIPE, 2, mask=mask.expand(2, -1), plan="looped")
    start = tw.train(problem, RECIPE, 2, start=problem.initialize(2).with_mask(mask), plan="looped", paired=True)
    assert torch.equal(one.final.theta, each.final.theta)
    assert torch.equal(one.final.theta, start.final.theta)
    with pytest.raises(UsageError, match=r"A mask is boolean of shape \(43,\) or \(2, 43\)"):
        tw.train(problem, RECIPE, 2, mask=mask.expand(3, -1))
    with pytest.raises(UsageError, match=r"A mask is boolean .* got float32 \(43,\)"):
        tw.train(problem, RECIPE, 2, mask=mask.float())


def test_starts() -> None:
    problem = CASE["batchnorm"].problem()
    start = problem.initialize([7, 8])
    theta, buffers = start.theta.clone(), {name: buffer.clone() for name, buffer in start.buffers.items()}
    each = tw.train(problem, RECIPE, 2, start=start, plan="looped", paired=True)
    same = tw.train(problem, RECIPE, 2, start=start[1], plan="looped")
    assert torch.equal(each.final.theta[1], same.final.theta[1])
    assert not torch.equal(same.final.theta[0], same.final.theta[1])  # one start, two orders of batches
    assert torch.equal(start.theta, theta)
    assert all(torch.equal(start.buffers[name], buffer) for name, buffer in buffers.items())
    with pytest.raises(UsageError, match="paired=True needs a start of 3 members, one for each seed; got 2"):
        tw.train(problem, RECIPE, 3, start=start, paired=True)
    with pytest.raises(UsageError, match=r"theta must be \(members, 48\), got \(2, 47\)"):
        start.with_theta(theta[:, 1:])


@pytest.mark.parametrize("seeds", [[], 0, -1, [1, 1], [0, 2, 0], 1.5, [0, 1.5], "3"])
def test_seeds_are_at_least_one_and_each_once(seeds: Any) -> None:
    with pytest.raises(UsageError, match="train seeds must be how many, at least 1, or a list of whole numbers"):
        tw.train(MLP.problem(), RECIPE, seeds)


def test_arguments_that_cannot_be_meant() -> None:
    problem = MLP.problem()
    with pytest.raises(UsageError, match="train plan is for is one of gradient, outputs; got 'gradients'"):
        tw.train(problem, RECIPE, plan={"gradients": "looped"})
    with pytest.raises(UsageError, match="train start must be a Start such as"):
        tw.train(problem, RECIPE, start=problem.template)
    with pytest.raises(UsageError, match="train problem must be a Problem"):
        tw.train(RECIPE, problem)
    with pytest.raises(UsageError, match="batch_size=25 is larger than the training set of 24 examples"):
        tw.train(problem, tw.Recipe(optim.SGD(0.1), 1, batch_size=25))
    with pytest.raises(UsageError, match=r"no plan 'stack'. Did you mean 'stacked'"):
        tw.train(problem, RECIPE, 2, plan="stack")
    with pytest.raises(UsageError, match="train until must be a whole number of at least 1; got 0"):
        tw.train(problem, RECIPE, until=0)
    with pytest.raises(UsageError, match="train progress must be a function of the progress"):
        tw.train(problem, RECIPE, progress=3)
    with pytest.raises(UsageError, match="train mask must be a boolean tensor"):
        tw.train(problem, RECIPE, mask="a")
    with pytest.raises(UsageError, match="train checkpoint_seconds must be a number of seconds; got 'a'"):
        tw.train(problem, RECIPE, checkpoint_seconds="a")
    with pytest.raises(
        UsageError, match=r"The model's parameters are torch\.float16, too coarse.*dtype=torch\.float32"
    ):
        Problem(lambda: MLP.model().half(), (X, Y))
    with pytest.raises(UsageError, match=r"Problem memory_budget must be a number of bytes.*; got '1GB'"):
        Problem(MLP.model, (X, Y), memory_budget="1GB")


def test_plans_are_reported_and_give_the_same_bits_again() -> None:
    problem = MLP.problem()
    first = tw.train(problem, RECIPE, 5)
    assert set(first.plans) == {"gradient", "outputs"}
    again = tw.train(problem, RECIPE, 5, plan=first.plans)
    assert again.plans == first.plans
    assert torch.equal(again.final.theta, first.final.theta)
    chunked = tw.train(problem, RECIPE, 5, plan={"gradient": Plan("stacked", 2)})
    assert chunked.plan == Plan("stacked", 2)
    torch.testing.assert_close(chunked.final.theta, first.final.theta, rtol=1e-3, atol=1e-4)


def test_history_holds_what_evaluation_gives() -> None:
    data = from_user((X, Y), (X[:9], Y[:9]))
    problem = Problem(mlp, data, dtype=torch.float64)
    recipe = tw.Recipe(optim.SGD(sweep.values([0.1, 0.5])), 6, batch_size=4, evaluate=3, snapshot=(0, 2, 6))
    run = tw.train(problem, recipe, [0, 1], plan="looped")
    assert run.history.steps.tolist() == [0, 2, 4, 6]
    assert run.history.batch_loss.shape == (6, 4)
    assert set(run.history.metrics) == {"train_loss", "train_accuracy", "test_loss", "test_accuracy"}
    assert list(run.snapshots) == [0, 2, 6]
    for step, row in ((0, 0), (2, 1), (6, 3)):
        members = run.snapshots[step]
        test, train = (
            evaluate(problem, members, plan="looped"),
            evaluate(problem, members, data.train.to(dtype=torch.float64)),
        )
        np.testing.assert_allclose(run.history["test_loss"][row], test["loss"], rtol=1e-12)
        np.testing.assert_allclose(run.history["test_accuracy"][row], test["accuracy"], rtol=1e-12)
        np.testing.assert_allclose(run.history["train_loss"][row], train["loss"], rtol=1e-12)
    assert torch.equal(run.snapshots[6].theta, run.final.theta)
    assert torch.equal(run.snapshots[0].theta, problem.initialize([0, 1, 0, 1][:2]).theta[[0, 1, 0, 1]])
    batch = problem.data.train.take(BatchOrder([1], 24, 4).indices(0)[0])
    wanted = F.cross_entropy(run.snapshots[0].module(1)(batch[0]), batch[1])
    assert float(run.history.batch_loss[0, 1]) == pytest.approx(wanted.item(), rel=1e-12)


def test_history_is_tidy() -> None:
    recipe = tw.Recipe(optim.SGD(sweep.values([0.1, 0.5])), 4, evaluate=2)
    run = tw.train(MLP.problem(), recipe, [0, 3])
    table = run.history.table()
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert len(rows) == 3 * 4 * 2
    for row in rows:
        at = run.select(lr=row["lr"], seed=row["seed"])
        assert at == [row["member"]]
        evaluation = run.history.steps.tolist().index(row["step"])
        assert row["value"] == run.history[row["metric"]][evaluation, row["member"]]
    points, groups = run.history.along("train_loss", "lr")
    assert points.tolist() == [0.1, 0.5]
    assert np.array_equal(groups, run.history.final("train_loss").reshape(2, 2))
    with pytest.raises(UsageError, match=r"no metric 'train_los'. Did you mean 'train_loss'"):
        run.history["train_los"]
    with pytest.raises(UsageError, match="no axis 'beta'; it has lr, seed"):
        run.select(beta=1)


def test_selecting_tells_small_numbers_apart() -> None:
    run = tw.train(MLP.problem(), tw.Recipe(optim.Adam(0.1, eps=sweep.values([1e-8, 1e-9, 0])), 1))
    assert [run.select(eps=eps) for eps in (1e-8, 1e-9, 0)] == [[0], [1], [2]]


def test_evaluation_of_a_sample_of_the_training_set_leaves_the_run_as_it_is() -> None:
    problem, some = MLP.problem(), tw.Sample("train", 5, seed=3)
    run = tw.train(problem, tw.Recipe(optim.SGD(0.1), 2, evaluate_train_on=some), plan="looped")
    drawn = problem.data.train.select(some.draw(problem).indices)
    assert run.history.final("train_loss")[0] == evaluate(problem, run.final, drawn, plan="looped")["loss"][0]
    whole = tw.train(problem, tw.Recipe(optim.SGD(0.1), 2), plan="looped")
    assert run.history.final("train_loss")[0] != whole.history.final("train_loss")[0]
    assert torch.equal(run.final.theta, whole.final.theta)
    assert np.array_equal(run.history.batch_loss, whole.history.batch_loss)


def test_watchers_hear_of_every_step() -> None:
    heard: list[Progress] = []
    tw.train(MLP.problem(), RECIPE, 2, progress=heard.append)
    assert [(p.done, p.total) for p in heard] == [(done, 6) for done in range(1, 7)]
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(heard))


def test_a_loss_of_ones_own_trains_like_the_named_one() -> None:
    for own_loss in (lambda o, y: F.cross_entropy(o, y), lambda o, y: F.cross_entropy(o, y, reduction="none")):
        for seeds, plan in (([0], "looped"), ([0, 1], "stacked"), ([0, 1], "looped")):
            named = tw.train(MLP.problem(dtype=torch.float64), RECIPE, seeds, plan=plan)
            got = tw.train(MLP.problem(loss=own_loss, dtype=torch.float64), RECIPE, seeds, plan=plan)
            torch.testing.assert_close(got.final.theta, named.final.theta, rtol=1e-10, atol=1e-13)


def test_training_inside_no_grad() -> None:
    problem = MLP.problem()
    outside = tw.train(problem, RECIPE, 2, plan="stacked")
    with torch.no_grad():
        inside = tw.train(problem, RECIPE, 2, plan="stacked")
    assert torch.equal(inside.final.theta, outside.final.theta)


def test_full_batches_are_the_whole_set_at_every_step() -> None:
    problem = MLP.problem(dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(optim.SGD(0.3), 4), [1])
    module = problem.initialize([1]).module(0)
    sgd = torch.optim.SGD(module.parameters(), 0.3)
    losses = []
    for _ in range(4):
        sgd.zero_grad()
        loss = F.cross_entropy(module(X.double()), Y)
        loss.backward()
        losses.append(loss.item())
        sgd.step()
    np.testing.assert_allclose(run.history.batch_loss[:, 0], losses, rtol=1e-12)
    assert isinstance(run.final.theta, Tensor)
