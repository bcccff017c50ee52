"""Linearized networks: their formula, and training them in populations."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

import thalweg as tw
from thalweg.population.attention import plain_attention

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Attention(nn.Module):
    """Torch's own attention, which is one fused operation where no gradient is asked for, and at inputs in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(2, 1, 3, dropout=0.0, activation="gelu", batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(torch.stack([x[:, :4].unflatten(-1, (2, 2)), x[:, 1:].unflatten(-1, (2, 2))], 1).flatten(1, 2))
        return nn.functional.scaled_dot_product_attention(x, x, x).flatten(1)[:, :3]


NETS = {
    "mlp": lambda: tw.nets.mlp(5, 4, 3, activation="tanh"),
    "ntk-mlp": lambda: tw.nets.ntk_mlp(5, 4, 3, activation="gelu"),
    "norm": lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 3)),
    "mish": lambda: nn.Sequential(nn.Linear(5, 4), nn.Mish(), nn.Linear(4, 3)),
    "layer norm": lambda: nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.Linear(4, 3)),
    "instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 2, 2), nn.InstanceNorm1d(2, affine=True), nn.Flatten(), nn.Linear(8, 3)
    ),
    "attention": Attention,
    "weight norm": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(5, 4)), nn.Tanh(), nn.Linear(4, 3)
    ),
}


def moved(module: tw.ntk.Linearized) -> torch.Tensor:
    """Move its parameters; by how much, as one vector."""
    draw = torch.Generator().manual_seed(1)
    moves = []
    with torch.no_grad():
        for one in module.network.parameters():
            moves.append(torch.randn(one.shape, generator=draw, dtype=one.dtype))
            one.add_(moves[-1])
    return torch.cat([move.flatten() for move in moves])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", NETS)
def test_it_is_the_taylor_expansion(name: str, order: int) -> None:
    torch.manual_seed(0)
    module = tw.ntk.linearized(NETS[name]().double().train(), order=order)
    step = moved(module)
    start = dict(module.initial.named_parameters())
    sizes = [one.numel() for one in start.values()]

    def outputs(theta: torch.Tensor) -> torch.Tensor:
        parts = zip(start.items(), theta.split(sizes), strict=True)
        return functional_call(module.initial, {key: part.view_as(one) for (key, one), part in parts}, (X,))

    theta = torch.cat([one.detach().flatten() for one in start.values()])
    with torch.no_grad(), plain_attention():
        # Of a polynomial through outputs along the step: torch's second derivatives of normalization lack terms.
        at = {k: outputs(theta + 1e-3 * k * step) for k in range(-4, 5)}
    slopes, bends = (4 / 5, -1 / 5, 4 / 105, -1 / 280), (8 / 5, -1 / 5, 8 / 315, -1 / 560)
    first = sum(share * (at[k] - at[-k]) for k, share in enumerate(slopes, 1)) / 1e-3
    second = sum(share * (at[k] - 2 * at[0] + at[-k]) for k, share in enumerate(bends, 1)) / 1e-6
    expected = at[0] + first + (second / 2 if order == 2 else 0)
    torch.testing.assert_close(module(X), expected, rtol=1e-7, atol=1e-7)
    assert (module(X) - module.network.eval()(X)).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["attention", "weight norm"])
def test_what_torch_has_no_forward_mode_of_trains_in_populations(name: str) -> None:
    data = X, torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    problem = tw.Problem(lambda: tw.ntk.linearized(NETS[name]()), data, "squared_error", dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=3, batch_size=None), seeds=2, progress=None)
    network = tw.Problem(NETS[name], data, "squared_error", dtype=torch.float64)
    kernel = tw.ntk.empirical_kernels(network, network.initialize(2), X)
    start = problem.initialize(2)
    for member in range(2):
        before = start.module(member)(X).detach()
        path = tw.ntk.gradient_descent(kernel[member], None, data[1], lr=0.1, steps=3, loss="mean", start=before)
        after = run.final.module(member)(X).detach()
        torch.testing.assert_close(after, torch.from_numpy(path["train"][0, -1].copy()), rtol=0, atol=1e-10)


