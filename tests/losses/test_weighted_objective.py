"""Weighted losses: what is trained and what is measured, against one call of torch on all examples at once."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from losses.weighted_cases import COUNT, HOLES, IGNORED, WEIGHTED, Weighted, X, over_weighted, small
from torch import Tensor
from torch.autograd import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

import thalweg as tw
from thalweg import curvature, landscape
from thalweg.evaluation import Evaluator, by_example, evaluate
from thalweg.population import Problem, derivatives
from thalweg.population.batch import Batch
from thalweg.population.gradient_graph import GraphChunks
from thalweg.population.looped import activation_bytes
from thalweg.randomness import BatchOrder, generator

PLANS = ("stacked", "looped")
over_plans = pytest.mark.parametrize("plan", PLANS)
EXACT = {"rtol": 1e-12, "atol": 1e-13}
over_chunks = pytest.mark.parametrize("chunked", [False, True])


@over_weighted
@over_plans
@pytest.mark.parametrize("size", [512, 13])
def test_the_whole_sample_has_one_denominator(case: Weighted, plan: str, size: int) -> None:
    """However it is cut, the last batch being smaller, and some batches counting nothing."""
    problem = case.problem()
    members = problem.initialize(3)
    found = Evaluator(problem, members, problem.data.train, plan=plan, batch_size=size)()["loss"]
    for member in range(3):
        torch.testing.assert_close(found[member], case.value(members, member).detach(), **EXACT)


def _by_torch(case: Weighted, problem: Problem, seed: int, steps: int, size: int, rate: float) -> Tensor:
    """theta after SGD with plain torch on the batches of the member; a batch that counts nothing changes nothing."""
    members = problem.initialize([seed])
    theta, order = members.theta[0].clone(), BatchOrder([seed], COUNT, size)
    for step in range(steps):
        rows = order.indices(step)[0]
        inputs, targets = tree_map(lambda tensor, rows=rows: tensor[rows], case.data)
        theta.requires_grad_()
        loss = case.of(members, 0, inputs, targets, theta)
        (gradient,) = torch.autograd.grad(loss, theta)
        theta = theta.detach() - rate * (gradient if loss.isfinite() else 0)
    return theta


@over_weighted
@over_plans
@pytest.mark.parametrize("steps", [1, 6])
@pytest.mark.filterwarnings("ignore:The loss counts no target")
def test_training_follows_the_ratio_of_every_batch(case: Weighted, plan: str, steps: int) -> None:
    problem = case.problem()
    for size in (4, COUNT):
        run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.3), steps, size), seeds=3, plan=plan)
        assert (run.diverged_at == -1).all()
        for member in range(3):
            wanted = _by_torch(case, problem, member, steps, size, 0.3)
            torch.testing.assert_close(run.final.theta[member], wanted, rtol=1e-12, atol=1e-12)
            final = case.value(run.final, member).detach().numpy()
            np.testing.assert_allclose(run.history.final("train_loss")[member], final, rtol=1e-12)


@over_weighted
def test_planes_are_of_the_ratio(case: Weighted) -> None:
    problem = case.problem()
    members = problem.initialize(2)
    plane = landscape.plane(problem, members, resolution=3)
    first, second = plane.directions
    for member, i, j in np.ndindex(2, 3, 3):
        a, b = plane.coordinates[0][i], plane.coordinates[1][j]
        theta = members.theta[member] + a * first[member] + b * second[member]
        wanted = case.value(members, member, theta).detach()
        np.testing.assert_allclose(plane["loss"][member, i, j], wanted, rtol=1e-12)


@pytest.mark.parametrize("name", ["both", "importance, by a function"])
def test_surfaces_from_few_points_are_too(name: str) -> None:
    """Also where the ratio on some of many examples is the control variate of that on all."""
    case = WEIGHTED[name]
    many = tree_map(lambda tensor: tensor.repeat(24, *(1 for _ in tensor.shape[1:])), case.data)
    problem = Problem(case.model, many, case.loss, dtype=torch.float64)
    members = problem.initialize(1)
    exact, few = (landscape.plane(problem, members, resolution=31, tolerance=tolerance) for tolerance in (None, 0.02))
    assert few.reading["evaluated"].mean() < 0.2
    assert few.reading.cost.forwards < 961 / 4
    assert 0 < few.change(exact)[0] < 0.02


def _in_chunks(case: Weighted) -> Problem:
    """With as little memory as makes three chunks of examples, the last one smaller."""
    problem = case.problem()
    batch = Batch.range(problem.data.train, 0, COUNT)
    example = 4 * activation_bytes(problem, problem.initialize(1), batch, training=False) / COUNT
    problem = case.problem(memory_budget=int(22.5 * example))
    chunks = GraphChunks(problem, problem.initialize(2), problem.data.train, COUNT)
    assert not chunks.together
    assert chunks.size < COUNT
    return problem


def _vectors(members: tw.Population) -> Tensor:
    return torch.randn(members.theta.shape, generator=generator(0, "vectors"), dtype=torch.float64)


@over_weighted
@over_chunks
def test_curvature_matrices_are_those_of_the_ratio(case: Weighted, chunked: bool) -> None:
    """Products against those of torch on the whole; in chunks, these differ in weight and size."""
    problem = _in_chunks(case) if chunked else case.problem()
    members = problem.initialize(2)
    vectors = _vectors(members)
    with sdpa_kernel(SDPBackend.MATH):
        for matrix, wanted in ((curvature.hessian, _hessian), (curvature.gauss_newton, _gauss_newton)):
            found = matrix(problem, members)(vectors)
            for member in range(2):
                torch.testing.assert_close(found[member], wanted(case, members, member, vectors[member]), **EXACT)


def _hessian(case: Weighted, members: tw.Population, member: int, vector: Tensor) -> Tensor:
    return functional.hvp(lambda theta: case.value(members, member, theta), members.theta[member], vector)[1]


def _gauss_newton(case: Weighted, members: tw.Population, member: int, vector: Tensor) -> Tensor:
    """J^T (d^2 loss / d outputs^2) J v."""
    module, inputs, targets = members.module(member).eval(), case.data[0], case.data[1]
    inputs = inputs.double() if inputs.is_floating_point() else inputs

    def outputs(theta: Tensor) -> Tensor:
        return torch.func.functional_call(module, members.layout.views(theta), (inputs,))

    values, change = functional.jvp(outputs, members.theta[member], vector)
    curved = functional.hvp(lambda values: case.by_torch(values, targets), values, change)[1]
    return functional.vjp(outputs, members.theta[member], curved)[1]


def _entries(case: Weighted, members: tw.Population, member: int) -> tuple[Tensor, Tensor]:
    """The gradient of every example's own loss (examples, parameters), and its weight."""
    gradients, weights = [], []
    for row in range(COUNT):
        inputs, targets = tree_map(lambda tensor, row=row: tensor[row : row + 1], case.data)
        loss = lambda theta, x=inputs, y=targets: case.of(members, member, x, y, theta)  # noqa: E731
        gradients.append(functional.jacobian(loss, members.theta[member]).nan_to_num(0))
        weights.append(_weight(case, targets))
    return torch.stack(gradients), torch.stack(weights)


