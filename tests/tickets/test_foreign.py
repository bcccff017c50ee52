"""Models as others write them, sliced and packed, and what users of other tools reported of such."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

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