def test_a_network_of_several_tensors_is_refused() -> None:
    class Both(nn.Linear):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return super().forward(x), x

    with pytest.raises(tw.UsageError, match="returns one tensor, but this one returns tuple"):
        tw.ntk.linearized(Both(5, 3))(X.float())


def test_frozen_parameters_and_ties_stay() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)).double()
    network[2].weight = network[0].weight
    network[0].bias.requires_grad_(False)
    module = tw.ntk.linearized(network)
    assert [name for name, one in module.named_parameters() if one.requires_grad] == [
        "network.0.weight",
        "network.2.bias",
    ]
    with torch.no_grad():
        network[0].weight.add_(1e-5)
        network[2].bias.add_(1e-5)
    torch.testing.assert_close(module(X), network(X), rtol=0, atol=1e-8)
    assert (module(X) - module.initial(X)).abs().max() > 1e-6


@pytest.mark.parametrize("rule", [tw.optim.Nesterov(lr=0.1, beta=0.9, look="reformulated"), tw.optim.Adam(lr=0.01)])
def test_a_population_trains_as_each_member_alone(rule: tw.optim.Rule) -> None:
    data = X, torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    problem = tw.Problem(lambda: tw.ntk.linearized(NETS["mlp"]()), data, "squared_error", dtype=torch.float64)
    run = tw.train(problem, tw.Recipe(rule, steps=5, batch_size=None), seeds=3, progress=None)
    for member in range(3):
        module = problem.initialize(3).module(member)
        leaves = [one for one in module.parameters() if one.requires_grad]
        if isinstance(rule, tw.optim.Adam):
            optimizer = torch.optim.Adam(leaves, lr=0.01)
        else:
            optimizer = torch.optim.SGD(leaves, lr=0.1, momentum=0.9, nesterov=True)
        for _ in range(5):
            optimizer.zero_grad()
            nn.functional.mse_loss(module(data[0]), data[1]).backward()
            optimizer.step()
        torch.testing.assert_close(run.final.module(member)(X), module(X), rtol=0, atol=1e-10)


def test_its_hessian_is_that_of_the_gauss_newton_matrix() -> None:
    """Linear in its parameters, a network has no curvature of its own: the Hessian is J^T J of its loss."""
    data = X, torch.randn(6, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    problem = tw.Problem(lambda: tw.ntk.linearized(NETS["mlp"]()), data, "squared_error", dtype=torch.float64)
    population = problem.initialize(1)
    vector = torch.randn(1, population.layout.parameters, generator=torch.Generator().manual_seed(3)).double()
    away = population.with_theta(population.theta + 0.3)
    one, other = (
        operator(problem, away, on="train")(vector) for operator in (tw.curvature.hessian, tw.curvature.gauss_newton)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tw.ntk.linearized(nn.Linear(2, 2), order=3), "1 or 2; got 3"),
        (lambda: tw.ntk.linearized(lambda x: x), "must be a module such as"),
        (lambda: tw.ntk.linearized(nn.ReLU()), "this one has none"),
    ],
)
def test_what_cannot_be_linearized(call, message: str) -> None:
    with pytest.raises(tw.UsageError, match=message):
        call()


def test_its_tangent_kernel_is_that_of_the_network_wherever_it_is() -> None:
    """As instruments see it, whose parameters do not all require gradients."""
    problem = tw.Problem(lambda: tw.ntk.linearized(tw.nets.mlp(64, 16, 10)), tw.data.digits())
    run = tw.train(problem, tw.Recipe(tw.optim.SGD(0.1), steps=10, batch_size=64), seeds=2)
    some = tw.Sample("train", 8)
    plain = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    expected = tw.ntk.empirical(plain, plain.initialize(2), on=some)["kernel"]
    found = tw.ntk.empirical(problem, run.final, on=some)["kernel"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    regime = tw.ntk.regime(problem, run, on=some)
    assert regime["drift"].max() < 1e-5
    assert regime["nonlinearity"].max() < 1e-4


def test_attention_in_evaluation_mode_has_a_derivative() -> None:
    """The fast path of torch's encoder layers has none."""
    layer, x = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.randn(2, 3, 8)
    line = tw.ntk.linearized(layer)
    torch.testing.assert_close(line(x), layer.eval()(x))
