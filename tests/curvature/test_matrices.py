"""Curvature matrices of networks against dense ones, in batches and chunks of every size, and against closed forms."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cases import CASE, CASES, Case, every
from population.oracles import Dense
from torch import Tensor, nn

import thalweg as tw
from thalweg import curvature, spectra
from thalweg.curvature import block, fisher, gauss_newton, hessian
from thalweg.data import Examples
from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, derivatives
from thalweg.randomness import generator
from thalweg.spectra import Operator, as_matrix, top_eigenvalues, trace

MATRICES: dict[str, Callable[..., Operator]] = {"hessian": hessian, "gauss_newton": gauss_newton, "fisher": fisher}
SMOOTH = [case for case in CASES if not case.stochastic and case.name != "encoder"]
MEMBERS = 3


def _setting(case: Case, **options: object) -> tuple[tw.Problem, tw.Population, Tensor]:
    problem = case.problem(dtype=torch.float64, **options)
    population = problem.initialize(MEMBERS)
    vectors = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return problem, population, vectors


def _fisher(problem: tw.Problem, population: tw.Population, member: int) -> Tensor:
    """The mean of g g^T, from one gradient an example."""
    train = problem.data.train
    rows = [
        derivatives.gradient(problem, population[member], Batch.range(train, i, i + 1))[0] for i in range(len(train))
    ]
    return torch.stack(rows).T @ torch.stack(rows) / len(train)


@every(SMOOTH)
def test_products_are_those_of_the_dense_matrices(case: Case) -> None:
    problem, population, vectors = _setting(case)
    whole = Batch.range(problem.data.train, 0, len(problem.data.train))
    for name in ("hessian", "gauss_newton"):
        got = MATRICES[name](problem, population)(vectors)
        for member in range(MEMBERS):
            dense = getattr(Dense(case, population, member, whole), name)()
            torch.testing.assert_close(got[member], dense @ vectors[member], rtol=1e-9, atol=1e-12)


@every([CASE["mlp"], CASE["batchnorm"], CASE["two outputs"], CASE["recurrent"]])
def test_the_empirical_fisher_is_the_mean_of_outer_products(case: Case) -> None:
    problem, population, vectors = _setting(case)
    got = fisher(problem, population)(vectors)
    for member in range(MEMBERS):
        wanted = _fisher(problem, population, member) @ vectors[member]
        torch.testing.assert_close(got[member], wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("budget", [1, 20_000, 60_000, 2**30])
def test_batches_and_chunks_change_nothing(matrix: Callable[..., Operator], budget: int) -> None:
    """Also where the last batch is smaller than the others, and graphs are made anew."""
    problem, population, vectors = _setting(CASE["mlp"])
    wanted = matrix(problem, population)(vectors)
    small, _, _ = _setting(CASE["mlp"], memory_budget=budget)
    operator = matrix(small, population)
    for _ in range(2):
        torch.testing.assert_close(operator(vectors), wanted, rtol=1e-11, atol=1e-14)
    assert operator.products == 2


def test_a_sample_is_drawn_at_random_and_the_same_for_every_matrix() -> None:
    problem, population, vectors = _setting(CASE["mlp"])
    on = tw.Sample("train", 5, seed=3)
    drawn = on.draw(problem).examples
    for matrix in MATRICES.values():
        A = matrix(problem, population, on=on)
        torch.testing.assert_close(A(vectors), matrix(problem, population, on=drawn)(vectors), rtol=0, atol=0)
        assert A.sample_size == 5
        assert A.notes[0] == "On 5 of 24 train examples, in evaluation mode."
    dense = Dense(CASE["mlp"], population, 0, Batch.range(drawn, 0, 5)).hessian()
    got = hessian(problem, population, on=on)(vectors)[0]
    torch.testing.assert_close(got, dense @ vectors[0], rtol=1e-9, atol=1e-12)


def test_of_sorted_data_a_sample_has_the_trace_of_all_and_the_first_examples_have_not() -> None:
    """Digits sorted by label: the mean over samples lies within four standard errors of the trace on all examples."""
    digits = tw.data.digits().train
    order = torch.as_tensor(digits.targets).argsort(stable=True)
    problem = tw.Problem(lambda: tw.nets.mlp(64, 10), digits.select(order).take(torch.arange(len(digits))))
    run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.1), 100, batch_size=64, evaluate=0))

    def of(on: Any) -> float:
        return float(trace(hessian(problem, run.final, on=on), products=16)["trace"][0])

    whole = of("train")
    samples = np.array([of(tw.Sample("train", 100, seed)) for seed in range(16)])
    assert abs(samples.mean() - whole) < 4 * samples.std(ddof=1) / 16**0.5
    first = of(problem.data.train.select(torch.arange(100)))
    assert abs(first - whole) > 4 * samples.std(ddof=1)


def test_masks_and_blocks_leave_a_block_of_the_matrix() -> None:
    problem, population, _ = _setting(CASE["mlp"])
    A = hessian(problem, population)
    dense = as_matrix(A)
    names = ("0.weight", "2.bias")
    part = block(A, population, *names)
    inside = torch.zeros(43, dtype=torch.bool)
    for name in names:
        inside[population.layout[name].columns] = True
    torch.testing.assert_close(as_matrix(part), dense * inside[:, None] * inside)
    assert part.name == "Hessian's block of 0.weight, 2.bias"
    mask = torch.rand(population.theta.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    masked = population.with_mask(mask)
    free = as_matrix(hessian(problem, population.with_theta(masked.theta)))
    pruned = hessian(problem, masked)
    assert torch.equal(pruned.active, mask)
    torch.testing.assert_close(as_matrix(pruned), free * mask[:, :, None] * mask[:, None, :])


@pytest.mark.parametrize("budget", [1, 2**30])
def test_some_members_are_an_operator_and_share_what_was_drawn(budget: int) -> None:
    problem, population, vectors = _setting(CASE["mlp"], memory_budget=budget)
    A = gauss_newton(problem, population, on=tw.Sample("train", 7))
    some = A[[2, 0]]
    torch.testing.assert_close(some(vectors[[2, 0]]), A(vectors)[[2, 0]], rtol=1e-11, atol=1e-14)
    assert (some.sample_size, some.notes) == (7, A.notes)


def test_measurements_share_one_graph() -> None:
    """Kept where it fits the budget: the model is called no more often for three measurements than for one."""
    calls: list[int] = []

    class Counting(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return super().forward(x)

    problem = tw.Problem(lambda: Counting(4, 3), (CASE["mlp"].inputs, CASE["mlp"].targets))
    A = hessian(problem, problem.initialize(2))
    before = len(calls)
    costs = [trace(A, products=8).reading.cost.hvps, spectra.diagonal(A, products=5).reading.cost.hvps]
    top_eigenvalues(A, 1)
    assert len(calls) == before
    assert costs == [16, 10]


@pytest.mark.parametrize("name", ["attention", "fused attention", "mlp"])
@pytest.mark.parametrize(("members", "budget"), [(1, 2**30), (2, 2**30), (2, 1)])
def test_readings_say_by_which_kernel_attention_was_computed(name: str, members: int, budget: int) -> None:
    problem = CASE[name].problem(dtype=torch.float64, memory_budget=budget)
    A = hessian(problem, problem.initialize(members))
    found = [top_eigenvalues(A, 1, max_products=2), trace(A, products=4), spectra.density(A, steps=2, probes=1)]
    said = [any("fused kernels have no second derivative" in note for note in one.reading.notes) for one in found]
    assert said == 3 * ["attention" in name]


class Voting(nn.Module):
    """Beside its outputs, classes and a copy that is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out = self.body(x)
        return out.argmax(1), out, out.detach()


