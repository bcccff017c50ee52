"""Running statistics away from where training was: frozen, interpolated, recomputed."""

import numpy as np
import pytest
import torch
from cases import CASE, X, Y
from torch import Tensor, nn

import thalweg as tw
from thalweg import landscape
from thalweg.errors import UsageError
from thalweg.evaluation import Conditions, evaluate, recomputed
from thalweg.randomness import generator


class Scaled(nn.Module):
    """Convolution, normalization, linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3)
        self.out = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


def _scaled_twice() -> tuple[tw.Problem, tw.Population, tw.Population]:
    """A network, and the same function with filters scaled, which normalization undoes."""
    x = torch.randn(60, 1, 5, 5, generator=generator(0, "images"), dtype=torch.float64)
    problem = tw.Problem(Scaled, (x, torch.arange(60) % 3), dtype=torch.float64)
    population = problem.initialize(1)
    module = population.module(0)
    module.norm.eps = problem.template.norm.eps
    with torch.no_grad():
        module.conv.weight.mul_(torch.tensor([0.1, 3.0, 10.0], dtype=torch.float64)[:, None, None, None])
    return problem, population, problem.population(module)


def test_filter_normalized_surfaces_do_not_see_scales_where_statistics_are_recomputed() -> None:
    problem, one, other = _scaled_twice()
    losses = {
        statistics: [
            landscape.plane(problem, p, resolution=5, statistics=statistics, span=0.8)["loss"] for p in (one, other)
        ]
        for statistics in ("recompute", "frozen")
    }
    np.testing.assert_allclose(*losses["recompute"], rtol=2e-3)  # eps of the normalization is not scaled
    assert np.abs(np.subtract(*losses["frozen"])).max() > 0.05
    plain = [landscape.plane(problem, p, resolution=5, statistics="recompute", directions="none") for p in (one, other)]
    seen = np.abs(np.subtract(*losses["recompute"])).max()
    assert np.abs(plain[0]["loss"] - plain[1]["loss"]).max() > 20 * seen


def test_recomputed_statistics_are_those_of_a_training_pass() -> None:
    problem, population, _ = _scaled_twice()
    line = landscape.line(problem, population, resolution=2, span=(0.5, 1.0), statistics="recompute", direction="layer")
    module = population.with_theta(population.theta + line.directions[0]).module(0)
    module.norm.momentum = 1.0
    module.train()(problem.data.train.inputs)
    loss = nn.functional.cross_entropy(module.eval()(problem.data.train.inputs), problem.data.train.targets)
    assert line["loss"][0, 1] == pytest.approx(loss.item(), rel=1e-10)


def test_statistics_are_recomputed_for_a_sample_of_examples_too() -> None:
    """The center exactly, other points as the mean over the sample within the errors said."""
    problem, population, _ = _scaled_twice()
    whole = landscape.line(problem, population, resolution=5, statistics="recompute", direction="layer")
    some = landscape.line(
        problem, population, resolution=5, statistics="recompute", direction="layer", on=tw.Sample("train", 40)
    )
    assert some["loss"][0, 2] == pytest.approx(whole["loss"][0, 2], rel=1e-12)
    error = some.reading.standard_errors["loss"][0]
    assert (np.abs(some["loss"] - whole["loss"])[0] <= 4 * error + 1e-12).all()
    assert (error[[0, 1, 3, 4]] > 0).all()


class Rooted(nn.Module):
    """Not a number where its weight is below zero, before normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.norm = nn.Parameter(torch.tensor([0.5, 2.0, 1.0, 1.5])), nn.BatchNorm1d(4)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(x * self.weight.sqrt()))


def test_points_after_one_that_is_not_finite_are_evaluated_anew() -> None:
    problem = tw.Problem(Rooted, (X, Y))
    center = problem.initialize(1)
    direction = torch.zeros(center.layout.parameters)
    direction[:4] = 1.0
    for statistics in ("frozen", "recompute"):
        line = landscape.line(
            problem, center, direction=direction, span=(-3.0, 1.0), resolution=401, statistics=statistics
        )
        assert np.array_equal(np.isfinite(line["loss"][0]), line.coordinates[0] >= -0.5)


def test_recomputed_statistics_are_of_examples_drawn_from_all() -> None:
    problem, _, _ = _scaled_twice()
    train = problem.data.train
    order = train.targets.argsort()  # by class, as data sets often come
    by_class = tw.Problem(Scaled, (train.inputs[order], train.targets[order]), dtype=torch.float64)
    seen = Conditions.of("line", by_class, statistics="recompute", statistics_count=20).statistics_examples
    assert set(seen.targets.tolist()) == {0, 1, 2}
    assert len(seen) == 20


