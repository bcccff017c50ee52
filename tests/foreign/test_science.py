"""Networks of the sciences: physics-informed, operators, graphs, equations, draws, implicit layers."""

import itertools
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from foreign.harness import CLASSES, EXAMPLES, Case, Refused, assert_as_plain, double, integers, normal  # noqa: F401
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

X = normal(4)
NUMBERS = normal(2, seed=7)


def mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(sizes):
        layers += [nn.Linear(wide, narrow), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def squared(output: Tensor, targets: Tensor) -> Tensor:
    return ((output - targets) ** 2).mean()


class Informed(nn.Module):
    """u and u_x - u_yy at each point, by automatic differentiation in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(2, 4, 1)

    def forward(self, points: Tensor) -> Tensor:
        with torch.enable_grad():
            points = points.detach().requires_grad_()
            u = self.body(points)
            (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
            (second,) = torch.autograd.grad(first[:, 1].sum(), points, create_graph=True)
        return torch.cat([u, first[:, :1] - second[:, 1:]], 1)


class Functional(nn.Module):
    """The same by torch.func."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(2, 4, 1)

    def forward(self, points: Tensor) -> Tensor:
        along = torch.tensor([1.0, 0.0], dtype=points.dtype).expand_as(points)
        return torch.cat(jvp(self.body, (points,), (along,)), 1)


class Conserving(nn.Module):
    """A Hamiltonian network: its output is the rotated gradient of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = mlp(2, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)
        return torch.stack([slope[:, 1], -slope[:, 0]], 1)


class Equation(nn.Module):
    """A neural ordinary differential equation by torchdiffeq."""

    def __init__(self, solver: str, **options: Any) -> None:
        super().__init__()
        self.field, self.head, self.solver, self.options = mlp(4, 5, 4), nn.Linear(4, 3), solver, options

    def forward(self, x: Tensor) -> Tensor:
        import torchdiffeq

        field = Field(self.field)
        times = torch.linspace(0, 1, 3, dtype=x.dtype)
        return self.head(getattr(torchdiffeq, self.solver)(field, x, times, **self.options)[-1])


class Field(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, time: Tensor, state: Tensor) -> Tensor:
        return self.body(state)


class Autoencoder(nn.Module):
    """Variational: draws in training, the mean in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 4), mlp(2, 4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, -1)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        return self.decoder(z), mean, log_variance


def evidence(output: tuple[Tensor, Tensor, Tensor], targets: Tensor) -> Tensor:
    decoded, mean, log_variance = output
    divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1) / 2
    return (((decoded - targets) ** 2).sum(-1) + divergence).mean()


class Equilibrium(nn.Module):
    """A fixed point by many steps: all of them are differentiated, or the last one alone."""

    def __init__(self, *, cut: bool) -> None:
        super().__init__()
        self.state, self.into, self.head, self.cut = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3), cut

    def forward(self, x: Tensor) -> Tensor:
        z = torch.zeros_like(x)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.cut):
            for _ in range(6):
                z = torch.tanh(0.5 * self.state(z) + self.into(x))
        return self.head(torch.tanh(0.5 * self.state(z) + self.into(x)))


class Hyper(nn.Module):
    """A network that makes another's weights, example by example."""

    def __init__(self) -> None:
        super().__init__()
        self.maker = mlp(2, 4, 15)
        self.target = nn.Linear(4, 3).requires_grad_(False)

    def forward(self, context: Tensor, x: Tensor) -> Tensor:
        made = self.maker(context)
        state = {"weight": made[:, :12].unflatten(1, (3, 4)), "bias": made[:, 12:]}
        return vmap(lambda weights, one: functional_call(self.target, weights, (one,)))(state, x)


class Splines(nn.Module):
    """Kolmogorov-Arnold: a spline on every edge."""

    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.register_buffer("knots", torch.linspace(-2, 2, 5))
        self.weights, self.base = nn.Parameter(torch.randn(narrow, wide, 5) / 3), nn.Linear(wide, narrow)

    def forward(self, x: Tensor) -> Tensor:
        bumps = torch.exp(-((x[..., None] - self.knots) ** 2))
        return torch.einsum("bik,oik->bo", bumps, self.weights) + self.base(F.silu(x))


class Spectral(nn.Module):
    """A Fourier neural operator: a complex product on the lowest modes, held as pairs of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.lift, self.modes, self.local = nn.Linear(1, 2), nn.Parameter(torch.randn(2, 2, 3, 2) / 2), nn.Linear(2, 2)
        self.head = nn.Linear(2, 1)

    def forward(self, field: Tensor) -> Tensor:
        x = self.lift(field[..., None])
        spectrum = torch.fft.rfft(x, dim=1)
        low = torch.einsum("bkc,cdk->bkd", spectrum[:, :3], torch.view_as_complex(self.modes))
        back = torch.fft.irfft(F.pad(low, (0, 0, 0, spectrum.shape[1] - 3)), n=field.shape[1], dim=1)
        return self.head(F.gelu(back + self.local(x)))[..., 0]


class Sirens(nn.Module):
    """Sines of large frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(2, 5), nn.Linear(5, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sin(3 * self.second(torch.sin(3 * self.first(x)))))