def test_outputs_without_a_derivative_are_constants() -> None:
    inputs, targets = CASE["mlp"].inputs, CASE["mlp"].targets
    each = lambda out, y: F.cross_entropy(out[1], y, reduction="none")  # noqa: E731
    voting = tw.Problem(Voting, (inputs, targets), each, metrics={}, dtype=torch.float64)
    plain = tw.Problem(lambda: Voting().body, (inputs, targets), dtype=torch.float64)
    population = voting.initialize(MEMBERS)
    vectors = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    bodies = plain.initialize(MEMBERS).with_theta(population.theta)
    for matrix in MATRICES.values():
        got, wanted = matrix(voting, population)(vectors), matrix(plain, bodies)(vectors)
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-12)
    norms = [curvature.fisher_rao_norm(*one)["squared norm"] for one in ((voting, population), (plain, bodies))]
    np.testing.assert_allclose(*norms, rtol=1e-9)


def _rows(count: int, features: int) -> Tensor:
    return torch.randn(count, features, generator=generator(1, "rows"), dtype=torch.float64)


def test_closed_forms_of_linear_logistic_and_softmax_models() -> None:
    x = _rows(50, 4)
    with_ones = torch.cat([x, torch.ones(50, 1, dtype=torch.float64)], 1)
    linear = tw.Problem(lambda: nn.Linear(4, 1), (x, x[:, :1]), "squared_error", dtype=torch.float64)
    wanted = torch.linalg.eigvalsh(2 * with_ones.T @ with_ones / 50).flip(0)
    np.testing.assert_allclose(_all(linear, 5), wanted, rtol=1e-8)
    labels = (x[:, :1] > 0).double()
    logistic = tw.Problem(lambda: nn.Linear(4, 1), (x, labels), "logistic", dtype=torch.float64)
    share = torch.sigmoid(logistic.initialize(1).module(0)(x)).detach()
    wanted = torch.linalg.eigvalsh(with_ones.T @ (share * (1 - share) * with_ones) / 50).flip(0)
    np.testing.assert_allclose(_all(logistic, 5), wanted, rtol=1e-8)
    softmax = tw.Problem(lambda: nn.Linear(4, 3), (x, torch.arange(50) % 3), dtype=torch.float64)
    p = torch.softmax(softmax.initialize(1).module(0)(x), 1).detach()
    inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    kronecker = torch.einsum("nij,na,nb->iajb", inner, with_ones, with_ones).reshape(15, 15) / 50
    wanted = torch.linalg.eigvalsh(kronecker).flip(0)
    np.testing.assert_allclose(_all(softmax, 10), wanted[:10], rtol=1e-8)