def _weight(case: Weighted, targets: object) -> Tensor:
    if isinstance(targets, tuple):
        return targets[1].double().sum()
    table = getattr(case.loss, "class_weights", getattr(case.loss, "weight", None))
    kept = targets[targets >= 0]
    return (
        torch.as_tensor(table, dtype=torch.float64)[kept].sum()
        if table is not None
        else torch.tensor(float(len(kept))).double()
    )


@over_weighted
@over_chunks
def test_fisher_weighs_examples_by_their_weights(case: Weighted, chunked: bool) -> None:
    """sum_i w_i g_i g_i^T / sum_i w_i, and theta^T of it theta with the error of a ratio."""
    problem = _in_chunks(case) if chunked else case.problem()
    members = problem.initialize(2)
    vectors = _vectors(members)
    found = curvature.fisher(problem, members)(vectors)
    norm = curvature.fisher_rao_norm(problem, members)
    for member in range(2):
        gradients, weights = _entries(case, members, member)
        wanted = gradients.T @ (weights * (gradients @ vectors[member])) / weights.sum()
        torch.testing.assert_close(found[member], wanted, rtol=1e-10, atol=1e-12)
        squares = (gradients @ members.theta[member]) ** 2
        mean = (weights * squares).sum() / weights.sum()
        residuals = weights * (squares - mean) / weights.mean()
        np.testing.assert_allclose(norm["squared norm"][member], mean, rtol=1e-10)
        error = residuals.std() / COUNT**0.5
        np.testing.assert_allclose(norm.reading.standard_errors["squared norm"][member], error, rtol=1e-10)


