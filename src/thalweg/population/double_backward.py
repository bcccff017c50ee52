"""Second derivatives tried out on a few examples, before terms of a curvature matrix are missed in silence.

Torch differentiates a backward pass as it was written. One that is not differentiable itself (`torch.no_grad`,
`once_differentiable`), or takes for constants what it kept from the forward pass, gives a Hessian that lacks terms.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from thalweg.errors import ModelError
from thalweg.population.attention import plain_attention
from thalweg.population.binding import Bound, call
from thalweg.population.copying import converted, copied
from thalweg.population.padding import Padding
from thalweg.population.population import Population
from thalweg.population.preflight import near
from thalweg.population.problem import Problem
from thalweg.randomness import generator, global_stream

Tensors = Sequence[Tensor]
_TOLERANCE = 1e-3  # a share of the product: rounding is far below, a missing term mostly far above;
_UNITS = 8  # in the last place of dtypes whose rounding is not far below
_STEP = 1e-5  # of a difference of gradients, by a vector of length 1
_OF_FUNCTIONS = (
    "Where a torch.autograd.Function does it, write its backward pass in differentiable operations on what "
    "ctx.save_for_backward kept (inputs and outputs of forward), without no_grad, once_differentiable or detach; or "
    "call torch's own functions instead."
)
_OF_TORCH = (
    "No torch.autograd.Function is in it, so it is a detach, or one of torch's own operations whose second derivative "
    "torch lacks or has wrong, such as that of parametrizations.weight_norm; write it by its formula, there "
    "g * v / v.norm(dim=1, keepdim=True)."
)


def check_twice_differentiable(problem: Problem, matrix: str) -> None:
    """Raise ModelError where a curvature matrix ("hessian", "gauss_newton", "fisher") would not be what it is called.

    At a random point near the first weights, in float64 where the model can be called in it, and once a problem:

    - <u, J v> = <J^T u, v> for the Jacobian J of outputs and loss, the left side by a derivative of J^T u;
    - <u, H v> = <v, H u> for the Hessian H of the loss in the parameters, or for Gauss-Newton in the outputs;
    - H v = (g(x + h v) - g(x - h v)) / 2h for the gradient g: in float64, and where steps h and 2 h agree a hundred
      times better with each other than with H v, so that kinks (ReLU) and rounding raise nothing.

    Cost: about ten gradients on eight examples.
    """
    if matrix not in problem.faults:
        with plain_attention(), torch.enable_grad(), global_stream(0, "second derivatives"):
            problem.faults[matrix] = _fault(problem, matrix)
    if problem.faults[matrix]:
        raise ModelError(problem.faults[matrix])


def _fault(problem: Problem, matrix: str) -> str:
    """What is wrong, and the remedy; empty where nothing is."""
    inputs, targets = problem.preflight.examples()
    names = [entry.name for entry in problem.layout]
    for dtype in (torch.float64, problem.dtype):
        module = converted(copied(problem.template), dtype=dtype).eval()
        model = _Model(module, names, _floating(inputs, dtype))
        point = model.near(generator(0, "second derivatives"))
        try:
            outputs = model(point)
            loss = problem.loss.mean(outputs, _floating(targets, dtype))
        except Exception:  # a kernel that takes the problem's own precision only, where its own errors are raised later
            continue
        if loss.requires_grad and bool(loss.isfinite()):
            break
    else:
        return ""
    given, tolerance = _floating(targets, dtype), max(_TOLERANCE, _UNITS * torch.finfo(problem.precision).eps)
    try:
        found = _adjoint([*_differentiable(outputs), loss], point, tolerance)
        if matrix == "hessian":
            found = found or _curved(lambda x: problem.loss.mean(model(x), given), point, tolerance)
        if matrix == "gauss_newton":
            leaves, form = tree_flatten(outputs)
            places = [i for i, leaf in enumerate(leaves) if leaf.requires_grad]

            def of_outputs(values: Tensors) -> Tensor:
                whole = dict(enumerate(leaves)) | dict(zip(places, values, strict=True))
                return problem.loss.mean(tree_unflatten(list(whole.values()), form), given)

            found = found or _curved(of_outputs, [leaves[i].detach().requires_grad_() for i in places], tolerance)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        found = str(error).partition("\n")[0].rstrip(".")
    return found and f"The model or its loss has no second derivative that can be trusted: {found}. {_remedy(loss)}"


def _remedy(loss: Tensor) -> str:
    """What to write instead, by what is in the graph."""
    seen: set[Any] = {None}
    waiting: list[Any] = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return _OF_FUNCTIONS
        if node not in seen:
            seen.add(node)
            waiting += [following for following, _ in node.next_functions]
    return _OF_TORCH


class _Model:
    """A module's outputs on some inputs as a function of its trained parameters.

    Its buffers, and padding rows of embeddings once it was called, stay as they are.
    """

    def __init__(self, module: nn.Module, names: Sequence[str], inputs: Any) -> None:
        self.module, self.names, self.inputs = module, names, inputs
        self.population = Population.of([module])
        self.bound = Bound(module, self.population, training=False)  # stays so: a backward pass may read it again
        self.padding: list[Tensor] = []

    def __call__(self, point: Tensors) -> Any:
        own = self.population.with_own_buffers()
        self.bound.bind(point, {name: buffer[0] for name, buffer in own.buffers.items()})
        with Padding(self.padding):
            return call(self.bound.module, self.inputs)

    def near(self, draw: torch.Generator) -> list[Tensor]:
        """The module's parameters with noise that hides no term, as weights of zero would, and keeps activations."""
        tensors = dict(self.module.named_parameters(remove_duplicate=False))
        return [value.requires_grad_() for value in near([tensors[name] for name in self.names], draw)]


