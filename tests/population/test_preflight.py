"""Models and losses that would give wrong numbers, and those that only look as if."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import CASE, CLASSES, Case, X, Y
from population.oracles import Dense
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.evaluation import evaluate
from thalweg.population import Batch, Problem, derivatives

RECIPE = tw.Recipe(tw.optim.SGD(lr=0.1), steps=4, batch_size=8)


class Counting(nn.Linear):
    """Remembers its calls outside of parameters and buffers."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


class Drawing(nn.Linear):
    """Draws with NumPy, which no stream of a member reaches."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * float(np.random.rand())  # noqa: NPY002


class Buffered(nn.Linear):
    """Keeps what changes in a buffer, and writes to it in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__(4, CLASSES)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) / self.calls


class Sampling(nn.Linear):
    """Draws in both modes, as a variational model does."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out + torch.randn_like(out)


class Auxiliary(nn.Linear):
    """A second output in training mode only."""

    def forward(self, x: Tensor) -> Any:
        out = super().forward(x)
        return (out, out) if self.training else out


class Silent(nn.Linear):
    def forward(self, x: Tensor) -> None:
        super().forward(x)


class Unsettled(nn.Module):
    """Normalizes by the batch in evaluation mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm = nn.Linear(4, CLASSES), nn.BatchNorm1d(CLASSES, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.body(x))


class Classifying(nn.Linear):
    """Beside its outputs, classes; it takes no single example."""

    def forward(self, x: Tensor) -> Any:
        out = super().forward(x)
        assert len(x) > 1
        return out, out.argmax(1)


