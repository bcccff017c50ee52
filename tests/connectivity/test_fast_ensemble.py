"""Fast geometric ensembles: the authors' schedule, a run that goes on to the bit, and means of probabilities."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.connectivity import fast_ensemble, triangular
from thalweg.errors import UsageError
from thalweg.randomness import generator

RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=40, batch_size=50)


@pytest.fixture(scope="module")
def problem() -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())


@pytest.fixture(scope="module")
def run(problem: tw.Problem) -> tw.Run:
    return tw.train(problem, RECIPE, seeds=3)


@pytest.mark.parametrize("period", [2, 6, 40])
def test_the_schedule_is_that_of_the_authors(period: int) -> None:
    high, low = 0.05, 0.0005
    for step in range(1, 3 * period + 1):
        u = ((step - 1) % period + 1) / period  # as in the paper, section 5
        wanted = (1 - 2 * u) * high + 2 * u * low if u <= 0.5 else (2 - 2 * u) * low + (2 * u - 1) * high
        assert float(triangular(period, high, low)(step, 10**6)) == pytest.approx(wanted, rel=1e-12)


def test_snapshots_are_taken_where_the_rate_is_lowest(problem: tw.Problem, run: tw.Run) -> None:
    found = fast_ensemble(problem, run, cycles=3, period=10, high=0.5, low=0.01, end=run.final)
    assert sorted(set(found.run.snapshots)) == [45, 55, 65]
    assert found.run.step == 65
    schedule = found.run.recipe.schedule
    rates = np.array([float(schedule(step, 65)) for step in range(1, 66)])
    assert rates[:40].tolist() == [1.0] * 40
    assert [int(step) for step in np.flatnonzero(rates == rates.min()) + 1] == [45, 55, 65]
    assert rates[49] == 0.5


def test_without_cycles_it_is_the_run_that_goes_on_and_nothing_is_gained(problem: tw.Problem, run: tw.Run) -> None:
    longer = tw.train(problem, replace(RECIPE, steps=50), seeds=3, plan=run.plans)
    found = fast_ensemble(problem, run, cycles=1, period=20, high=1.0, low=1.0, plan=run.plan)
    assert torch.equal(found.snapshots[0].theta, longer.final.theta)  # momentum and data order went on
    assert torch.equal(found.end.theta, longer.final.theta)
    assert found.gain("error").estimate == 0
    assert found["loss"][0] == pytest.approx(found["end loss"], rel=1e-6)


def test_values_are_those_of_the_mean_probability(problem: tw.Problem, run: tw.Run) -> None:
    found = fast_ensemble(problem, run, cycles=3, period=8)
    test = problem.data.test
    for member in range(3):
        nets = found.members(member)
        assert len(nets) == 3
        modules = [nets.module(k) for k in range(3)]
        each = [module(test.inputs).detach().softmax(1) for module in modules]
        for count in range(1, 4):
            mean = torch.stack(each[:count]).mean(0)
            loss = -mean[torch.arange(len(test)), test.targets].log().mean()
            assert found["loss"][count - 1, member] == pytest.approx(float(loss), rel=1e-5)
            wrong = (mean.argmax(1) != test.targets).double().mean()
            assert found["error"][count - 1, member] == pytest.approx(float(wrong))
    for count, one in enumerate(found.snapshots):
        wanted = tw.evaluate(problem, one)["loss"]
        np.testing.assert_allclose(found["snapshot loss"][count], wanted, rtol=1e-6)
    np.testing.assert_allclose(found["end error"], 1 - tw.evaluate(problem, found.end)["accuracy"], atol=1e-12)


def test_the_gain_is_the_difference_with_an_interval(problem: tw.Problem, run: tw.Run) -> None:
    found = fast_ensemble(problem, run, cycles=2, period=8)
    gain = found.gain("loss")
    assert gain.estimate == pytest.approx(float((found["end loss"] - found["loss"][-1]).mean()), rel=1e-9)
    assert gain.low < gain.estimate < gain.high
    one = found.gain("loss", members=[1])
    assert one.n == len(problem.data.test)
    assert one.estimate == pytest.approx(float(found["end loss"][1] - found["loss"][-1, 1]), rel=1e-9)
    with pytest.raises(UsageError, match="precision"):
        found.gain("precision")
    panels = found.figure().panels
    assert [panel.title for panel in panels] == ["loss", "error"]


def test_gradients_and_passes_are_counted(problem: tw.Problem, run: tw.Run) -> None:
    given = fast_ensemble(problem, run, cycles=3, period=8, end=run.final).reading.cost
    assert (given.forwards, given.backwards) == (3 * 20 + 3 * 4, 3 * 20)  # 20 further steps; 3 snapshots and the end
    trained = fast_ensemble(problem, run, cycles=3, period=8).reading.cost
    assert (trained.forwards, trained.backwards) == (3 * 80 + 3 * 4, 3 * 80)  # and 40 + 20 steps without cycles
    ascending = tw.train(problem, replace(RECIPE, optimizer=tw.optim.SAM(tw.optim.SGD(0.1))), seeds=1)
    twice = fast_ensemble(problem, ascending, cycles=1, period=8, end=ascending.final).reading.cost
    assert (twice.forwards, twice.backwards) == (2 * 4 + 2, 2 * 4)


def test_a_worse_end_is_what_the_ensemble_gains_on(problem: tw.Problem, run: tw.Run) -> None:
    found = fast_ensemble(problem, run, cycles=2, period=8, end=problem.initialize(3))
    assert found.gain("error").low > 0.3


def test_members_with_test_examples_of_their_own(problem: tw.Problem) -> None:
    def draw(count: int, whole: int, number: int) -> torch.Tensor:
        streams = [generator(seed, "rows", number) for seed in range(2)]
        return torch.stack([torch.randperm(whole, generator=stream)[:count] for stream in streams])

    own, tested = draw(300, len(problem.data.train), 0), draw(60, len(problem.data.test), 1)
    run = tw.train(problem, replace(RECIPE, steps=10), seeds=2, examples=own, test_examples=tested)
    found = fast_ensemble(problem, run, cycles=2, period=4)
    assert torch.equal(found.run.examples, run.examples)
    wanted = tw.evaluate(problem, found.end, "test", rows=tested)["loss"]
    np.testing.assert_allclose(found["end loss"], wanted, rtol=1e-6)
    assert found.gain("loss").n == 2


def test_the_gain_is_of_the_error_or_where_there_is_none_of_the_loss(problem: tw.Problem, run: tw.Run) -> None:
    found = fast_ensemble(problem, run, cycles=1, period=4, end=run.final)
    assert found.gain() == found.gain("error")
    x = torch.randn(20, 3, generator=generator(0, "inputs"))
    regression = tw.Problem(lambda: tw.nets.mlp(3, 4, 3), (x, x), "squared_error")
    fitted = tw.train(regression, replace(RECIPE, steps=4, batch_size=10, evaluate=0), seeds=2)
    one = fast_ensemble(regression, fitted, cycles=1, period=4, on="train", end=fitted.final)
    assert one.gain() == one.gain("loss")


def test_a_masked_run_stays_masked(problem: tw.Problem) -> None:
    mask = torch.rand(problem.layout.parameters, generator=generator(0, "mask")) < 0.5
    run = tw.train(problem, replace(RECIPE, steps=10), seeds=2, mask=mask)
    found = fast_ensemble(problem, run, cycles=2, period=4)
    for one in (*found.snapshots, found.end):
        assert not one.theta[:, ~mask].any()


def test_sweeps_are_kept(problem: tw.Problem) -> None:
    run = tw.train(problem, replace(RECIPE, optimizer=tw.optim.SGD(lr=[0.05, 0.1]), steps=10), seeds=2)
    found = fast_ensemble(problem, run, cycles=2, period=4)
    assert found.run.axes["lr"].tolist() == run.axes["lr"].tolist()
    assert found.gain("loss", members=run.select(lr=0.1)).n == 2


@pytest.mark.parametrize("loss", ["logistic", "squared_error"])
def test_ensembles_of_other_losses(loss: str) -> None:
    x = torch.randn(40, 3, generator=generator(0, "x"))
    y = (x.sum(1, keepdim=True) > 0).float()
    problem = tw.Problem(lambda: torch.nn.Linear(3, 1), (x, y), loss)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 10), seeds=2)
    found = fast_ensemble(problem, run, cycles=2, period=4, high=1.0, low=0.5, on="train")
    for member in range(2):
        answers = torch.stack([found.members(member).module(k)(x) for k in range(2)]).detach()
        if loss == "logistic":
            wanted = torch.nn.functional.binary_cross_entropy(answers.sigmoid().mean(0), y)
        else:
            wanted = torch.tensor(float(tw.evaluate(problem, found.members(member)[:1], "train")["loss"]))
            ratio = ((answers.mean(0) - y) ** 2).mean() / ((answers[0] - y) ** 2).mean()
            wanted = wanted * ratio  # whatever constant the loss has in front
        assert found["loss"][1, member] == pytest.approx(float(wanted), rel=1e-5)


def test_arguments_that_cannot_be_meant(problem: tw.Problem, run: tw.Run) -> None:
    with pytest.raises(UsageError, match="must be even"):
        fast_ensemble(problem, run, period=5)
    with pytest.raises(UsageError, match="goes on from the end"):
        fast_ensemble(problem, tw.train(problem, RECIPE, until=10))
    with pytest.raises(UsageError, match="one member for each"):
        fast_ensemble(problem, run, end=problem.initialize(2))
    arms = tw.train(
        problem, replace(RECIPE, steps=5), seeds=1, start={"a": problem.initialize(1), "b": problem.initialize([1])}
    )
    with pytest.raises(UsageError, match="give end="):
        fast_ensemble(problem, arms)
