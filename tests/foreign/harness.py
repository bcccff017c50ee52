"""What every foreign case is put to: plain torch on the author's own module, from the same state, in float64."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves, tree_map

import thalweg as tw
from thalweg.population import Batch, Population, Problem, derivatives
from thalweg.randomness import BatchOrder, generator, global_stream

EXAMPLES, SIZE, STEPS, RATE = 9, 4, 3, 0.1
RECIPE = tw.Recipe(tw.optim.SGD(RATE), steps=STEPS, batch_size=SIZE, evaluate=1)
MATRICES = ("hessian", "gauss_newton", "fisher")
LOOPED = r'write plan="looped"'


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers, one row an example."""
    return torch.randn(EXAMPLES, *shape, generator=generator(seed, "foreign"), dtype=torch.float64)


def integers(below: int, *shape: int, seed: int = 0) -> Tensor:
    """Whole numbers from 0, one row an example."""
    return torch.randint(0, below, (EXAMPLES, *shape), generator=generator(seed, "foreign"))


CLASSES = torch.arange(EXAMPLES) % 3


@dataclass(frozen=True)
class Case:
    """A model as its author calls it: right by every plan, or by all but the stacked one, which is refused.

    Args:
        name: of the test.
        make: builds the module.
        inputs, targets: its data.
        loss: of outputs and targets, as its author writes it; None: cross-entropy, by its name.
        weights: how much each example weighs, where the loss is a weighted mean.
        alone: what is said where members cannot be stacked; empty where they can.
        draws: whether it draws random numbers in training mode.
        matrices: which it has; what is said of the others.
        tolerance: how far numbers may be off, where the module itself iterates.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: Any
    targets: Any = CLASSES
    loss: Callable[[Any, Any], Tensor] | None = None
    weights: Tensor | None = None
    alone: str = ""
    draws: bool = False
    matrices: tuple[str, ...] = MATRICES
    without: str = ""
    tolerance: float = 1e-10

    def problem(self, model: Any = None) -> Problem:
        options: dict[str, Any] = {} if self.loss is None else {"loss": self.loss, "metrics": {}}
        return Problem(self.make if model is None else model, (self.inputs, self.targets), **options)

    def plain_loss(self, module: nn.Module, rows: Tensor | slice = slice(None)) -> Tensor:
        """What the author's own loop computes."""
        outputs, targets = self.outputs(module, rows)
        return (self.loss or F.cross_entropy)(outputs, targets)

    def outputs(self, module: nn.Module, rows: Tensor | slice = slice(None)) -> tuple[Any, Any]:
        inputs, targets = (tree_map(lambda leaf: leaf[rows], tree) for tree in (self.inputs, self.targets))
        if isinstance(inputs, Mapping):
            return module(**inputs), targets
        return module(*inputs) if isinstance(inputs, tuple) else module(inputs), targets

    def member(self, seed: int) -> nn.Module:
        """A module as its author has it."""
        with global_stream(seed, "initialization"):
            return self.make()

    def assert_near(self, found: Tensor, wanted: Tensor, what: str) -> None:
        scale = max(1.0, float(wanted.abs().max()))
        off = float((found - wanted).abs().max())
        assert off <= self.tolerance * scale, f"{what} of {self.name} is off by {off:.2g} of {scale:.2g}"


@dataclass(frozen=True)
class Refused:
    """A model that is refused: when, and in which words, which name the remedy."""

    name: str
    make: Callable[[], nn.Module]
    inputs: Any
    says: str
    targets: Any = CLASSES
    loss: Callable[[Any, Any], Any] | None = None

    def assert_refused(self) -> None:
        options: dict[str, Any] = {} if self.loss is None else {"loss": self.loss, "metrics": {}}

        def use() -> None:
            problem = Problem(self.make, (self.inputs, self.targets), **options)
            tw.train(problem, RECIPE, seeds=2)

        with pytest.raises(tw.ThalwegError, match=self.says):
            use()


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    """Modules are made in float64: for tests of a file that imports it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def assert_as_plain(case: Case, folder: Path) -> None:
    """Everything that is computed of it is what plain torch computes, and the author's modules stay as they are."""
    modules = [case.member(seed) for seed in range(2)]
    before = [snapshot(module) for module in modules]
    problem = case.problem(modules[0])
    population = problem.population(modules)
    assert_trains(case, problem, population)
    assert_derivatives(case, problem, population)
    assert_corners(case, problem, population)
    assert_loads(case, problem, population, folder)
    for module, was in zip(modules, before, strict=True):
        assert snapshot(module) == was, f"the module of {case.name} was touched"


