"""Modules as the world writes them, compared with plain torch from the same state."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_map

import thalweg as tw
from thalweg.population import Batch, Population, Problem, derivatives
from thalweg.randomness import BatchOrder, generator, global_stream

EXAMPLES, SIZE, STEPS, RATE = 24, 8, 3, 0.1
X = torch.randn(EXAMPLES, 4, generator=generator(0, "foreign"), dtype=torch.float64)
Y = torch.arange(EXAMPLES) % 3
TOKENS = torch.randint(0, 6, (EXAMPLES, 5), generator=generator(1, "foreign"))
RECIPE = tw.Recipe(tw.optim.SGD(RATE), steps=STEPS, batch_size=SIZE, evaluate=1)
PLANS = ("auto", "looped", "stacked")


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Modules are made in float64: for tests of a file that imports it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@dataclass(frozen=True)
class Foreign:
    """A model as its author calls it.

    Args:
        make: builds it.
        inputs, targets: its data.
        loss: of outputs and targets; None: cross-entropy, by its name.
        plans: by which it can be trained.
        matrices: whether it has second derivatives.
    """

    make: Callable[[], nn.Module]
    inputs: Any = X
    targets: Any = Y
    loss: Callable[[Any, Any], Tensor] | None = None
    plans: tuple[str, ...] = PLANS
    matrices: bool = True

    def problem(self, model: Any = None) -> Problem:
        options = {} if self.loss is None else {"loss": self.loss, "metrics": {}}
        return Problem(self.make if model is None else model, (self.inputs, self.targets), **options)

    def plain_loss(self, module: nn.Module, rows: Tensor | slice = slice(None)) -> Tensor:
        """What the author's own loop computes."""
        inputs, targets = (tree_map(lambda leaf: leaf[rows], tree) for tree in (self.inputs, self.targets))
        arguments = inputs if isinstance(inputs, tuple) else () if isinstance(inputs, dict) else (inputs,)
        outputs = module(*arguments, **(inputs if isinstance(inputs, dict) else {}))
        return (self.loss or F.cross_entropy)(outputs, targets)

    def member(self, seed: int) -> nn.Module:
        """A module as its author has it, and as it starts as a member."""
        with global_stream(seed, "initialization"):
            return self.make()


def assert_as_plain(case: Foreign) -> Problem:
    """Training by every plan, losses, gradients, products with the Hessian, state dicts: those of plain torch."""
    problem = case.problem()
    trained = [_trained(case, seed) for seed in range(2)]
    for plan in case.plans:
        run = tw.train(problem, RECIPE, seeds=2, plan=plan)
        for seed, (theta, loss) in enumerate(trained):
            torch.testing.assert_close(run.final.theta[seed], theta, rtol=1e-10, atol=1e-11)
            assert float(run.history["train_loss"][-1][seed]) == pytest.approx(loss, rel=1e-10)
    population = problem.initialize(2)
    batch = Batch.range(problem.data.train, 0, EXAMPLES)
    modules = [case.member(seed).eval() for seed in range(2)]
    plain = torch.stack([_flat(_gradients(case, module)[1]) for module in modules])
    torch.testing.assert_close(derivatives.gradient(problem, population, batch), plain, rtol=1e-10, atol=1e-11)
    if case.matrices:
        along = torch.randn(population.theta.shape, generator=generator(2, "foreign"), dtype=torch.float64)
        products = torch.stack([_product(case, *pair) for pair in zip(modules, along, strict=True)])
        found = tw.curvature.hessian(problem, population)(along)
        torch.testing.assert_close(found, products, rtol=1e-9, atol=1e-10)
    assert_loads(case, problem, population)
    return problem


def assert_loads(case: Foreign, problem: Problem, population: Population) -> None:
    """State dicts go into the author's own module and back."""
    states = [population.state_dict(seed) for seed in range(2)]
    assert torch.equal(problem.load(states).theta, population.theta)
    module = case.member(5)
    module.load_state_dict(states[1])
    assert torch.equal(flat(module), population.theta[1])


def snapshot(module: nn.Module) -> dict[str, Any]:
    """What may not change: modes, tensors' bits, gradients, and plain attributes."""
    found: dict[str, Any] = {}
    for path, part in module.named_modules():
        found |= {f"{path}:{name}": value for name, value in vars(part).items() if isinstance(value, int | float | str)}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        found[name] = tensor.detach().clone().numpy().tobytes(), tensor.requires_grad, tensor.grad is None
    return found


def flat(module: nn.Module) -> Tensor:
    return _flat([one.detach() for one in module.parameters() if one.requires_grad])


def _flat(parts: Any) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def _trained(case: Foreign, seed: int) -> tuple[Tensor, float]:
    """A loop of the author's: parameters at the end and the loss of all examples in evaluation mode."""
    module, order = case.member(seed), BatchOrder([seed], EXAMPLES, SIZE)
    if not module.training:
        module.train()
    optimizer = torch.optim.SGD(module.parameters(), RATE)
    for step in range(STEPS):
        optimizer.zero_grad()
        case.plain_loss(module, order.indices(step)[0]).backward()
        optimizer.step()
    theta = flat(module)
    return theta, float(case.plain_loss(module.eval()).detach())


def _gradients(case: Foreign, module: nn.Module, *, graph: bool = False) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    parameters = [one for one in module.parameters() if one.requires_grad]
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False  # sparse gradients have no second derivative
    with sdpa_kernel(SDPBackend.MATH):
        loss = case.plain_loss(module)
        return parameters, torch.autograd.grad(loss, parameters, create_graph=graph, materialize_grads=True)


def _product(case: Foreign, module: nn.Module, along: Tensor) -> Tensor:
    parameters, gradients = _gradients(case, module, graph=True)
    parts = along.split([one.numel() for one in parameters])
    pairs = zip(gradients, parts, parameters, strict=True)
    slope = torch.stack([(gradient * part.view_as(like)).sum() for gradient, part, like in pairs]).sum()
    return _flat(torch.autograd.grad(slope, parameters, materialize_grads=True))