def _adjoint(values: Tensors, point: Tensors, tolerance: float) -> str:
    """Whether J v, the derivative of the J^T u that the backward pass gives, belongs to it."""
    draw = generator(0, "adjoint")
    u, v = ([one.requires_grad_() for one in _normal(like, draw)] for like in (values, point))
    pulled = torch.autograd.grad(values, point, u, create_graph=True, materialize_grads=True)
    pushed = _products(pulled, u, v)
    return _differ("<u, J v>", _dot(u, pushed), "<J^T u, v>", _dot(pulled, v), tolerance * _length(pulled))


def _curved(function: Callable[[Tensors], Tensor], point: Tensors, tolerance: float) -> str:
    """Whether the second derivative of a function is symmetric, and that of its gradient."""
    draw = generator(0, "curved")
    u, v = _normal(point, draw), _normal(point, draw)
    gradient = torch.autograd.grad(function(point), point, create_graph=True, materialize_grads=True)
    along, other = _products(gradient, point, v), _products(gradient, point, u)
    epsilon = torch.finfo(point[0].dtype).eps
    found = _differ(
        "<u, H v>", _dot(u, along), "<v, H u>", _dot(v, other), tolerance * (_length(along) + _length(other))
    )
    if found or point[0].dtype != torch.float64:
        return found
    size = _length(v)
    near, far = (_difference(function, point, [one / size for one in v], h) for h in (_STEP, 2 * _STEP))
    rest, doubt = _apart(near, [one / size for one in along]), _apart(near, far)
    floor = 1e3 * epsilon / _STEP * _length(gradient)
    if rest > max(tolerance * _length(near), floor) and doubt < 0.01 * rest:
        share = rest / _length(near)
        return f"products with it are {share:.1%} off the differences of gradients that they are the limit of"
    return ""


def _difference(function: Callable[[Tensors], Tensor], point: Tensors, v: Tensors, h: float) -> list[Tensor]:
    """(g(x + h v) - g(x - h v)) / 2h."""
    ends = []
    for step in (h, -h):
        moved = [(x.detach() + step * one).requires_grad_() for x, one in zip(point, v, strict=True)]
        ends.append(torch.autograd.grad(function(moved), moved, materialize_grads=True))
    return [(a - b) / (2 * h) for a, b in zip(*ends, strict=True)]


def _products(gradients: Tensors, at: Tensors, v: Tensors) -> Tensors:
    """The derivative of <gradients, v>."""
    curved = [i for i, gradient in enumerate(gradients) if gradient.requires_grad]
    if not curved:
        return [torch.zeros_like(x) for x in at]
    chosen, along = [gradients[i] for i in curved], [v[i].detach() for i in curved]
    return torch.autograd.grad(chosen, at, along, retain_graph=True, materialize_grads=True)


def _differ(one: str, first: float, other: str, second: float, limit: float) -> str:
    """That two numbers which are equal are not, by more than rounding; empty where they are or are not finite."""
    return f"{one} is {first:.4g}, {other} {second:.4g}" if abs(first - second) > limit else ""


def _differentiable(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(outputs) if leaf.requires_grad]


def _floating(tree: Any, dtype: torch.dtype) -> Any:
    return tree_map(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, tree)


def _normal(like: Tensors, draw: torch.Generator) -> list[Tensor]:
    return [torch.randn(one.shape, generator=draw, dtype=torch.float64).to(one) for one in like]


def _dot(x: Tensors, y: Tensors) -> float:
    return sum(float((a.detach().double() * b.detach().double()).sum()) for a, b in zip(x, y, strict=True))


def _length(x: Tensors) -> float:
    return _dot(x, x) ** 0.5


def _apart(x: Tensors, y: Tensors) -> float:
    return _length([a - b for a, b in zip(x, y, strict=True)])