def _all(problem: tw.Problem, k: int) -> np.ndarray:
    return top_eigenvalues(hessian(problem, problem.initialize(1)), k, tolerance=1e-12).values[0]


def test_of_a_linear_model_with_squared_error_gauss_newton_is_the_hessian() -> None:
    x = _rows(24, 4)
    problem = tw.Problem(lambda: nn.Linear(4, 2), (x, x[:, :2]), "squared_error", dtype=torch.float64)
    population = problem.initialize(2)
    design = torch.cat([x, torch.ones(24, 1, dtype=torch.float64)], 1)
    part = design.T @ design / 24  # 2/(examples * outputs) X^T X for each of two outputs
    order = [0, 1, 2, 3, 8, 4, 5, 6, 7, 9]  # each output's weights and bias together
    wanted = torch.block_diag(part, part).expand(2, -1, -1)
    for matrix in (hessian, gauss_newton):
        torch.testing.assert_close(as_matrix(matrix(problem, population))[:, order][:, :, order], wanted)


def test_the_saddle_of_a_deep_linear_network_at_zero() -> None:
    """At W = 0 the Hessian of mean |W2 W1 x - y|^2 pairs the layers by S = mean y x^T.

    Each singular value s of S gives +2 s / outputs and -2 s / outputs as often as there are hidden units.
    """
    draw = torch.Generator().manual_seed(0)
    x, y = (torch.randn(50, size, generator=draw, dtype=torch.float64) for size in (4, 2))
    hidden = 3

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(4, hidden, bias=False), nn.Linear(hidden, 2, bias=False))

    problem = tw.Problem(model, (x, y), "squared_error", dtype=torch.float64)
    population = problem.initialize(1)
    found = spectra.negative_index(hessian(problem, population.with_theta(0 * population.theta)))
    assert found["negative"][0] == pytest.approx(2 * hidden / 18)
    assert found["near zero"][0] == pytest.approx(1 - 4 * hidden / 18)
    largest = float(torch.linalg.svdvals(y.T @ x / 50)[0])  # 2 s / 2 outputs
    ends = [found[end][0] for end in ("smallest eigenvalue", "largest eigenvalue")]
    assert ends == pytest.approx([-largest, largest], rel=1e-10)


def test_marchenko_and_pasturs_law() -> None:
    """The Hessian of a linear model on Gaussian inputs, 600 features and 1,800 examples: a sup distance below 0.02."""
    n, d = 1_800, 600
    x = torch.randn(n, d, generator=generator(0, "inputs"), dtype=torch.float64)
    problem = tw.Problem(lambda: nn.Linear(d, 1, bias=False), (x, x[:, :1]), "squared_error", dtype=torch.float64)
    found = spectra.density(hessian(problem, problem.initialize(1)), steps=80, probes=12)
    ratio = d / n
    low, high = (1 - ratio**0.5) ** 2, (1 + ratio**0.5) ** 2
    at = np.linspace(low, high, 2_001)
    law = np.sqrt((high - at) * (at - low)) / (2 * np.pi * ratio * at)
    wanted = np.concatenate([[0], np.cumsum((law[1:] + law[:-1]) / 2 * np.diff(at))])
    got = found.cumulative(2 * at).mean[0]  # the Hessian of a squared error is 2 X^T X / n
    assert np.abs(got - wanted).max() < 0.02


