"""Modules that differentiate in forward, or whose backward pass is their own: hooks, checkpoints, implicit layers."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from population.foreign import RECIPE, TOKENS, Foreign, X, Y, assert_as_plain, double  # noqa: F401
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.population import Batch, Problem, derivatives, plain_derivatives
from thalweg.population.derivatives import check_differentiable

LONE = ("auto", "looped")
POINTS = X[:, :2].contiguous()
ZERO = torch.zeros(24, 1, dtype=torch.float64)


class Physics(nn.Module):
    """A physics-informed network: its outputs are derivatives of a network by the inputs."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.body, self.how = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1)), how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "jvp":
            return torch.func.jvp(self.body, (x,), (torch.ones_like(x),))[1]
        if self.how == "jacrev":
            return torch.func.vmap(torch.func.jacrev(self.body))(x)[:, 0, :1]
        x = x.clone().requires_grad_() if self.how == "grad" else x.requires_grad_()
        with torch.enable_grad() if self.how == "grad" else torch.set_grad_enabled(torch.is_grad_enabled()):
            u = self.body(x)
            slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        return slope[:, :1] + u * slope[:, 1:]


class Spectral(nn.Module):
    """Keeps complex weights as pairs of real ones, as S4D and Fourier operators do."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(before))
        self.lift, self.weight = nn.Linear(1, 4), nn.Parameter(0.3 * torch.randn(3, 4, 2))
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        waves = torch.fft.rfft(self.lift(x[..., None]), dim=1) * torch.view_as_complex(self.weight)
        return self.out(torch.fft.irfft(waves, n=4, dim=1).mean(1)) + self.shift.sum()


class Hooked(nn.Module):
    """Doubles gradients on their way back, in training mode or always."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.first, self.out, self.always = nn.Linear(4, 6), nn.Linear(6, 3), always

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        if self.training or self.always:  # without gradients torch raises an error
            hidden.register_hook(lambda gradient: 2 * gradient)
        return self.out(hidden)


class Registering(nn.Module):
    """Registers a hook on its weight at every call in training mode; they add up."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.first.weight.requires_grad:
            self.first.weight.register_hook(lambda gradient: 1.5 * gradient)
        return self.out(torch.tanh(self.first(x)))


class Checkpointed(nn.Module):
    """Computes its activations again in the backward pass."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.body, self.out, self.reentrant = nn.Sequential(nn.Linear(4, 6), nn.Tanh()), nn.Linear(6, 3), reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone().requires_grad_() if self.reentrant and torch.is_grad_enabled() else x
        return self.out(checkpoint(self.body, x, use_reentrant=self.reentrant))


