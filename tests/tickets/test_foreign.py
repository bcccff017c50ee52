"""Models as others write them, sliced and packed, and what users of other tools reported of such."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import thalweg as tw
from thalweg.tickets import SlicingPlan, pack, sliced, unit_mask, unpack
from thalweg.tickets.user_units import cuttable

F64 = torch.float64


class Block(nn.Module):
    """Of a residual convnet, with a projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        same = stride == 1 and inputs == outputs
        self.down = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + self.down(x)).relu()


class ResidualNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6)
        self.layers = nn.Sequential(Block(6, 6, 1), Block(6, 8, 2))
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.norm(self.stem(x)).relu()).mean((2, 3)))


class Layer(nn.Module):
    """Of a transformer before whose parts there are norms."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 24), nn.Linear(24, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        q, k, v = (one(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in (self.q, self.k, self.v))
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        x = x + self.o((scores @ v).transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.place = nn.Embedding(17, 8), nn.Parameter(torch.zeros(6, 8))
        self.layers = nn.ModuleList([Layer(8, 2), Layer(8, 2)])
        self.norm, self.out = nn.LayerNorm(8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x) + self.place
        for layer in self.layers:
            h = layer(h)
        return self.out(self.norm(h).mean(1))


def perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 20),
        nn.BatchNorm1d(20),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(20, 16),
        nn.GELU(),
        nn.Linear(16, 10),
    )


def problem_of(model: Callable[[], nn.Module], *shape: int, tokens: int = 0) -> tw.Problem:
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(tokens, (40, *shape), generator=draw) if tokens else torch.randn(40, *shape, generator=draw)
    return tw.Problem(model, (x if tokens else x.double(), torch.arange(40) % 10), dtype=F64)


MODELS: dict[str, Callable[[], tw.Problem]] = {
    "residual convnet": lambda: problem_of(ResidualNet, 1, 8, 8),
    "transformer": lambda: problem_of(Transformer, 6, tokens=17),
    "MLP": lambda: problem_of(perceptron, 12),
}
CUT = {  # every group of units of which half can go
    "residual convnet": {"layers.0.conv1", "layers.1.conv1"},
    "transformer": {"layers.0.up", "layers.1.up"},
    "MLP": {"0", "4"},
}


@pytest.mark.parametrize("name", MODELS)
def test_sliced_and_packed(name: str, tmp_path: Path) -> None:
    problem = MODELS[name]()
    trained = tw.train(problem, tw.Recipe(tw.optim.Adam(1e-2), steps=10, batch_size=20), seeds=1, progress=None).final
    groups, reasons = cuttable(problem, trained, tw.tickets.Policy())
    assert set(groups) >= CUT[name]
    assert all("Masks work" in one for one in reasons)
    keep = {group: range(problem.structure.group(group).units // 2) for group in groups}
    small, mask = sliced(problem, trained, keep), unit_mask(problem, keep)
    x = problem.data.train.take(torch.arange(40))[0]
    with torch.no_grad():
        wanted, found = trained.with_mask(mask).module(0).eval()(x), small.module(0).eval()(x)
    assert (wanted - found).abs().max() < 1e-12 * max(1.0, float(wanted.abs().max()))
    assert small["parameters"][1] < small["parameters"][0]
    again = unpack(pack(small, tmp_path / "small.safetensors", values="float64").path, problem)
    with torch.no_grad():
        assert torch.equal(again.module(0).eval()(x), found)
    built = SlicingPlan.from_json(small.plan.to_json()).module(problem.model).double()
    built.load_state_dict(small.population.state_dict(0))
    with torch.no_grad():
        assert torch.equal(built.eval()(x), found)


def assert_sliced_as_masked(problem: tw.Problem) -> set[str]:
    """Half of the units of every group by itself; the names of the groups."""
    population, x = problem.initialize(1), problem.data.train.take(torch.arange(40))[0]
    for group in problem.structure.groups:
        keep = {group.name: range(group.units // 2)}
        small, masked = sliced(problem, population, keep), population.with_mask(unit_mask(problem, keep))
        with torch.no_grad():
            assert torch.allclose(small.module(0).eval()(x), masked.module(0).eval()(x), rtol=0, atol=1e-12)
    return {group.name for group in problem.structure.groups}


class Generator(nn.Module):
    """VainF/Torch-Pruning#125: transposed convolutions behind a linear layer whose outputs a view makes channels of."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.first = nn.Linear(6, 8 * 4 * 4), nn.ConvTranspose2d(8, 6, 4, 2, 1)
        self.second, self.out = nn.ConvTranspose2d(6, 4, 4, 2, 1), nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.linear(x).relu().view(-1, self.first.in_channels, 4, 4)
        return self.out(self.second(self.first(x).relu()).relu().mean((2, 3)))


def flattened() -> nn.Module:
    """VainF/Torch-Pruning#451: a linear layer that reads every position of every channel."""
    convolutions = (nn.Conv1d(1, 12, 3, padding=1), nn.Conv1d(12, 6, 3, padding=1), nn.Conv1d(6, 4, 3, padding=1))
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(16, 10))