class DeepSet(nn.Module):
    """A sum over points, of which not all are there."""

    def __init__(self) -> None:
        super().__init__()
        self.each, self.whole = mlp(2, 4, 4), mlp(4, 4, 3)

    def forward(self, points: Tensor, there: Tensor) -> Tensor:
        return self.whole((self.each(points) * there[..., None]).sum(1))


class Flow(nn.Module):
    """Affine couplings (RealNVP): a latent and its log-determinant."""

    def __init__(self) -> None:
        super().__init__()
        self.couplings = nn.ModuleList(mlp(2, 4, 4) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for coupling in self.couplings:
            kept, moved = x.chunk(2, -1)
            scale, shift = coupling(kept).chunk(2, -1)
            x, total = torch.cat([moved * scale.tanh().exp() + shift, kept], -1), total + scale.tanh().sum(-1)
        return x, total


def likelihood(output: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    return ((output[0] ** 2).sum(-1) / 2 - output[1]).mean()


class Complex(nn.Module):
    """Complex parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4, dtype=torch.complex128))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(self.weight.dtype) @ self.weight.T).abs()


class Convolved(nn.Module):
    """Layers of torch_geometric: each example a graph of three nodes, together one graph without edges between."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torch_geometric.nn as layers

            self.first, self.second = getattr(layers, kind)(2, 4), getattr(layers, kind)(4, 3)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        count, size = nodes.shape[:2]
        index = (edges + size * torch.arange(count)[:, None, None]).transpose(0, 1).flatten(1)
        hidden = torch.tanh(self.first(nodes.flatten(0, 1), index))
        return self.second(hidden, index).unflatten(0, (count, size)).mean(1)


class Whole(nn.Module):
    """One large graph, held by the model; an example is a node of it."""

    def __init__(self, kind: str = "GCNConv") -> None:
        super().__init__()
        self.layers = Convolved(kind)
        nodes = torch.arange(EXAMPLES)
        self.register_buffer("edges", torch.stack([nodes, (nodes + 1) % EXAMPLES]))
        self.register_buffer("features", normal(2, seed=9).clone())

    def forward(self, node: Tensor) -> Tensor:
        hidden = torch.tanh(self.layers.first(self.features, self.edges))
        return self.layers.second(hidden, self.edges)[node]


NODES, EDGES = normal(3, 2), torch.tensor([[0, 1, 2, 1], [1, 2, 0, 0]]).expand(EXAMPLES, 2, 4).contiguous()
VMAP, FIRST = "cannot be stacked", ("gauss_newton", "fisher")
SOLVED = 1e-3  # the steps are chosen by all examples of a batch
SECOND = "no second derivative that can be trusted"
EULER = {"method": "rk4"}
CASES = [
    Case("physics-informed by autograd.grad", Informed, NUMBERS, NUMBERS, squared, alone=VMAP),
    Case("physics-informed by torch.func", Functional, NUMBERS, NUMBERS, squared),
    Case("Hamiltonian", Conserving, NUMBERS, NUMBERS, squared, alone=VMAP),
    Case("neural equation", lambda: Equation("odeint", **EULER), X, alone=VMAP),
    Case(
        "neural equation, adaptive steps",
        lambda: Equation("odeint", rtol=1e-5, atol=1e-5),
        X,
        alone=VMAP,
        tolerance=SOLVED,
    ),
    Case(
        "adjoint of a neural equation",
        lambda: Equation("odeint_adjoint", **EULER),
        X,
        alone=VMAP,
        matrices=(),
        without=SECOND,
    ),
    Case("variational autoencoder", Autoencoder, X, X, evidence, draws=True),
    Case("equilibrium, all steps", lambda: Equilibrium(cut=False), X),
    Case(
        "equilibrium, the last step alone",
        lambda: Equilibrium(cut=True),
        X,
        matrices=FIRST,
        without="second derivative",
    ),
    Case("hypernetwork", Hyper, (NUMBERS, X)),
    Case("Kolmogorov-Arnold", lambda: nn.Sequential(Splines(4, 3), Splines(3, 3)), X),
    Case("Fourier operator", Spectral, normal(6), normal(6, seed=8), squared),
    Case("sines", Sirens, NUMBERS, NUMBERS, squared),
    Case("sets of points", DeepSet, (normal(3, 2), (integers(2, 3, seed=4) > 0).double())),
    Case("normalizing flow", Flow, X, X, likelihood),
    Case("graphs as examples", lambda: Convolved("GCNConv"), (NODES, EDGES), alone=VMAP),
    Case("attention over graphs as examples", lambda: Convolved("GATConv"), (NODES, EDGES), alone=VMAP),
    Case("nodes of one graph", Whole, torch.arange(EXAMPLES), alone=VMAP),
    Case("nodes of one graph, attention", lambda: Whole("GATConv"), torch.arange(EXAMPLES), alone=VMAP),
]
REFUSED = [
    Refused("complex parameters", Complex, X, "view_as_real|view_as_complex"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_science(case: Case, tmp_path: Path) -> None:
    assert_as_plain(case, tmp_path)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_science_that_is_refused(case: Refused) -> None:
    case.assert_refused()
