"""Losses that have something to train, or keep something from call to call, are refused before any work."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.randomness import generator

DRAW = generator(0, "own state")
X, Y = torch.randn(40, 4, generator=DRAW), torch.arange(40) % 3


def problem(loss, model=lambda: nn.Linear(4, 3), **options):
    return tw.Problem(model, (X, Y), loss, **options)


class Temperature(nn.Module):
    def __init__(self, *, trained: bool = True) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0), requires_grad=trained)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(self.scale * output, target)


class Uncertainty(nn.Module):
    """Two terms, weighed by learned variances."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(2))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        terms = torch.stack([F.cross_entropy(output, target), (output**2).mean()])
        return (terms * (-self.log_variances).exp() + self.log_variances).sum()


@pytest.mark.parametrize("make", [Temperature, Uncertainty])
def test_modules_with_parameters(make) -> None:
    with pytest.raises(ModelError, match=f"{make.__name__} has parameters of its own, which are not trained"):
        problem(make())


def _held(scale: Tensor, output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(scale * output, target)


class Criterion:
    def __init__(self) -> None:
        self.inner = Temperature()

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return self.inner(output, target)


def _penalized():
    """Weight decay of the user's module, which no member is."""
    net = nn.Linear(4, 3)
    return (
        lambda o, t: F.cross_entropy(o, t) + 1e-3 * sum((p**2).sum() for p in net.parameters()),
        net,
    )


def test_functions_that_hold_what_is_trained() -> None:
    scale = nn.Parameter(torch.tensor(3.0))
    penalized, net = _penalized()
    held = (
        functools.partial(_held, scale),
        lambda o, t: _held(scale, o, t),
        Temperature().forward,
        Criterion(),
        lambda o, t: (F.cross_entropy(scale * o, t, reduction="none"), torch.ones(len(t))),
        penalized,
    )
    for loss in held:
        with pytest.raises(ModelError, match=r"tensors of its own that require gradients.*requires_grad_\(False\)"):
            problem(loss, model=net)
    with pytest.raises(ModelError, match="The metric 'own' depends on tensors of its own"):
        problem("cross_entropy", metrics={"own": Criterion()})


def test_constants_are_taken_and_left_as_they_are() -> None:
    loss = Temperature(trained=False)
    own, named = problem(loss), problem(lambda o, t: F.cross_entropy(3.0 * o, t))
    recipe = tw.Recipe(tw.optim.SGD(0.1), 5, 8)
    assert torch.equal(*(tw.train(one, recipe).final.theta for one in (own, named)))
    assert float(loss.scale) == 3.0


class Centers(nn.Module):
    """The distance to running means of the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(3, 3))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        values = ((output - self.centers[target]) ** 2).mean()
        with torch.no_grad():
            self.centers.lerp_(output.detach().mean(0).expand_as(self.centers), 0.1)
        return values


class Replaced(Centers):
    """Its buffer is another tensor after each call, and nothing of the value shows it."""

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        self.centers = self.centers + output.detach().mean(0)
        return F.cross_entropy(output, target)


class Annealed:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        return F.cross_entropy(output, target) + self.calls / 1000 * (output**2).mean()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Centers, "writes into its buffer 'centers' of equal outputs"),
        (Replaced, "writes into its buffer 'centers'"),
        (Annealed, "gives something else at a second call of equal outputs, targets and random stream"),
        (lambda: lambda o, t: F.cross_entropy(o * float(Noise.draw()), t), "gives something else at a second call"),
    ],
)
def test_losses_that_change_from_call_to_call(make, sentence) -> None:
    loss = make()
    with pytest.raises(ModelError, match=sentence):
        problem(loss)
    if isinstance(loss, nn.Module):
        assert not loss.centers.any()


class Noise:
    """A stream that nobody sets."""

    stream = torch.Generator().manual_seed(0)

    @classmethod
    def draw(cls) -> Tensor:
        return 1 + torch.rand((), generator=cls.stream)


def test_losses_that_draw_from_torch_are_streams_of_the_members() -> None:
    """In a module, too: of the seed and the step, whoever else is trained."""

    class Dropped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.3)

        def forward(self, output: Tensor, target: Tensor) -> Tensor:
            return F.cross_entropy(self.drop(output), target)

    own = problem(Dropped())
    recipe = tw.Recipe(tw.optim.SGD(0.1), 5, 8)
    many, alone = tw.train(own, recipe, seeds=[3, 5]), tw.train(own, recipe, seeds=[5])
    assert torch.equal(many.final.theta[1], alone.final.theta[0])
    with pytest.raises(ModelError, match="draws random numbers in evaluation mode"):
        tw.curvature.hessian(own, many.final)
