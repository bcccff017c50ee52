"""No plan and no derivative moves a padding row."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from cases import CASE, CLASSES, TOKENS, Padded, Y
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

import thalweg as tw
from thalweg.errors import UsageError
from thalweg.population import Batch, Execution, Plan, Population, Problem, choose, derivatives
from thalweg.population.gradient_graph import GradientGraph
from thalweg.population.padding import Padding
from thalweg.randomness import BatchOrder

MEMBERS = 4


class Bagged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.EmbeddingBag(5, 4, padding_idx=0), nn.Linear(4, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(self.embed(tokens)))


class Functional(Padded):
    """The row is counted from the end, in a call of the function, on weights that are not a parameter themselves."""

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(F.embedding(tokens, 2 * self.embed.weight, padding_idx=-5)).mean(1))


class Bare(Padded):
    """By the function under torch's own."""

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(torch.embedding(self.embed.weight, tokens, 0)).mean(1))


class BareBag(Bagged):
    def forward(self, tokens: Tensor) -> Tensor:
        ends = torch.arange(0, tokens.numel(), tokens.shape[1])
        bags = torch.embedding_bag(self.embed.weight, tokens.flatten(), ends, False, 1, False, None, False, 0)
        return self.out(torch.tanh(bags[0]))


ROWS = {"layer": Padded, "function": Functional, "bare function": Bare}
MODELS = ROWS | {"bag": Bagged, "bare bag": BareBag}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
every_row = pytest.mark.parametrize("model", ROWS.values(), ids=ROWS)


def _own(problem: Problem) -> Batch:
    """A batch for each member, with padding in all of them."""
    draws = (torch.randperm(24, generator=torch.Generator().manual_seed(seed))[:9] for seed in range(MEMBERS))
    return Batch.of(problem.data.train, torch.stack(list(draws)))


def _apart(population: Population) -> Population:
    """Members whose padding rows are not zero."""
    draw = torch.Generator().manual_seed(1)
    moves = torch.randn(population.theta.shape, generator=draw, dtype=torch.float64).to(population.theta)
    return population.with_theta(population.theta + moves)


@every_model
def test_members_are_looped_by_name_where_they_are_trained(model: Callable[[], nn.Module]) -> None:
    problem = Problem(model, (TOKENS, Y))
    population, batch = problem.initialize(MEMBERS), _own(problem)
    plan = choose(problem, population, batch)
    assert plan == Plan("looped", 1, "the model has an embedding with padding_idx, whose row vmap would train")
    assert choose(problem, population, batch, "looped").mode == "looped"
    for forced in ("stacked", Plan("stacked")):
        with pytest.raises(UsageError, match=r'padding_idx, whose row vmap .* write plan="looped"'):
            Execution(problem, population, batch, plan=forced)
        Execution(problem, population, batch, plan=forced, training=False)  # nothing is trained


def test_without_padding_or_with_a_frozen_table_they_are_stacked() -> None:
    def frozen() -> nn.Module:
        model = Padded()
        model.embed.weight.requires_grad_(False)
        return model

    for model in (CASE["attention"].model, frozen):
        problem = Problem(model, (TOKENS, Y))
        assert not problem.pads(training=True)
        assert choose(problem, problem.initialize(MEMBERS), _own(problem), "stacked").mode == "stacked"


def test_a_member_among_several_is_the_member_alone_where_padding_comes_late() -> None:
    """The first batch, on which a plan is chosen, has none."""
    tokens, y, members = TOKENS.repeat(20, 1).clamp(min=1), Y.repeat(20), range(6)
    first = {index for seed in members for index in BatchOrder([seed], len(y), 32).indices(0)[0].tolist()}
    later = [index for index in range(len(y)) if index not in first]
    tokens[later, 1:] = 0
    problem = Problem(Padded, (tokens, y))
    recipe = tw.Recipe(tw.optim.SGD(0.5), steps=12, batch_size=32)
    several, alone = tw.train(problem, recipe, seeds=members), tw.train(problem, recipe, seeds=[3])
    torch.testing.assert_close(several.final.theta[3], alone.final.theta[0], rtol=1e-5, atol=1e-6)
    assert several.final.theta[:, :4].count_nonzero() == 0


def _dense(population: Population, member: int, batch: Batch) -> Tensor:
    """The Hessian of a member's loss by autograd, which leaves the padding row out of both sides."""
    module, (inputs, targets) = population.module(member).eval(), batch.member(member)

    def loss(theta: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(module, population.layout.views(theta), (inputs,)), targets)

    return hessian(loss, population.theta[member].clone())


@every_row
def test_second_derivatives_take_the_row_for_a_constant(model: Callable[[], nn.Module]) -> None:
    problem = Problem(model, (TOKENS, Y), dtype=torch.float64)
    population, batch = _apart(problem.initialize(MEMBERS)), _own(problem)
    v = torch.randn(population.theta.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    graph = GradientGraph(problem, population, batch)
    wanted = torch.stack([_dense(population, member, batch) @ v[member] for member in range(MEMBERS)])
    assert wanted[:, :4].count_nonzero() == 0
    torch.testing.assert_close(graph.hessian()(v), wanted, rtol=1e-9, atol=1e-12)
    gradients = derivatives.gradient(problem, population, batch)
    assert gradients[:, :4].count_nonzero() == 0
    assert (gradients[:, 4:20] != 0).any(1).all()
    still = torch.zeros_like(v)
    still[:, :4] = 1
    assert derivatives.jacobian_product(problem, population, still, batch).count_nonzero() == 0
    for product in (graph.gauss_newton(), graph.fisher(), graph.directional_derivatives()):
        assert product(still).count_nonzero() == 0
        assert product(v).count_nonzero() > 0
    for square in (graph.gauss_newton(), graph.fisher()):
        assert square(v)[:, :4].count_nonzero() == 0


@every_row
def test_curvature_is_that_of_what_is_trained(model: Callable[[], nn.Module]) -> None:
    problem = Problem(model, (TOKENS, Y), dtype=torch.float64)
    population = _apart(problem.initialize(2))
    found = tw.spectra.top_eigenvalues(tw.curvature.hessian(problem, population), k=2).values
    batch = Batch.range(problem.data.train, 0, len(TOKENS))
    for member in range(2):
        wanted = torch.linalg.eigvalsh(_dense(population, member, batch)).flip(0)[:2]
        torch.testing.assert_close(torch.as_tensor(found[member]), wanted, rtol=1e-3, atol=1e-8)


def test_constants_are_kept_for_further_calls() -> None:
    table, tokens = nn.Embedding(5, 4, padding_idx=0), torch.tensor([[0, 2], [3, 0]])
    rows: list[Tensor] = []
    with Padding(rows) as padding:
        first = table(tokens)
    assert padding.found
    assert torch.equal(first, table(tokens))
    with torch.no_grad():
        table.weight.add_(1)
    with Padding(rows):
        second = table(tokens)
    torch.testing.assert_close(second, first + (tokens != 0).unsqueeze(-1))