def test_interpolated_statistics_go_in_a_straight_line_to_those_of_the_end() -> None:
    problem, start, _ = _scaled_twice()
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 20, 30, evaluate=0), [1])
    options = {"to": run.final, "span": (0.0, 2.0), "resolution": 5, "statistics": "interpolate"}
    line = landscape.line(problem, start, **options)
    wanted = [float(evaluate(problem, one, problem.data.train)["loss"][0]) for one in (start, run.final)]
    assert line["loss"][0, [0, 2]] == pytest.approx(wanted, rel=1e-10)
    share = 0.5
    module = start.with_theta((1 - share) * start.theta + share * run.final.theta).module(0)
    for name in ("running_mean", "running_var"):
        first, last = (population.buffers[f"norm.{name}"][0] for population in (start, run.final))
        getattr(module.norm, name).copy_((1 - share) * first + share * last)
    middle = nn.functional.cross_entropy(module.eval()(problem.data.train.inputs), problem.data.train.targets)
    assert line["loss"][0, 1] == pytest.approx(middle.item(), rel=1e-10)
    frozen = landscape.line(problem, start, **options | {"statistics": "frozen"})
    assert abs(frozen["loss"][0, 2] - wanted[1]) > 1e-3
    with pytest.raises(UsageError, match='statistics="interpolate" needs a line to another population'):
        landscape.plane(problem, start, resolution=3, statistics="interpolate")


@pytest.mark.parametrize("plan", ["looped", "stacked"])
def test_recomputed_is_what_torch_makes_of_the_same_examples(plan: str) -> None:
    """One batch, as torch's update_bn takes it; weights, other buffers and the given population stay as they are."""
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.05), 10, 8), 3)
    before = {name: buffer.clone() for name, buffer in run.final.buffers.items()}
    some = tw.Sample("train", 9, seed=1)
    found = recomputed(problem, run.final, some, plan=plan)
    assert torch.equal(found.theta, run.final.theta)
    assert all(torch.equal(run.final.buffers[name], buffer) for name, buffer in before.items())
    inputs, _ = some.draw(problem).examples.slice(0, 9)
    for member in range(3):
        module = run.final.module(member)
        torch.optim.swa_utils.update_bn([inputs], module)
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(found.buffers[name][member], buffer, rtol=1e-12, atol=1e-14)
            assert not torch.equal(buffer, before[name][member])


def test_the_average_of_a_run_has_the_statistics_of_its_own_weights() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(tw.optim.Averaged(tw.optim.Momentum(0.05), 0.9), 10, 8), 2)
    average = run.averaged(problem)
    inputs, _ = problem.data.train.slice(0, len(problem.data.train))
    for member in range(2):
        module = run.final.with_theta(average.theta).module(member)
        torch.optim.swa_utils.update_bn([inputs], module)
        for name, buffer in module.named_buffers():
            torch.testing.assert_close(average.buffers[name][member], buffer, rtol=1e-12, atol=1e-14)
    assert not torch.equal(average.theta, run.final.theta)


def test_a_pruned_network_keeps_its_mask_and_gets_new_statistics() -> None:
    problem = CASE["batchnorm"].problem(dtype=torch.float64)
    mask = torch.rand(problem.layout.parameters, generator=generator(0, "mask")) < 0.5
    pruned = problem.initialize(2).with_mask(mask)
    found = recomputed(problem, pruned)
    assert torch.equal(found.mask, pruned.mask)
    assert torch.equal(recomputed(problem, found).theta, pruned.theta)
    assert not torch.equal(found.running["norm.running_var"], pruned.running["norm.running_var"])


def test_without_layers_that_keep_statistics_there_is_nothing_to_recompute() -> None:
    problem = CASE["mlp"].problem()
    population = problem.initialize(1)
    assert recomputed(problem, population) is population
    assert recomputed(problem, population, tw.Sample("train", 1)) is population
    normed = CASE["batchnorm"].problem()
    with pytest.raises(UsageError, match="recomputed needs at least 2 examples, as one alone has no variance"):
        recomputed(normed, normed.initialize(1), tw.Sample("train", 1))
    with pytest.raises(UsageError, match=r"recomputed on must be a Sample .*; got 1024"):
        recomputed(problem, population, 1_024)  # type: ignore[arg-type]