def separable() -> nn.Module:
    """microsoft/nni#2807: a depthwise convolution, which has as many filters as the layer before."""
    layers = nn.Conv2d(1, 8, 1), nn.ReLU6(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU6(), nn.Conv2d(8, 4, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


def test_channels_behind_views_flattenings_and_depthwise_convolutions() -> None:
    assert assert_sliced_as_masked(problem_of(Generator, 6)) == {"linear", "first", "second"}
    assert assert_sliced_as_masked(problem_of(flattened, 1, 4)) == {"0", "1", "2"}
    assert assert_sliced_as_masked(problem_of(separable, 1, 5, 5)) == {"0", "4"}


def normalized(border: int) -> nn.Module:
    layers = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=border)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


@pytest.mark.parametrize("border", [0, 1])
def test_a_norm_revives_what_a_filter_of_zeros_gives(border: int) -> None:
    """microsoft/nni#2130: such a channel is the norm's shift, which goes into the bias behind where no border is."""
    problem = problem_of(lambda: normalized(border), 1, 7, 7)
    population = problem.initialize(1)
    views = problem.layout.views(population.theta)
    views["0.weight"][:, :3], views["1.bias"][:] = 0, 0.7
    found = tw.tickets.without_dead_units(problem, population)
    x = problem.data.train.take(torch.arange(40))[0]
    with torch.no_grad():
        assert torch.allclose(found.module(0).eval()(x), population.module(0).eval()(x), rtol=0, atol=1e-9)
    assert found.module(0)[0].out_channels == (3 if border == 0 else 6)


def test_modules_with_hooks_and_of_torchs_pruning_are_copied() -> None:
    """VainF/Torch-Pruning#374, pytorch/pytorch#37322: what deepcopy does not take."""
    module, seen = perceptron(), []
    module[0].register_forward_hook(lambda *_: seen.append(1))
    problem = problem_of(lambda: module, 12)
    small = sliced(problem, problem.population(module), {"0": [0, 1]})
    assert small.module(0)[0].out_features == 2
    prune.l1_unstructured(module[0], "weight", 0.5)
    assert problem_of(lambda: module, 12).layout["0.weight_orig"].fan_in == 12
    with pytest.raises(tw.ThalwegError, match="The two layouts differ"):
        problem.population(module)
    prune.remove(module[0], "weight")
    kept = problem_of(lambda: module, 12).population(module)
    assert int((kept.layout.views(kept.theta)["0.weight"] == 0).sum()) == 120
    assert copy.deepcopy(kept.module(0))[0].weight.shape == (20, 12)


def test_norms_of_weights_that_masks_make_zero() -> None:
    normed = nn.utils.parametrizations.weight_norm
    problem = problem_of(lambda: nn.Sequential(normed(nn.Linear(12, 8)), nn.ReLU(), nn.Linear(8, 10)), 12)
    name = problem.structure.groups[0].name
    with pytest.raises(tw.ModelError, match=r"not finite.*remove_parametrizations"):
        sliced(problem, problem.initialize(1), {name: [0, 1]})


def test_a_set_of_one_example() -> None:
    """microsoft/nni#5735: what a batch of one leaves out."""
    problem = tw.Problem(lambda: tw.nets.mlp(6, 8, 10), (torch.randn(1, 6), torch.zeros(1, dtype=torch.long)))
    population = problem.initialize(1)
    assert sliced(problem, population, {"hidden1": [0, 1]})["parameters"].tolist() == [146, 44]
    found = tw.tickets.prunable(problem, population, densities=(0.5,), progress=None)
    assert found["better than dense"].shape == (3, 1)


def test_searches_in_a_row_are_alike() -> None:
    """Lightning-AI/pytorch-lightning#21717: a second one that fails, or goes on from the first."""
    problem = problem_of(perceptron, 12)
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=4, batch_size=20, evaluate=1)
    found = [tw.tickets.search(problem, recipe, seeds=1, rounds=2, arms=("ticket",), progress=None) for _ in range(2)]
    assert torch.equal(found[0].trained(2).theta, found[1].trained(2).theta)


def test_tied_weights_count_once() -> None:
    """Lightning-AI/pytorch-lightning#21223: sparsity of what two layers share."""
    first, second = nn.Linear(12, 12, bias=False), nn.Linear(12, 12, bias=False)
    second.weight = first.weight
    problem = problem_of(lambda: nn.Sequential(first, nn.ReLU(), second, nn.Linear(12, 10, bias=False)), 12)
    assert problem.layout.parameters == 144 + 120
    mask = tw.tickets.prune(problem, problem.initialize(1).theta.abs(), 0.25)
    assert int(mask.sum()) == 36 + 30


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(12, 8), nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x)
        return self.out(h.relu() if float(h.detach().sum()) > 1e9 else h.tanh())


def test_of_a_model_that_cannot_be_traced_all_but_slicing_works(tmp_path: Path) -> None:
    problem = problem_of(Branching, 12)
    recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=4, batch_size=20, evaluate=1)
    trained: list[str] = []
    with pytest.raises(tw.ModelError, match=r"cannot be traced.*masks"):
        tw.tickets.search(
            problem, recipe, seeds=1, rounds=1, arms=("small dense",), progress=lambda told: trained.append(told.label)
        )
    assert trained == []  # nothing is lost, as nothing was begun
    found = tw.tickets.search(
        problem, recipe, seeds=1, rounds=1, arms=("ticket", "reinit", "shuffled"), plan="looped", progress=None
    )
    ticket = found.trained(1)
    again = unpack(pack(ticket, tmp_path / "one.safetensors", values="float64").path, problem)
    assert torch.equal(again.theta, ticket.theta)
    assert "cannot be traced" in tw.tickets.receipt(problem, ticket, batches=(4,), rounds=20).left_out["sliced"]


def test_seeds_of_a_supermask() -> None:
    problem = problem_of(perceptron, 12)
    with pytest.raises(tw.UsageError, match="supermask needs a seed for each of 2"):
        tw.tickets.supermask(problem, problem.initialize(2), seeds=[0], steps=1)