def assert_trains(case: Case, problem: Problem, population: Population) -> None:
    """Training by every plan against a loop of the author's; a stacked run that cannot be right is refused."""
    wanted = [_trained(case, seed) for seed in range(2)]
    stacked = () if case.alone or case.draws else ("stacked",)
    for plan in ("auto", "looped", *stacked):
        run = tw.train(problem, RECIPE, seeds=2, start=population, paired=True, plan=plan)
        for seed, (theta, buffers, loss) in enumerate(wanted):
            case.assert_near(run.final.theta[seed], theta, f"training, {plan},")
            case.assert_near(
                torch.tensor(run.history["train_loss"][-1][seed]), torch.tensor(loss), f"the loss, {plan},"
            )
            for name, buffer in buffers.items():
                case.assert_near(run.final.buffers[name][seed].double(), buffer, f"buffer {name}, {plan},")
    if not stacked:
        says = "draws random numbers" if case.draws else case.alone
        with pytest.raises(tw.ThalwegError, match=rf"(?s){says}.*{LOOPED}"):
            tw.train(problem, RECIPE, seeds=2, start=population, paired=True, plan="stacked")


def assert_derivatives(case: Case, problem: Problem, population: Population) -> None:
    """Gradient and products with the three matrices in evaluation mode, by automatic differentiation of the module."""
    batch = Batch.range(problem.data.train, 0, EXAMPLES)
    modules = [_plain(case, population, member) for member in range(2)]
    plain = torch.stack([_flat(_gradients(case, module)) for module in modules])
    case.assert_near(derivatives.gradient(problem, population, batch), plain, "the gradient")
    along = torch.randn(population.theta.shape, generator=generator(2, "foreign"), dtype=torch.float64)
    for name in MATRICES:
        if name not in case.matrices:
            with pytest.raises(tw.ThalwegError, match=case.without):
                getattr(tw.curvature, name)(problem, population)
            continue
        product = {"hessian": _hessian, "gauss_newton": _gauss_newton, "fisher": _fisher}[name]
        wanted = torch.stack([product(case, *pair) for pair in zip(modules, along, strict=True)])
        case.assert_near(getattr(tw.curvature, name)(problem, population)(along), wanted, f"the {name} product")


def assert_corners(case: Case, problem: Problem, population: Population) -> None:
    """Both ends of a line, and the four corners of a plane."""
    first = 0.1 * torch.randn(population.theta.shape, generator=generator(3, "foreign"), dtype=torch.float64)
    second = first.flip(1)
    line = tw.landscape.line(problem, population, direction=first, span=(0, 1), resolution=2)["loss"]
    plane = tw.landscape.plane(problem, population[0], directions=(first[:1], second[:1]), span=(0, 1), resolution=2)
    for a in range(2):
        for member in range(2):
            wanted = _loss_at(case, population, member, a * first[member])
            case.assert_near(torch.tensor(line[member, a]), wanted, "an end of the line")
        for b in range(2):
            wanted = _loss_at(case, population, 0, a * first[0] + b * second[0])
            case.assert_near(torch.tensor(plane["loss"][0, a, b]), wanted, "a corner of the plane")


def assert_loads(case: Case, problem: Problem, population: Population, folder: Path) -> None:
    """The author's files go in, and what comes out goes into the author's own module."""
    torch.save(case.member(1).state_dict(), folder / "member.pt")
    assert torch.equal(problem.load([folder / "member.pt"]).theta[0], population.theta[1])
    module = case.member(5)
    module.load_state_dict(population.state_dict(1))
    assert torch.equal(_flat([one.detach() for one in _trainable(module)]), population.theta[1])
    outputs, _ = case.outputs(population.module(1).eval())
    for found, wanted in zip(tree_leaves(outputs), tree_leaves(case.outputs(module.eval())[0]), strict=True):
        if isinstance(wanted, Tensor):
            torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def snapshot(module: nn.Module) -> dict[str, Any]:
    """What may not change: modes, tensors' bits, gradients, and plain attributes."""
    found: dict[str, Any] = {}
    for path, part in module.named_modules():
        with contextlib.suppress(TypeError):  # a ScriptModule has no dictionary
            attributes = {name: value for name, value in vars(part).items() if isinstance(value, int | float | str)}
            found |= {f"{path}:{name}": value for name, value in attributes.items()}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        found[name] = copy.deepcopy(tensor.detach()).tolist(), tensor.requires_grad, tensor.grad is None
    return found