@every([CASE["mlp"], CASE["batchnorm"], CASE["attention"], CASE["two outputs"], CASE["recurrent"]])
def test_eigenvalues_of_networks_are_those_of_dense_matrices(case: Case) -> None:
    problem = case.problem(dtype=torch.float64)
    population = problem.initialize(2)
    for matrix in MATRICES.values():
        A = matrix(problem, population)
        found = top_eigenvalues(A, 2, tolerance=1e-9)
        wanted = torch.linalg.eigvalsh(as_matrix(A)).flip(1)[:, :2]
        np.testing.assert_allclose(found.values, wanted, rtol=1e-7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_products_agree_with_curvlinops() -> None:
    import curvlinops

    problem = tw.Problem(lambda: tw.nets.mlp(4, 6, 3), (_rows(30, 4), torch.arange(30) % 3), dtype=torch.float64)
    population = problem.initialize([3])
    module, train = population.module(0), problem.data.train
    batches = [(train.inputs[:20], train.targets[:20]), (train.inputs[20:], train.targets[20:])]
    parameters = list(module.parameters())
    v = torch.randn(population.theta.shape, generator=generator(2, "vector"), dtype=torch.float64)
    for matrix, theirs in (
        (hessian, curvlinops.HessianLinearOperator),
        (gauss_newton, curvlinops.GGNLinearOperator),
        (fisher, curvlinops.EFLinearOperator),
    ):
        other = theirs(module, nn.CrossEntropyLoss(), parameters, batches)
        wanted = torch.as_tensor(other @ v[0])
        torch.testing.assert_close(matrix(problem, population)(v)[0], wanted, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_a_member_that_is_not_finite_is_nan_and_nothing_is_changed(matrix: Callable[..., Operator]) -> None:
    problem, population, vectors = _setting(CASE["mlp"])
    theta = population.theta.clone()
    theta[1, 5] = torch.nan
    broken = population.with_theta(theta)
    before = theta.clone()
    found = matrix(problem, broken)(vectors)
    assert found[1].isnan().any()
    torch.testing.assert_close(found[[0, 2]], matrix(problem, population)(vectors)[[0, 2]], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(broken.theta, before, rtol=0, atol=0, equal_nan=True)


def test_examples_that_cannot_be_taken_are_named() -> None:
    problem, population, _ = _setting(CASE["mlp"])
    with pytest.raises(UsageError, match="has no test examples; write on='train'"):
        hessian(problem, population, on="test")
    with pytest.raises(UsageError, match="hessian on must be a Sample such as"):
        hessian(problem, population, on=problem.data)  # type: ignore[arg-type]
    inputs, targets = CASE["mlp"].inputs, CASE["mlp"].targets
    for examples in (
        Examples(inputs, targets),  # of another dtype
        Examples(inputs.double()[:, :3], targets),
        Examples(inputs.double(), targets + 3),
    ):
        with pytest.raises(ModelError, match=r"failed on a batch of 24 examples per member: |Targets run from 3 to 5"):
            hessian(problem, population, on=examples)


def test_what_cannot_be_meant() -> None:
    problem, population, vectors = _setting(CASE["mlp"])
    A = hessian(problem, population)
    with pytest.raises(UsageError, match=r"vectors \(members, parameters\) of shape \(3, 43\), one row .* \(43,\)"):
        A(vectors[0])
    with pytest.raises(UsageError, match="gauss_newton problem must be a Problem"):
        gauss_newton(population, problem)
    with pytest.raises(UsageError, match="fisher population must be a Population"):
        fisher(problem, population.theta)
    with pytest.raises(UsageError, match=r"The population is torch\.float32 on cpu, the problem torch.float64"):
        hessian(problem, population.to(dtype=torch.float32))
    with pytest.raises(UsageError, match="k must be at most the number of active parameters, 43; got 44"):
        top_eigenvalues(A, 44)
    with pytest.raises(UsageError, match=r"There is no parameter '0.weights'. Did you mean '0.weight'"):
        block(A, population, "0.weights")
    drawing = CASE["dropout"].problem()
    assert hessian(drawing, drawing.initialize(1)).products == 0  # in evaluation mode it does not draw

    class Noisy(torch.nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.randn(1)

    noisy = tw.Problem(lambda: Noisy(4, 3), (CASE["mlp"].inputs, CASE["mlp"].targets))
    with pytest.raises(ModelError, match="draws random numbers in evaluation mode, so it has no derivative"):
        hessian(noisy, noisy.initialize(1))
