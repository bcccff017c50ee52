import sys

import pytest
import torch
import torch.nn.functional as F
from cases import CASE, CASES, CLASSES, Case, X, Y, every_with, mean_loss, mlp, plain_call
from torch import Tensor, nn

import thalweg as tw
from thalweg.data import Examples, from_user
from thalweg.errors import UsageError
from thalweg.evaluation import Evaluator, by_example, evaluate
from thalweg.evaluation.batch_size import fastest_batch
from thalweg.population import Batch, Plan, Population, Problem

PLANS = ("stacked", "looped", "auto")
over_plans = pytest.mark.parametrize("plan", PLANS)


@every_with(CASES, {plan: plan for plan in PLANS})
def test_losses_are_those_of_separate_modules_in_evaluation_mode(case: Case, plan: str) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(3)
    got = evaluate(problem, population, plan=plan)["loss"]
    train = problem.data.train
    for member in range(3):
        with torch.no_grad():
            wanted = mean_loss(case, plain_call(population.module(member).eval(), train.inputs), train.targets)
        torch.testing.assert_close(got[member], wanted, rtol=1e-12, atol=0)


def _large(count: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(count, 4, generator=draw, dtype=torch.float64)
    return x, torch.randint(CLASSES, (count,), generator=draw)


@pytest.mark.parametrize("count", [1, 511, 512, 513, 1300])
@over_plans
def test_means_are_over_examples_however_they_are_cut(count: int, plan: str) -> None:
    x, y = _large(count)
    problem = Problem(mlp, (x, y), dtype=torch.float64)
    population = problem.initialize(2)
    got = evaluate(problem, population, plan=plan)
    for member in range(2):
        outputs = population.module(member)(x)
        torch.testing.assert_close(got["loss"][member], F.cross_entropy(outputs, y).detach(), rtol=1e-12, atol=0)
        assert float(got["accuracy"][member]) == pytest.approx((outputs.argmax(1) == y).double().mean().item())


def test_held_out_examples_are_the_default() -> None:
    x, y = _large(50)
    problem = Problem(mlp, from_user((x, y), (x[:10], y[:10])), dtype=torch.float64)
    population = problem.initialize(2)
    held_out = evaluate(problem, population, Examples(x[:10], y[:10]))
    assert torch.equal(evaluate(problem, population)["loss"], held_out["loss"])
    assert torch.equal(by_example(problem, population)["loss"].mean(1), held_out["loss"])
    alone = Problem(mlp, (x, y), dtype=torch.float64)
    assert torch.equal(evaluate(alone, population)["loss"], evaluate(problem, population, on="train")["loss"])


def test_what_cannot_be_meant() -> None:
    problem = Problem(mlp, _large(50), dtype=torch.float64)
    population = problem.initialize(1)
    with pytest.raises(UsageError, match=r"evaluate population must be a Population such as run\.final; got Examples"):
        evaluate(problem, problem.data.train)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="evaluate on is one of train, test; got 'all'"):
        evaluate(problem, population, "all")
    with pytest.raises(UsageError, match=r"by_example on must be a Sample .*; got 100"):
        by_example(problem, population, 100)  # type: ignore[arg-type]


def test_accuracy_of_one_logit_and_of_sequences() -> None:
    logits = CASE["logits"].problem(dtype=torch.float64)
    population = logits.initialize(3)
    outputs = torch.stack([population.module(i)(logits.data.train.inputs) for i in range(3)])
    wanted = ((outputs > 0) == (logits.data.train.targets > 0)).double().mean(1)
    torch.testing.assert_close(evaluate(logits, population)["accuracy"], wanted)
    tied = CASE["tied"].problem(dtype=torch.float64)
    members = tied.initialize(3)
    outputs = torch.stack([members.module(i)(tied.data.train.inputs) for i in range(3)])
    wanted = (outputs.argmax(-1) == tied.data.train.targets).double().mean((1, 2))
    torch.testing.assert_close(evaluate(tied, members)["accuracy"], wanted)


@pytest.mark.parametrize("plan", ["stacked", "looped"])
def test_as_many_members_as_examples_and_classes_are_not_mixed_up(plan: str) -> None:
    problem = Problem(mlp, (X[:3], Y[:3]), dtype=torch.float64, loss=lambda out, y: F.cross_entropy(out, y))
    named = Problem(mlp, (X[:3], Y[:3]), dtype=torch.float64)
    population = problem.initialize(3)
    wanted = [F.cross_entropy(population.module(i)(X[:3].double()), Y[:3]).item() for i in range(3)]
    assert evaluate(problem, population, plan=plan)["loss"].tolist() == pytest.approx(wanted, rel=1e-12)
    assert evaluate(named, population, plan=plan)["loss"].tolist() == pytest.approx(wanted, rel=1e-12)
    right = [(population.module(i)(X[:3].double()).argmax(1) == Y[:3]).double().mean().item() for i in range(3)]
    assert evaluate(named, population, plan=plan)["accuracy"].tolist() == pytest.approx(right)


@over_plans
def test_metrics_of_ones_own(plan: str) -> None:
    margin = lambda out, y: out.gather(-1, y[:, None]).squeeze(-1) - out.amax(-1)  # noqa: E731
    problem = Problem(mlp, (X, Y), metrics={"margin": margin}, dtype=torch.float64)
    population = problem.initialize(3)
    got = evaluate(problem, population, plan=plan)
    assert set(got) == {"loss", "margin"}
    wanted = torch.stack([margin(population.module(i)(X.double()), Y).mean().detach() for i in range(3)])
    torch.testing.assert_close(got["margin"], wanted)