class Equilibrium(nn.Module):
    """A fixed point, with the gradient of the implicit function by a hook as in locuslab/deq; or without it."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self.w, self.u, self.out, self.hook = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3), hook

    def step(self, z: Tensor, x: Tensor) -> Tensor:
        return torch.tanh(0.3 * self.w(z) + self.u(x))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(40):
                z = self.step(z, x)
        z = self.step(z, x)
        if self.hook == "always" or (self.hook == "training" and self.training):
            start = z.clone().detach().requires_grad_()
            again = self.step(start, x)

            def implicit(gradient: Tensor) -> Tensor:
                found = gradient
                for _ in range(40):
                    found = torch.autograd.grad(again, start, found, retain_graph=True)[0] + gradient
                return found

            z.register_hook(implicit)
        return self.out(z)


class Adjoint(torch.autograd.Function):
    """Calls a module again in the backward pass, as torchdiffeq's odeint_adjoint does."""

    @staticmethod
    def forward(ctx: Any, module: nn.Module, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.module = module
        ctx.save_for_backward(x)
        with torch.no_grad():
            return module(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        with torch.enable_grad():
            x = ctx.saved_tensors[0].detach().requires_grad_()
            found = torch.autograd.grad(ctx.module(x), (x, *ctx.module.parameters()), gradient)
        return (None, *found)


class Solved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.flow, self.out = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(Adjoint.apply(self.flow, x, *self.flow.parameters()))


class Sparse(nn.Module):
    """Gives sparse gradients."""

    def __init__(self, bag: bool) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(6, 4, sparse=True, mode="sum") if bag else nn.Embedding(6, 4, sparse=True)
        self.out = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        found = self.bag(tokens)
        return self.out(found if found.ndim == 2 else found.mean(1))


def reversing() -> nn.Module:
    """Layers with hooks of whole modules."""
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    module[1].register_full_backward_hook(lambda layer, inputs, outputs: (2 * inputs[0],))
    module[0].register_full_backward_pre_hook(lambda layer, outputs: (1.5 * outputs[0],))
    return module


CASES = {
    "autograd.grad": Foreign(lambda: Physics("grad"), POINTS, ZERO, F.mse_loss, plans=LONE),
    "torch.func.jvp": Foreign(lambda: Physics("jvp"), POINTS, ZERO, F.mse_loss),
    "torch.func.jacrev": Foreign(lambda: Physics("jacrev"), POINTS, ZERO, F.mse_loss),
    "pairs at odd places": Foreign(lambda: Spectral(1)),
    "pairs at even places of odd rows": Foreign(lambda: Spectral(2)),
    "a hook while training": Foreign(lambda: Hooked(always=False), plans=LONE),
    "a hook always": Foreign(lambda: Hooked(always=True), plans=LONE, matrices=False),
    "hooks that add up": Foreign(Registering, plans=LONE),
    "hooks of modules": Foreign(reversing, plans=LONE, matrices=False),
    "checkpoints": Foreign(lambda: Checkpointed(reentrant=False), plans=LONE),
    "an equilibrium, hook while training": Foreign(lambda: Equilibrium("training"), plans=LONE, matrices=False),
    "an equilibrium, hook always": Foreign(lambda: Equilibrium("always"), plans=LONE, matrices=False),
    "an equilibrium, detached": Foreign(lambda: Equilibrium("none"), matrices=False),
    "an adjoint": Foreign(Solved, plans=LONE, matrices=False),
    "sparse gradients": Foreign(lambda: Sparse(bag=False), TOKENS),
    "sparse bags": Foreign(lambda: Sparse(bag=True), TOKENS, matrices=False),
}


BACKWARD = pytest.mark.filterwarnings(
    "ignore:Full backward hook is firing",
    "ignore:None of the inputs have",
    "ignore::DeprecationWarning",
)


@BACKWARD
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_the_backward_pass_does_is_done(case: Foreign) -> None:
    problem = assert_as_plain(case)
    if not case.matrices:
        with pytest.raises(ModelError, match="no second derivative that can be trusted"):
            tw.curvature.hessian(problem, problem.initialize(1))


def test_models_that_need_gradients_in_forward_are_called_with_them() -> None:
    """Plain torch fails on it under no_grad; here it is evaluated as it is trained."""
    case = Foreign(lambda: Physics("inputs"), POINTS, ZERO, F.mse_loss)
    problem, wanted = case.problem(), CASES["autograd.grad"].problem()
    population = problem.initialize(2)
    assert torch.equal(tw.evaluate(problem, population)["loss"], tw.evaluate(wanted, population)["loss"])
    runs = [tw.train(one, RECIPE, seeds=2, plan="looped") for one in (problem, wanted)]
    torch.testing.assert_close(runs[0].final.theta, runs[1].final.theta, rtol=1e-12, atol=1e-13)
    assert not problem.data.train.inputs.requires_grad


@pytest.mark.parametrize("name", ["autograd.grad", "checkpoints"])
def test_products_with_the_jacobian_by_plain_autograd(name: str) -> None:
    case = CASES[name]
    problem = case.problem()
    population, batch = problem.initialize(2), Batch(case.inputs[:7], case.targets[:7], shared=True)
    assert problem.inspected(training=False).alone
    along = torch.randn_like(population.theta)
    changes = derivatives.jacobian_product(problem, population, along, batch)
    back = torch.randn_like(changes)
    pulled = derivatives.transposed_jacobian_product(problem, population, back, batch)
    torch.testing.assert_close((back * changes).flatten(1).sum(1), (along * pulled).sum(1))
    step = 1e-6
    ahead, behind = (
        tw.evaluation.outputs(problem, population.with_theta(population.theta + sign * step * along), on="train")[:, :7]
        for sign in (1, -1)
    )
    torch.testing.assert_close(changes, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)


def test_what_needs_a_function_of_the_parameters_says_so() -> None:
    problem = CASES["checkpoints"].problem()
    with pytest.raises(ModelError, match=r"needs the model as a function of its parameters, and .*torch.func"):
        tw.ntk.empirical(problem, problem.initialize(1), on=tw.Sample("train", 5))


@BACKWARD
def test_gradients_that_are_written_past_autograd_are_refused() -> None:
    problem = Problem(lambda: Checkpointed(reentrant=True), (X, Y))
    with pytest.raises(ModelError, match=r"checkpoint does with use_reentrant=True; write use_reentrant=False"):
        tw.train(problem, RECIPE, seeds=2)


class Cautious(Hooked):
    """Registers its hook only where there is something to be changed, which is nowhere under vmap."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x))
        if self.training and hidden.requires_grad:
            hidden.register_hook(lambda gradient: 2 * gradient)
        return self.out(hidden)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Hooked(always=False), "cannot register a hook on a tensor"),
        (lambda: Cautious(always=False), r"stacked results differ .* the gradient of 'first\.\w+'"),
        (Registering, "the parameter 'first.weight' has a gradient hook"),
    ],
)
def test_hooks_that_a_call_registers_while_training_are_not_lost_in_stacked_members(make: Any, said: str) -> None:
    case = Foreign(make, plans=LONE)
    problem = assert_as_plain(case)
    with pytest.raises(tw.ThalwegError, match=said + r'.*write plan="looped"'):
        tw.train(problem, RECIPE, seeds=2, plan="stacked")


@BACKWARD
def test_models_whose_layers_have_backward_hooks_are_not_stacked() -> None:
    problem = Problem(reversing, (X, Y))
    with pytest.raises(UsageError, match=r'Members cannot be stacked: torch\.func .*write plan="looped"'):
        tw.evaluate(problem, problem.initialize(2), plan="stacked")


def frozen(hook: Any) -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    module[0].weight.register_hook(hook)
    return module


MASK = (torch.arange(24).view(6, 4) % 2).double()


@pytest.mark.parametrize("hook", [torch.zeros_like, lambda gradient: gradient * MASK, lambda gradient: None])
def test_hooks_of_parameters_are_part_of_training_and_of_no_derivative(hook: Any) -> None:
    case = Foreign(lambda: frozen(hook))
    problem, modules = case.problem(), [case.member(seed) for seed in range(2)]
    for plan in LONE:
        run = tw.train(problem, RECIPE, seeds=2, plan=plan)
        for seed, module in enumerate(modules):
            before = module[0].weight.detach()
            moved = run.final.module(seed)[0].weight.detach() - before
            wanted = hook(torch.ones(6, 4))
            assert torch.equal(moved != 0, torch.ones(6, 4).bool() if wanted is None else wanted != 0)
    with pytest.raises(UsageError, match=r"the parameter '0.weight' has a gradient hook; write plan=\"looped\""):
        tw.train(problem, RECIPE, seeds=2, plan="stacked")
    population = problem.initialize(2)
    for measured in (
        lambda: derivatives.gradient(problem, population, Batch(X, Y, shared=True)),
        lambda: tw.curvature.hessian(problem, population),
    ):
        with pytest.raises(ModelError, match=r"gradient hook on the parameter '0.weight'.*train\(mask=...\)"):
            measured()


def after() -> nn.Module:
    module = nn.Linear(4, 3)
    module.weight.register_post_accumulate_grad_hook(lambda parameter: None)
    return module


class Complex(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 3)
        self.phases = nn.Parameter(torch.randn(3, dtype=torch.cfloat))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.jit.script(nn.Linear(4, 3)), r"The model is a RecursiveScriptModule.*that torch.jit.script"),
        (lambda: torch.jit.trace(nn.Linear(4, 3), X), r"The model is a \w+Module.*torch.jit.trace was given"),
        (lambda: nn.Sequential(torch.jit.script(nn.Linear(4, 3))), "The part '0' of the model is a RecursiveScript"),
        (lambda: nn.DataParallel(nn.Linear(4, 3)), r"The model is a DataParallel.*its .module"),
        (lambda: torch.compile(nn.Linear(4, 3)), r"The model was made by torch.compile.*the module that it got"),
        (Complex, r"'phases' is complex.*nn.Parameter\(torch.view_as_real\(w\)\).*torch.view_as_complex"),
        (after, "'weight' has a hook after its gradient is accumulated.*write register_hook"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_modules_that_cannot_be_members_name_the_remedy(make: Any, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        Problem(make, (X, Y))
    with pytest.raises(ModelError, match=said):
        Problem(make(), (X, Y))


def test_inference_mode_is_left_for_what_is_made_and_refused_where_no_verb_leaves_it() -> None:
    module = nn.Linear(4, 3)
    with torch.inference_mode():
        problem = Problem(module, (X + 0, Y))
        population = problem.initialize(2)
        found = tw.evaluate(problem, population)["loss"]
        trained = tw.train(problem, RECIPE).final.theta
        largest = tw.spectra.top_eigenvalues(tw.curvature.hessian(problem, population), 1)["eigenvalue"]
        with pytest.raises(UsageError, match=r"trained within torch.inference_mode\(\); call this outside"):
            problem.draws(training=True)
        with pytest.raises(UsageError, match=r"differentiated within torch.inference_mode\(\); call this outside"):
            check_differentiable(problem)
    assert float(found[0]) == pytest.approx(float(F.cross_entropy(module(X), Y).detach()))
    assert torch.equal(trained, tw.train(problem, RECIPE).final.theta)
    outside = tw.spectra.top_eigenvalues(tw.curvature.hessian(problem, population), 1)["eigenvalue"]
    np.testing.assert_allclose(largest, outside, rtol=1e-6)


class Unused(nn.Module):
    """What it returns does not depend on its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def test_outputs_of_no_parameters_have_derivatives_of_zero_by_plain_autograd() -> None:
    own = Problem(Unused, (POINTS, POINTS), "squared_error")
    members, batch = own.initialize(2), Batch.range(own.data.train, 0, 4)
    back = plain_derivatives.plain_transposed_product(own, members, torch.ones(2, 4, 2), batch)
    assert torch.equal(back, torch.zeros_like(members.theta))
    change = plain_derivatives.plain_jacobian_product(own, members, torch.ones_like(members.theta), batch)
    assert torch.equal(change, torch.zeros(2, 4, 2))
