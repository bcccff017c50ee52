"""Models called once for all members: the same numbers as one by one, or left to vmap."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.population import Batch
from thalweg.population.looped import Looped
from thalweg.population.stacked import Stacked
from thalweg.randomness import generator

DRAW = generator(0, "test broadcast")
ROWS = torch.randn(12, 6, generator=DRAW, dtype=torch.float64)
SEQUENCES = torch.randn(12, 5, 3, generator=DRAW, dtype=torch.float64)
IMAGES = torch.randn(12, 2, 3, 1, generator=DRAW, dtype=torch.float64)
TARGETS = torch.randint(3, (12,), generator=DRAW)
MEMBERS = 5


class Of(nn.Module):
    """Layers, and how they are called."""

    def __init__(self, forward: Callable[["Of", Tensor], Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.how = forward
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self, x)


def _of(forward: Callable[[Of, Tensor], Tensor], **layers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Of(forward, **{name: make() for name, make in layers.items()})


def _linear(inputs: int, outputs: int, **options: bool) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(inputs, outputs, **options)


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 3))
    model[2].weight = model[0].weight
    return model


def _frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 4), nn.SiLU(), nn.Linear(4, 3))
    model[0].requires_grad_(requires_grad=False)
    return model


A, B = _linear(6, 6), _linear(6, 3)
BROADCAST = {
    "mlp": (lambda: tw.nets.mlp(6, 5, 4, 3), ROWS),
    "activations": (
        lambda: nn.Sequential(nn.Linear(6, 4), nn.Softplus(), nn.ELU(), nn.LeakyReLU(), nn.Mish(), nn.Linear(4, 3)),
        ROWS,
    ),
    "tied": (_tied, ROWS),
    "frozen": (_frozen, ROWS),
    "without bias": (lambda: nn.Sequential(nn.Linear(6, 4, bias=False), nn.ReLU(), nn.Linear(4, 3, bias=False)), ROWS),
    "residual": (_of(lambda m, x: m.b(x + torch.relu(m.a(x)) * 0.5), a=A, b=B), ROWS),
    "flatten": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)), IMAGES),
    "dropout": (lambda: nn.Sequential(nn.Linear(6, 4), nn.Dropout(), nn.Linear(4, 3)), ROWS),
    "constant": (_of(lambda m, x: m.b(m.a(x) - OFFSET), a=A, b=B), ROWS),
    "scaled": (_of(lambda m, x: nn.functional.linear(x, m.b.weight * 0.5, 3 * m.b.bias), b=B), ROWS),
}


class Mean(nn.Module):
    """Over the places of a sequence."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Kept(nn.Module):
    """Puts a new tensor in the place of its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(6, 3)
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if self.training:
            self.seen = y * 1.0
        return torch.tanh(y)


OFFSET = torch.linspace(0, 1, 6, dtype=torch.float64)
LEFT = {
    "softmax": (_of(lambda m, x: torch.softmax(m.b(x), 1), b=B), ROWS),
    "over the batch": (_of(lambda m, x: m.b(m.a(x) - m.a(x).mean(0) if m.training else m.a(x)), a=A, b=B), ROWS),
    "a parameter beside layers": (_of(lambda m, x: m.b(m.a(x) * m.scale), a=A, b=B), ROWS),
    "a weight computed": (_of(lambda m, x: nn.functional.linear(x, m.b.weight + 0.5, m.b.bias), b=B), ROWS),
    "a parameter scaled beside layers": (_of(lambda m, x: m.b(m.a(x) * (2 * m.scale)), a=A, b=B), ROWS),
    "a weight by another": (_of(lambda m, x: nn.functional.linear(x, m.b.weight * m.scale), b=B), ROWS),
    "batch norm": (lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)), ROWS),
    "layer norm": (lambda: nn.Sequential(nn.Linear(6, 4), nn.LayerNorm(4), nn.Linear(4, 3)), ROWS),
    "flatten late": (_of(lambda m, x: m.b(m.a(x).flatten(1)), a=A, b=B), ROWS),
    "matrices": (lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), Mean()), SEQUENCES),
    "by its shape": (_of(lambda m, x: m.b(m.a(x)) / (x.shape[0] if m.training else 1), a=A, b=B), ROWS),
    "a branch": (_of(lambda m, x: m.b(x) if x.ndim == 2 else m.b(x) + 1, b=B), ROWS),
    "convolution": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(9, 3)),
        IMAGES,
    ),
}


def _batches(problem: tw.Problem) -> list[Batch]:
    indices = torch.stack([torch.randperm(12, generator=generator(i, "order"))[:7] for i in range(MEMBERS)])
    return [Batch.range(problem.data.train, 2, 9), Batch.of(problem.data.train, indices)]


@pytest.mark.parametrize("name", [*BROADCAST, *LEFT])
@pytest.mark.parametrize("shared", [True, False])
def test_stacked_members_are_what_they_are_one_by_one(name: str, shared: bool) -> None:
    model, inputs = (BROADCAST | LEFT)[name]
    problem = tw.Problem(model, (inputs, TARGETS), dtype=torch.float64)
    population = problem.initialize(MEMBERS).copy()
    population.theta.add_(0.1)  # biases and scales too
    batch = _batches(problem)[0 if shared else 1]
    modes = {"dropout": (False,), "over the batch": (True,), "by its shape": (True,)}.get(name, (False, True))
    for training in modes:
        stacked = Stacked(problem, population.copy(), training=training)
        looped = Looped(problem, population.copy(), training=training)
        rows = slice(1, 4)
        torch.testing.assert_close(
            stacked.outputs(rows, batch), looped.outputs(rows, batch), rtol=1e-12, atol=1e-12, check_stride=False
        )
        assert stacked.broadcast is (name in BROADCAST)
        found, wanted = torch.zeros_like(population.theta), torch.zeros_like(population.theta)
        losses = stacked.gradient(rows, batch, found), looped.gradient(rows, batch, wanted)
        torch.testing.assert_close(*losses, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_a_member_that_is_not_finite_leaves_the_others_bits() -> None:
    problem = tw.Problem(lambda: tw.nets.mlp(6, 5, 3), (ROWS, TARGETS), dtype=torch.float64)
    population = problem.initialize(MEMBERS).copy()
    spoiled = population.copy()
    spoiled.theta[2, ::3] = torch.nan
    found = []
    for members in (population, spoiled):
        out = torch.zeros_like(members.theta)
        Stacked(problem, members, training=True).gradient(slice(None), _batches(problem)[0], out)
        found.append(out)
    others = [0, 1, 3, 4]
    assert torch.equal(found[0][others], found[1][others])
    assert not found[1][2].isfinite().all()


def _trace(problem: tw.Problem, population: tw.Population) -> np.ndarray:
    return tw.spectra.trace(tw.curvature.hessian(problem, population), products=4)["trace"]


@pytest.mark.parametrize("shared", [True, False])
def test_examples_that_are_matrices_are_not_taken_for_members(shared: bool) -> None:
    """As many examples as members: (members, places, features) and (batch, places, features) look alike."""
    model = lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))  # noqa: E731
    problem = tw.Problem(model, (SEQUENCES, SEQUENCES), "squared_error", metrics={}, dtype=torch.float64)
    population = problem.initialize(4)
    indices = torch.stack([torch.arange(i, i + 4) for i in range(1 if shared else 4)])
    batch = Batch.of(problem.data.train, indices)
    stacked, looped = (kind(problem, population, training=False) for kind in (Stacked, Looped))
    torch.testing.assert_close(stacked.outputs(slice(None), batch), looped.outputs(slice(None), batch))
    alone = [_trace(problem, population[i])[0] for i in range(4)]
    few = tw.Problem(model, (SEQUENCES[:4], SEQUENCES[:4]), "squared_error", metrics={}, dtype=torch.float64)
    together = _trace(few, population)
    assert together == pytest.approx([_trace(few, population[i])[0] for i in range(4)], rel=1e-9)
    assert len(set(alone)) == 4


def test_a_buffer_that_is_replaced_is_not_lost_in_silence() -> None:
    problem = tw.Problem(Kept, (ROWS, TARGETS), dtype=torch.float64)
    stacked = Stacked(problem, problem.initialize(3), training=True)
    with pytest.raises(ModelError, match="replaces its buffer 'seen' by a new tensor"):
        stacked.outputs(slice(None), Batch.range(problem.data.train, 0, 3))


def test_functions_called_by_keyword_are_left_to_vmap() -> None:
    forward = lambda m, x: m.b(torch.flatten(input=m.a(x), start_dim=1))  # noqa: E731
    problem = tw.Problem(_of(forward, a=A, b=B), (ROWS, TARGETS), dtype=torch.float64)
    population = problem.initialize(3)
    stacked, looped = (kind(problem, population, training=False) for kind in (Stacked, Looped))
    batch = Batch.range(problem.data.train, 0, 5)
    torch.testing.assert_close(stacked.outputs(slice(None), batch), looped.outputs(slice(None), batch))
    assert stacked.broadcast is False