def test_a_single_example_and_batch_normalization() -> None:
    model = lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))  # noqa: E731
    problem = Problem(model, (X, Y), dtype=torch.float64)
    population = problem.initialize(2)
    got = evaluate(problem, population, Examples(X[:1].double(), Y[:1]))["loss"]
    wanted = [F.cross_entropy(population.module(i).eval()(X[:1].double()), Y[:1]).item() for i in range(2)]
    assert got.tolist() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("plan", ["stacked", "looped"])
def test_by_example_is_each_example_alone(plan: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(1_100, 4, generator=generator), torch.randint(3, (1_100,), generator=generator)
    problem = Problem(lambda: nn.Linear(4, 3), (x, y))
    population = problem.initialize(3)
    table = Evaluator(problem, population, problem.data.train, plan=plan).by_example()
    for member in range(3):
        outputs = population.module(member)(x)
        losses = nn.functional.cross_entropy(outputs, y, reduction="none").double()
        torch.testing.assert_close(table["loss"][member], losses, rtol=1e-5, atol=1e-6)
        assert torch.equal(table["accuracy"][member].bool(), outputs.argmax(1) == y)
    means = Evaluator(problem, population, problem.data.train, plan=plan)()
    torch.testing.assert_close(means["loss"], table["loss"].mean(1), rtol=1e-12, atol=0)


def test_batches_of_any_size_give_the_same_means() -> None:
    problem = CASE["mlp"].problem(dtype=torch.float64)
    members = problem.initialize(3)
    wanted = Evaluator(problem, members, problem.data.train)()
    for size in (1, 7, 1_000):
        evaluator = Evaluator(problem, members, problem.data.train, batch_size=size)
        for name, values in evaluator().items():
            torch.testing.assert_close(values, wanted[name], rtol=1e-12, atol=0)
        each = evaluator.by_example()["loss"]
        torch.testing.assert_close(each.mean(1), wanted["loss"], rtol=1e-12, atol=0)


def test_the_size_of_batches_is_measured_where_that_pays() -> None:
    x = torch.randn(1_300, 4, generator=torch.Generator().manual_seed(0))
    problem = Problem(lambda: tw.nets.mlp(4, 5, 3), (x, torch.arange(1_300) % 3))
    members, train = problem.initialize(8), problem.data.train
    assert fastest_batch(problem, members, train, plan="auto", times=1) == (512, "auto")  # too little to do
    assert fastest_batch(problem, members, train, plan="stacked", times=100) == (512, "stacked")
    forced = Plan("looped", 1)
    assert fastest_batch(problem, members, train, plan=forced, times=100) == (512, forced)
    tight = Problem(lambda: tw.nets.mlp(4, 5, 3), (x, torch.arange(1_300) % 3), memory_budget=512 * 40)
    assert fastest_batch(tight, members, train, plan="auto", times=100) == (512, "auto")


@pytest.mark.parametrize(("seconds", "wanted"), [(2.0, (1_300, "looped")), (3.0, (512, "looped"))])
def test_the_size_that_takes_less_time_an_example_is_taken(
    seconds: float, wanted: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Planted:
        def __init__(self, problem: Problem, population: Population, batch: Batch, *_: object, **__: object) -> None:
            self.seconds = seconds if batch.size > 512 else 1.0  # 1,300 examples in less than 2.54 of it pay

        def run(self) -> None: ...

    monkeypatch.setattr(sys.modules["thalweg.evaluation.batch_size"], "Trial", Planted)
    x = torch.randn(1_300, 4, generator=torch.Generator().manual_seed(0))
    problem = Problem(lambda: tw.nets.mlp(4, 5, 3), (x, torch.arange(1_300) % 3))
    assert fastest_batch(problem, problem.initialize(8), problem.data.train, plan="looped", times=100) == wanted


@over_plans
def test_a_metric_is_unknown_where_the_loss_is_not_finite(plan: str) -> None:
    x, y = _large(600)
    problem = Problem(mlp, (x, y), dtype=torch.float64)
    population = problem.initialize(3)
    wanted = evaluate(problem, population, plan=plan)
    theta = population.theta.clone()
    theta[1] = torch.nan
    broken = population.with_theta(theta)
    got, each = evaluate(problem, broken, plan=plan), by_example(problem, broken, plan=plan)
    for name in ("loss", "accuracy"):
        assert got[name].isnan().tolist() == [False, True, False]
        assert each[name].isnan().all(1).tolist() == each[name].isnan().any(1).tolist() == [False, True, False]
        torch.testing.assert_close(got[name][[0, 2]], wanted[name][[0, 2]], rtol=1e-12, atol=0)


def test_an_example_without_a_finite_loss_has_no_metric() -> None:
    x, y = _large(20)
    x[7] = 1e200
    problem = Problem(
        lambda: nn.Linear(4, CLASSES, dtype=torch.float64),
        (x, y),
        lambda output, target: output.square().sum(1) + target,
        metrics={"class": lambda output, target: output.argmax(1).double()},
        dtype=torch.float64,
    )
    each = by_example(problem, problem.initialize(1))
    assert each["loss"][0].isinf().nonzero().flatten().tolist() == [7]
    assert each["class"][0].isnan().nonzero().flatten().tolist() == [7]
