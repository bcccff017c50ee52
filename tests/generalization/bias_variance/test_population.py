"""Of populations: predictions, refits on several sets, and a model of the user's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.generalization import bias_variance
from thalweg.randomness import generator

RECIPE = tw.Recipe(tw.optim.SGD(0.1), steps=6, batch_size=20, evaluate=0)


def digits(loss: str = "cross_entropy") -> tw.Problem:
    return tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits().subset(train=120, test=50), loss)


def test_predictions_are_those_of_the_modules() -> None:
    problem = digits()
    population, test = problem.initialize(3), problem.data.test
    x, y = test.inputs, test.targets
    logits, labels = bias_variance.predictions(problem, population, loss="cross_entropy")
    shares, hot = bias_variance.predictions(problem, population, on="test")
    with torch.no_grad():
        each = np.stack([population.module(member)(x).double().numpy() for member in range(3)])
    np.testing.assert_allclose(logits, each, atol=1e-5)
    np.testing.assert_allclose(shares, np.exp(each) / np.exp(each).sum(2, keepdims=True), atol=1e-5)
    assert (labels == y.numpy()).all()
    assert (hot.argmax(1) == labels).all()
    found = bias_variance.decompose(problem, population, on=tw.Sample("test", 20))
    assert len(found["error by case"]) == 20
    mean = tw.evaluate(problem, population, "test")["loss"].mean()
    assert float(bias_variance.decompose(problem, population)["error"]) == pytest.approx(float(mean), rel=1e-5)


def test_a_refit_trains_each_member_on_its_own_set() -> None:
    problem = digits()
    fits = bias_variance.refit(problem, RECIPE, sets=3, seeds=2, size=30, seed=1, progress=None)
    assert len(fits) == 6
    order = torch.randperm(120, generator=generator(1, "refit"))[:90].view(3, 30)
    for part in range(3):
        own = replace(problem.data, train=problem.data.train.select(order[part]))
        seeds = [1 * 6 + part * 2, 1 * 6 + part * 2 + 1]
        alone = tw.train(tw.Problem(problem.model, own), RECIPE, seeds=seeds, progress=None).final.theta
        torch.testing.assert_close(fits.theta[2 * part : 2 * part + 2], alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(fits.theta[0], fits.theta[2], atol=1e-3)


class Tower(nn.Module):
    """A model of a user's own: two inputs, one an integer, running statistics, and a loss of the user's own."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.norm = nn.BatchNorm1d(7)
        self.head = nn.Linear(7, 1)

    def forward(self, numbers: Tensor, kind: Tensor) -> Tensor:
        return self.head(self.norm(torch.cat([numbers, self.table(kind)], 1)))


def foreign() -> tw.Problem:
    draw = torch.Generator().manual_seed(0)
    x = {"numbers": torch.randn(90, 3, generator=draw), "kind": torch.randint(0, 5, (90,), generator=draw)}
    y = x["numbers"].sum(1, keepdim=True)
    train, test = (tw.data.Examples({k: v[at] for k, v in x.items()}, y[at]) for at in (slice(0, 60), slice(60, 90)))
    return tw.Problem(Tower, tw.data.Data(train, test), lambda output, target: ((output - target) ** 2).mean(1))


def test_a_model_of_ones_own() -> None:
    problem = foreign()
    fits = bias_variance.refit(problem, RECIPE, sets=3, seeds=2, progress=None)
    divided = bias_variance.decompose(problem, fits, loss="squared_error")
    noise = bias_variance.audit(problem, fits, judges=3)
    assert float(divided["error"]) == pytest.approx(float(noise["mse"]))
    assert float(divided["error"]) == pytest.approx(float(tw.evaluate(problem, fits, "test")["loss"].mean()), rel=1e-5)
    nested = bias_variance.decompose(problem, fits, loss="squared_error", judges=3)
    assert float(nested["bias^2"]) == pytest.approx(float(noise["bias^2"]))
    of_sets = float(noise["level"] + noise["stable pattern"])
    assert float(nested["between judges"]) == pytest.approx(of_sets)
    apart = bias_variance.refit(problem, replace(RECIPE, batch_size=10), sets=6, seeds=2, progress=None)
    gained = bias_variance.ensembles(problem, apart, judges=6)
    assert gained.reading.coordinate("ensemble").tolist() == ["1 x 2", "3 x 1", "3 x 2"]
    others = bias_variance.predictions(problem, apart[list(range(6, 12))])  # of the last three sets
    whole = ((others[0].mean(0) - others[1]) ** 2).mean() / ((others[0] - others[1]) ** 2).mean()
    assert gained["measured share"][-1] == pytest.approx(whole)
    assert gained.interval("measured share", "3 x 2").known
    with pytest.raises(UsageError, match="squared_error"):
        bias_variance.decompose(problem, fits)
    with pytest.raises(UsageError, match="no logits"):
        bias_variance.decompose(problem, fits, loss="cross_entropy")