def _trained(case: Case, seed: int) -> tuple[Tensor, dict[str, Tensor], float]:
    """A loop of the author's: parameters and buffers at the end, and the loss of all examples in evaluation mode."""
    module, order = case.member(seed), BatchOrder([seed], EXAMPLES, SIZE)
    optimizer = torch.optim.SGD(_trainable(module), RATE)
    for step in range(STEPS):
        optimizer.zero_grad()
        with global_stream(seed, "forward", step):
            case.plain_loss(module, order.indices(step)[0]).backward()
        optimizer.step()
    buffers = {name: one.detach().clone().double() for name, one in module.named_buffers() if one.is_floating_point()}
    kept = module.state_dict()
    buffers = {name: one for name, one in buffers.items() if name in kept}
    return _flat([one.detach() for one in _trainable(module)]), buffers, float(case.plain_loss(module.eval()).detach())


def _plain(case: Case, population: Population, member: int) -> nn.Module:
    """The author's module with a member's numbers, in evaluation mode."""
    module = case.member(member).eval()
    module.load_state_dict(population.state_dict(member))
    for part in module.modules():
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            part.sparse = False  # sparse gradients have no second derivative
    return module


def _loss_at(case: Case, population: Population, member: int, shift: Tensor) -> Tensor:
    module = _plain(case, population, member)
    parts = shift.split([one.numel() for one in _trainable(module)])
    for parameter, part in zip(_trainable(module), parts, strict=True):
        parameter.data += part.view_as(parameter)
    return case.plain_loss(module).detach()


def _trainable(module: nn.Module) -> list[nn.Parameter]:
    return [one for one in module.parameters() if one.requires_grad]


def _flat(parts: Any) -> Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def _gradients(case: Case, module: nn.Module, rows: Any = slice(None), *, graph: bool = False) -> tuple[Tensor, ...]:
    with sdpa_kernel(SDPBackend.MATH):
        loss = case.plain_loss(module, rows)
        return torch.autograd.grad(loss, _trainable(module), create_graph=graph, materialize_grads=True)


def _hessian(case: Case, module: nn.Module, along: Tensor) -> Tensor:
    parameters, gradients = _trainable(module), _gradients(case, module, graph=True)
    return _flat(torch.autograd.grad(_flat(gradients) @ along, parameters, materialize_grads=True))


def _gauss_newton(case: Case, module: nn.Module, along: Tensor) -> Tensor:
    """J^T (d^2 loss / d outputs^2) J v, the product J v backward through a backward pass that is linear in u."""
    parameters = _trainable(module)
    with sdpa_kernel(SDPBackend.MATH):
        outputs, targets = case.outputs(module)
    cut = tree_map(lambda leaf: leaf.detach().requires_grad_() if _differentiable(leaf) else leaf, outputs)
    leaves = [leaf for leaf in tree_leaves(outputs) if _differentiable(leaf)]
    cuts = [leaf for leaf in tree_leaves(cut) if isinstance(leaf, Tensor) and leaf.requires_grad]
    u = [torch.zeros_like(leaf).requires_grad_() for leaf in leaves]
    pulled = torch.autograd.grad(leaves, parameters, u, create_graph=True, materialize_grads=True)
    pushed = torch.autograd.grad(_flat(pulled) @ along, u, materialize_grads=True)
    loss = (case.loss or F.cross_entropy)(cut, targets)
    first = torch.autograd.grad(loss, cuts, create_graph=True, materialize_grads=True)
    slope = torch.stack([(one * other).sum() for one, other in zip(first, pushed, strict=True)]).sum()
    if not slope.requires_grad:
        return torch.zeros_like(along)
    second = torch.autograd.grad(slope, cuts, materialize_grads=True)
    return _flat(torch.autograd.grad(leaves, parameters, second, materialize_grads=True))


def _fisher(case: Case, module: nn.Module, along: Tensor) -> Tensor:
    """The weighted mean over examples of g (g v)."""
    weights = torch.ones(EXAMPLES) if case.weights is None else case.weights.to(along.dtype)
    total = torch.zeros_like(along)
    for example, weight in enumerate(weights.tolist()):
        gradient = _flat(_gradients(case, module, slice(example, example + 1)))
        total += weight * gradient * (gradient @ along)
    return total / weights.sum()


def _differentiable(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad
