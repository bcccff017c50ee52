"""The perceptron in NTK parameterization, and networks minus their start."""

import math

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.population import Batch
from thalweg.population.stacked import Stacked

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("bias_std", [0.0, 0.3])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_it_is_its_formula(bias_std: float, power: float) -> None:
    net = tw.nets.ntk_mlp(5, 4, 7, 3, activation="tanh", weight_std=1.5, bias_std=bias_std, readout_power=power)
    net = net.double()
    x, zero = X, torch.zeros(())
    for layer in (net.hidden1, net.hidden2):
        bias = zero if layer.bias is None else layer.bias
        x = torch.tanh(1.5 * x @ layer.weight.T / x.shape[1] ** 0.5 + bias_std * bias)
    bias = zero if net.output.bias is None else net.output.bias
    expected = 7 ** (0.5 - power) * (x @ net.output.weight.T / 7**0.5 + bias_std * bias)
    torch.testing.assert_close(net(X), expected, rtol=0, atol=1e-13)
    assert (net.output.bias is None) == (bias_std == 0)


def test_every_number_starts_as_a_standard_normal_one() -> None:
    torch.manual_seed(0)
    numbers = torch.cat([p.detach().flatten() for p in tw.nets.ntk_mlp(64, 512, 512, 10).parameters()])
    count = numbers.numel()
    assert abs(float(numbers.mean())) < 4 / count**0.5
    assert abs(float(numbers.square().mean()) - 1) < 4 * (2 / count) ** 0.5
    assert abs(float(numbers.pow(4).mean()) - 3) < 4 * (96 / count) ** 0.5


def test_outputs_have_the_variance_of_the_limit_at_any_width() -> None:
    """One hidden ReLU layer: E f^2 = (2 |x|^2 / d + s^2) / 2 + s^2 exactly, at every width."""
    torch.manual_seed(0)
    x, std = torch.randn(5), 0.4
    expected = float((2 * x.square().mean() + std**2) / 2 + std**2)
    for width in (1, 64):
        net = tw.nets.ntk_mlp(5, width, 4000, bias_std=std)
        outputs = torch.cat([net(x).detach() for _ in range(400 if width == 1 else 20) if net.apply(_redraw)])
        squares = outputs.reshape(-1, 4000).square().mean(1)
        error = float(squares.std()) / len(squares) ** 0.5
        assert abs(float(squares.mean()) - expected) < 4.5 * error


def _redraw(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        module.reset_parameters()


def test_mean_field_outputs_and_gradients_are_smaller_by_the_root_of_the_width() -> None:
    wide, feature = (tw.nets.ntk_mlp(5, 16, 3, readout_power=power).double() for power in (0.5, 1.0))
    feature.load_state_dict(wide.state_dict())
    torch.testing.assert_close(wide(X), 4 * feature(X))
    for one, other in zip(*(torch.autograd.grad(n(X).sum(), [*n.parameters()]) for n in (wide, feature)), strict=True):
        torch.testing.assert_close(one, 4 * other)


BUILDS = {
    "relu": lambda: tw.nets.ntk_mlp(64, 9, 10),
    "erf": lambda: tw.nets.ntk_mlp(64, 9, 9, 10, activation="erf"),
    "no-bias": lambda: tw.nets.ntk_mlp(64, 9, 10, bias_std=0.0),
    "centered": lambda: tw.nets.centered(tw.nets.ntk_mlp(64, 9, 10, activation="tanh")),
}


@pytest.mark.parametrize("name", BUILDS)
def test_members_are_computed_by_batched_products(name: str) -> None:
    problem = tw.Problem(BUILDS[name], tw.data.digits(), dtype=torch.float64)
    population = problem.initialize(3)
    if name == "centered":
        population = population.with_theta(population.theta + 0.1)
    stacked = Stacked(problem, population, training=True)
    batch = Batch.range(problem.data.train, 0, 8)
    gradients = torch.empty_like(population.theta)
    losses = stacked.gradient(slice(0, 3), batch, gradients)
    assert stacked.broadcast
    for member in range(3):
        module = population.module(member)
        leaves = [one for one in module.parameters() if one.requires_grad]
        loss = nn.functional.cross_entropy(module(batch.inputs), batch.targets)
        expected = torch.cat([one.flatten() for one in torch.autograd.grad(loss, leaves)])
        torch.testing.assert_close(gradients[member], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(losses[member], loss.detach(), rtol=0, atol=1e-12)


def test_units_are_found_in_the_trace() -> None:
    structure = tw.Problem(BUILDS["erf"], tw.data.digits()).structure
    assert [(group.name, group.units) for group in structure.groups] == [("hidden1", 9), ("hidden2", 9)]
    assert not structure.unknown


def test_a_population_of_centered_nets_trains_from_zero_with_a_start_of_its_own_each() -> None:
    data = tw.data.digits()
    inputs = data.train.inputs[:50].double()
    problem = tw.Problem(BUILDS["centered"], data, dtype=torch.float64)
    recipe = tw.Recipe(tw.optim.SGD(lr=0.1), steps=3, batch_size=None)
    run = tw.train(problem, recipe, seeds=2, progress=None)
    chance = tw.evaluate(problem, problem.initialize(2))["loss"]
    assert chance == pytest.approx([math.log(10)] * 2, abs=1e-12)
    for member in range(2):
        trained, start = run.final.module(member), problem.initialize(2).module(member)
        difference = trained.network(inputs) - start.network(inputs)
        torch.testing.assert_close(trained(inputs), difference)
        assert difference.abs().max() > 1e-3
    one, other = (run.final.module(member).initial.hidden1.weight for member in range(2))
    assert (one - other).abs().max() > 0.1


def test_a_centered_net_has_no_dropout_in_its_start_and_the_kernel_of_the_network() -> None:
    network = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    net = tw.nets.centered(network).double().train()
    assert net.network[1].training
    assert not net.initial[1].training
    net.eval()
    assert not net(X).any()
    for one, other in zip(
        torch.autograd.grad(net(X)[:, 0].sum(), [*net.network.parameters()]),
        torch.autograd.grad(net.network(X)[:, 0].sum(), [*net.network.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