def noisy_loss(output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy with a random smoothing that is a mean over the batch all the same."""
    return F.cross_entropy(output * (1 + 0.5 * torch.rand(())), target, reduction="none")


@pytest.mark.parametrize("model", [Counting, Drawing])
def test_state_outside_of_buffers_is_refused(model: type[nn.Linear]) -> None:
    problem = Problem(lambda: model(4, CLASSES), (X, Y))
    with pytest.raises(ModelError, match=r"gives different outputs at a second call.*register_buffer"):
        tw.train(problem, RECIPE, seeds=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_outputs_that_depend_on_the_rest_of_the_batch_are_refused(dtype: torch.dtype) -> None:
    """Then curvature would depend on how examples are cut into batches, which timing and memory decide."""
    with pytest.raises(ModelError, match=r"depends on the other examples of the batch.*track_running_stats=True"):
        Problem(Unsettled, (X, Y), dtype=dtype)


def test_models_that_take_no_smaller_batch_are_left_as_they_are() -> None:
    each = lambda out, y: F.cross_entropy(out[0], y, reduction="none")  # noqa: E731
    for inputs in (X, X[:2]):
        problem = Problem(lambda: Classifying(4, CLASSES), (inputs, Y[: len(inputs)]), loss=each, metrics={})
        assert problem.draws(training=False) is False


def test_an_output_that_exists_in_training_only_is_named_before_training() -> None:
    problem = Problem(lambda: Auxiliary(4, CLASSES), (X, Y))
    with pytest.raises(ModelError, match="takes one tensor, but the model returned tuple"):
        tw.train(problem, RECIPE)


def test_outputs_must_be_tensors() -> None:
    with pytest.raises(ModelError, match=r"must return a tensor with a row for each example.*and returned NoneType"):
        Problem(lambda: Silent(4, CLASSES), (X, Y), loss=lambda out, y: F.cross_entropy(out[0], y))


def test_a_batch_that_the_model_cannot_take_is_named() -> None:
    problem = Problem(lambda: nn.Sequential(nn.Linear(4, CLASSES), nn.BatchNorm1d(CLASSES)), (X, Y))
    with pytest.raises(ModelError, match="failed on a batch of 1 examples per member: Expected more than 1 value"):
        tw.train(problem, tw.Recipe(tw.optim.SGD(lr=0.1), steps=2, batch_size=1))


def test_a_start_of_another_dtype_is_named() -> None:
    problem = CASE["mlp"].problem()
    start = problem.initialize(1).to(dtype=torch.float64)
    with pytest.raises(UsageError, match=r"is torch.float64 on cpu, the problem torch.float32.*population.to"):
        tw.train(problem, RECIPE, start=start)


def test_evaluation_leaves_buffers_as_they_are() -> None:
    problem = Problem(Buffered, (X, Y))
    members = problem.initialize(2)
    first = evaluate(problem, members)
    assert members.buffers["calls"].tolist() == [0, 0]
    assert torch.equal(first["loss"], evaluate(problem, members)["loss"])
    run = tw.train(problem, RECIPE, seeds=2)
    assert run.final.buffers["calls"].tolist() == [4, 4]


def test_curvature_and_derivatives_leave_buffers_as_they_are() -> None:
    problem = Problem(Buffered, (X, Y), dtype=torch.float64)
    members = problem.initialize(2)
    batch, one = Batch(X.double(), Y, shared=True), members[0]
    for some in (members, one):
        found = tw.spectra.top_eigenvalues(tw.curvature.hessian(problem, some), 1).values[0]
        dense = Dense(Case("buffered", Buffered, X, Y), one, 0, batch).hessian()
        assert found == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-3)
        derivatives.gradient(problem, some, batch)
        derivatives.jacobian_product(problem, some, some.theta, batch)
        tw.curvature.fisher_rao_norm(problem, some)
        for matrix in (tw.curvature.gauss_newton, tw.curvature.fisher):
            tw.spectra.trace(matrix(problem, some), products=4)
    assert members.buffers["calls"].tolist() == [0, 0]


@pytest.mark.parametrize("name", ["batchnorm", "buffered"])
def test_members_at_other_points_have_buffers_of_their_own(name: str) -> None:
    """One member's buffers at many points are as many members', and a frozen body is not copied for each."""
    problem = CASE["batchnorm"].problem() if name == "batchnorm" else Problem(Buffered, (X, Y))
    one = problem.initialize(1)
    rows = one.theta + torch.linspace(0, 1, 3)[:, None]
    many = one.with_theta(rows)
    for plan in ("stacked", "looped"):
        got = evaluate(problem, many, plan=plan)["loss"]
        wanted = [evaluate(problem, one.with_theta(row[None]))["loss"][0] for row in rows]
        torch.testing.assert_close(got, torch.stack(wanted), rtol=1e-5, atol=1e-6)
    frozen = CASE["frozen"].problem().initialize(1)
    expanded = frozen.with_theta(frozen.theta.expand(3, -1))
    assert {buffer.stride()[0] for buffer in expanded.buffers.values()} == {0}


def test_a_model_that_samples_in_evaluation_is_looped_repeatable_and_has_no_derivative() -> None:
    problem = Problem(lambda: Sampling(4, CLASSES), (X, Y))
    assert problem.draws(training=True)
    assert problem.draws(training=False)
    before = torch.get_rng_state()
    members = problem.initialize(2)
    assert torch.equal(evaluate(problem, members)["loss"], evaluate(problem, members)["loss"])
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(UsageError, match="draws random numbers in evaluation mode"):
        evaluate(problem, members, plan="stacked")
    with pytest.raises(ModelError, match="so it has no derivative"):
        derivatives.gradient(problem, members, Batch(X, Y, shared=True))
    with pytest.raises(ModelError, match="so points cannot be compared; draw in training mode only"):
        derivatives.check_steady(problem, "points cannot be compared")


def test_a_loss_that_draws_is_part_of_the_members_stream() -> None:
    problem = Problem(lambda: nn.Linear(4, CLASSES), (X, Y), loss=noisy_loss)
    assert problem.draws(training=True)
    before = torch.get_rng_state()
    together, alone = tw.train(problem, RECIPE, seeds=[0, 1]), tw.train(problem, RECIPE, seeds=[1])
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(together.final.theta[1], alone.final.theta[0])
    torch.manual_seed(5)
    assert torch.equal(alone.final.theta, tw.train(problem, RECIPE, seeds=[1]).final.theta)


def test_a_loss_that_draws_is_evaluated_with_the_same_draws_for_every_member() -> None:
    inputs, targets = X.repeat(30, 1), Y.repeat(30)  # more than one batch of an evaluation
    problem = Problem(lambda: nn.Linear(4, CLASSES), (inputs, targets), loss=noisy_loss)
    members = problem.initialize([0, 1, 1])
    values = evaluate(problem, members)["loss"]
    assert values[1] == values[2]
    assert values[0] != values[1]
    assert values[1] == evaluate(problem, members[1])["loss"][0]


def test_a_frozen_members_running_statistics_stand_still_and_snapshots_carry_their_own() -> None:
    case = CASE["batchnorm"]
    problem = case.problem()
    recipe = tw.Recipe(tw.optim.SGD(lr=tw.sweep.values([0.1, 1e38])), steps=6, batch_size=8, snapshot=(0, 3, 6))
    run = tw.train(problem, recipe)
    died = int(run.diverged_at[1])
    assert run.diverged_at[0] == -1
    assert 0 < died < 6
    counts = next(name for name in run.final.buffers if name.endswith("num_batches_tracked"))
    assert run.final.buffers[counts].tolist() == [6, died - 1]
    assert [int(members.buffers[counts][0]) for members in run.snapshots.values()] == [0, 3, 6]
    short = tw.train(problem, tw.Recipe(tw.optim.SGD(lr=0.1), steps=3, batch_size=8))
    for name, buffer in short.final.buffers.items():
        torch.testing.assert_close(run.snapshots[3].buffers[name][0], buffer[0])


def test_models_that_write_into_the_data_are_refused() -> None:
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    kept = x.clone()
    with pytest.raises(ModelError, match="writes into its inputs, which are the data themselves"):
        tw.Problem(lambda: nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 3)), (x, torch.arange(20) % 3))
    assert torch.equal(x, kept)
    tw.Problem(lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True)), (x, torch.arange(20) % 3))


def test_a_model_that_draws_is_refused_without_a_trace_in_the_random_state() -> None:
    class Noisy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + torch.randn(1)

    problem = tw.Problem(lambda: Noisy(4, 3), (torch.ones(20, 4), torch.arange(20) % 3))
    population = problem.initialize(1)
    batch = tw.population.Batch.range(problem.data.train, 0, 5)
    state = torch.get_rng_state()
    with pytest.raises(ModelError, match="draws random numbers in evaluation mode"):
        derivatives.jacobian_product(problem, population, torch.ones_like(population.theta), batch)
    for matrix in (tw.curvature.hessian, tw.curvature.gauss_newton, tw.curvature.fisher):
        with pytest.raises(ModelError, match="draws random numbers in evaluation mode"):
            matrix(problem, population)
    assert torch.equal(torch.get_rng_state(), state)
