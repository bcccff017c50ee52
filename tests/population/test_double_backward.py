"""Kernels without a second derivative are refused before terms of a curvature matrix are missed; sound ones are not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cases import CASES, CLASSES, Case, X, Y, every
from torch import Tensor, nn

import thalweg as tw
from thalweg import curvature, spectra
from thalweg.errors import ModelError
from thalweg.population import Batch, derivatives
from thalweg.population.double_backward import check_twice_differentiable
from thalweg.randomness import generator

MATRICES = ("hessian", "gauss_newton", "fisher")
CONTEXT = Any


class Tanh(torch.autograd.Function):
    """Written as it should be."""

    @staticmethod
    def forward(ctx: CONTEXT, x: Tensor) -> Tensor:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: CONTEXT, gradient: Tensor) -> Tensor:
        return gradient * (1 - ctx.saved_tensors[0] ** 2)


class WithoutGradients(Tanh):
    @staticmethod
    @torch.no_grad()
    def backward(ctx: CONTEXT, gradient: Tensor) -> Tensor:
        return gradient * (1 - ctx.saved_tensors[0] ** 2)


class Once(Tanh):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: CONTEXT, gradient: Tensor) -> Tensor:
        return gradient * (1 - ctx.saved_tensors[0] ** 2)


class Kept(Tanh):
    """What it keeps is a constant for torch: the matrix lacks terms, and is symmetric all the same."""

    @staticmethod
    def backward(ctx: CONTEXT, gradient: Tensor) -> Tensor:
        return gradient * (1 - ctx.saved_tensors[0].detach() ** 2)


class StraightThrough(torch.autograd.Function):
    """Its gradient is that of no function."""

    @staticmethod
    def forward(ctx: CONTEXT, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx: CONTEXT, gradient: Tensor) -> Tensor:
        return gradient / torch.cosh(ctx.saved_tensors[0])


class OnlySingle(WithoutGradients):
    """The same for float32 alone."""

    @staticmethod
    def forward(ctx: CONTEXT, x: Tensor) -> Tensor:
        assert x.dtype == torch.float32
        return WithoutGradients.forward(ctx, x)


class Hidden(nn.Module):
    """A head of zeros, which hides what is wrong below it at the first weights."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body, self.head, self.function = nn.Linear(4, 6), nn.Linear(6, CLASSES), function
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.body(x)))