def test_losses_that_are_known() -> None:
    x = torch.linspace(-1, 1, 40)[:, None]
    problem = tw.Problem(lambda: nn.Linear(1, 1), (x, (x > 0).float()), "logistic")
    population = problem.initialize(4)
    found = bias_variance.decompose(problem, population, on="train")
    assert float(found["error"]) == pytest.approx(
        float(tw.evaluate(problem, population, "train")["loss"].mean()), rel=1e-5
    )
    ignoring = tw.losses.CrossEntropy(ignore_index=-1)
    y = torch.arange(40) % 3 - 1
    some = tw.Problem(lambda: nn.Linear(1, 2), (x, y), ignoring)
    counted = bias_variance.decompose(some, some.initialize(3), on="train")
    assert len(counted["error by case"]) == int((y >= 0).sum())
    squared = tw.Problem(lambda: nn.Linear(1, 1), (x, 2 * x), "squared_error")
    assert bias_variance.decompose(squared, squared.initialize(3), on="train").loss == "squared_error"


def test_a_regressor_may_return_one_number_an_example() -> None:
    x = torch.linspace(-1, 1, 40)[:, None]

    class Line(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, 0]

    flat = tw.Problem(lambda: Line(1, 1), (x, 2 * x[:, 0]), "squared_error")
    column = tw.Problem(lambda: nn.Linear(1, 1), (x, 2 * x), "squared_error")
    both = [bias_variance.predictions(one, one.initialize(4), on="train") for one in (flat, column)]
    assert both[0][0].shape == (4, 40, 1)
    assert both[0][1].shape == (40, 1)
    for one, other in zip(*both, strict=True):  # by two kernels of torch, which round alike on some processors only
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    found = bias_variance.audit(flat, flat.initialize(4), judges=2, on="train")
    divided = bias_variance.decompose(flat, flat.initialize(4), on="train")
    assert float(found["mse"]) == pytest.approx(float(divided["error"]))


def test_a_sweep_has_judges_that_share_their_seeds() -> None:
    problem = digits()
    recipe = tw.Recipe(tw.optim.SGD(tw.sweep.values([0.05, 0.4])), steps=10, batch_size=20, evaluate=0)
    run = tw.train(problem, recipe, seeds=3, progress=None)
    found = bias_variance.audit(problem, run.final, judges=2, seeds="crossed")
    assert found.shared != 0
    assert (found.judges, found.occasions) == (2, 3)


def test_what_cannot_be_meant() -> None:
    problem = digits()
    with pytest.raises(UsageError, match="takes two of them"):
        bias_variance.decompose(problem, problem.initialize(1))
    with pytest.raises(UsageError, match="0-1 loss"):
        bias_variance.decompose(problem, problem.initialize(2), loss="accuracy")
    with pytest.raises(UsageError, match="5 members for 2 judges"):
        bias_variance.audit(problem, problem.initialize(5), judges=2)
    with pytest.raises(UsageError, match="second occasion"):
        bias_variance.audit(problem, problem.initialize(2), judges=2)
    with pytest.raises(UsageError, match="ensembles deals members out"):
        bias_variance.ensembles(problem, problem.initialize(5), judges=2)
    with pytest.raises(UsageError, match="at least four judges"):
        bias_variance.ensembles(problem, problem.initialize(6), judges=3)
    with pytest.raises(UsageError, match="second occasion"):
        bias_variance.ensembles(problem, problem.initialize(4), judges=4)
    with pytest.raises(UsageError, match="there are 120"):
        bias_variance.refit(problem, RECIPE, sets=3, size=41)
    sweep = tw.Recipe(tw.optim.SGD(tw.sweep.values([0.1, 0.2])), steps=1, batch_size=10)
    with pytest.raises(UsageError, match="not a sweep"):
        bias_variance.refit(problem, sweep, sets=2, progress=None)


def test_optimism_is_that_of_the_parameters() -> None:
    x = np.random.default_rng(0).normal(size=(60, 15))
    hat = x @ np.linalg.pinv(x)
    found = bias_variance.optimism(lambda y: hat @ y, x.sum(1), 0.7, draws=4_000)
    for name, value in (
        ("optimism", 2 * 0.49 * 15 / 60),
        ("train error", 0.49 * (1 - 15 / 60)),
        ("test error", 0.49 * (1 + 15 / 60)),
        ("effective parameters", 15),
    ):
        error = float(found.reading.standard_errors[name])
        assert abs(found[name] - value) < 4 * error, name
        assert error < 0.02 * value
    fixed = bias_variance.optimism(lambda y: np.zeros(60), np.zeros(60), 1.0, draws=2_000)
    assert abs(fixed["optimism"]) < 4 * fixed.reading.standard_errors["optimism"]  # what fits nothing has none
    found.figure().to_matplotlib()
    with pytest.raises(UsageError, match="predictions of shape"):
        bias_variance.optimism(lambda y: y[:3], np.zeros(60), 1.0, draws=2)
    with pytest.raises(UsageError, match="noise above 0"):
        bias_variance.optimism(lambda y: y, np.zeros(60), 0.0, draws=2)