@over_weighted
def test_sharpness_and_critical_points_use_the_gradient_of_the_ratio(case: Weighted, monkeypatch) -> None:
    """The gradient that climbs, in chunks of which some count nothing; and that of derivatives on all at once."""
    monkeypatch.setattr(curvature.neighborhood, "EXAMPLES_AT_ONCE", 4)
    problem = case.problem()
    members = problem.initialize(2)
    near = curvature.neighborhood.Neighborhood("test", problem, members, "train")
    values, gradients = near.gradient(torch.zeros_like(members.theta))
    whole = derivatives.gradient(problem, members, Batch.range(problem.data.train, 0, COUNT))
    for member in range(2):
        wanted = functional.jacobian(
            lambda theta, member=member: case.value(members, member, theta), members.theta[member]
        )
        torch.testing.assert_close(gradients[member], wanted, rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(whole[member], wanted, rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(values[member, 0], case.value(members, member).detach(), **EXACT)


@over_weighted
@over_plans
def test_entries_of_examples_are_pairs(case: Weighted, plan: str) -> None:
    problem = case.problem()
    members = problem.initialize(2)
    found = by_example(problem, members, "train", plan=plan)
    weights = found["loss weight"]
    for member in range(2):
        for row in range(COUNT):
            inputs, targets = tree_map(lambda tensor, row=row: tensor[row : row + 1], case.data)
            alone = case.of(members, member, inputs, targets, None).detach()
            torch.testing.assert_close(found["loss"][member, row], alone, equal_nan=True, rtol=1e-10, atol=1e-12)
            torch.testing.assert_close(weights[member, row], _weight(case, targets), **EXACT)
        mean = (weights * found["loss"]).nansum(1) / weights.sum(1)
        torch.testing.assert_close(mean[member], case.value(members, member).detach(), **EXACT)


@pytest.mark.parametrize("name", ["ignored", "both", "padded", "padded, classes"])
def test_accuracy_leaves_ignored_targets_out_and_is_not_weighed_by_class(name: str) -> None:
    case = WEIGHTED[name]
    problem = case.problem()
    members = problem.initialize(2)
    inputs, targets = problem.data.train.inputs, problem.data.train.targets
    for member in range(2):
        right = members.module(member).eval()(inputs).argmax(-1) == targets
        wanted = right[targets >= 0].double().mean()
        torch.testing.assert_close(evaluate(problem, members)["accuracy"][member], wanted, **EXACT)


def test_metrics_of_ones_own_may_be_ratios_that_depend_on_outputs() -> None:
    """Precision and recall; where nothing counts, there is none."""
    metrics = {
        "precision": lambda o, t: ((t == 1).to(o.dtype), o.argmax(-1) == 1),
        "recall": lambda o, t: ((o.argmax(-1) == 1).double(), t == 1),
        "of none": lambda o, t: (t.double(), torch.zeros_like(t)),
    }
    y = torch.arange(COUNT) % 2
    problem = Problem(lambda: torch.nn.Linear(3, 2), (X, y), metrics=metrics, dtype=torch.float64)
    members = problem.initialize(3)
    found = Evaluator(problem, members, problem.data.train, batch_size=7)()
    for member in range(3):
        best = members.module(member)(X.double()).argmax(1)
        both = float(((best == 1) & (y == 1)).sum())
        assert float(found["precision"][member]) == pytest.approx(both / float((best == 1).sum()))
        assert float(found["recall"][member]) == pytest.approx(both / float((y == 1).sum()))
    assert found["of none"].isnan().all()
    assert found["loss"].isfinite().all()


class Rows(torch.utils.data.Dataset):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.y[i]


@pytest.mark.parametrize("name", ["classes, sorted", "both", "padded, classes", "padded, by a function"])
def test_streamed_data_are_weighed_as_those_in_memory(name: str) -> None:
    case = WEIGHTED[name]
    held = case.problem()
    streamed = Problem(
        case.model, tw.data.from_user(Rows(*case.data), memory_budget=10), case.loss, dtype=torch.float64
    )
    assert type(streamed.data.train).__name__ == "LazyExamples"
    members = held.initialize(2)
    torch.testing.assert_close(evaluate(streamed, members)["loss"], evaluate(held, members)["loss"], **EXACT)
    recipe = tw.Recipe(tw.optim.Adam(0.1), 3, 20)
    thetas = [tw.train(problem, recipe, 2, plan="looped").final.theta for problem in (held, streamed)]
    assert torch.equal(*thetas)
    for matrix in (curvature.hessian, curvature.gauss_newton, curvature.fisher):
        products = [matrix(problem, members)(members.theta) for problem in (held, streamed)]
        torch.testing.assert_close(*products, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["both", "padded, classes", "importance, by a function"])
def test_plans_train_to_the_same_members(name: str) -> None:
    problem = WEIGHTED[name].problem()
    recipe = tw.Recipe(tw.optim.Momentum(0.05), 10, 16)
    stacked, looped = (tw.train(problem, recipe, 4, plan=plan) for plan in PLANS)
    torch.testing.assert_close(stacked.final.theta, looped.final.theta, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(stacked.history.batch_loss, looped.history.batch_loss, rtol=1e-9)


def test_weights_of_one_are_no_weights() -> None:
    """To rounding, everywhere."""
    y = torch.arange(COUNT) % 3
    plain, ones = (Problem(small, (X, y), loss, dtype=torch.float64) for loss in ("cross_entropy", _ones))
    members = plain.initialize(2)
    sample = tw.Sample("train", 20)
    torch.testing.assert_close(evaluate(plain, members)["loss"], evaluate(ones, members)["loss"], **EXACT)
    for matrix in (curvature.hessian, curvature.gauss_newton, curvature.fisher):
        products = [matrix(problem, members)(members.theta) for problem in (plain, ones)]
        torch.testing.assert_close(*products, rtol=1e-12, atol=1e-13)
    lines = [landscape.line(problem, members, resolution=5, on=sample) for problem in (plain, ones)]
    np.testing.assert_allclose(lines[0]["loss"], lines[1]["loss"], rtol=1e-10)
    errors = [line.reading.standard_errors["loss"] for line in lines]
    np.testing.assert_allclose(*errors, rtol=1e-8, atol=1e-12)
    norms = [curvature.fisher_rao_norm(problem, members).reading for problem in (plain, ones)]
    np.testing.assert_allclose(norms[0]["squared norm"], norms[1]["squared norm"], rtol=1e-10)
    np.testing.assert_allclose(*(norm.standard_errors["squared norm"] for norm in norms), rtol=1e-10)


def _ones(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    values = F.cross_entropy(output, target, reduction="none")
    return values, torch.ones_like(values)


def test_the_tracker_follows_the_weighted_hessian() -> None:
    case = WEIGHTED["both"]
    problem = case.problem()
    tracker = curvature.Tracker(problem, tolerance=1e-6)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), 2, None, evaluate=0), observe=tracker)
    dense = functional.hessian(lambda theta: case.value(run.final, 0, theta), run.final.theta[0])
    wanted = torch.linalg.eigvalsh(dense)[-1]
    assert tracker["largest eigenvalue"][-1, 0] == pytest.approx(float(wanted), rel=1e-5)


def test_second_derivatives_are_tried_on_examples_that_count() -> None:
    problem = WEIGHTED["ignored"].problem()
    assert (HOLES[:8] == IGNORED).all()
    assert (problem.preflight.examples()[1] != IGNORED).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@over_weighted
def test_a_gpu_weighs_as_the_processor_does(case: Weighted) -> None:
    here, there = case.problem(), case.problem(device="cuda")
    members = here.initialize(2)
    away = members.to("cuda")
    torch.testing.assert_close(evaluate(here, members)["loss"], evaluate(there, away)["loss"], rtol=1e-10, atol=1e-12)
    for matrix in (curvature.hessian, curvature.gauss_newton, curvature.fisher):
        found = matrix(there, away)(away.theta).cpu()
        torch.testing.assert_close(found, matrix(here, members)(members.theta), rtol=1e-8, atol=1e-10)
    norms = [curvature.fisher_rao_norm(*pair)["squared norm"] for pair in ((here, members), (there, away))]
    np.testing.assert_allclose(*norms, rtol=1e-8)
    recipe = tw.Recipe(tw.optim.SGD(0.1), 3, COUNT)
    thetas = [tw.train(problem, recipe, 2).final.theta.cpu() for problem in (here, there)]
    torch.testing.assert_close(*thetas, rtol=1e-8, atol=1e-10)