class Last(nn.Linear):
    """The function at the end: of a matrix that is nothing but zeros, which is symmetric, too."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(4, CLASSES)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(super().forward(x))


WRONG = {"no_grad": WithoutGradients, "once": Once, "kept": Kept, "straight through": StraightThrough}
WRONG_OF = {"hessian": WRONG, "gauss_newton": ("no_grad", "once"), "fisher": ("no_grad", "once")}


@pytest.mark.parametrize("model", [Hidden, Last])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("name", WRONG)
def test_kernels_without_a_second_derivative_are_refused(name: str, matrix: str, model: type[nn.Module]) -> None:
    """Those that only lack a second derivative of their own leave Gauss-Newton and Fisher as they are."""
    problem = tw.Problem(lambda: model(WRONG[name].apply), (X, Y))
    population = problem.initialize(2)
    if name in WRONG_OF[matrix]:
        with pytest.raises(ModelError, match=r"no second derivative that can be trusted.*save_for_backward"):
            getattr(curvature, matrix)(problem, population)
        return
    assert getattr(curvature, matrix)(problem, population).products == 0


def test_what_is_refused_is_wrong() -> None:
    """The Hessian of the same function, written as it should be, is another one."""
    sound = tw.Problem(lambda: Hidden(Tanh.apply), (X, Y), dtype=torch.float64)
    plain = tw.Problem(lambda: Hidden(torch.tanh), (X, Y), dtype=torch.float64)
    population = plain.initialize(2)
    noise = torch.randn(population.theta.shape, generator=generator(0, "noise"), dtype=torch.float64)
    population = population.with_theta(population.theta + 0.3 * noise)
    values = [
        spectra.top_eigenvalues(curvature.hessian(one, population), 3, tolerance=1e-6).values for one in (sound, plain)
    ]
    torch.testing.assert_close(*map(torch.from_numpy, values), rtol=1e-8, atol=1e-10)
    wrong = tw.Problem(lambda: Hidden(Kept.apply), (X, Y), dtype=torch.float64)
    wrong.faults["hessian"] = ""
    traces = [float(spectra.trace(curvature.hessian(one, population[0]))["trace"][0]) for one in (wrong, plain)]
    assert abs(traces[0] / traces[1] - 1) > 0.05


def test_a_kernel_of_one_precision_is_tried_in_it() -> None:
    problem = tw.Problem(lambda: Hidden(OnlySingle.apply), (X, Y))
    for matrix in MATRICES:
        with pytest.raises(ModelError, match=r"<u, J v> is .*, <J\^T u, v>"):
            check_twice_differentiable(problem, matrix)


def test_a_loss_may_be_at_fault() -> None:
    losses = {"hessian": Kept, "gauss_newton": Kept, "fisher": WithoutGradients}
    for matrix, function in losses.items():
        loss = lambda out, y, function=function: (function.apply(out).mean(1) - y) ** 2  # noqa: E731
        problem = tw.Problem(lambda: nn.Linear(4, CLASSES), (X, Y), loss)
        with pytest.raises(ModelError, match="no second derivative that can be trusted"):
            getattr(curvature, matrix)(problem, problem.initialize(1))


def test_what_torch_cannot_differentiate_twice_is_named() -> None:
    problem = tw.Problem(lambda: nn.Linear(4, CLASSES), (X, Y), F.multi_margin_loss)
    with pytest.raises(ModelError, match="that can be trusted: derivative for aten::multi_margin_loss_backward is not"):
        curvature.hessian(problem, problem.initialize(1))


def test_a_function_without_forward_mode_is_differentiated_backward_twice_or_refused() -> None:
    problem = tw.Problem(lambda: Hidden(Once.apply), (X, Y))
    population = problem.initialize(2)
    with pytest.raises(ModelError, match="no second derivative that can be trusted"):
        derivatives.jacobian_product(problem, population, population.theta, Batch(X, Y, shared=True))


@every([case for case in CASES if not case.stochastic])
def test_sound_models_are_not_refused(case: Case) -> None:
    problem = case.problem()
    before = {name: value.clone() for name, value in problem.template.state_dict().items()}
    for matrix in MATRICES:
        check_twice_differentiable(problem, matrix)
    assert all(torch.equal(before[name], value) for name, value in problem.template.state_dict().items())


KINKED: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "wide relu": (lambda: tw.nets.mlp(4, 400, 400, CLASSES), "cross_entropy"),
    "relu and hinge": (lambda: tw.nets.mlp(4, 30, CLASSES), lambda out, y: (1 - out).relu().mean(1)),
    "absolute error": (lambda: tw.nets.mlp(4, 30, CLASSES), lambda out, y: (out.mean(1) - y).abs()),
    "linear": (lambda: nn.Linear(4, CLASSES), lambda out, y: (out.mean(1) - y).abs()),
    "saturated": (lambda: nn.Sequential(tw.nets.mlp(4, 9, CLASSES), nn.Hardtanh(-1e-9, 1e-9)), "cross_entropy"),
    "zeros": (lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), tw.nets.mlp(4, 50, CLASSES)), "cross_entropy"),
}


@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize("name", KINKED)
def test_kinks_and_matrices_of_zeros_are_not_refused(name: str, scale: float) -> None:
    model, loss = KINKED[name]
    problem = tw.Problem(model, (scale * X.relu(), Y), loss)
    for matrix in MATRICES:
        check_twice_differentiable(problem, matrix)
